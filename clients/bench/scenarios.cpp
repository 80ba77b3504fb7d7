#include "clients/bench/scenarios.hpp"

#include <algorithm>

#include "clients/bench/failure.hpp"

namespace parley::bench {

using namespace std::chrono_literals;

Report run_scenario(const RunOptions& options) {
  switch (options.scenario) {
    case Scenario::Pairs:
    case Scenario::Fanout:
    case Scenario::Latency: return run_throughput(options);
    case Scenario::Idle: return run_idle(options);
    case Scenario::Absent: return run_absent(options);
    case Scenario::Slow: return run_slow(options);
    case Scenario::History: return run_history(options);
    case Scenario::Tls: return run_tls(options);
    case Scenario::Storm: return run_storm(options);
  }
  throw Failure("unknown scenario");
}

void Meter::restart() {
  began_ = Loop::now();
  if (broker_) broker_cpu_ = cpu_time_of(*broker_);
  own_cpu_ = own_cpu_time();
  machine_cpu_ = machine_cpu_time();
}

void Meter::settle(Loop& loop, Duration patience) const {
  if (!broker_) return;
  const Instant deadline = Loop::now() + patience;
  constexpr Duration kStep = 300ms;
  Duration before = cpu_time_of(*broker_);
  while (Loop::now() < deadline) {
    loop.run_until([] { return false; }, Loop::now() + kStep);
    const Duration after = cpu_time_of(*broker_);
    if ((after - before) * 50 < kStep) return;
    before = after;
  }
}

std::optional<pid_t> broker_process(const Target& target, const Endpoint& endpoint) {
  return target.pid ? target.pid : listener_of(endpoint.port());
}

Report begin_report(const RunOptions& options) {
  Report report;
  report.scenario = name_of(options.scenario);
  report.broker = options.target.name.empty() ? options.target.host + ":" + std::to_string(options.target.port)
                                              : options.target.name;
  const TrafficShape& traffic = options.traffic;
  report.settings = {{"topics", traffic.topics == Topics::Chat ? "chat" : "plain"},
                     {"QoS", std::to_string(static_cast<int>(traffic.qos))},
                     {"payload", std::to_string(traffic.payload_size)},
                     {"MQTT", traffic.client.version == mqtt::ProtocolVersion::V5 ? "5" : "3.1.1"}};
  return report;
}

void add_latency(Report& report, const Histogram& latency, const std::string& prefix) {
  if (latency.count() == 0) return;
  report.add(prefix + "p50_us", microseconds_of(latency.percentile(0.5)));
  report.add(prefix + "p90_us", microseconds_of(latency.percentile(0.9)));
  report.add(prefix + "p99_us", microseconds_of(latency.percentile(0.99)));
  report.add(prefix + "p999_us", microseconds_of(latency.percentile(0.999)));
  report.add(prefix + "max_us", microseconds_of(latency.max()));
}

void add_integrity(Report& report, const Counts& counts) {
  const struct {
    const char* name;
    std::uint64_t count;
    const char* sentence;
  } rows[] = {{"lost", counts.missing, "messages never arrived"},
              {"duplicated", counts.duplicated, "messages arrived twice"},
              {"reordered", counts.reordered, "messages arrived after a later one"},
              {"refused", counts.refused, "messages were refused"},
              {"foreign", counts.foreign, "messages were not from this run"}};
  for (const auto& row : rows) {
    report.add(row.name, static_cast<double>(row.count));
    if (row.count > 0) report.problems.push_back(std::to_string(row.count) + " " + row.sentence);
  }
}

void add_schedule(Report& report, const Traffic& traffic) {
  const auto behind = traffic.behind_schedule();
  if (behind == 0) return;
  report.problems.push_back(std::to_string(behind) + " messages were due and could not even be sent");
}

double seconds_of(Duration duration) { return std::chrono::duration<double>(duration).count(); }
double microseconds_of(Duration duration) { return seconds_of(duration) * 1e6; }
Duration duration_of(double seconds) {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
}

}  // namespace parley::bench
