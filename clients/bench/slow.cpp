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

/// What the subscribers other than the slow one have got.
std::uint64_t received_by_others(const Traffic& traffic, std::size_t subscribers) {
  std::uint64_t count = 0;
  for (std::size_t i = 1; i < subscribers; ++i) count += traffic.tally(i).received();
  return count;
}

/// Reads until everything published is here or nothing has come for ten seconds.
void catch_up(Loop& loop, Traffic& traffic, const Meter& meter, std::uint64_t published, Peak& peak) {
  Client& slow = traffic.subscriber(0);
  const Tally& tally = traffic.tally(0);
  slow.read(true);
  Instant deadline = Loop::now() + 10s;
  Instant look = Loop::now();
  std::uint64_t received = tally.received();
  while (tally.next() < published && Loop::now() < deadline && !slow.closed()) {
    loop.turn(Loop::now() + 100ms);
    if (Loop::now() >= look) {
      peak.raise(meter.memory());
      look = Loop::now() + 50ms;
    }
    if (tally.received() == received) continue;
    received = tally.received();
    deadline = Loop::now() + 10s;
  }
}

void add_growth(Report& report, const std::string& suffix, const Memory& before, const Peak& peak) {
  report.add("rss_growth" + suffix + "_mb", growth_mb(before.resident, peak.resident));
  report.add("anonymous_growth" + suffix + "_mb", growth_mb(before.anonymous, peak.anonymous));
}

/// Everybody reads for a while: what the others have to compare with. Returns their p99 in µs.
double measure_before(Report& report, Traffic& traffic, Duration warmup) {
  traffic.run_until(Loop::now() + warmup / 2);
  const Instant begin = Loop::now();
  traffic.record(begin, begin + warmup);
  traffic.run_until(begin + warmup);
  add_latency(report, traffic.latency(), "others_before_");
  return microseconds_of(traffic.latency().percentile(0.99));
}

}  // namespace

Report run_slow(const RunOptions& options) {
  Report report = begin_report(options);
  TrafficShape shape = options.traffic;
  shape.rate = static_cast<double>(options.messages) / options.seconds;
  report.settings.emplace_back("messages", std::to_string(options.messages));
  Loop loop;
  const Endpoint endpoint = Endpoint::resolve(options.target.host, options.target.port);
  const auto broker = broker_process(options.target, endpoint);
  if (!broker) throw Failure("slow needs the broker's process: --pid");
  if (shape.rate <= 0) throw Failure("slow needs --messages");
  Traffic traffic(loop, endpoint, shape);
  traffic.connect();
  Meter meter(broker);
  const double p99_before = measure_before(report, traffic, duration_of(options.warmup));

  const Memory before = meter.memory();
  Peak peak;
  Client& slow = traffic.subscriber(0);
  slow.read(false);
  const std::uint64_t others_before = received_by_others(traffic, shape.subscribers);
  const Instant begin = Loop::now();
  const Instant end = begin + duration_of(options.seconds);
  traffic.record(begin, end);
  meter.restart();
  run_watched(traffic, meter, end, slow, peak);
  const auto got = static_cast<double>(received_by_others(traffic, shape.subscribers) - others_before);
  const double due = shape.rate * seconds_of(meter.elapsed()) * static_cast<double>(shape.subscribers - 1);
  report.add("others_rate_share", got / due);
  report.add("broker_cpu_percent", seconds_of(meter.broker_cpu()) / seconds_of(meter.elapsed()) * 100);
  traffic.drain(10s);
  add_latency(report, traffic.latency(), "others_during_");
  report.add("others_p99_growth", microseconds_of(traffic.latency().percentile(0.99)) / p99_before);
  add_growth(report, "", before, peak);
  const std::uint64_t published = traffic.counts().published;
  report.add("behind", static_cast<double>(published - traffic.tally(0).next()));

  meter.restart();
  catch_up(loop, traffic, meter, published, peak);
  report.add("catch_up_seconds", seconds_of(meter.elapsed()));
  add_growth(report, "_after", before, peak);
  Counts counts = traffic.counts();
  counts.missing += published - traffic.tally(0).next();
  add_integrity(report, counts);
  add_schedule(report, traffic);
  if (slow.closed()) report.problems.push_back("the slow subscriber was disconnected: " + slow.error());
  return report;
}

}  // namespace parley::bench
