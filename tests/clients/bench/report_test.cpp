#include "clients/bench/report.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace parley::bench {
namespace {

Report sample() {
  Report report{.scenario = "pairs", .broker = "127.0.0.1:1883", .settings = {{"QoS", "1"}}};
  report.add("messages_per_second", 48'516.4);
  report.add("p99_us", 0.25);
  return report;
}

TEST(Report, FindsItsFiguresByName) {
  const Report report = sample();
  EXPECT_EQ(report.find("p99_us"), 0.25);
  EXPECT_EQ(report.find("p98_us"), std::nullopt);
}

TEST(Report, IsATextWithOneLineAFigure) {
  Report report = sample();
  report.problems.push_back("3 messages never arrived");
  EXPECT_EQ(to_text(report),
            "pairs against 127.0.0.1:1883, QoS 1\n"
            "  messages_per_second  48,516\n"
            "  p99_us                0.250\n"
            "  PROBLEM: 3 messages never arrived\n");
}

TEST(Report, IsJson) {
  Report report = sample();
  report.add("broker_cpu_us_per_delivery", std::numeric_limits<double>::infinity());
  report.problems.push_back("a \"quoted\"\nword");
  EXPECT_EQ(to_json(report),
            R"({"scenario":"pairs","broker":"127.0.0.1:1883","settings":{"QoS":"1"},)"
            R"("figures":{"messages_per_second":48516.4,"p99_us":0.25,"broker_cpu_us_per_delivery":null},)"
            R"("problems":["a \"quoted\"\u000aword"]})");
}

TEST(Readable, HasThreeDigitsThatCount) {
  const struct {
    double value;
    const char* text;
  } rows[] = {{0, "0"},         {0.94, "0.940"},          {1, "1.00"},        {17.94, "17.9"},  {231, "231"},
              {5'231, "5,231"}, {1'234'567, "1,234,567"}, {-5'231, "-5,231"}, {-0.5, "-0.500"}, {999.6, "1,000"}};
  for (const auto& row : rows) EXPECT_EQ(readable(row.value), row.text);
  EXPECT_EQ(readable(std::numeric_limits<double>::quiet_NaN()), "-");
}

TEST(Table, AlignsColumnsAsPeopleSeeThem) {
  EXPECT_EQ(table({{"case", "p50 µs", "share"}, {"a", "1", ""}, {"longer", "12,345", "0.5"}}),
            "case    p50 µs  share\n"
            "a            1\n"
            "longer  12,345    0.5\n");
  EXPECT_EQ(table({}), "");
}

}  // namespace
}  // namespace parley::bench
