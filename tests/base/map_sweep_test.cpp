#include "base/map_sweep.hpp"

#include <gtest/gtest.h>

#include <set>
#include <unordered_map>

namespace parley {
namespace {

std::unordered_map<int, int> numbers(int count) {
  std::unordered_map<int, int> map;
  for (int i = 0; i < count; ++i) map.emplace(i, 0);
  return map;
}

TEST(MapSweep, VisitsEachElementOnceARound) {
  for (const std::size_t most : {0U, 1U, 7U, 1'000'000U}) {
    auto map = numbers(1'000);
    MapSweep sweep;
    for (int round = 1; round <= 2; ++round) {
      std::size_t steps = 1;
      while (!sweep.step(map, most, [](auto& one) { return ++one.second < 0; })) ++steps;
      EXPECT_LE(steps, map.bucket_count());
      for (const auto& [number, times] : map) EXPECT_EQ(times, round) << number;
    }
  }
}

TEST(MapSweep, ErasesWhatIsOver) {
  auto map = numbers(1'000);
  MapSweep sweep;
  while (!sweep.step(map, 10, [](const auto& one) { return one.first % 3 != 0; })) {
  }
  EXPECT_EQ(map.size(), 334U);
  for (const auto& [number, times] : map) EXPECT_EQ(number % 3, 0);
}

TEST(MapSweep, LeavesNothingOutWhenTheMapGrowsOrShrinksMeanwhile) {
  auto map = numbers(500);
  MapSweep sweep;
  std::set<int> visited;
  for (int i = 0; !sweep.step(map, 20, [&](const auto& one) { return visited.insert(one.first).second && false; });
       ++i) {
    map.emplace(1'000 + i, 0);
    if (i == 10) map.rehash(10'000);
    if (i % 2 == 0) map.erase(499 - i / 2);
    ASSERT_LT(i, 2'000);
  }
  for (const auto& [number, times] : map) EXPECT_TRUE(number >= 500 || visited.contains(number)) << number;
}

TEST(MapSweep, EndsARoundOfAnEmptyMap) {
  std::unordered_map<int, int> map;
  MapSweep sweep;
  EXPECT_TRUE(sweep.step(map, 5, [](const auto&) { return true; }));
}

}  // namespace
}  // namespace parley
