#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace parley::storage {

class Environment;

/// plain.mdb: what is durable of ordinary topics. Rows in a few tables, whose meaning is the broker's; format:
/// docs/formats/plain.md. One thread writes; start-up reads before there is one.
class PlainFile {
 public:
  static constexpr std::size_t kTables = 5;  ///< In the order of shard::PlainTable.

  /// The broker holds the DataDirectory. Throws OpenFailure: NewerFormat, ReadOnly, DiskFull, Failed.
  PlainFile(const std::string& directory, std::uint64_t map_size);
  ~PlainFile();

  struct Change {
    std::size_t table = 0;
    std::string_view key;
    std::optional<std::string_view> value;  ///< Nothing: the row goes, if it is there.
  };
  /// All of them survive power loss when this returns, or none is made. One commit. Fails with DiskFull, Failed; may be
  /// tried again at once.
  Result<void> write(std::span<const Change> changes);

  /// A number above all that were given out before, also by earlier processes, as far as one of them is in a row: a
  /// commit notes how far the numbers are. Any thread.
  std::uint64_t next_number() { return next_number_.fetch_add(1, std::memory_order_relaxed); }

  /// Every row of the table, in order of keys.
  Result<void> visit(std::size_t table, const std::function<void(std::string_view key, std::string_view value)>& visit);

 private:
  void prepare();
  Result<void> commit(std::span<const Change> changes);

  std::unique_ptr<Environment> file_;
  std::atomic<std::uint64_t> next_number_ = 1;
};

}  // namespace parley::storage
