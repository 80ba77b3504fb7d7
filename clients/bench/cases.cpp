#include "clients/bench/cases.hpp"

#include <algorithm>

#include "clients/bench/failure.hpp"

namespace parley::bench {
namespace {

constexpr const char* kCpu = "broker_cpu_us_per_delivery";
constexpr mqtt::Qos kQos0 = mqtt::Qos::AtMostOnce;
constexpr mqtt::Qos kQos1 = mqtt::Qos::AtLeastOnce;

/// The same run for both.
Case plain_case(std::string name, std::string meaning, const RunOptions& run, std::vector<Goal> goals) {
  return {.name = std::move(name),
          .meaning = std::move(meaning),
          .parley = {.run = run, .settings = {}},
          .mosquitto = {.run = run, .settings = {}},
          .goals = std::move(goals)};
}

/// Conversations on Parley, synced to disk before they are acknowledged; plain topics in memory on mosquitto.
Case chat_case(std::string name, std::string meaning, const RunOptions& run, std::vector<Goal> goals) {
  Case made = plain_case(std::move(name), std::move(meaning), run, std::move(goals));
  made.parley.run.traffic.topics = Topics::Chat;
  return made;
}

RunOptions timed(Scenario scenario, mqtt::Qos qos, const CompareOptions& options) {
  RunOptions run = default_run(scenario);
  run.traffic.qos = qos;
  run.warmup = options.warmup;
  run.seconds = options.seconds;
  return run;
}

RunOptions one_under_way(const CompareOptions& options) {
  RunOptions run = timed(Scenario::Pairs, kQos1, options);
  run.traffic.streams = 500;
  run.traffic.window = 1;
  return run;
}

/// mosquitto queues every message for every absent member, so it gets few enough for its memory.
Case absent_case(const CompareOptions& options) {
  Case made = chat_case("absent", "publishing to 10 and to 10,000 persistent sessions that left",
                        timed(Scenario::Absent, kQos1, options),
                        {{"cpu_growth", Rule::ValueAtMost, 1.2},
                         {"broker_cpu_us_per_publish_10", Rule::Shown},
                         {"broker_cpu_us_per_publish_10000", Rule::Shown}});
  made.mosquitto.run.messages = 1'000;
  return made;
}

/// With Nagle's delay, which it has unless told otherwise, mosquitto's latency would be nothing to compare with.
Case latency_case(const CompareOptions& options) {
  Case made =
      chat_case("chat-latency", "50 pairs, QoS 1, 5,000 messages a second; conversations beside plain topics in memory",
                timed(Scenario::Latency, kQos1, options), {{"p99_us", Rule::ValueAtMost, 10'000}});
  made.mosquitto.settings = {"set_tcp_nodelay true"};
  return made;
}

RunOptions idle_run() {
  RunOptions run = default_run(Scenario::Idle);
  run.connections = 10'000;
  return run;
}

Case slow_case() {
  Case made =
      chat_case("slow", "a subscriber doesn't read for 60 s while 200,000 messages arrive", default_run(Scenario::Slow),
                {{"anonymous_growth_mb", Rule::ValueAtMost, 8},
                 {"rss_growth_mb", Rule::Shown},
                 {"others_rate_share", Rule::ValueAtLeast, 0.99},
                 {"others_p99_growth", Rule::Shown},
                 {"catch_up_seconds", Rule::Shown}});
  made.once = true;
  return made;
}

/// What a client that comes over TLS costs, and what it costs to keep.
Case tls_case(TlsVersion version) {
  const bool old = version == TlsVersion::V1_2;
  RunOptions run = default_run(Scenario::Tls);
  run.tls_version = version;
  return plain_case(old ? "tls12" : "tls",
                    std::string(old ? "TLS 1.2" : "TLS 1.3") +
                        ": 2,000 connections with one subscription each; handshakes with CONNECT, 32 at a time",
                    run,
                    {{"rss_bytes_per_connection", Rule::ShareAtMost, 0.7},
                     {"full_per_second", Rule::Shown},
                     {"full_broker_cpu_us", Rule::Shown},
                     {"resumed_per_second", Rule::Shown},
                     {"resumed_broker_cpu_us", Rule::Shown}});
}

/// mosquitto shakes hands on its only thread.
Case storm_case() {
  Case made = plain_case("storm", "a pair at 500 messages a second while 2,000 TLS connections come at once",
                         default_run(Scenario::Storm),
                         {{"storm_p99_us", Rule::ShareAtMost, 0.5},
                          {"quiet_p99_us", Rule::Shown},
                          {"storm_max_us", Rule::Shown},
                          {"storm_handshakes_per_second", Rule::Shown}});
  made.mosquitto.settings = {"set_tcp_nodelay true"};
  return made;
}

std::vector<Case> all_cases(const CompareOptions& options) {
  return {
      plain_case("pairs-qos0", "50 one-to-one pairs, plain topics, QoS 0", timed(Scenario::Pairs, kQos0, options),
                 {{kCpu, Rule::ShareAtMost, 0.25}}),
      plain_case("pairs-qos1", "50 one-to-one pairs, plain topics, QoS 1", timed(Scenario::Pairs, kQos1, options),
                 {{kCpu, Rule::ShareAtMost, 0.25}}),
      plain_case("fanout-qos0", "one publisher, 500 subscribers, plain topic, QoS 0",
                 timed(Scenario::Fanout, kQos0, options), {{kCpu, Rule::ShareAtMost, 0.20}}),
      plain_case("fanout-qos1", "one publisher, 500 subscribers, plain topic, QoS 1",
                 timed(Scenario::Fanout, kQos1, options), {{kCpu, Rule::ShareAtMost, 0.35}}),
      plain_case("one-under-way", "500 pairs with one message under way each, plain topics, QoS 1",
                 one_under_way(options), {{kCpu, Rule::ShareAtMost, 0.9}}),
      chat_case("chat-qos1", "50 pairs, QoS 1: conversations synced before PUBACK; mosquitto from memory",
                timed(Scenario::Pairs, kQos1, options), {{"messages_per_second", Rule::ShareAtLeast, 1}}),
      latency_case(options),
      plain_case("idle", "10,000 connections with one subscription each", idle_run(),
                 {{"rss_bytes_per_connection", Rule::ValueAtMost, 2'000}}),
      tls_case(TlsVersion::V1_3),
      tls_case(TlsVersion::V1_2),
      storm_case(),
      absent_case(options),
      slow_case(),
  };
}

}  // namespace

std::vector<Case> cases_of(const CompareOptions& options) {
  std::vector<Case> all = all_cases(options);
  if (options.only.empty()) return all;
  std::vector<Case> chosen;
  for (const auto& name : options.only) {
    const auto found = std::ranges::find(all, name, &Case::name);
    if (found == all.end()) {
      std::string known;
      for (const auto& each : all) known += (known.empty() ? "" : ", ") + each.name;
      throw Failure("there is no case " + name + "; there are " + known);
    }
    chosen.push_back(*found);
  }
  return chosen;
}

std::string name_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::Met: return "met";
    case Verdict::Missed: return "MISSED";
    case Verdict::Unmeasured: return "not measured";
    case Verdict::None: break;
  }
  return "";
}

std::optional<double> Outcome::share() const {
  if (!parley || !mosquitto || *mosquitto == 0) return std::nullopt;
  return *parley / *mosquitto;
}

Verdict judge(const Goal& goal, const Outcome& outcome) {
  const bool of_share = goal.rule == Rule::ShareAtMost || goal.rule == Rule::ShareAtLeast;
  const auto value = of_share ? outcome.share() : outcome.parley;
  if (!value) return Verdict::Unmeasured;
  if (goal.rule == Rule::Shown) return Verdict::None;
  const bool at_most = goal.rule == Rule::ShareAtMost || goal.rule == Rule::ValueAtMost;
  return (at_most ? *value <= goal.target : *value >= goal.target) ? Verdict::Met : Verdict::Missed;
}

std::optional<double> median(std::vector<double> values) {
  if (values.empty()) return std::nullopt;
  std::ranges::sort(values);
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

}  // namespace parley::bench
