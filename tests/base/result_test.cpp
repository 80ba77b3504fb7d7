#include "base/result.hpp"

#include <gtest/gtest.h>

#include <boost/system/errc.hpp>
#include <boost/system/system_error.hpp>

#include <memory>
#include <string>

namespace parley {
namespace {

namespace errc = boost::system::errc;

Result<int> half_of(int number) {
  if (number % 2 != 0) return errc::make_error_code(errc::invalid_argument);
  return number / 2;
}

Result<int> quarter_of(int number) {
  PARLEY_TRY(const int half, half_of(number));
  PARLEY_TRY(const int quarter, half_of(half));
  return quarter;
}

Result<void> check_even(int number) {
  PARLEY_TRY(half_of(number));
  return {};
}

Result<std::string> described(int number) {
  PARLEY_TRY(check_even(number));
  std::string text;
  PARLEY_TRY(text, [&]() -> Result<std::string> { return std::to_string(number); }());
  return text;
}

TEST(Result, HoldsAValueOrAnError) {
  const auto good = half_of(8);
  ASSERT_TRUE(good);
  EXPECT_TRUE(good.has_value());
  EXPECT_EQ(*good, 4);
  EXPECT_FALSE(good.error());
  const auto bad = half_of(7);
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error(), errc::make_error_code(errc::invalid_argument));
  EXPECT_THROW((void)bad.value(), boost::system::system_error);
}

TEST(Result, PassesErrorsUp) {
  EXPECT_EQ(*quarter_of(12), 3);
  EXPECT_FALSE(quarter_of(6));
  EXPECT_FALSE(quarter_of(3));
  EXPECT_TRUE(check_even(2));
  EXPECT_EQ(check_even(3).error(), errc::make_error_code(errc::invalid_argument));
  EXPECT_EQ(*described(4), "4");
  EXPECT_FALSE(described(5));
}

TEST(Result, MovesWhatItHolds) {
  Result<std::unique_ptr<int>> result(std::make_unique<int>(5));
  const std::unique_ptr<int> taken = *std::move(result);
  EXPECT_EQ(*taken, 5);
}

TEST(ResultOfNothing, IsGoodUnlessItSaysOtherwise) {
  EXPECT_TRUE(Result<void>());
  EXPECT_TRUE(Result<void>().has_value());
  EXPECT_FALSE(Result<void>(errc::make_error_code(errc::io_error)));
}

}  // namespace
}  // namespace parley
