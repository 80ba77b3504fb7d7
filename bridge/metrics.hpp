#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "base/time.hpp"

/// Numbers about one worker's requests, for /metrics (Prometheus text format 0.0.4).
namespace parley::bridge {

/// Written by its worker's thread, read by any.
class Metrics {
 public:
  void count_request(unsigned status, Duration took);

  std::atomic<std::uint64_t> connections{0};
  std::atomic<std::uint64_t> connections_total{0};
  std::atomic<std::uint64_t> waiters{0};
  std::atomic<std::uint64_t> senders{0};
  std::atomic<std::uint64_t> entries_total{0};

 private:
  friend void append_metrics(std::string& to, const std::vector<const Metrics*>& workers);

  static constexpr std::size_t kStatuses = 600;
  static constexpr std::size_t kBuckets = 13;
  std::array<std::atomic<std::uint64_t>, kStatuses> by_status_{};
  std::array<std::atomic<std::uint64_t>, kBuckets> by_duration_{};
  std::atomic<std::uint64_t> nanoseconds_{0};
};

/// The sums over all workers.
void append_metrics(std::string& to, const std::vector<const Metrics*>& workers);

}  // namespace parley::bridge
