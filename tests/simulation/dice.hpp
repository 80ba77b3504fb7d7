#pragma once

#include <cstddef>
#include <cstdint>

#include "base/time.hpp"
#include "broker/shard/ports.hpp"

namespace parley::simulation {

/// All chance of a simulation: xorshift64*, started from a seed.
class Dice final : public shard::Random {
 public:
  explicit Dice(std::uint64_t seed) : state_(seed * 0x9E37'79B9'7F4A'7C15ULL | 1) {
    for (int i = 0; i < 8; ++i) next();
  }

  std::uint64_t next() override {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545'F491'4F6C'DD1DULL;
  }
  /// 0 … count-1.
  std::uint64_t below(std::uint64_t count) { return count == 0 ? 0 : (next() >> 11) % count; }
  bool one_in(std::uint64_t count) { return below(count) == 0; }
  Duration up_to(Duration longest) {
    return Duration(static_cast<std::int64_t>(below(static_cast<std::uint64_t>(longest.count()) + 1)));
  }

 private:
  std::uint64_t state_;
};

/// The simulation's two times. The wall clock may jump.
struct Clock {
  Instant now{std::chrono::hours(1000)};
  Timestamp wall{1'800'000'000'000};

  void advance(Duration by) {
    now += by;
    remainder_ += by;
    const auto whole = std::chrono::duration_cast<std::chrono::milliseconds>(remainder_);
    remainder_ -= whole;
    wall.milliseconds += static_cast<std::uint64_t>(whole.count());
  }

 private:
  Duration remainder_{};
};

}  // namespace parley::simulation
