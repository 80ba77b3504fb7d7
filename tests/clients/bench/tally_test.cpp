#include "clients/bench/tally.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace parley::bench {
namespace {

TEST(Tally, SeesEveryIrregularity) {
  const struct {
    std::string name;
    std::vector<std::uint64_t> sequences;
    std::uint64_t next, missing, duplicated, reordered;
  } rows[] = {
      {"nothing", {}, 0, 0, 0, 0},
      {"in order", {0, 1, 2, 3}, 4, 0, 0, 0},
      {"one missing", {0, 1, 3}, 4, 1, 0, 0},
      {"the first ones missing", {5}, 6, 5, 0, 0},
      {"twice in a row", {0, 1, 1, 2}, 3, 0, 1, 0},
      {"twice, late", {0, 1, 2, 0}, 3, 0, 1, 0},
      {"late into a hole", {0, 2, 1, 3}, 4, 0, 0, 1},
      {"late into the middle of a hole", {0, 6, 3}, 7, 4, 0, 1},
      {"both ends of a hole", {0, 4, 1, 3}, 5, 1, 0, 2},
      {"late, then twice", {0, 2, 1, 1}, 3, 0, 1, 1},
  };
  for (const auto& row : rows) {
    Tally tally;
    for (const auto sequence : row.sequences) tally.accept(sequence);
    EXPECT_EQ(tally.received(), row.sequences.size()) << row.name;
    EXPECT_EQ(tally.next(), row.next) << row.name;
    EXPECT_EQ(tally.missing(), row.missing) << row.name;
    EXPECT_EQ(tally.duplicated(), row.duplicated) << row.name;
    EXPECT_EQ(tally.reordered(), row.reordered) << row.name;
  }
}

TEST(Tally, SaysWhetherTheReceiverHasComeFurther) {
  Tally tally;
  EXPECT_TRUE(tally.accept(0));
  EXPECT_TRUE(tally.accept(2));
  EXPECT_FALSE(tally.accept(1));
  EXPECT_FALSE(tally.accept(2));
  EXPECT_TRUE(tally.accept(3));
}

TEST(Tally, GivesUpOnWhatIsSkipped) {
  Tally tally;
  tally.accept(0);
  tally.skip_to(10);
  EXPECT_EQ(tally.missing(), 9U);
  tally.skip_to(5);
  EXPECT_EQ(tally.missing(), 9U);
  tally.accept(4);
  EXPECT_EQ(tally.missing(), 8U);
  EXPECT_EQ(tally.reordered(), 1U);
}

TEST(Tally, RemembersABoundedNumberOfHoles) {
  Tally tally;
  for (std::uint64_t i = 0; i < 2 * Tally::kHolesMax; ++i) tally.accept(2 * i + 1);
  EXPECT_EQ(tally.missing(), 2 * Tally::kHolesMax);
  // A latecomer into a forgotten hole can't be told from a duplicate; it must not count as found.
  tally.accept(4 * Tally::kHolesMax - 2);
  EXPECT_EQ(tally.missing(), 2 * Tally::kHolesMax);
  EXPECT_EQ(tally.duplicated(), 1U);
}

}  // namespace
}  // namespace parley::bench
