#pragma once

#include <algorithm>
#include <optional>

#include "clients/bench/options.hpp"
#include "clients/bench/process.hpp"
#include "clients/bench/report.hpp"

/// The scenarios: each connects, warms up, measures, checks what arrived, and leaves. They take the calling thread for
/// as long as that lasts, and throw Failure when it can't be done.
namespace parley::bench {

Report run_scenario(const RunOptions& options);

Report run_throughput(const RunOptions& options);  ///< pairs, fanout and latency.
Report run_idle(const RunOptions& options);
Report run_absent(const RunOptions& options);
Report run_slow(const RunOptions& options);
Report run_history(const RunOptions& options);
Report run_tls(const RunOptions& options);
Report run_storm(const RunOptions& options);

/// What broker and load generator have used so far; nothing is known of a broker on another machine.
class Meter {
 public:
  explicit Meter(std::optional<pid_t> broker) : broker_(broker) { restart(); }

  void restart();
  [[nodiscard]] bool sees_broker() const { return broker_.has_value(); }
  /// Since restart.
  [[nodiscard]] Duration elapsed() const { return Loop::now() - began_; }
  [[nodiscard]] Duration broker_cpu() const { return cpu_time_of(*broker_) - broker_cpu_; }
  [[nodiscard]] Duration own_cpu() const { return own_cpu_time() - own_cpu_; }
  /// Of everything else on this machine, interrupts included.
  [[nodiscard]] Duration others_cpu() const {
    return std::max(machine_cpu_time() - machine_cpu_ - broker_cpu() - own_cpu(), Duration::zero());
  }
  [[nodiscard]] Memory memory() const { return memory_of(*broker_); }
  /// Turns the loop until the broker has used less than 2 % of a core for 300 ms; gives up after `patience`.
  void settle(Loop& loop, Duration patience) const;

 private:
  std::optional<pid_t> broker_;
  Instant began_{};
  Duration broker_cpu_{};
  Duration own_cpu_{};
  Duration machine_cpu_{};
};

std::optional<pid_t> broker_process(const Target& target, const Endpoint& endpoint);
/// A report with scenario, broker and the settings that all scenarios share.
Report begin_report(const RunOptions& options);
void add_latency(Report& report, const Histogram& latency, const std::string& prefix = "");
/// Figures of what got lost, doubled, reordered or refused, and a problem for each that isn't zero.
void add_integrity(Report& report, const Counts& counts);
/// A problem when messages that were due by the schedule could not be sent.
void add_schedule(Report& report, const Traffic& traffic);

double seconds_of(Duration duration);
double microseconds_of(Duration duration);
Duration duration_of(double seconds);

}  // namespace parley::bench
