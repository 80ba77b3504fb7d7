#pragma once

#include <cstdint>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include "base/number.hpp"
#include "base/result.hpp"
#include "storage/format/marks.hpp"
#include "storage/format/record.hpp"

namespace parley::storage {

class WriteTransaction;

/// What a stretch of the log says about marks: its records of them, that a member has read what it sends, and which
/// entries are no messages. Values view the log's bytes. Format: docs/formats/store.md.
///
/// Writing it twice changes nothing: marks move forward only, and an entry is counted once.
class MarkChanges {
 public:
  /// Other kinds are passed over.
  void take(const format::Record& record);
  void clear();
  /// After the stretch's conversations and members were written. Fails with Failed, DiskFull.
  Result<void> write(WriteTransaction& store) const;

 private:
  struct Change {
    format::Mark told;  ///< By records.
    Seq sent;           ///< The last message of its own.
  };
  Result<void> write_marks(WriteTransaction& store) const;
  Result<void> write_tallies(WriteTransaction& store) const;

  std::map<std::pair<ConversationNumber, std::string_view>, Change> marks_;
  std::vector<std::pair<ConversationNumber, Seq>> no_messages_;
};

}  // namespace parley::storage
