#include "broker/chat/conversation.hpp"

#include <gtest/gtest.h>

#include <random>

namespace parley::chat {
namespace {

constexpr Timestamp kNow{1'700'000'000'000};

EntryDraft draft(std::string_view from, std::string_view id, bool from_client = true) {
  return {.from = from, .id = id, .id_from_client = from_client};
}

Conversation conversation(std::uint64_t head = 0, Timestamp last_ts = {}) {
  return Conversation({.name = "x", .head = {head}, .last_ts = last_ts});
}

TEST(Conversation, GivesDenseSeqsFromTheHeadOn) {
  auto one = conversation(41);
  for (std::uint64_t seq = 42; seq < 50; ++seq) EXPECT_EQ(one.propose(draft("u", "i", false), kNow).seq, Seq{seq});
  EXPECT_EQ(one.head(), Seq{41});
  EXPECT_EQ(one.tip(), Seq{49});
  EXPECT_FALSE(one.idle());
}

TEST(Conversation, NeverLetsTsFall) {
  auto one = conversation(1, kNow);
  const auto at = [&](std::int64_t offset) {
    return one.propose(draft("u", "i", false),
                       {static_cast<std::uint64_t>(static_cast<std::int64_t>(kNow.milliseconds) + offset)})
               .ts.milliseconds -
           kNow.milliseconds;
  };
  EXPECT_EQ(at(-5'000), 0U);
  EXPECT_EQ(at(10), 10U);
  EXPECT_EQ(at(3), 10U);
  EXPECT_EQ(at(10), 10U);
  EXPECT_EQ(at(11), 11U);
}

TEST(Conversation, CommitsInOrder) {
  auto one = conversation();
  const auto first = one.propose(draft("u", "a", false), kNow);
  const auto second = one.propose(draft("u", "b", false), kNow);
  one.committed(first.seq, first.ts);
  EXPECT_EQ(one.head(), Seq{1});
  EXPECT_EQ(one.state().last_ts, kNow);
  EXPECT_FALSE(one.idle());
  one.committed(second.seq, second.ts);
  EXPECT_EQ(one.head(), Seq{2});
  EXPECT_TRUE(one.idle());
}

TEST(ConversationDeathTest, StopsRatherThanCommitWhatWasNotProposed) {
  auto one = conversation(5);
  one.propose(draft("u", "a"), kNow);
  EXPECT_DEATH(one.committed({7}, kNow), "not proposed");
  EXPECT_DEATH(one.committed({5}, kNow), "not proposed");
}

TEST(Conversation, GivesRolledBackPlacesAgain) {
  auto one = conversation();
  const auto kept = one.propose(draft("u", "kept"), kNow);
  one.propose(draft("u", "lost"), {kNow.milliseconds + 50});
  one.propose(draft("u", "lost too"), {kNow.milliseconds + 60});
  one.committed(kept.seq, kept.ts);
  one.rolled_back();
  EXPECT_EQ(one.tip(), Seq{1});
  EXPECT_TRUE(one.recent_use("u", "kept"));
  EXPECT_FALSE(one.recent_use("u", "lost"));
  EXPECT_FALSE(one.recent_use("u", "lost too"));
  const auto again = one.propose(draft("u", "lost"), {kNow.milliseconds + 1});
  EXPECT_EQ(again.seq, Seq{2});
  EXPECT_EQ(again.ts.milliseconds, kNow.milliseconds + 1);
}

TEST(Conversation, RemembersIdsOfClientsOnly) {
  auto one = conversation();
  const auto place = one.propose(draft("ann", "id"), kNow);
  one.propose(draft("bob", "made-up", false), kNow);
  EXPECT_EQ(one.recent_use("ann", "id"), (FirstUse{place.seq, place.ts}));
  EXPECT_EQ(one.recent_use("bob", "id"), std::nullopt);
  EXPECT_EQ(one.recent_use("ann", "other"), std::nullopt);
  EXPECT_EQ(one.recent_use("bob", "made-up"), std::nullopt);
}

TEST(Conversation, KeepsUserAndIdApart) {
  auto one = conversation();
  one.propose(draft("ab", "c"), kNow);
  EXPECT_FALSE(one.recent_use("a", "bc"));
  EXPECT_FALSE(one.recent_use("abc", ""));
}

TEST(Conversation, ForgetsWhatStorageKnows) {
  auto one = conversation();
  const auto place = one.propose(draft("u", "i"), kNow);
  one.committed(place.seq, place.ts);
  EXPECT_FALSE(one.idle());
  one.forget("u", "i");
  EXPECT_FALSE(one.recent_use("u", "i"));
  EXPECT_TRUE(one.idle());
  one.forget("u", "i");
}

TEST(Conversation, RemembersTheLatestUseOfAnId) {
  auto one = conversation(10, kNow);
  one.remember("u", "i", {{3}, {5}});
  one.remember("u", "i", {{9}, {6}});
  EXPECT_EQ(one.recent_use("u", "i"), (FirstUse{{9}, {6}}));
  const auto place = one.propose(draft("u", "i"), kNow);
  EXPECT_EQ(one.recent_use("u", "i"), (FirstUse{place.seq, place.ts}));
}

struct WindowCase {
  std::string_view what;
  std::uint64_t head;
  std::uint64_t seq;
  std::uint64_t age;  ///< Milliseconds.
  bool remembered;
};
constexpr std::uint64_t kDay = 24ULL * 60 * 60 * 1000;
constexpr WindowCase kWindows[] = {
    {"new and near", 10, 10, 0, true},
    {"old and near", 10, 1, 100 * kDay, true},
    {"the thousandth entry back", 1'000, 1, 100 * kDay, true},
    {"beyond both", 1'001, 1, 100 * kDay, false},
    {"far and a day old", 50'000, 1, kDay, false},
    {"far and just within the day", 50'000, 1, kDay - 1, true},
    {"of a clock that went back", 50'000, 1, 0, true},
};

TEST(Conversation, RemembersForADayOrAThousandEntriesWhicheverIsLonger) {
  for (const WindowCase& one : kWindows) {
    const auto chat = conversation(one.head, kNow);
    EXPECT_EQ(chat.still_remembered({{one.seq}, {kNow.milliseconds - one.age}}, kNow), one.remembered) << one.what;
  }
}

TEST(Conversation, KeepsItsPromisesWhateverHappens) {
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    std::mt19937_64 random(seed);
    auto one = conversation();
    std::vector<Conversation::Place> proposed;
    Timestamp last;
    Seq head;
    std::uint64_t clock = 1'000'000;
    for (int step = 0; step < 200; ++step) {
      clock = clock + random() % 50 - 20;
      switch (random() % 5) {
        case 0:
        case 1: proposed.push_back(one.propose(draft("u", std::to_string(step)), {clock})); break;
        case 2:
        case 3:
          if (proposed.empty()) break;
          ASSERT_EQ(proposed[0].seq, head.next());
          ASSERT_GE(proposed[0].ts, last);
          head = proposed[0].seq;
          last = proposed[0].ts;
          one.committed(head, last);
          proposed.erase(proposed.begin());
          break;
        default: one.rolled_back(); proposed.clear();
      }
      ASSERT_EQ(one.head(), head);
      ASSERT_EQ(one.tip().value, head.value + proposed.size());
    }
  }
}

}  // namespace
}  // namespace parley::chat
