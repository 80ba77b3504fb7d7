#include "clients/bench/scenarios.hpp"

namespace parley::bench {
namespace {

using namespace std::chrono_literals;

void add_rates(Report& report, const Counts& before, const Counts& after, const Meter& meter) {
  const double seconds = seconds_of(meter.elapsed());
  const auto messages = static_cast<double>(after.acknowledged - before.acknowledged);
  const auto deliveries = static_cast<double>(after.delivered - before.delivered);
  report.add("messages_per_second", messages / seconds);
  report.add("deliveries_per_second", deliveries / seconds);
  const double own = microseconds_of(meter.own_cpu());
  if (meter.sees_broker()) {
    const double broker = microseconds_of(meter.broker_cpu());
    report.add("broker_cpu_us_per_delivery", broker / deliveries);
    report.add("broker_cpu_us_per_message", broker / messages);
    report.add("broker_cpu_percent", broker / seconds / 1e4);
    report.add("others_cpu_percent", microseconds_of(meter.others_cpu()) / seconds / 1e4);
  }
  report.add("load_cpu_us_per_delivery", own / deliveries);
  report.add("load_cpu_percent", own / seconds / 1e4);
}

}  // namespace

Report run_throughput(const RunOptions& options) {
  Report report = begin_report(options);
  const TrafficShape& shape = options.traffic;
  report.settings.emplace_back("publishers", std::to_string(shape.streams));
  report.settings.emplace_back("subscribers of each", std::to_string(shape.subscribers));
  if (shape.rate > 0) report.settings.emplace_back("messages a second", readable(shape.rate));

  Loop loop;
  const Endpoint endpoint = Endpoint::resolve(options.target.host, options.target.port);
  std::vector<Endpoint> endpoints{endpoint};
  for (const auto port : options.target.more_ports) endpoints.push_back(Endpoint::resolve(options.target.host, port));
  Traffic traffic(loop, std::move(endpoints), shape);
  traffic.connect();
  report.settings.emplace_back("window", std::to_string(traffic.window()));
  Meter meter(broker_process(options.target, endpoint));
  traffic.run_until(Loop::now() + duration_of(options.warmup));

  const Instant begin = Loop::now();
  const Instant end = begin + duration_of(options.seconds);
  traffic.record(begin, end);
  const Counts before = traffic.counts();
  meter.restart();
  traffic.run_until(end);
  const Counts after = traffic.counts();
  add_rates(report, before, after, meter);
  if (meter.sees_broker()) {
    const Memory memory = meter.memory();
    report.add("broker_rss_mb", static_cast<double>(memory.resident) / 1e6);
    report.add("broker_anonymous_mb", static_cast<double>(memory.anonymous) / 1e6);
  }

  traffic.drain(5s);
  add_latency(report, traffic.latency());
  Counts total = traffic.counts();
  report.add("published", static_cast<double>(total.published));
  add_integrity(report, total);
  add_schedule(report, traffic);
  return report;
}

}  // namespace parley::bench
