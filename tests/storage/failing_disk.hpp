#pragma once

#include <cstdint>

/// Lets this process's writes to disk fail: liblmdb finds the functions here before the C library's. Any thread.
namespace parley::storage::test {

/// While it lives, the writes and syncs that LMDB makes are counted, and those numbered from `first` to `last` (from 1
/// on) fail with `error` and do nothing.
class FailingDisk {
 public:
  FailingDisk(std::uint64_t first, std::uint64_t last, int error);
  ~FailingDisk();
  FailingDisk(const FailingDisk&) = delete;
  FailingDisk& operator=(const FailingDisk&) = delete;

  [[nodiscard]] static std::uint64_t calls();
};

inline constexpr std::uint64_t kForever = ~std::uint64_t{0};

}  // namespace parley::storage::test
