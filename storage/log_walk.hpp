#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <string_view>

#include "base/number.hpp"
#include "base/result.hpp"
#include "storage/environment.hpp"
#include "storage/format/keys.hpp"
#include "storage/store_tables.hpp"

namespace parley::storage {

/// Reads the log record by record, each once, over many snapshots. Belongs to one thread.
///
/// When LMDB has stopped in the middle of a commit, records may be seen that the writer then takes back, and whose
/// places it gives to others (LogWriter). So the walk remembers what the last record looked like, and notices.
class LogWalk {
 public:
  /// Everything up to here was read, or need not be.
  [[nodiscard]] Lsn end() const { return end_; }
  void begin_behind(Lsn position) {
    end_ = position;
    size_ = 0;
  }

  /// False: the last record that was read isn't there any more as it was. What was read must be forgotten, and the walk
  /// begun again behind `watermark`. What is below that needs no look, it may have been cut.
  Result<bool> goes_on(ReadTransaction& log, Lsn watermark) const {
    if (size_ == 0 || end_ <= watermark) return true;
    PARLEY_TRY(const auto bytes, log.get(kLogTable, format::number_key(end_)));
    return bytes && bytes->size() >= size_ && std::memcmp(bytes->data(), head_.data(), size_) == 0;
  }

  /// Calls take(position, bytes) -> Result<void> for each record behind end(). Stops at the first that fails.
  template <class Take>
  Result<void> follow(ReadTransaction& log, Take take) {
    PARLEY_TRY(Cursor cursor, log.cursor(kLogTable));
    Cursor::Row row;
    for (bool found = cursor.seek(format::number_key(end_.next()), row); found; found = cursor.next(row)) {
      const Lsn position{format::number_from_key(row.key)};
      PARLEY_TRY(take(position, row.value));
      end_ = position;
      size_ = std::min(row.value.size(), head_.size());
      std::memcpy(head_.data(), row.value.data(), size_);
    }
    if (cursor.failed()) return log.environment().translate(cursor.code(), "follow the log");
    return {};
  }

 private:
  Lsn end_;
  std::array<char, 24> head_{};  ///< What the record at end_ begins with: its checksum and its place.
  std::size_t size_ = 0;         ///< Of head_; 0: not known.
};

}  // namespace parley::storage
