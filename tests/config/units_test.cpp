#include "config/units.hpp"

#include <gtest/gtest.h>

namespace parley::config {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(Durations, AreReadWithTheirUnit) {
  struct Case {
    std::string_view text;
    Duration duration;
  };
  const Case cases[] = {{"0", Duration::zero()},   {"0s", Duration::zero()}, {"250ms", milliseconds(250)},
                        {"10s", seconds(10)},      {"5m", seconds(300)},     {"24h", hours(24)},
                        {"365d", hours(24 * 365)}, {"7us", Duration(7'000)}, {"3ns", Duration(3)}};
  for (const auto& [text, duration] : cases) {
    const auto read = read_duration(text);
    ASSERT_TRUE(read) << text;
    EXPECT_EQ(*read, duration) << text;
    EXPECT_EQ(read_duration(write_duration(*read)), *read) << text;
  }
}

TEST(Durations, AreNothingWithoutUnitOrOutOfRange) {
  for (const char* text :
       {"", "10", "s", "-1s", "1.5s", "10 s", "10S", "1w", "9223372036854775807s", "99999999999999999999s"}) {
    EXPECT_FALSE(read_duration(text)) << text;
  }
}

TEST(Sizes, StepBy1024) {
  struct Case {
    std::string_view text;
    std::uint64_t size;
  };
  const Case cases[] = {{"0", 0},
                        {"512", 512},
                        {"512B", 512},
                        {"64KB", 65'536},
                        {"64KiB", 65'536},
                        {"2MB", 2'097'152},
                        {"10GB", 10'737'418'240},
                        {"1TB", 1'099'511'627'776}};
  for (const auto& [text, size] : cases) {
    const auto read = read_size(text);
    ASSERT_TRUE(read) << text;
    EXPECT_EQ(*read, size) << text;
    EXPECT_EQ(read_size(write_size(*read)), *read) << text;
  }
}

TEST(Sizes, AreNothingElse) {
  for (const char* text : {"", "MB", "-1", "2 MB", "2mb", "0x10", "8388608TB", "18446744073709551616"}) {
    EXPECT_FALSE(read_size(text)) << text;
  }
}

}  // namespace
}  // namespace parley::config
