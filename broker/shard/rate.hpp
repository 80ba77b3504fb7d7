#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>

#include "base/time.hpp"

/// Token buckets, each as one number: the time at which the bucket would be full again (ITU-T I.371, the generic cell
/// rate algorithm). Whoever asks names the rate, so that a bucket costs 8 bytes.
namespace parley::shard {

/// So many a second on the average, and what `burst` would have brought at once after a rest. 0 a second: no limit.
struct Rate {
  std::uint64_t a_second = 0;
  Duration burst = std::chrono::seconds(1);

  [[nodiscard]] bool is_limited() const { return a_second != 0; }
  /// In nanoseconds, what `amount` is worth.
  [[nodiscard]] std::int64_t worth(std::uint64_t amount) const {
    return static_cast<std::int64_t>(1e9 * static_cast<double>(amount) / static_cast<double>(a_second));
  }
};

inline std::int64_t nanoseconds_of(Duration duration) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(duration).count();
}

/// Belongs to one thread.
class RateBucket {
 public:
  /// How long to wait until there is something in it again; zero or less: there is.
  [[nodiscard]] Duration wait(const Rate& rate, Instant now) const {
    return std::chrono::nanoseconds(full_at_ - at(now) - nanoseconds_of(rate.burst));
  }
  /// Takes `amount`, which may leave it in debt.
  void take(const Rate& rate, Instant now, std::uint64_t amount) {
    full_at_ = std::max(full_at_, at(now)) + rate.worth(amount);
  }
  /// As one that was never taken from.
  [[nodiscard]] bool is_full(Instant now) const { return full_at_ <= at(now); }

 private:
  static std::int64_t at(Instant now) { return nanoseconds_of(now.time_since_epoch()); }

  std::int64_t full_at_ = 0;
};

/// The same for several threads.
class SharedRateBucket {
 public:
  [[nodiscard]] Duration wait(const Rate& rate, Instant now) const {
    return std::chrono::nanoseconds(full_at_.load(std::memory_order_relaxed) - nanoseconds_of(now.time_since_epoch()) -
                                    nanoseconds_of(rate.burst));
  }
  void take(const Rate& rate, Instant now, std::uint64_t amount) {
    const std::int64_t at = nanoseconds_of(now.time_since_epoch());
    std::int64_t before = full_at_.load(std::memory_order_relaxed);
    while (
        !full_at_.compare_exchange_weak(before, std::max(before, at) + rate.worth(amount), std::memory_order_relaxed)) {
    }
  }

 private:
  std::atomic<std::int64_t> full_at_ = 0;
};

}  // namespace parley::shard
