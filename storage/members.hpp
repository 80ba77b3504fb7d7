#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/number.hpp"
#include "base/result.hpp"
#include "storage/format/changes.hpp"
#include "storage/format/marks.hpp"

namespace parley::storage {

class Files;
class ReadTransaction;

/// Looks members up in what is materialised. Belongs to one thread; each has its own. Cost: a microsecond a look, two
/// more for every further row of a list.
class Members {
 public:
  explicit Members(std::shared_ptr<Files> files);
  ~Members();

  /// Nothing when the user is no member. Fails with CorruptRecord, Failed.
  Result<std::optional<format::MemberRow>> find(ConversationNumber conversation, std::string_view user);

  /// In the order of their names' bytes, those behind `after`.
  Result<std::vector<format::StoredMember>> list(ConversationNumber conversation, std::string_view after,
                                                 std::size_t count_max);

  /// The user's marks; nothing when none have moved. Fails with CorruptRecord, Failed.
  Result<std::optional<format::Mark>> find_mark(ConversationNumber conversation, std::string_view user);
  /// How many of the entries up to `upto` are no messages, and the last of them.
  struct Tally {
    Seq seq;
    std::uint64_t count = 0;
  };
  Result<Tally> find_tally(ConversationNumber conversation, Seq upto);

  /// What a conversation's slot has to tell users' slots still.
  Result<std::vector<format::UnfedMember>> unfed(Slot slot, std::size_t count_max);

 private:
  std::shared_ptr<Files> files_;
  std::unique_ptr<ReadTransaction> store_;
};

/// All rows of `user` in table `user_conversations`, appended to `to`. Fails with Failed.
Result<void> read_user_conversations(ReadTransaction& store, std::string_view user,
                                     std::vector<format::UserConversation>& to);

}  // namespace parley::storage
