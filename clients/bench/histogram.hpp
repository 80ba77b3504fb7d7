#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "base/time.hpp"

/// Latencies of one run, in a fixed amount of memory.
namespace parley::bench {

/// Counts durations in buckets whose width is 1/64 of their value, so that any percentile is at most 1.6 % too high.
///
/// Belongs to one thread. 20 kB; recording is a few instructions and never allocates. Durations below zero count as
/// zero, those above 18 minutes as the last bucket; `max` is exact.
class Histogram {
 public:
  void record(Duration latency) {
    const std::uint64_t value = latency.count() < 0 ? 0 : static_cast<std::uint64_t>(latency.count());
    ++buckets_[bucket_of(value)];
    ++count_;
    sum_ += value;
    if (value > max_) max_ = value;
  }

  void merge(const Histogram& other);
  void clear() { *this = Histogram{}; }

  [[nodiscard]] std::uint64_t count() const { return count_; }
  [[nodiscard]] Duration max() const { return Duration(max_); }
  [[nodiscard]] Duration mean() const { return Duration(count_ == 0 ? 0 : sum_ / count_); }
  /// The smallest bucket bound that at least `share` (0 … 1) of the recorded durations don't exceed, never above
  /// `max()`; zero when nothing was recorded. O(buckets).
  [[nodiscard]] Duration percentile(double share) const;

 private:
  static constexpr unsigned kSubBits = 6;
  static constexpr std::uint64_t kSubBuckets = 1U << kSubBits;
  static constexpr unsigned kValueBits = 40;
  static constexpr std::size_t kBuckets = (kValueBits - kSubBits + 1) * kSubBuckets;

  static std::size_t bucket_of(std::uint64_t value) {
    if (value < kSubBuckets) return static_cast<std::size_t>(value);
    if (value >> kValueBits != 0) return kBuckets - 1;
    const auto shift = static_cast<unsigned>(std::bit_width(value)) - kSubBits - 1;
    return static_cast<std::size_t>((shift + 1) * kSubBuckets + ((value >> shift) - kSubBuckets));
  }
  static std::uint64_t upper_bound_of(std::size_t bucket);

  std::array<std::uint64_t, kBuckets> buckets_{};
  std::uint64_t count_ = 0;
  std::uint64_t sum_ = 0;
  std::uint64_t max_ = 0;
};

}  // namespace parley::bench
