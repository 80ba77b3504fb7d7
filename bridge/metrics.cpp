#include "bridge/metrics.hpp"

#include <algorithm>
#include <cstdio>
#include <string_view>

namespace parley::bridge {
namespace {

/// Upper ends of the histogram's buckets in nanoseconds, and as Prometheus writes them; the last bucket has none.
struct Bucket {
  std::uint64_t nanoseconds;
  std::string_view text;
};
constexpr std::array kEnds{Bucket{50'000, "0.00005"},  Bucket{100'000, "0.0001"},    Bucket{250'000, "0.00025"},
                           Bucket{500'000, "0.0005"},  Bucket{1'000'000, "0.001"},   Bucket{2'500'000, "0.0025"},
                           Bucket{10'000'000, "0.01"}, Bucket{50'000'000, "0.05"},   Bucket{250'000'000, "0.25"},
                           Bucket{1'000'000'000, "1"}, Bucket{10'000'000'000, "10"}, Bucket{60'000'000'000, "60"}};

/// One writer: cheaper than a read-modify-write instruction.
void add(std::atomic<std::uint64_t>& to, std::uint64_t count) {
  to.store(to.load(std::memory_order_relaxed) + count, std::memory_order_relaxed);
}

void append_family(std::string& to, std::string_view name, std::string_view type, std::string_view help) {
  to.append("# HELP ").append(name).append(" ").append(help).append("\n# TYPE ").append(name).append(" ");
  to.append(type).append("\n");
}

template <class Read>
std::uint64_t sum(const std::vector<const Metrics*>& workers, Read read) {
  std::uint64_t total = 0;
  for (const Metrics* worker : workers) total += read(*worker).load(std::memory_order_relaxed);
  return total;
}

struct SimpleFamily {
  std::string_view name;
  std::string_view type;
  std::string_view help;
  std::atomic<std::uint64_t> Metrics::*value;
};
constexpr std::array kSimple{
    SimpleFamily{"parley_bridge_connections", "gauge", "Open HTTP connections.", &Metrics::connections},
    SimpleFamily{"parley_bridge_connections_total", "counter", "HTTP connections accepted.",
                 &Metrics::connections_total},
    SimpleFamily{"parley_bridge_waiters", "gauge", "Long polls and event streams that wait.", &Metrics::waiters},
    SimpleFamily{"parley_bridge_broker_connections", "gauge", "Open MQTT connections to the broker.",
                 &Metrics::senders},
    SimpleFamily{"parley_bridge_entries_total", "counter", "Entries sent in pages and streams.",
                 &Metrics::entries_total}};

}  // namespace

void Metrics::count_request(unsigned status, Duration took) {
  add(by_status_[std::min<std::size_t>(status, kStatuses - 1)], 1);
  const auto nanoseconds = static_cast<std::uint64_t>(std::max<Duration::rep>(took.count(), 0));
  const auto* bucket = std::ranges::lower_bound(kEnds, nanoseconds, {}, &Bucket::nanoseconds);
  add(by_duration_[static_cast<std::size_t>(bucket - kEnds.begin())], 1);
  add(nanoseconds_, nanoseconds);
}

void append_metrics(std::string& to, const std::vector<const Metrics*>& workers) {
  static_assert(kEnds.size() + 1 == Metrics::kBuckets);
  append_family(to, "parley_bridge_requests_total", "counter", "Requests answered, by status code.");
  for (std::size_t status = 0; status < Metrics::kStatuses; ++status) {
    const auto count = sum(
        workers, [status](const Metrics& worker) -> auto& { return worker.by_status_[status]; });
    if (count == 0) continue;
    to.append("parley_bridge_requests_total{code=\"").append(std::to_string(status)).append("\"} ");
    to.append(std::to_string(count)).append("\n");
  }
  constexpr std::string_view kSeconds = "parley_bridge_request_seconds";
  append_family(to, kSeconds, "histogram", "Time from a request's last byte to its answer, without streams.");
  std::uint64_t below = 0;
  for (std::size_t i = 0; i < Metrics::kBuckets; ++i) {
    below += sum(
        workers, [i](const Metrics& worker) -> auto& { return worker.by_duration_[i]; });
    to.append(kSeconds).append("_bucket{le=\"").append(i < kEnds.size() ? kEnds[i].text : "+Inf").append("\"} ");
    to.append(std::to_string(below)).append("\n");
  }
  const auto nanoseconds = sum(
      workers, [](const Metrics& worker) -> auto& { return worker.nanoseconds_; });
  std::array<char, 40> text{};
  std::snprintf(text.data(), text.size(), "_sum %.9f\n", static_cast<double>(nanoseconds) / 1e9);
  to.append(kSeconds).append(text.data());
  to.append(kSeconds).append("_count ").append(std::to_string(below)).append("\n");
  for (const auto& family : kSimple) {
    append_family(to, family.name, family.type, family.help);
    const auto value = sum(
        workers, [&family](const Metrics& worker) -> auto& { return worker.*family.value; });
    to.append(family.name).append(" ").append(std::to_string(value)).append("\n");
  }
}

}  // namespace parley::bridge
