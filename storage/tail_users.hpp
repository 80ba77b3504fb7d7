#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/number.hpp"
#include "storage/format/record.hpp"
#include "storage/members.hpp"

namespace parley::storage {

/// What the log's tail says of users' conversations: the part that isn't in store.mdb yet. Belongs to a TailIndex.
class TailUsers {
 public:
  /// Records of other kinds are passed over.
  void take(Lsn position, const format::Record& record) {
    const auto* user = std::get_if<format::UserConversationRecord>(&record.body);
    if (user == nullptr) return;
    records_.push_back({position,
                        record.position.slot,
                        std::string(user->user),
                        {user->conversation, std::string(user->name), user->epoch, user->present, user->changed}});
  }
  /// `through`: up to where the store has a slot's records.
  template <class Through>
  void drop(Through through) {
    std::erase_if(records_, [&through](const Tailed& one) { return one.position <= through(one.slot); });
  }
  void clear() { records_.clear(); }
  void append(std::string_view user, std::vector<format::UserConversation>& to) const {
    for (const Tailed& one : records_) {
      if (one.user == user) to.push_back(one.conversation);
    }
  }

 private:
  struct Tailed {
    Lsn position;
    Slot slot;
    std::string user;
    format::UserConversation conversation;
  };
  std::vector<Tailed> records_;
};

}  // namespace parley::storage
