#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "base/metrics.hpp"
#include "base/time.hpp"

namespace parley::shard {

/// That a limit was reached: always counted, and told in the log once in kInterval for each limit, with how often it
/// was since. Belongs to its shard's thread.
class LimitLog {
 public:
  static constexpr Duration kInterval = std::chrono::seconds(10);

  explicit LimitLog(Counters& counters) : counters_(counters) {}

  /// How often it was reached since the last line, this time included; 0: a line isn't due.
  std::uint64_t count(Metric limit, Instant now);
  /// The line, for whoever was the last; what isn't known is empty.
  static void tell(Metric limit, std::uint64_t times, std::string_view client_id, std::string_view user,
                   std::string_view address);

 private:
  struct Told {
    Instant at;
    std::uint64_t times = 0;
    bool ever = false;
  };
  Counters& counters_;
  std::array<Told, kMetrics> told_{};
};

}  // namespace parley::shard
