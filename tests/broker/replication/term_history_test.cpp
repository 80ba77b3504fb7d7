#include "broker/replication/term_history.hpp"

#include <gtest/gtest.h>

#include "tests/broker/replication/rig.hpp"

namespace parley::replication {
namespace {

/// Index 1 to 9 of terms 1 1 1 4 4 5 5 6 6, with another base where a test wants it.
TermHistory history() {
  static constexpr TermRun kRuns[] = {{{1}, {1}}, {{4}, {4}}, {{5}, {6}}, {{6}, {8}}};
  return {{}, kRuns, {9}};
}

TEST(TermHistory, KnowsTheTermOfEachEntryAndOfNothingElse) {
  TermHistory log = history();
  static constexpr std::uint64_t kTerms[] = {0, 1, 1, 1, 4, 4, 5, 5, 6, 6};
  for (std::uint64_t i = 0; i < std::size(kTerms); ++i) EXPECT_EQ(log.term_at({i}), Term{kTerms[i]}) << i;
  EXPECT_EQ(log.term_at({10}), std::nullopt);
  log.cut({4});
  EXPECT_EQ(log.term_at({3}), std::nullopt);
  EXPECT_EQ(log.term_at({4}), Term{4});
}

TEST(TermHistory, FindsTheEndOfARun) {
  const TermHistory log = history();
  static constexpr std::uint64_t kEnds[] = {0, 3, 3, 3, 5, 5, 7, 7, 9, 9};
  for (std::uint64_t i = 1; i < std::size(kEnds); ++i) EXPECT_EQ(log.run_end({i}), Index{kEnds[i]}) << i;
}

TEST(TermHistory, FindsTheHighestPlaceThatIsNeitherLaterNorOfALaterTerm) {
  const TermHistory log = history();
  struct Case {
    LogPosition limit;
    LogPosition agreement;
  };
  const Case cases[] = {
      {at(6, 9), at(6, 9)}, {at(9, 99), at(6, 9)}, {at(5, 9), at(5, 7)}, {at(4, 9), at(4, 5)},
      {at(3, 9), at(1, 3)}, {at(3, 2), at(1, 2)},  {at(0, 9), at(0, 0)}, {at(5, 0), at(0, 0)},
  };
  for (const Case& one : cases) EXPECT_EQ(log.agreement(one.limit), one.agreement) << one.limit.index.value;
}

TEST(TermHistory, AppendsToTheRunOrBeginsOne) {
  TermHistory log = history();
  log.append({6}, {11});
  EXPECT_EQ(log.runs().size(), 4U);
  log.append({8}, {12});
  EXPECT_EQ(log.runs().size(), 5U);
  EXPECT_EQ(log.last(), at(8, 12));
}

TEST(TermHistory, TruncatesToAnyPlace) {
  for (std::uint64_t last = 0; last <= 9; ++last) {
    TermHistory log = history();
    log.truncate_after({last});
    EXPECT_EQ(log.last(), (LogPosition{history().term_at({last}).value(), {last}}));
  }
}

TEST(TermHistory, CutsAtAnyPlace) {
  for (std::uint64_t upto = 0; upto <= 9; ++upto) {
    TermHistory log = history();
    log.cut({upto});
    EXPECT_EQ(log.base(), (LogPosition{history().term_at({upto}).value(), {upto}}));
    EXPECT_EQ(log.last(), at(6, 9));
    for (std::uint64_t i = upto; i <= 9; ++i) EXPECT_EQ(log.term_at({i}), history().term_at({i}));
    EXPECT_EQ(log.agreement(at(0, 9)), log.base());
  }
}

TEST(TermHistoryDeath, RefusesTermsThatFall) {
  TermHistory log = history();
  EXPECT_DEATH(log.append({5}, {10}), "term");
  EXPECT_DEATH(log.append({6}, {9}), "nothing");
}

}  // namespace
}  // namespace parley::replication
