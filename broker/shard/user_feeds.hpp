#pragma once

#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "broker/routing/subscription_tree.hpp"
#include "broker/shard/events.hpp"

namespace parley::shard {

class Shard;

/// Of users that something on this shard has to do with: the conversations they are members of, now and as that
/// changes. See UserLists for where it comes from. Belongs to its shard's thread.
class UserFeeds {
 public:
  /// By number; those that the user is a member of.
  using List = std::map<ConversationNumber, UserConversation>;

  class Watcher {
   public:
    virtual ~Watcher() = default;
    /// The list is there. Comes once; what changes afterwards comes one by one.
    virtual void user_known(const std::string& user) = 0;
    /// It can't be had for now; user_known comes later.
    virtual void user_unknown(const std::string& user, chat::Refusal why) = 0;
    /// The list has it (`present`) or doesn't have it any more.
    virtual void user_changed(const std::string& user, const UserConversation& change) = 0;
  };

  explicit UserFeeds(Shard& shard) : shard_(shard) {}

  /// Until unwatch(). Where the list is known already, user_known doesn't come.
  void watch(const std::string& user, Watcher& watcher);
  void unwatch(const std::string& user, Watcher& watcher);
  /// Null until it is known.
  [[nodiscard]] const List* find(std::string_view user) const;

  void told(UserConversationsEvent& event);

 private:
  struct User {
    bool known = false;
    List list;
    std::vector<Watcher*> watchers;
  };
  void tell(const std::string& user, const UserConversation& change);

  Shard& shard_;
  std::unordered_map<std::string, User, routing::StringHash, std::equal_to<>> users_;
};

}  // namespace parley::shard
