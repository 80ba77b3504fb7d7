#include "clients/bench/compare.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "clients/bench/failure.hpp"

namespace parley::bench {
namespace {

Report report_of(double cpu, std::vector<std::string> problems = {}) {
  Report report{.scenario = "pairs", .broker = "b"};
  report.add("cpu", cpu);
  report.add("messages_per_second", 1'000);
  report.problems = std::move(problems);
  return report;
}

Comparison comparison_of(double parley, double mosquitto) {
  CaseResult result;
  result.measured.name = "pairs-qos0";
  result.measured.meaning = "pairs";
  result.measured.goals = {{.figure = "cpu", .rule = Rule::ShareAtMost, .target = 0.25}};
  result.parley = {report_of(parley)};
  result.mosquitto = {report_of(mosquitto)};
  return {.conditions = {{"rounds", "1"}}, .results = {result}};
}

TEST(Comparison, ShowsBothTheirShareAndTheVerdict) {
  const std::string text = to_text(comparison_of(1.5, 10));
  EXPECT_NE(text.find("case        figure  Parley  mosquitto  share         target  verdict\n"
                      "pairs-qos0     cpu    1.50       10.0  0.150  share ≤ 0.250      met\n"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("pairs-qos0  mosquitto"), std::string::npos) << text;
  EXPECT_NE(to_text(comparison_of(5, 10)).find("MISSED"), std::string::npos);
}

TEST(Comparison, TakesTheMedianOfTheRunsWithoutProblems) {
  CaseResult result = comparison_of(1, 10).results.front();
  result.parley = {report_of(1), report_of(2), report_of(9), report_of(0.1, {"3 messages never arrived"})};
  EXPECT_EQ(result.outcome_of("cpu").parley, 2);
  EXPECT_EQ(result.outcome_of("cpu").mosquitto, 10);
  EXPECT_EQ(result.outcome_of("other").parley, std::nullopt);
}

TEST(Comparison, FailsWhenSomethingIsUnmeasuredAndOnDemandWhenMissed) {
  EXPECT_EQ(exit_code_of(comparison_of(1, 10), true), 0);
  EXPECT_EQ(exit_code_of(comparison_of(5, 10), false), 0);
  EXPECT_EQ(exit_code_of(comparison_of(5, 10), true), 1);
  Comparison unmeasured = comparison_of(1, 10);
  unmeasured.results.front().mosquitto.clear();
  EXPECT_EQ(exit_code_of(unmeasured, false), 1);
  Comparison failed = comparison_of(1, 10);
  failed.results.front().failures.push_back("pairs-qos0 1/1, Parley: nothing has moved");
  EXPECT_EQ(exit_code_of(failed, false), 1);
  EXPECT_NE(to_text(failed).find("PROBLEM: pairs-qos0 1/1, Parley: nothing has moved\n"), std::string::npos);
}

TEST(Comparison, IsJsonWithEveryRun) {
  Comparison comparison = comparison_of(1.5, 10);
  comparison.results.front().failures.push_back("x");
  EXPECT_EQ(to_json(comparison),
            R"({"conditions":{"rounds":"1"},"cases":[{"case":"pairs-qos0","meaning":"pairs",)"
            R"("goals":[{"figure":"cpu","parley":1.5,"mosquitto":10,"share":0.15,"target":"share ≤ 0.250",)"
            R"("verdict":"met"}],"runs":[)"
            R"({"scenario":"pairs","broker":"b","settings":{},"figures":{"cpu":1.5,"messages_per_second":1000},)"
            R"("problems":[]},)"
            R"({"scenario":"pairs","broker":"b","settings":{},"figures":{"cpu":10,"messages_per_second":1000},)"
            R"("problems":[]}],"failures":["x"]}]})");
}

TEST(Compare, NeedsBothPrograms) {
  std::ostringstream progress;
  try {
    compare({.parleyd = "/nowhere/parleyd"}, std::nullopt, progress);
    FAIL() << "compared without parleyd";
  } catch (const Failure& failure) {
    EXPECT_STREQ(failure.what(), "there is no program /nowhere/parleyd");
  }
}

TEST(RunningBroker, HasTheSameCertificateOfWhateverBrand) {
  const std::string parley = parley_configuration("/d", 1, 2);
  EXPECT_EQ(parley,
            "[[listener]]\nurl = \"tcp://127.0.0.1:1\"\nallow_anonymous = true\n"
            "[[listener]]\nurl = \"tls://127.0.0.1:2\"\nallow_anonymous = true\n"
            "[[listener.certificate]]\nchain = \"/d/server.crt\"\nkey = \"/d/server.key\"\n");
  const auto arguments = parley_arguments({.program = "parleyd", .secure = true}, "/d", 1);
  EXPECT_NE(std::ranges::find(arguments, "/d/parley.toml"), arguments.end());
  const std::string mosquitto = mosquitto_tls_configuration("/d", 2);
  EXPECT_NE(mosquitto.find("listener 2 127.0.0.1\ncertfile /d/server.crt\nkeyfile /d/server.key\n"), mosquitto.npos);
}

TEST(RunningBroker, TellsWhyItDidNotStart) {
  const BrokerSetup broken{.brand = Brand::Mosquitto, .program = "/usr/sbin/mosquitto", .settings = {"no_such_word 1"}};
  try {
    const RunningBroker broker(broken);
    FAIL() << "started with a broken configuration";
  } catch (const Failure& failure) {
    EXPECT_NE(std::string(failure.what()).find("no_such_word"), std::string::npos) << failure.what();
  }
}

}  // namespace
}  // namespace parley::bench
