#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "clients/bench/failure.hpp"
#include "clients/bench/scenarios.hpp"
#include "clients/bench/secure_clients.hpp"

namespace parley::bench {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kAtOnce = 32;
/// The first ones pay for what the broker sets up once.
constexpr std::size_t kFirst = 64;

/// Handshakes, each with CONNECT and CONNACK, for the measured seconds.
void add_handshakes(Report& report, SecureClients& clients, Meter& meter, const RunOptions& options, bool resuming) {
  const std::string kind = resuming ? "resumed" : "full";
  if (resuming) clients.come_and_go(kAtOnce, Loop::now() + 100ms, true);
  meter.restart();
  const std::size_t count = clients.come_and_go(kAtOnce, Loop::now() + duration_of(options.seconds), resuming);
  const auto handshakes = static_cast<double>(count);
  report.add(kind + "_per_second", handshakes / seconds_of(meter.elapsed()));
  report.add(kind + "_broker_cpu_us", microseconds_of(meter.broker_cpu()) / handshakes);
  report.add(kind + "_load_cpu_us", microseconds_of(meter.own_cpu()) / handshakes);
}

}  // namespace

Report run_tls(const RunOptions& options) {
  Report report = begin_report(options);
  report.settings.emplace_back("connections", std::to_string(options.connections));
  report.settings.emplace_back("TLS", options.tls_version == TlsVersion::V1_2 ? "1.2" : "1.3");
  Loop loop;
  const Endpoint endpoint = Endpoint::resolve(options.target.host, options.target.tls_port);
  const auto broker = broker_process(options.target, endpoint);
  if (!broker) throw Failure("tls needs the broker's process: --pid");
  SecureClients staying(loop, endpoint, options.tls_version, options.traffic.name + "-stay");
  SecureClients passing(loop, endpoint, options.tls_version, options.traffic.name + "-pass");
  staying.grow_to(kFirst, kAtOnce, true);
  Meter meter(broker);
  meter.settle(loop, 5s);

  const Memory before = meter.memory();
  staying.grow_to(kFirst + options.connections, kAtOnce, true);
  meter.settle(loop, 5s);
  const Memory after = meter.memory();
  const auto grown = [&](std::uint64_t from, std::uint64_t to) {
    return (static_cast<double>(to) - static_cast<double>(from)) / static_cast<double>(options.connections);
  };
  report.add("rss_bytes_per_connection", grown(before.resident, after.resident));
  report.add("anonymous_bytes_per_connection", grown(before.anonymous, after.anonymous));

  add_handshakes(report, passing, meter, options, false);
  add_handshakes(report, passing, meter, options, true);
  meter.settle(loop, 5s);
  report.add("broker_rss_mb", static_cast<double>(meter.memory().resident) / 1e6);
  if (passing.not_resumed() > 0) {
    report.problems.push_back(std::to_string(passing.not_resumed()) + " sessions were not resumed");
  }
  if (staying.closed() > 0) {
    report.problems.push_back(std::to_string(staying.closed()) + " connections were closed by the broker");
  }
  return report;
}

namespace {

/// Connections that all come at the same moment, on a thread that yields to the one that measures.
class Storm {
 public:
  Storm(const Endpoint& endpoint, const RunOptions& options)
      : thread_([this, endpoint, version = options.tls_version, count = options.connections] {
          ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), 19);
          run(endpoint, version, count);
          over_ = true;
        }) {}
  ~Storm() { wait(); }
  [[nodiscard]] bool over() const { return over_; }
  void wait() {
    if (thread_.joinable()) thread_.join();
  }
  [[nodiscard]] Duration took() const { return took_; }                  ///< After wait().
  [[nodiscard]] const std::string& failure() const { return failure_; }  ///< After wait().

 private:
  void run(const Endpoint& endpoint, TlsVersion version, std::size_t count) {
    try {
      Loop loop;
      SecureClients clients(loop, endpoint, version, "storm");
      const Instant begin = Loop::now();
      clients.grow_to(count, count, false);
      took_ = Loop::now() - begin;
    } catch (const Failure& failure) {
      failure_ = failure.what();
    }
  }

  Duration took_{};
  std::string failure_;
  std::atomic<bool> over_ = false;
  std::thread thread_;
};

}  // namespace

Report run_storm(const RunOptions& options) {
  Report report = begin_report(options);
  report.settings.emplace_back("handshakes at once", std::to_string(options.connections));
  Loop loop;
  const Endpoint endpoint = Endpoint::resolve(options.target.host, options.target.port);
  const Endpoint secure = Endpoint::resolve(options.target.host, options.target.tls_port);
  Traffic traffic(loop, endpoint, options.traffic);
  traffic.connect();
  Meter meter(broker_process(options.target, endpoint));
  traffic.run_until(Loop::now() + duration_of(options.warmup));
  traffic.record(Loop::now(), Instant::max());
  traffic.run_until(Loop::now() + duration_of(options.seconds));
  const Histogram quiet = traffic.latency();
  report.add("quiet_p99_us", microseconds_of(quiet.percentile(0.99)));

  traffic.forget_latency();
  traffic.record(Loop::now(), Instant::max());
  Storm storm(secure, options);
  while (!storm.over()) traffic.run_until(Loop::now() + 10ms);
  storm.wait();
  const Histogram stormy = traffic.latency();
  add_latency(report, stormy, "storm_");
  report.add("storm_seconds", seconds_of(storm.took()));
  report.add("storm_handshakes_per_second", static_cast<double>(options.connections) / seconds_of(storm.took()));
  if (!storm.failure().empty()) report.problems.push_back(storm.failure());
  traffic.drain(5s);
  add_integrity(report, traffic.counts());
  return report;
}

}  // namespace parley::bench
