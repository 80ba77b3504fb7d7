#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <span>
#include <utility>
#include <variant>
#include <vector>

#include "base/check.hpp"
#include "base/number.hpp"
#include "base/result.hpp"
#include "broker/shard/events.hpp"

/// Who waits for a record to be committed.
namespace parley::shard {

struct Hosted;

/// An entry that becomes visible when its record is committed.
struct EntryWaiting {
  Hosted* hosted = nullptr;
  format::EntryPtr entry;
  Origin origin;
};
/// A conversation that exists when its record is committed.
struct CreationWaiting {
  Hosted* hosted = nullptr;
  Origin origin;  ///< Who waits for just that.
};
/// Anything rarer; null: nobody waits.
using CallbackWaiting = std::function<void(Result<void>)>;

using Waiting = std::variant<CallbackWaiting, EntryWaiting, CreationWaiting>;

/// A record of a slot that is led here, from its proposal until it is committed or given up.
struct WaitingRecord {
  Lsn lsn;                   ///< Where it stands in this node's log; 0 while it isn't durable here.
  std::uint32_t offset = 0;  ///< Its place in its batch.
  std::uint32_t size = 0;
  Waiting waiting;
};

/// What waits of one slot: records one behind the other. Adding and taking from the front cost no allocation once it
/// has grown.
class WaitingRecords {
 public:
  /// Nothing waits; the next one that is added stands at `first`.
  void begin(Index first) {
    PARLEY_CHECK(empty(), "a slot is led anew while records of an earlier term wait");
    records_.clear();
    taken_ = 0;
    first_ = first;
  }
  void add(WaitingRecord record) { records_.push_back(std::move(record)); }

  [[nodiscard]] bool empty() const { return taken_ == records_.size(); }
  [[nodiscard]] std::size_t size() const { return records_.size() - taken_; }
  /// Those of [first, last] that wait.
  std::span<WaitingRecord> range(Index first, Index last) {
    const std::uint64_t begin = std::max(first, first_).value - first_.value;
    const std::uint64_t end = last < first_ ? 0 : std::min<std::uint64_t>(last.value + 1 - first_.value, size());
    if (begin >= end) return {};
    return {records_.data() + taken_ + begin, static_cast<std::size_t>(end - begin)};
  }
  /// Moves those up to `last` to the end of `to`.
  void take_until(Index last, std::vector<WaitingRecord>& to) {
    const std::size_t count = range(first_, last).size();
    const auto begin = records_.begin() + static_cast<std::ptrdiff_t>(taken_);
    to.insert(to.end(), std::move_iterator(begin), std::move_iterator(begin + static_cast<std::ptrdiff_t>(count)));
    taken_ += count;
    first_ = {first_.value + count};
    drop_taken();
  }
  /// The same with those from `first` on; the next one that is added takes its place.
  void take_from(Index first, std::vector<WaitingRecord>& to) {
    const std::size_t kept = first <= first_ ? 0 : std::min<std::size_t>(first.value - first_.value, size());
    const auto begin = records_.begin() + static_cast<std::ptrdiff_t>(taken_ + kept);
    to.insert(to.end(), std::move_iterator(begin), std::move_iterator(records_.end()));
    records_.erase(begin, records_.end());
    drop_taken();
  }

 private:
  static constexpr std::size_t kKeptWhenEmpty = 1024;

  /// A slot in which something always waits gets rid of its past, too: each record is moved once at most.
  void drop_taken() {
    if (taken_ == records_.size()) {
      if (records_.capacity() > kKeptWhenEmpty) {
        records_ = {};
      } else {
        records_.clear();
      }
      taken_ = 0;
    } else if (taken_ > records_.size() / 2) {
      records_.erase(records_.begin(), records_.begin() + static_cast<std::ptrdiff_t>(taken_));
      taken_ = 0;
    }
  }

  std::vector<WaitingRecord> records_;
  std::size_t taken_ = 0;  ///< At the front of `records_`.
  Index first_{1};         ///< Of the first one that waits.
};

}  // namespace parley::shard
