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
