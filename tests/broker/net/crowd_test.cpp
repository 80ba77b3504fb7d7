#include "broker/net/crowd.hpp"

#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace parley::net {
namespace {

TEST(Crowd, CountsThoseOfOneName) {
  Crowd<CountedPlace::Count> crowd;
  CountedPlace first(crowd.join("a"));
  CountedPlace other(crowd.join("b"));
  {
    CountedPlace second(crowd.join("a"));
    EXPECT_EQ(second.count(), 2U);
    const CountedPlace moved(std::move(second));
    EXPECT_EQ(moved.count(), 2U);
    EXPECT_EQ(second.count(), 0U);
  }
  EXPECT_EQ(first.count(), 1U);
  EXPECT_EQ(other.count(), 1U);
  first = {};
  EXPECT_EQ(crowd.size(), 1U) << "who has gone takes no place";
}

TEST(Crowd, ForgetsNamesThatNobodyHas) {
  Crowd<CountedPlace::Count> crowd;
  for (int i = 0; i < 100'000; ++i) CountedPlace(crowd.join(std::to_string(i)));
  const CountedPlace stays(crowd.join("stays"));
  EXPECT_EQ(crowd.size(), 1U);
}

}  // namespace
}  // namespace parley::net
