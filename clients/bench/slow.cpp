#include <algorithm>

#include "clients/bench/failure.hpp"
#include "clients/bench/scenarios.hpp"

namespace parley::bench {
namespace {

using namespace std::chrono_literals;

struct Peak {
  std::uint64_t resident = 0;
  std::uint64_t anonymous = 0;

  void raise(const Memory& memory) {
    resident = std::max(resident, memory.resident);
    anonymous = std::max(anonymous, memory.anonymous);
  }
};

double growth_mb(std::uint64_t before, std::uint64_t peak) {
  return (static_cast<double>(peak) - static_cast<double>(before)) / 1e6;
}

/// Runs the traffic and looks at the broker's memory several times a second. The silent client keeps its connection
/// alive, as one does whose application hangs while its network library lives.
void run_watched(Traffic& traffic, const Meter& meter, Instant until, Client& silent, Peak& peak) {
  Instant ping = Loop::now();
  while (Loop::now() < until) {
    if (Loop::now() >= ping) {
      silent.ping();
      ping += 10s;
    }
    traffic.run_until(std::min(until, Loop::now() + 200ms));
    peak.raise(meter.memory());
  }
}

}  // namespace

Report run_slow(const RunOptions& options) {
  Report report = begin_report(options);
  TrafficShape shape = options.traffic;
  shape.rate = static_cast<double>(options.messages) / options.seconds;
  report.settings.emplace_back("messages", std::to_string(options.messages));
  report.settings.emplace_back("seconds without reading", readable(options.seconds));
  Loop loop;
  const Endpoint endpoint = Endpoint::resolve(options.target.host, options.target.port);
  const auto broker = broker_process(options.target, endpoint);
  if (!broker) throw Failure("slow needs the broker's process: --pid");
  if (shape.rate <= 0) throw Failure("slow needs --messages");
  Traffic traffic(loop, endpoint, shape);
  traffic.connect();
  Meter meter(broker);
  Client& slow = traffic.subscriber(0);

  // Everybody reads: what the others have to compare with.
  traffic.run_until(Loop::now() + duration_of(options.warmup) / 2);
  Instant begin = Loop::now();
  traffic.record(begin, begin + duration_of(options.warmup));
  traffic.run_until(begin + duration_of(options.warmup));
  add_latency(report, traffic.latency(), "others_before_");
  const double p99_before = microseconds_of(traffic.latency().percentile(0.99));

  const Memory before = meter.memory();
  Peak peak;
  slow.read(false);
  begin = Loop::now();
  const Instant end = begin + duration_of(options.seconds);
  traffic.record(begin, end);
  meter.restart();
  run_watched(traffic, meter, end, slow, peak);
  traffic.drain(10s);
  add_latency(report, traffic.latency(), "others_during_");
  report.add("others_p99_growth", microseconds_of(traffic.latency().percentile(0.99)) / p99_before);
  report.add("rss_growth_mb", growth_mb(before.resident, peak.resident));
  report.add("anonymous_growth_mb", growth_mb(before.anonymous, peak.anonymous));
  const std::uint64_t published = traffic.counts().published;
  report.add("behind", static_cast<double>(published - traffic.tally(0).next()));

  meter.restart();
  slow.read(true);
  Instant deadline = Loop::now() + 10s;
  std::uint64_t received = traffic.tally(0).received();
  while (traffic.tally(0).next() < published && Loop::now() < deadline && !slow.closed()) {
    loop.turn(Loop::now() + 100ms);
    peak.raise(meter.memory());
    if (traffic.tally(0).received() == received) continue;
    received = traffic.tally(0).received();
    deadline = Loop::now() + 10s;
  }
  report.add("catch_up_seconds", seconds_of(meter.elapsed()));
  report.add("rss_growth_after_mb", growth_mb(before.resident, peak.resident));
  report.add("anonymous_growth_after_mb", growth_mb(before.anonymous, peak.anonymous));
  Counts counts = traffic.counts();
  counts.missing += published - traffic.tally(0).next();
  add_integrity(report, counts);
  if (slow.closed()) report.problems.push_back("the slow subscriber was disconnected: " + slow.error());
  return report;
}

}  // namespace parley::bench
