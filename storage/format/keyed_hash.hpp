#pragma once

#include <cstdint>
#include <string_view>

namespace parley::format {

/// A store's secret: made once from the system's randomness and kept in store.mdb, so that nobody outside can choose
/// texts whose hashes meet.
struct HashKey {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  friend bool operator==(const HashKey&, const HashKey&) = default;
};

/// SipHash-2-4 (Aumasson, Bernstein: SipHash, a fast short-input PRF, 2012). About 1 ns a byte; any thread.
std::uint64_t keyed_hash(const HashKey& key, std::string_view bytes);

}  // namespace parley::format
