#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <random>
#include <thread>

#include "tests/bridge/history_fixture.hpp"

namespace parley::bridge {
namespace {

using test::HttpReply;

/// A conversation that is walked through while it grows.
class Paging : public test::HistoryFixture {
 protected:
  static constexpr std::uint64_t kStart = 3'000;

  void SetUp() override {
    number_ = conversation("talk", kStart);
    start();
    writer_ = std::thread([this] { write(); });
  }
  void TearDown() override {
    stop_ = true;
    if (writer_.joinable()) writer_.join();
  }

  void write() {
    std::mt19937_64 random(11);
    for (std::uint64_t seq = kStart; !stop_ && seq < 20'000;) {
      const std::uint64_t last = seq + 1 + random() % 9;
      world_.say(number_, seq + 1, last);
      seq = last;
      written_ = seq;
      if (random() % 4 == 0) world_.materialise(1 + random() % 500, true);
    }
  }

  std::string path(const std::string& query) {
    const auto limit = 1 + random_() % 1'000;
    return "/v1/conversations/talk/messages?limit=" + std::to_string(limit) + "&" + query;
  }

  /// Follows `which` from `reply` on until `enough` says so or there is nothing more.
  template <class Enough>
  std::vector<std::uint64_t> walk(HttpReply reply, std::string_view which, Enough enough) {
    std::vector<std::uint64_t> seen;
    for (int pages = 0; pages < 20'000; ++pages) {
      auto page = seqs(reply);
      if (which == "prev") std::reverse(page.begin(), page.end());
      seen.insert(seen.end(), page.begin(), page.end());
      const auto next = cursor(reply, which);
      if (enough(seen) || !next) return seen;
      reply = get(path("cursor=" + *next));
    }
    ADD_FAILURE() << "paging doesn't end";
    return seen;
  }

  ConversationNumber number_;
  std::thread writer_;
  std::atomic<bool> stop_ = false;
  std::atomic<std::uint64_t> written_ = kStart;
  std::mt19937_64 random_{5};
};

TEST_F(Paging, ForwardByCursorHasNoGapAndNoDuplicate) {
  const auto seen = walk(get(path("after=seq:0")), "next", [](const auto& so_far) { return so_far.size() > 4'500; });
  EXPECT_GE(seen.size(), kStart);
  EXPECT_EQ(seen, run(1, seen.size()));
}

TEST_F(Paging, BackwardByCursorHasNoGapAndNoDuplicate) {
  for (int round = 0; round < 5; ++round) {
    auto seen = walk(get(path("")), "prev", [](const auto&) { return false; });
    std::reverse(seen.begin(), seen.end());
    EXPECT_GE(seen.size(), kStart);
    EXPECT_EQ(seen, run(1, seen.size()));
  }
}

TEST_F(Paging, BySeqHasNoGapAndNoDuplicate) {
  std::vector<std::uint64_t> seen;
  while (seen.size() < 4'000) {
    const auto page = seqs(get(path("after=seq:" + std::to_string(seen.size()))));
    seen.insert(seen.end(), page.begin(), page.end());
  }
  EXPECT_EQ(seen, run(1, seen.size()));
  for (std::uint64_t before = seen.size() + 1; before > 1;) {
    const auto page = seqs(get(path("before=seq:" + std::to_string(before))));
    ASSERT_FALSE(page.empty());
    ASSERT_EQ(page, run(page.front(), before - 1));
    before = page.front();
  }
}

TEST_F(Paging, ByTimeHasNoGapAndNoDuplicate) {
  std::vector<std::uint64_t> seen;
  std::uint64_t after = storage::test::kMorning;
  while (seen.size() < 4'000) {
    const auto reply = get(path("after=" + std::to_string(after)));
    const auto page = seqs(reply);
    seen.insert(seen.end(), page.begin(), page.end());
    if (!page.empty()) after = json(reply).at("data").as_array().back().at("ts").to_number<std::uint64_t>();
  }
  EXPECT_EQ(seen, run(1, seen.size()));
}

TEST_F(Paging, BetweenTwoPositionsStaysBetweenThem) {
  for (int round = 0; round < 50; ++round) {
    const auto after = random_() % kStart;
    const auto before = after + 1 + random_() % (kStart - after);
    const auto begin = get(path("after=seq:" + std::to_string(after) + "&before=seq:" + std::to_string(before)));
    const auto seen = walk(begin, "next", [](const auto&) { return false; });
    EXPECT_EQ(seen, run(after + 1, before - 1));
  }
}

TEST_F(Paging, ByLongPollFollowsTheWriter) {
  std::uint64_t seen = written_;
  for (int i = 0; i < 30 && written_ < 20'000; ++i) {
    const auto page = seqs(get("/v1/conversations/talk/messages?wait=10&after=seq:" + std::to_string(seen)));
    ASSERT_FALSE(page.empty());
    ASSERT_EQ(page, run(seen + 1, page.back()));
    seen = page.back();
  }
}

}  // namespace
}  // namespace parley::bridge
