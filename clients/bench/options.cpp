#include "clients/bench/options.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <sstream>

namespace parley::bench {
namespace {

struct ScenarioRow {
  Scenario scenario;
  const char* name;
  const char* meaning;
};

constexpr std::array kScenarios{
    ScenarioRow{Scenario::Pairs, "pairs", "One-to-one: many publishers, each with a subscriber of its own"},
    ScenarioRow{Scenario::Fanout, "fanout", "One publisher, many subscribers of its topic"},
    ScenarioRow{Scenario::Latency, "latency", "Pairs at a fixed rate, timed from when each message was due"},
    ScenarioRow{Scenario::Idle, "idle", "Connections with one subscription each that do nothing"},
    ScenarioRow{Scenario::Absent, "absent", "Publishing to persistent sessions that subscribed and left"},
    ScenarioRow{Scenario::Slow, "slow", "A subscriber that stops reading for a while beside others that do not"},
    ScenarioRow{Scenario::History, "history", "History pages over HTTP from the bridge"},
    ScenarioRow{Scenario::Tls, "tls", "TLS connections that idle, and handshakes, full and resumed"},
    ScenarioRow{Scenario::Storm, "storm", "TLS connections that come all at once beside others that chat"},
};

void add_target(CLI::App& command, RunOptions& run) {
  command.add_option("--host", run.target.host, "The broker's host")->capture_default_str();
  command.add_option("--port", run.target.port, "The broker's MQTT port")->capture_default_str();
  command.add_option("--pid", run.target.pid, "The broker's process, for CPU time and memory (default: the listener)");
  command.add_option("--user", run.traffic.client.user_name, "User name of all clients");
  command.add_option("--password", run.traffic.client.password, "Password of all clients");
  command.add_option("--protocol", run.traffic.client.version, "MQTT version: 5 or 3.1.1")
      ->transform(CLI::CheckedTransformer(std::map<std::string, mqtt::ProtocolVersion>{
          {"5", mqtt::ProtocolVersion::V5}, {"3.1.1", mqtt::ProtocolVersion::V3_1_1}}))
      ->default_str("5");
}

void add_messages(CLI::App& command, RunOptions& run) {
  command.add_flag_callback(
      "--chat", [&run] { run.traffic.topics = Topics::Chat; },
      "Use conversations (chat/NAME-N/msg) instead of plain topics");
  command.add_option("--name", run.traffic.name, "Begins every topic and client id")->capture_default_str();
  command.add_option("--qos", run.traffic.qos, "Of publishers and subscribers: 0, 1 or 2")
      ->transform(CLI::CheckedTransformer(std::map<std::string, mqtt::Qos>{
          {"0", mqtt::Qos::AtMostOnce}, {"1", mqtt::Qos::AtLeastOnce}, {"2", mqtt::Qos::ExactlyOnce}}))
      ->default_str(std::to_string(static_cast<int>(run.traffic.qos)));
  command.add_option("--payload", run.traffic.payload_size, "Bytes of a payload")
      ->check(CLI::Range(kStampSize, std::size_t{128 * 1024}))
      ->capture_default_str();
  command.add_option("--window", run.traffic.window, "Messages under way per publisher")
      ->check(CLI::Range(std::size_t{1}, std::size_t{60'000}))
      ->capture_default_str();
  command.add_flag("--message-id", run.traffic.message_id, "Send a user property `id` with every message");
  command.add_option("--meta", run.traffic.client.meta, "User property `meta` of CONNECT: full, compact or none")
      ->check(CLI::IsMember({"full", "compact", "none"}));
  command.add_option("--topic-alias-max", run.traffic.client.topic_alias_max, "Topic Alias Maximum of the clients")
      ->capture_default_str();
}

void add_times(CLI::App& command, RunOptions& run) {
  command.add_option("--warmup", run.warmup, "Seconds before measuring")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command.add_option("--seconds", run.seconds, "Seconds to measure")->check(CLI::PositiveNumber)->capture_default_str();
}

void add_own(CLI::App& command, RunOptions& run) {
  switch (run.scenario) {
    case Scenario::Pairs:
    case Scenario::Latency:
      command.add_option("--pairs", run.traffic.streams, "Publishers, each with one subscriber")
          ->check(CLI::Range(std::size_t{1}, std::size_t{9'000}))
          ->capture_default_str();
      break;
    case Scenario::Fanout:
      command.add_option("--subscribers", run.traffic.subscribers, "Subscribers of the one topic")
          ->check(CLI::Range(std::size_t{1}, std::size_t{18'000}))
          ->capture_default_str();
      break;
    case Scenario::Idle:
      command.add_option("--connections", run.connections, "How many")
          ->check(CLI::Range(std::size_t{1}, std::size_t{1'000'000}))
          ->capture_default_str();
      break;
    case Scenario::Tls:
    case Scenario::Storm:
      command.add_option("--tls-port", run.target.tls_port, "The broker's port for MQTT over TLS")
          ->capture_default_str();
      command.add_option("--tls", run.tls_version, "TLS version: 1.2 or 1.3")
          ->transform(CLI::CheckedTransformer(
              std::map<std::string, TlsVersion>{{"1.2", TlsVersion::V1_2}, {"1.3", TlsVersion::V1_3}}))
          ->default_str("1.3");
      command.add_option("--connections", run.connections, "How many")
          ->check(CLI::Range(std::size_t{1}, std::size_t{18'000}))
          ->capture_default_str();
      break;
    case Scenario::Absent:
      command.add_option("--members", run.members, "How many have left, one conversation for each number")
          ->delimiter(',')
          ->capture_default_str();
      break;
    case Scenario::Slow: break;
    case Scenario::History:
      command.add_option("--bridge-host", run.history.host, "The bridge's host")->capture_default_str();
      command.add_option("--bridge-port", run.history.port, "The bridge's HTTP port")->capture_default_str();
      command.add_option("--bridge-pid", run.history.pid, "The bridge's process (default: the listener)");
      command.add_option("--connections", run.history.connections, "Kept alive, one request at a time on each")
          ->check(CLI::Range(std::size_t{1}, std::size_t{10'000}))
          ->capture_default_str();
      command.add_option("--fill", run.history.fill, "Messages sent into the conversation first")
          ->capture_default_str();
      command.add_option("--limit", run.history.limit, "Entries of a page")->capture_default_str();
      command.add_flag("--spread", run.history.spread, "Ask for pages from all over the conversation, not the newest");
      command.add_option("--authorization", run.history.authorization, "Value of the Authorization header");
      break;
  }
  if (run.scenario == Scenario::Absent || run.scenario == Scenario::Slow) {
    command.add_option("--messages", run.messages, "Messages published in the measured time (absent: at most)")
        ->capture_default_str();
  }
  if (run.scenario != Scenario::Latency && run.scenario != Scenario::Pairs && run.scenario != Scenario::Fanout) return;
  command.add_option("--rate", run.traffic.rate, "Messages a second, all publishers together; 0: as fast as it goes")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command
      .add_option(
          "--more-ports", run.target.more_ports,
          "Ports of a cluster's other nodes: publishers are spread over all, each one's subscribers are at the next")
      ->delimiter(',');
  command
      .add_option("--names", run.traffic.names, "Conversations or topics of the first publishers, instead of NAME-N")
      ->delimiter(',');
}

void add_compare(CLI::App& command, CompareOptions& compare) {
  command.add_option("--only", compare.only, "Names of cases, separated by commas (default: all)")->delimiter(',');
  command.add_option("--rounds", compare.rounds, "Runs of each case and broker, of which the median counts")
      ->check(CLI::Range(1U, 100U))
      ->capture_default_str();
  command.add_option("--warmup", compare.warmup, "Seconds before measuring")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command.add_option("--seconds", compare.seconds, "Seconds of one measurement; idle and slow have their own")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command.add_option("--parleyd", compare.parleyd, "Path of parleyd (default: beside this program)");
  command.add_option("--mosquitto", compare.mosquitto, "Path of mosquitto")->capture_default_str();
  command.add_option("--set", compare.settings, "key=value for parleyd, repeatable");
  command.add_option("--mosquitto-set", compare.mosquitto_settings,
                     "A further line of mosquitto's configuration, as \"set_tcp_nodelay true\", repeatable");
  command.add_option("--data-root", compare.data_root, "Directory for the brokers' data (default: $TMPDIR)");
  command.add_flag("--strict", compare.strict,
                   "Exit with 1 when a target is missed, not only when one can't be measured");
}

}  // namespace

std::string name_of(Scenario scenario) { return std::ranges::find(kScenarios, scenario, &ScenarioRow::scenario)->name; }

RunOptions default_run(Scenario scenario) {
  RunOptions run;
  run.scenario = scenario;
  TrafficShape& traffic = run.traffic;
  switch (scenario) {
    case Scenario::Pairs: break;
    case Scenario::Fanout:
      traffic.streams = 1;
      traffic.subscribers = 500;
      break;
    case Scenario::Latency:
      traffic.qos = mqtt::Qos::AtLeastOnce;
      traffic.window = 1'000;
      traffic.rate = 5'000;
      break;
    case Scenario::Idle: run.seconds = 2; break;
    case Scenario::Tls:
      run.connections = 2'000;
      run.seconds = 3;
      break;
    case Scenario::Storm:
      run.connections = 2'000;
      run.seconds = 3;
      traffic.qos = mqtt::Qos::AtLeastOnce;
      traffic.streams = 1;
      traffic.rate = 500;
      break;
    case Scenario::Absent:
      traffic.qos = mqtt::Qos::AtLeastOnce;
      traffic.streams = 1;
      traffic.subscribers = 0;
      break;
    case Scenario::Slow:
      traffic.qos = mqtt::Qos::AtLeastOnce;
      traffic.streams = 1;
      traffic.subscribers = 3;
      traffic.unpaced = 1;
      traffic.window = 1'000;
      run.seconds = 60;
      run.warmup = 5;
      run.messages = 200'000;
      break;
    case Scenario::History:
      traffic.topics = Topics::Chat;
      traffic.qos = mqtt::Qos::AtLeastOnce;
      traffic.streams = 1;
      break;
  }
  return run;
}

ParsedOptions parse_options(std::vector<std::string> arguments) {
  CLI::App app{"Measures an MQTT broker: any one by host and port, or Parley beside mosquitto", "parley-bench"};
  app.require_subcommand(1);
  Options options;
  std::vector<std::unique_ptr<RunOptions>> runs;
  std::vector<CLI::App*> commands;
  const auto add_common = [&options](CLI::App& command) {
    command.add_flag("--json", options.json, "Print JSON instead of a table");
    command.add_option("--core", options.core, "Bind the load generator to this processor");
  };
  for (const auto& row : kScenarios) {
    auto& run = *runs.emplace_back(std::make_unique<RunOptions>(default_run(row.scenario)));
    CLI::App& command = *commands.emplace_back(app.add_subcommand(row.name, row.meaning));
    add_target(command, run);
    add_own(command, run);
    add_messages(command, run);
    add_times(command, run);
    add_common(command);
  }
  CompareOptions compare;
  CLI::App& comparing = *app.add_subcommand("compare", "Starts Parley and mosquitto in turn and compares them");
  add_compare(comparing, compare);
  add_common(comparing);

  ParsedOptions parsed;
  try {
    std::ranges::reverse(arguments);  // CLI11 takes them from the back.
    app.parse(std::move(arguments));
  } catch (const CLI::ParseError& error) {
    std::ostringstream output, errors;
    parsed.exit_code = app.exit(error, output, errors) == 0 ? 0 : 2;
    parsed.output = output.str();
    parsed.error = errors.str();
    return parsed;
  }
  for (std::size_t i = 0; i < commands.size(); ++i) {
    if (commands[i]->parsed()) options.run = std::move(*runs[i]);
  }
  if (comparing.parsed()) options.compare = compare;
  parsed.options = std::move(options);
  return parsed;
}

}  // namespace parley::bench
