#pragma once

#include <algorithm>
#include <cstdint>

#include "base/time.hpp"

namespace parley::cluster {

/// How long to wait before the next attempt: doubling from `min` to `max`, less a random part of up to a half, so that
/// nodes that lost the same thing at the same time don't come back at the same time. Pure.
class Backoff {
 public:
  Backoff(Duration min, Duration max) : min_(min), max_(max), next_(min) {}

  /// `random` is any random number.
  Duration next(std::uint64_t random) {
    const Duration whole = next_;
    next_ = std::min(max_, next_ * 2);
    const auto half = static_cast<std::uint64_t>(whole.count() / 2);
    return whole - Duration(static_cast<Duration::rep>(half == 0 ? 0 : random % half));
  }
  void reset() { next_ = min_; }

 private:
  Duration min_;
  Duration max_;
  Duration next_;
};

}  // namespace parley::cluster
