#include "bridge/rfc3339.hpp"

#include <gtest/gtest.h>

namespace parley::bridge {
namespace {

TEST(Rfc3339, TakesTheExamplesOfTheRfc) {  // RFC 3339 §5.8
  EXPECT_EQ(read_rfc3339("1985-04-12T23:20:50.52Z"), Timestamp{482'196'050'520});
  EXPECT_EQ(read_rfc3339("1996-12-19T16:39:57-08:00"), Timestamp{851'042'397'000});
  EXPECT_EQ(read_rfc3339("1990-12-31T23:59:60Z"), Timestamp{662'688'000'000});
  EXPECT_EQ(read_rfc3339("1990-12-31T15:59:60-08:00"), Timestamp{662'688'000'000});
  EXPECT_EQ(read_rfc3339("1937-01-01T12:00:27.87+00:20"), std::nullopt) << "before 1970";
}

TEST(Rfc3339, TakesLeapYearsFractionsAndOtherSpellings) {
  EXPECT_EQ(read_rfc3339("2024-02-29T00:00:00Z"), Timestamp{1'709'164'800'000});
  EXPECT_EQ(read_rfc3339("2024-02-29 00:00:00z"), Timestamp{1'709'164'800'000});
  EXPECT_EQ(read_rfc3339("2024-02-29t00:00:00.123456789Z"), Timestamp{1'709'164'800'123});
  EXPECT_EQ(read_rfc3339("1970-01-01T00:00:00Z"), Timestamp{0});
  EXPECT_EQ(read_rfc3339("9999-12-31T23:59:59.999Z"), Timestamp{253'402'300'799'999});
}

TEST(Rfc3339, RefusesEverythingElse) {
  for (const auto* text : {"",
                           "2024",
                           "2024-02-29",
                           "2024-02-30T00:00:00Z",
                           "2023-02-29T00:00:00Z",
                           "2024-13-01T00:00:00Z",
                           "2024-00-01T00:00:00Z",
                           "2024-01-00T00:00:00Z",
                           "2024-01-01T24:00:00Z",
                           "2024-01-01T00:60:00Z",
                           "2024-01-01T00:00:61Z",
                           "2024-01-01T00:00:00",
                           "2024-01-01T00:00:00.Z",
                           "2024-01-01T00:00:00+1",
                           "2024-01-01T00:00:00+24:00",
                           "2024-01-01T00:00:00Zx",
                           "24-01-01T00:00:00Z",
                           "2024-1-01T00:00:00Z",
                           "1969-12-31T23:59:59Z",
                           "1970-01-01T00:00:00+00:01"}) {
    EXPECT_EQ(read_rfc3339(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace parley::bridge
