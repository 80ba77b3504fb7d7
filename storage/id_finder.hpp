#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include "base/number.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "storage/format/record.hpp"

namespace parley::storage {

class Files;
class ReadTransaction;

/// Finds where an id was used in a conversation, in what is materialised. Belongs to one thread; each has its own.
/// Cost: a microsecond, three point reads in the mapped file.
class IdFinder {
 public:
  explicit IdFinder(std::shared_ptr<Files> files);
  ~IdFinder();

  struct Use {
    Seq seq;
    Timestamp ts;
    std::optional<format::EntryKind> kind{};  ///< Nothing when the entry is gone or can't be read.
  };
  /// The last use of (`from`, `id`) among those that the store still has: at least those of the last 24 hours and of
  /// the last 1,000 entries. Fails with Failed.
  Result<std::optional<Use>> find(ConversationNumber conversation, std::string_view from, std::string_view id);

 private:
  Result<bool> is_use(ConversationNumber conversation, Use& use, std::string_view from, std::string_view id);

  std::shared_ptr<Files> files_;
  std::unique_ptr<ReadTransaction> store_;
};

}  // namespace parley::storage
