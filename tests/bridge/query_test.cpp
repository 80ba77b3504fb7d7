#include "bridge/query.hpp"

#include <gtest/gtest.h>

namespace parley::bridge {
namespace {

HistoryQuery accepted(std::string_view text) {
  const auto read = read_history_query(text);
  EXPECT_TRUE(std::holds_alternative<HistoryQuery>(read)) << text;
  return std::holds_alternative<HistoryQuery>(read) ? std::get<HistoryQuery>(read) : HistoryQuery{};
}

TEST(HistoryQuery, HasDefaults) {
  for (const auto* text : {"", "&", "&&"}) {
    const auto query = accepted(text);
    EXPECT_EQ(query.limit, 50U);
    EXPECT_FALSE(query.before || query.after || query.cursor || query.epoch);
    EXPECT_EQ(query.wait, 0U);
  }
}

TEST(HistoryQuery, TakesPositionsInThreeForms) {
  EXPECT_EQ(accepted("after=seq:17").after, Position(Seq{17}));
  EXPECT_EQ(accepted("before=seq%3A17").before, Position(Seq{17}));
  EXPECT_EQ(accepted("before=1700000000000").before, Position(Timestamp{1'700'000'000'000}));
  EXPECT_EQ(accepted("before=2023-11-14T22:13:20Z").before, Position(Timestamp{1'700'000'000'000}));
  EXPECT_EQ(accepted("after=2023-11-15T00:13:20.5+02:00").after, Position(Timestamp{1'700'000'000'500}));
}

TEST(HistoryQuery, TakesLimitsAndWaits) {
  EXPECT_EQ(accepted("limit=1").limit, 1U);
  EXPECT_EQ(accepted("limit=1000").limit, 1'000U);
  EXPECT_EQ(accepted("after=seq:0&wait=60").wait, 60U);
  EXPECT_EQ(accepted("epoch=18446744073709551615").epoch, Epoch{UINT64_MAX});
}

TEST(HistoryQuery, TakesACursorInsteadOfPositions) {
  Cursor cursor;
  cursor.direction = PageDirection::Ascending;
  cursor.edge = {5};
  cursor.epoch = {99};
  const auto text = "cursor=" + cursor.encode();
  EXPECT_EQ(accepted(text).cursor, cursor);
  EXPECT_EQ(accepted(text + "&wait=3&limit=7").wait, 3U);
}

TEST(HistoryQuery, NamesTheWrongParameter) {
  Cursor descending;
  const std::string cursor = "cursor=" + descending.encode();
  struct Case {
    std::string text;
    std::string_view parameter;
  };
  const Case cases[] = {{"limit=0", "limit"},
                        {"limit=1001", "limit"},
                        {"limit=", "limit"},
                        {"limit", "limit"},
                        {"limit=5x", "limit"},
                        {"limit=-1", "limit"},
                        {"limit=99999999999999999999", "limit"},
                        {"limit=5&limit=6", "limit"},
                        {"before=seq:", "before"},
                        {"before=seq:-1", "before"},
                        {"before=yesterday", "before"},
                        {"before=2023-13-01T00:00:00Z", "before"},
                        {"after=seq:1.5", "after"},
                        {"cursor=abc", "cursor"},
                        {"cursor=", "cursor"},
                        {cursor + "&before=seq:1", "cursor"},
                        {cursor + "&wait=1", "wait"},
                        {"wait=1", "wait"},
                        {"before=seq:5&wait=1", "wait"},
                        {"after=seq:5&wait=61", "wait"},
                        {"epoch=x", "epoch"},
                        {"offset=3", "offset"},
                        {"limit=%zz", "query"}};
  for (const auto& wrong : cases) {
    const auto read = read_history_query(wrong.text);
    ASSERT_TRUE(std::holds_alternative<ProblemDetails>(read)) << wrong.text;
    const auto& problem = std::get<ProblemDetails>(read);
    EXPECT_EQ(problem.problem, Problem::InvalidParameter);
    ASSERT_EQ(problem.members.size(), 1U);
    EXPECT_EQ(problem.members[0].second, '"' + std::string(wrong.parameter) + '"') << wrong.text;
    EXPECT_TRUE(problem.detail.ends_with('.')) << problem.detail;
  }
}

TEST(StreamQuery, TakesOnlyAPosition) {
  EXPECT_TRUE(std::holds_alternative<HistoryQuery>(read_stream_query("after=seq:4&epoch=3")));
  EXPECT_TRUE(std::holds_alternative<ProblemDetails>(read_stream_query("limit=4")));
  EXPECT_TRUE(std::holds_alternative<ProblemDetails>(read_stream_query("before=seq:4")));
}

}  // namespace
}  // namespace parley::bridge
