#pragma once

#include <cstddef>
#include <deque>
#include <mutex>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/number.hpp"

namespace parley::storage {

/// Where the records of slots stand in the log that the store doesn't have yet, committed or not. Any thread.
///
/// Memory: 8 bytes a record.
class LogPlaces {
 public:
  /// `records`, as they were just appended, the first at `first`. A later record replaces everything of its slot at or
  /// above its index.
  void add(std::span<const std::string_view> records, Lsn first);
  void add(Slot slot, Index index, Lsn position);
  /// The store has everything of the slot up to `index`.
  void drop(Slot slot, Index index);
  /// Positions of [first, last], from `first` on without a hole, at most `count`; empty when `first` isn't here.
  [[nodiscard]] std::vector<Lsn> find(Slot slot, Index first, Index last, std::size_t count) const;

 private:
  struct Places {
    Index first;
    std::deque<Lsn> positions;  ///< Of first, first + 1, …
  };
  void add_locked(Slot slot, Index index, Lsn position);

  mutable std::mutex mutex_;  ///< Guards slots_; nothing is taken after it.
  std::unordered_map<Slot, Places> slots_;
};

}  // namespace parley::storage
