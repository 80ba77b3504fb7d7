#include <gtest/gtest.h>

#include <vector>

#include "broker/cluster/backoff.hpp"
#include "broker/cluster/circuit_breaker.hpp"
#include "broker/cluster/line_limiter.hpp"

namespace parley::cluster {
namespace {

using namespace std::chrono_literals;

Instant at(Duration since) { return Instant(1h) + since; }

TEST(Backoff, DoublesUpToItsMaximum) {
  Backoff backoff(50ms, 1s);
  const std::vector<Duration> whole{50ms, 100ms, 200ms, 400ms, 800ms, 1s, 1s};
  for (const Duration expected : whole) EXPECT_EQ(backoff.next(0), expected);
  backoff.reset();
  EXPECT_EQ(backoff.next(0), Duration(50ms));
}

TEST(Backoff, TakesOffLessThanAHalf) {
  for (std::uint64_t random = 0; random < 1'000'000'000; random += 9'999'991) {
    Backoff backoff(100ms, 1s);
    const Duration wait = backoff.next(random);
    EXPECT_GT(wait, Duration(50ms));
    EXPECT_LE(wait, Duration(100ms));
  }
  Backoff none(Duration(1), Duration(1));
  EXPECT_EQ(none.next(17), Duration(1));
}

TEST(CircuitBreaker, OpensAfterFailuresInARow) {
  CircuitBreaker breaker({.failures_max = 3, .pause_min = 100ms, .pause_max = 1s});
  breaker.failed(at(0s), 0);
  breaker.failed(at(0s), 0);
  EXPECT_FALSE(breaker.is_open(at(0s)));
  breaker.succeeded();
  breaker.failed(at(1s), 0);
  breaker.failed(at(1s), 0);
  EXPECT_FALSE(breaker.is_open(at(1s)));
  EXPECT_EQ(breaker.again(), Instant{});
  breaker.failed(at(1s), 0);
  EXPECT_TRUE(breaker.is_open(at(1s)));
  EXPECT_TRUE(breaker.is_open(at(1s + 99ms)));
  EXPECT_EQ(breaker.again(), at(1s + 100ms));
}

TEST(CircuitBreaker, LetsOneAttemptDecide) {
  CircuitBreaker breaker({.failures_max = 1, .pause_min = 100ms, .pause_max = 300ms});
  breaker.failed(at(0s), 0);
  EXPECT_FALSE(breaker.is_open(at(100ms))) << "half open";
  breaker.failed(at(100ms), 0);
  EXPECT_EQ(breaker.again(), at(300ms));
  breaker.failed(at(300ms), 0);
  EXPECT_EQ(breaker.again(), at(600ms)) << "no longer than the maximum";
  breaker.succeeded();
  EXPECT_FALSE(breaker.is_open(at(300ms)));
  breaker.failed(at(700ms), 0);
  EXPECT_EQ(breaker.again(), at(800ms)) << "from the beginning";
}

TEST(LineLimiter, KeepsRepeatedLinesBackAndCountsThem) {
  LineLimiter lines;
  EXPECT_EQ(lines.admit("refused", at(0s)), 0U);
  EXPECT_EQ(lines.admit("refused", at(10s)), std::nullopt);
  EXPECT_EQ(lines.admit("refused", at(59s)), std::nullopt);
  EXPECT_EQ(lines.admit("refused", at(60s)), 2U);
  EXPECT_EQ(lines.admit("another", at(60s + 500ms)), std::nullopt);
  EXPECT_EQ(lines.admit("another", at(61s)), 1U);
}

}  // namespace
}  // namespace parley::cluster
