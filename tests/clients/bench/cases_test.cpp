#include "clients/bench/cases.hpp"

#include <gtest/gtest.h>

#include <set>

#include "clients/bench/failure.hpp"

namespace parley::bench {
namespace {

TEST(Median, IsTheMiddle) {
  EXPECT_EQ(median({}), std::nullopt);
  EXPECT_EQ(median({3}), 3);
  EXPECT_EQ(median({9, 1, 3}), 3);
  EXPECT_EQ(median({9, 1, 3, 5}), 4);
}

TEST(Judge, ComparesWithTheTarget) {
  const std::optional<double> nothing;
  const struct {
    Rule rule;
    double target;
    std::optional<double> parley, mosquitto;
    Verdict verdict;
  } rows[] = {
      {Rule::ShareAtMost, 0.25, 2, 10, Verdict::Met},
      {Rule::ShareAtMost, 0.25, 2.5, 10, Verdict::Met},
      {Rule::ShareAtMost, 0.25, 2.6, 10, Verdict::Missed},
      {Rule::ShareAtMost, 0.25, nothing, 10, Verdict::Unmeasured},
      {Rule::ShareAtMost, 0.25, 2, nothing, Verdict::Unmeasured},
      {Rule::ShareAtMost, 0.25, 2, 0, Verdict::Unmeasured},
      {Rule::ShareAtLeast, 1, 11, 10, Verdict::Met},
      {Rule::ShareAtLeast, 1, 9, 10, Verdict::Missed},
      {Rule::ValueAtMost, 2'000, 1'999, nothing, Verdict::Met},
      {Rule::ValueAtMost, 2'000, 2'001, 5'000, Verdict::Missed},
      {Rule::ValueAtLeast, 0.99, 0.98, 1, Verdict::Missed},
      {Rule::ValueAtLeast, 0.99, 1, nothing, Verdict::Met},
      {Rule::Shown, 0, 5, nothing, Verdict::None},
      {Rule::Shown, 0, nothing, 5, Verdict::Unmeasured},
  };
  for (const auto& row : rows) {
    const Goal goal{.figure = "f", .rule = row.rule, .target = row.target};
    EXPECT_EQ(judge(goal, {.parley = row.parley, .mosquitto = row.mosquitto}), row.verdict)
        << static_cast<int>(row.rule) << " " << row.parley.value_or(-1) << " " << row.mosquitto.value_or(-1);
  }
}

TEST(Cases, HaveNamesOfTheirOwnAndSomethingToReach) {
  std::set<std::string> names;
  for (const auto& each : cases_of({})) {
    EXPECT_TRUE(names.insert(each.name).second) << each.name;
    EXPECT_FALSE(each.meaning.empty());
    ASSERT_FALSE(each.goals.empty());
    EXPECT_NE(each.goals.front().rule, Rule::Shown) << each.name;
  }
}

TEST(Cases, GiveBothBrokersTheSameLoad) {
  for (const auto& each : cases_of({})) {
    const auto& parley = each.parley.run.traffic;
    const auto& mosquitto = each.mosquitto.run.traffic;
    EXPECT_EQ(parley.qos, mosquitto.qos) << each.name;
    EXPECT_EQ(parley.streams, mosquitto.streams) << each.name;
    EXPECT_EQ(parley.subscribers, mosquitto.subscribers) << each.name;
    EXPECT_EQ(parley.window, mosquitto.window) << each.name;
    EXPECT_EQ(parley.payload_size, 200U) << each.name;
    EXPECT_EQ(mosquitto.payload_size, 200U) << each.name;
    EXPECT_EQ(parley.rate, mosquitto.rate) << each.name;
    EXPECT_EQ(mosquitto.topics, Topics::Plain) << each.name;
  }
}

TEST(Cases, AreChosenByName) {
  const auto chosen = cases_of({.only = {"idle", "pairs-qos1"}});
  ASSERT_EQ(chosen.size(), 2U);
  EXPECT_EQ(chosen[0].name, "idle");
  EXPECT_EQ(chosen[1].name, "pairs-qos1");
  try {
    cases_of({.only = {"pears"}});
    FAIL() << "took an unknown name";
  } catch (const Failure& failure) {
    EXPECT_NE(std::string(failure.what()).find("pears; there are pairs-qos0, "), std::string::npos) << failure.what();
  }
}

}  // namespace
}  // namespace parley::bench
