#include "base/metrics.hpp"

#include <gtest/gtest.h>

#include <set>
#include <thread>

namespace parley {
namespace {

std::string_view word(std::uint8_t reason) { return reason == 0x97 ? "quota exceeded" : "other"; }

TEST(Metrics, AreSummedOverThreads) {
  Metrics metrics(2);
  metrics.of(0).add(Metric::PacketsSent, 3);
  metrics.of(1).add(Metric::PacketsSent);
  metrics.of(0).add(Metric::Subscriptions);
  metrics.of(1).subtract(Metric::Subscriptions);
  metrics.of(1).set(Metric::Sessions, 7);
  metrics.of(0).disconnected(0x97);
  metrics.of(1).refused(0x97);
  const Totals totals = metrics.sum();
  EXPECT_EQ(totals[Metric::PacketsSent], 4U);
  EXPECT_EQ(totals[Metric::Subscriptions], 0U) << "one thread's may be below zero";
  EXPECT_EQ(totals[Metric::Sessions], 7U);
  EXPECT_EQ(totals.disconnected[0x97], 1U);
  EXPECT_EQ(totals.refused[0x97], 1U);
}

TEST(Metrics, MayBeReadWhileTheyAreCounted) {
  Metrics metrics(1);
  std::thread counting([&] {
    for (int i = 0; i < 10'000; ++i) metrics.of(0).add(Metric::BytesSent, 2);
  });
  std::uint64_t last = 0;
  while (last < 20'000) {
    const std::uint64_t now = metrics.sum()[Metric::BytesSent];
    ASSERT_GE(now, last);
    last = now;
  }
  counting.join();
}

TEST(Metrics, AreWrittenAsPrometheusReadsThem) {
  Metrics metrics(1);
  metrics.of(0).add(Metric::PacketsSent, 5);
  metrics.of(0).disconnected(0x97);
  const std::string text = metrics_text(metrics.sum(), word);
  EXPECT_NE(text.find("# HELP parley_packets_total MQTT packets.\n# TYPE parley_packets_total counter\n"
                      "parley_packets_total{direction=\"in\"} 0\nparley_packets_total{direction=\"out\"} 5\n"),
            text.npos)
      << text;
  EXPECT_NE(text.find("# TYPE parley_sessions gauge\nparley_sessions 0\n"), text.npos);
  EXPECT_NE(text.find("parley_disconnects_total{reason=\"quota exceeded\"} 1\n"), text.npos);
}

TEST(Metrics, HaveOneFamilyInOnePlaceAndItsMeaningFirst) {
  std::set<std::string_view> families;
  std::string_view family;
  for (const MetricRule& rule : metric_rules()) {
    if (rule.family != family) {
      EXPECT_TRUE(families.insert(rule.family).second) << rule.family;
      EXPECT_FALSE(rule.meaning.empty()) << rule.family;
    }
    family = rule.family;
  }
}

}  // namespace
}  // namespace parley
