#include "clients/bench/options.hpp"

#include <gtest/gtest.h>

namespace parley::bench {
namespace {

RunOptions run_of(std::vector<std::string> arguments) {
  const auto parsed = parse_options(std::move(arguments));
  EXPECT_TRUE(parsed.options) << parsed.error;
  return parsed.options ? parsed.options->run : RunOptions{};
}

TEST(Options, HaveWhatIsUsualForEachScenario) {
  for (const auto scenario : {Scenario::Pairs, Scenario::Fanout, Scenario::Latency, Scenario::Idle, Scenario::Absent,
                              Scenario::Slow, Scenario::History, Scenario::Tls, Scenario::Storm}) {
    const RunOptions run = run_of({name_of(scenario)});
    const RunOptions usual = default_run(scenario);
    EXPECT_EQ(run.scenario, scenario);
    EXPECT_EQ(run.target.host, "127.0.0.1");
    EXPECT_EQ(run.target.port, 1883);
    EXPECT_EQ(run.traffic.qos, usual.traffic.qos) << name_of(scenario);
    EXPECT_EQ(run.traffic.streams, usual.traffic.streams);
    EXPECT_EQ(run.traffic.subscribers, usual.traffic.subscribers);
    EXPECT_EQ(run.traffic.topics, usual.traffic.topics);
    EXPECT_EQ(run.seconds, usual.seconds);
  }
}

TEST(Options, AreReadFromTheCommandLine) {
  const RunOptions pairs =
      run_of({"pairs", "--host",     "::1",        "--port",   "2883",     "--pid",     "17",
              "--qos", "2",          "--pairs",    "500",      "--window", "1",         "--payload",
              "64",    "--chat",     "--protocol", "3.1.1",    "--name",   "n",         "--user",
              "u",     "--password", "p",          "--warmup", "0",        "--seconds", "0.5"});
  EXPECT_EQ(pairs.target.host, "::1");
  EXPECT_EQ(pairs.target.port, 2883);
  EXPECT_EQ(pairs.target.pid, 17);
  EXPECT_EQ(pairs.traffic.qos, mqtt::Qos::ExactlyOnce);
  EXPECT_EQ(pairs.traffic.streams, 500U);
  EXPECT_EQ(pairs.traffic.window, 1U);
  EXPECT_EQ(pairs.traffic.payload_size, 64U);
  EXPECT_EQ(pairs.traffic.topics, Topics::Chat);
  EXPECT_EQ(pairs.traffic.name, "n");
  EXPECT_EQ(pairs.traffic.client.version, mqtt::ProtocolVersion::V3_1_1);
  EXPECT_EQ(pairs.traffic.client.user_name, "u");
  EXPECT_EQ(pairs.traffic.client.password, "p");
  EXPECT_EQ(pairs.warmup, 0);
  EXPECT_EQ(pairs.seconds, 0.5);

  EXPECT_EQ(run_of({"absent", "--members", "1,20,300"}).members, (std::vector<std::size_t>{1, 20, 300}));
  EXPECT_EQ(run_of({"fanout", "--subscribers", "7", "--rate", "100"}).traffic.rate, 100);
  EXPECT_EQ(run_of({"idle", "--connections", "12"}).connections, 12U);
  EXPECT_EQ(run_of({"slow", "--messages", "99"}).messages, 99U);
  const RunOptions history = run_of({"history", "--bridge-port", "81", "--limit", "20", "--spread", "--fill", "0"});
  EXPECT_EQ(history.history.port, 81);
  EXPECT_EQ(history.history.limit, 20U);
  EXPECT_TRUE(history.history.spread);
  EXPECT_EQ(history.history.fill, 0U);
}

TEST(Options, OfCompareAreTheirOwn) {
  const auto parsed = parse_options({"compare", "--only", "pairs-qos0,idle", "--rounds", "5", "--seconds", "2", "--set",
                                     "log.level=warn", "--set", "mqtt.max_qos=1", "--mosquitto-set",
                                     "set_tcp_nodelay true", "--strict", "--json", "--core", "1"});
  ASSERT_TRUE(parsed.options && parsed.options->compare) << parsed.error;
  const CompareOptions& compare = *parsed.options->compare;
  EXPECT_EQ(compare.only, (std::vector<std::string>{"pairs-qos0", "idle"}));
  EXPECT_EQ(compare.rounds, 5U);
  EXPECT_EQ(compare.seconds, 2);
  EXPECT_EQ(compare.settings, (std::vector<std::string>{"log.level=warn", "mqtt.max_qos=1"}));
  EXPECT_EQ(compare.mosquitto_settings, (std::vector<std::string>{"set_tcp_nodelay true"}));
  EXPECT_TRUE(compare.strict);
  EXPECT_TRUE(parsed.options->json);
  EXPECT_EQ(parsed.options->core, 1);
}

TEST(Options, MistakesAreToldOnStandardErrorAndEndWithTwo) {
  const std::vector<std::vector<std::string>> mistakes = {
      {},
      {"unknown"},
      {"pairs", "--qos", "3"},
      {"pairs", "--port", "99999"},
      {"pairs", "--port", "x"},
      {"pairs", "--payload", "1"},
      {"pairs", "--window", "0"},
      {"pairs", "--pairs", "0"},
      {"pairs", "--seconds", "-1"},
      {"pairs", "--protocol", "7"},
      {"pairs", "--subscribers", "5"},
      {"latency", "--rate", "-5"},
      {"compare", "--rounds", "0"},
      {"pairs", "idle"},
  };
  for (const auto& arguments : mistakes) {
    const auto parsed = parse_options(arguments);
    const std::string shown = arguments.empty() ? "" : arguments.back();
    EXPECT_FALSE(parsed.options) << shown;
    EXPECT_EQ(parsed.exit_code, 2) << shown;
    EXPECT_FALSE(parsed.error.empty()) << shown;
  }
}

TEST(Options, HelpIsForStandardOutput) {
  for (const std::vector<std::string>& arguments : {std::vector<std::string>{"--help"}, {"pairs", "--help"}}) {
    const auto parsed = parse_options(arguments);
    EXPECT_FALSE(parsed.options);
    EXPECT_EQ(parsed.exit_code, 0);
    EXPECT_FALSE(parsed.output.empty());
    EXPECT_TRUE(parsed.error.empty());
  }
}

}  // namespace
}  // namespace parley::bench
