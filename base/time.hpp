#pragma once

#include <chrono>
#include <cstdint>

/// The two times Parley knows. Pure rooms are handed both; only shells read clocks.
namespace parley {

/// Steady time for timers and timeouts; its zero means nothing.
using Instant = std::chrono::time_point<std::chrono::steady_clock, std::chrono::nanoseconds>;
using Duration = std::chrono::nanoseconds;

/// Wall-clock time: Unix milliseconds, as in `ts` and in records.
struct Timestamp {
  std::uint64_t milliseconds = 0;
  friend constexpr auto operator<=>(const Timestamp&, const Timestamp&) = default;
};

}  // namespace parley
