#include "clients/bench/histogram.hpp"

#include <gtest/gtest.h>

namespace parley::bench {
namespace {

using namespace std::chrono_literals;

TEST(Histogram, HasNothingToSayWhenEmpty) {
  const Histogram histogram;
  EXPECT_EQ(histogram.count(), 0U);
  EXPECT_EQ(histogram.percentile(0.99), 0ns);
  EXPECT_EQ(histogram.mean(), 0ns);
  EXPECT_EQ(histogram.max(), 0ns);
}

TEST(Histogram, GivesSmallDurationsExactly) {
  Histogram histogram;
  for (int i = 1; i <= 10; ++i) histogram.record(Duration(i));
  EXPECT_EQ(histogram.percentile(0.5), 5ns);
  EXPECT_EQ(histogram.percentile(0.9), 9ns);
  EXPECT_EQ(histogram.percentile(0), 1ns);
  EXPECT_EQ(histogram.percentile(1), 10ns);
}

TEST(Histogram, IsNeverTooLowAndAtMostSixteenPerMilleTooHigh) {
  for (const Duration duration : {Duration(63), Duration(64), Duration(127), Duration(128), Duration(1'000),
                                  Duration(65'535), Duration(1'234'567), Duration(9'876'543'210)}) {
    Histogram histogram;
    histogram.record(duration);
    histogram.record(20s);  // Else the maximum bounds the answer.
    const auto found = histogram.percentile(0.5);
    EXPECT_GE(found, duration);
    EXPECT_LE(static_cast<double>(found.count()), static_cast<double>(duration.count()) * 1.016) << duration.count();
  }
}

TEST(Histogram, CountsNegativeDurationsAsZero) {
  Histogram histogram;
  histogram.record(-5ms);
  EXPECT_EQ(histogram.count(), 1U);
  EXPECT_EQ(histogram.percentile(0.5), 0ns);
}

TEST(Histogram, KeepsTheMaximumOfWhatIsBeyondItsBuckets) {
  Histogram histogram;
  histogram.record(2h);
  EXPECT_EQ(histogram.max(), Duration(2h));
  EXPECT_EQ(histogram.percentile(0.5), Duration(2h));
}

TEST(Histogram, MergesToTheSameAsOne) {
  Histogram left, right, whole;
  for (int i = 0; i < 1'000; ++i) {
    const Duration duration = i * 1us;
    (i % 3 == 0 ? left : right).record(duration);
    whole.record(duration);
  }
  left.merge(right);
  EXPECT_EQ(left.count(), whole.count());
  EXPECT_EQ(left.mean(), whole.mean());
  EXPECT_EQ(left.max(), whole.max());
  for (const double share : {0.1, 0.5, 0.9, 0.99, 0.999}) EXPECT_EQ(left.percentile(share), whole.percentile(share));
  left.clear();
  EXPECT_EQ(left.count(), 0U);
}

}  // namespace
}  // namespace parley::bench
