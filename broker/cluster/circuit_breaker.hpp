#pragma once

#include <cstdint>

#include "base/time.hpp"
#include "broker/cluster/backoff.hpp"

namespace parley::cluster {

/// Whether something that has failed lately is worth another attempt. Closed: always. After `failures_max` failures in
/// a row it is open: nothing is attempted until a pause is over. Then it is half open: one attempt decides. Pure.
class CircuitBreaker {
 public:
  struct Options {
    int failures_max = 3;
    Duration pause_min = std::chrono::milliseconds(100);
    Duration pause_max = std::chrono::seconds(1);
  };
  explicit CircuitBreaker(Options options) : options_(options), pause_(options.pause_min, options.pause_max) {}

  [[nodiscard]] bool is_open(Instant now) const { return failures_ >= options_.failures_max && now < again_; }
  /// When the next attempt may be made; past or present unless it is open.
  [[nodiscard]] Instant again() const { return failures_ >= options_.failures_max ? again_ : Instant{}; }

  void succeeded() {
    failures_ = 0;
    pause_.reset();
  }
  /// `random`: any random number, so that nodes don't come back together.
  void failed(Instant now, std::uint64_t random) {
    if (++failures_ >= options_.failures_max) again_ = now + pause_.next(random);
  }

 private:
  Options options_;
  Backoff pause_;
  int failures_ = 0;
  Instant again_;
};

}  // namespace parley::cluster
