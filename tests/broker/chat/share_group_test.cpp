#include "broker/chat/share_group.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace parley::chat {
namespace {

using Grant = ShareGroup::Grant;
using Pairs = std::vector<std::pair<std::uint64_t, std::uint64_t>>;

Pairs hand_out(ShareGroup& group, std::uint64_t head) {
  std::vector<Grant> grants;
  group.hand_out(Seq{head}, grants);
  Pairs pairs;
  for (const Grant& grant : grants) pairs.emplace_back(grant.member, grant.seq.value);
  return pairs;
}

void add(ShareGroup& group, std::uint64_t member, std::size_t window = 10, std::uint64_t from = 1,
         const std::vector<Seq>& held = {}, std::uint64_t head = 1000) {
  group.add(member, window, Seq{from}, held, Seq{head});
}

TEST(ShareGroup, HandsOutInTurn) {
  ShareGroup group(Seq{10});
  add(group, 1);
  add(group, 2);
  add(group, 3);
  EXPECT_EQ(hand_out(group, 14), (Pairs{{1, 11}, {2, 12}, {3, 13}, {1, 14}}));
  EXPECT_EQ(hand_out(group, 14), Pairs{});
  EXPECT_EQ(hand_out(group, 15), (Pairs{{2, 15}}));
}

TEST(ShareGroup, TheCursorIsBelowWhatIsUnderWay) {
  ShareGroup group(Seq{0});
  add(group, 1);
  add(group, 2);
  hand_out(group, 4);  // 1 has 1 and 3, 2 has 2 and 4.
  EXPECT_EQ(group.cursor(), Seq{0});
  group.acknowledged(2, Seq{2});
  group.acknowledged(1, Seq{3});
  EXPECT_EQ(group.cursor(), Seq{0});
  group.acknowledged(2, Seq{1});
  EXPECT_EQ(group.cursor(), Seq{0}) << "another member's";
  group.acknowledged(1, Seq{1});
  EXPECT_EQ(group.cursor(), Seq{3});
  group.acknowledged(2, Seq{4});
  EXPECT_EQ(group.cursor(), Seq{4});
  EXPECT_EQ(group.open(), 0U);
}

TEST(ShareGroup, WhoHasNoRoomDoesNotHoldUpOthers) {
  ShareGroup group(Seq{0});
  add(group, 1, 1);
  add(group, 2, 3);
  EXPECT_EQ(hand_out(group, 10), (Pairs{{1, 1}, {2, 2}, {2, 3}, {2, 4}}));
  group.acknowledged(2, Seq{3});
  EXPECT_EQ(hand_out(group, 10), (Pairs{{2, 5}}));
  group.acknowledged(1, Seq{1});
  group.acknowledged(2, Seq{5});
  EXPECT_EQ(hand_out(group, 10), (Pairs{{1, 6}, {2, 7}}));
  EXPECT_EQ(group.cursor(), Seq{1});
}

TEST(ShareGroup, WhatAMemberLeavesIsForOthersFirst) {
  ShareGroup group(Seq{0});
  add(group, 1, 2);
  add(group, 2, 2);
  hand_out(group, 9);
  group.acknowledged(1, Seq{1});
  group.remove(1);
  group.acknowledged(1, Seq{3});
  EXPECT_EQ(group.cursor(), Seq{1}) << "who has gone acknowledges nothing";
  group.acknowledged(2, Seq{2});
  EXPECT_EQ(hand_out(group, 9), (Pairs{{2, 3}}));
  EXPECT_EQ(group.cursor(), Seq{2});
  group.remove(2);
  EXPECT_TRUE(group.empty());
  EXPECT_EQ(hand_out(group, 9), Pairs{});
  add(group, 3, 10);
  EXPECT_EQ(hand_out(group, 6), (Pairs{{3, 3}, {3, 4}, {3, 5}, {3, 6}}));
}

TEST(ShareGroup, NobodyGetsWhatCameBeforeItsJoining) {
  ShareGroup group(Seq{0});
  add(group, 1, 10, 4);
  EXPECT_EQ(hand_out(group, 3), Pairs{});
  EXPECT_EQ(hand_out(group, 5), (Pairs{{1, 4}, {1, 5}}));
  group.acknowledged(1, Seq{4});
  group.acknowledged(1, Seq{5});
  EXPECT_EQ(group.cursor(), Seq{0}) << "it waits for somebody who may see it";
  add(group, 2, 10, 2);
  EXPECT_EQ(hand_out(group, 6), (Pairs{{2, 2}, {1, 6}, {2, 3}}));
  EXPECT_EQ(group.cursor(), Seq{0});
  group.begin_at(Seq{2});
  EXPECT_EQ(group.cursor(), Seq{1}) << "retention has taken it";
}

TEST(ShareGroup, RetentionMovesItForward) {
  ShareGroup group(Seq{3});
  group.begin_at(Seq{9});
  EXPECT_EQ(group.cursor(), Seq{8});
  group.begin_at(Seq{5});
  EXPECT_EQ(group.cursor(), Seq{8});
  add(group, 1);
  EXPECT_EQ(hand_out(group, 9), (Pairs{{1, 9}}));
}

TEST(ShareGroup, AMemberKeepsWhatItHasFromBefore) {
  ShareGroup group(Seq{5});
  add(group, 1, 10, 1, {Seq{4}, Seq{7}, Seq{9}}, 9);  // 4 is done.
  EXPECT_EQ(group.open(), 4U) << "7 and 9 are under way, 6 and 8 wait";
  add(group, 2, 10, 1, {Seq{7}, Seq{8}}, 9);  // 7 is the other's.
  EXPECT_EQ(hand_out(group, 10), (Pairs{{1, 6}, {2, 10}}));
  group.acknowledged(2, Seq{7});
  group.acknowledged(1, Seq{6});
  EXPECT_EQ(group.cursor(), Seq{6});
  group.acknowledged(1, Seq{7});
  group.acknowledged(2, Seq{8});
  EXPECT_EQ(group.cursor(), Seq{8});
  add(group, 3, 10, 1, {Seq{~std::uint64_t{0}}}, 9);
  EXPECT_EQ(group.open(), 2U) << "nothing beyond the head";
}

TEST(ShareGroup, WhoCanNotBeReachedIsPassedOver) {
  ShareGroup group(Seq{0});
  add(group, 1, 2);
  add(group, 2, 2);
  hand_out(group, 4);
  group.pause(1);
  EXPECT_EQ(hand_out(group, 6), Pairs{});
  group.acknowledged(1, Seq{1});
  EXPECT_EQ(group.cursor(), Seq{1}) << "nobody else had it";
  group.acknowledged(2, Seq{2});
  EXPECT_EQ(hand_out(group, 6), (Pairs{{2, 3}}));
  group.acknowledged(1, Seq{3});
  EXPECT_EQ(group.cursor(), Seq{2}) << "the other one has it now";
  group.go_on(1, 2);
  EXPECT_EQ(hand_out(group, 6), (Pairs{{1, 5}, {1, 6}}));
}

TEST(ShareGroup, NobodyWaitsForWhatIsNotForThem) {
  ShareGroup group(Seq{0});
  add(group, 1, 3, 40'000);
  EXPECT_EQ(hand_out(group, 50'000), (Pairs{{1, 40'000}, {1, 40'001}, {1, 40'002}}));
  EXPECT_EQ(group.open(), 4U) << "what waits is one stretch";
  add(group, 2, 2);
  EXPECT_EQ(hand_out(group, 50'000), (Pairs{{2, 1}, {2, 2}}));
  group.acknowledged(2, Seq{1});
  EXPECT_EQ(group.cursor(), Seq{1});
  // It can't be reached, so what it has waits again, and what it says of that counts.
  group.pause(2);
  group.acknowledged(2, Seq{2});
  EXPECT_EQ(group.cursor(), Seq{2});
  add(group, 3, 4, 39'998);
  EXPECT_EQ(hand_out(group, 50'000), (Pairs{{3, 39'998}, {3, 39'999}, {3, 40'003}, {3, 40'004}}));
  group.remove(1);
  add(group, 4, 10, 39'990);
  EXPECT_EQ(hand_out(group, 39'999), (Pairs{{4, 39'990},
                                            {4, 39'991},
                                            {4, 39'992},
                                            {4, 39'993},
                                            {4, 39'994},
                                            {4, 39'995},
                                            {4, 39'996},
                                            {4, 39'997},
                                            {4, 40'000},
                                            {4, 40'001}}));
  group.begin_at(Seq{30'000});
  EXPECT_EQ(group.cursor(), Seq{29'999});
  group.begin_at(Seq{45'000});
  EXPECT_EQ(group.cursor(), Seq{39'989}) << "what is under way is its member's";
}

TEST(ShareGroup, WhatIsOpenIsBounded) {
  ShareGroup group(Seq{0});
  add(group, 1, 1'000'000);
  EXPECT_EQ(hand_out(group, 50'000).size(), ShareGroup::kOpenMax);
  add(group, 2, 10, 40'000);
  EXPECT_EQ(hand_out(group, 50'000), Pairs{}) << "so much is under way";
  group.remove(1);
  EXPECT_EQ(hand_out(group, 50'000).size(), 10U) << "what was given back waits for somebody else";
  group.remove(2);
  // As many stretches as there may be: what is acknowledged is every other one.
  ShareGroup holes(Seq{0});
  add(holes, 1, 1'000'000);
  for (std::uint64_t round = 0; round < 3; ++round) {
    for (const auto& [id, seq] : hand_out(holes, 50'000)) {
      if (seq % 2 == 0) holes.acknowledged(1, Seq{seq});
    }
  }
  holes.remove(1);
  const std::size_t stretches = holes.open();
  EXPECT_GT(stretches, ShareGroup::kOpenMax / 2);
  EXPECT_LE(stretches, ShareGroup::kOpenMax);
  add(holes, 2, 1'000'000);
  EXPECT_EQ(hand_out(holes, 50'000).size(), ShareGroup::kOpenMax);
}

/// Against a list of what every entry's state is.
class Model {
 public:
  explicit Model(std::uint64_t cursor) : cursor_(cursor) {}

  std::map<std::uint64_t, std::uint64_t> under_way;  ///< Entry to member.
  std::set<std::uint64_t> done;

  [[nodiscard]] std::uint64_t cursor() const {
    std::uint64_t at = cursor_;
    while (done.contains(at + 1)) ++at;
    return at;
  }

 private:
  std::uint64_t cursor_;
};

TEST(ShareGroupModel, EachEntryIsDoneOnceAndNoneIsSkipped) {
  for (unsigned seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 dice(seed);
    const auto roll = [&](std::uint64_t sides) { return std::uint64_t{dice()} % sides; };
    const std::uint64_t begin = roll(5);
    ShareGroup group(Seq{begin});
    Model model(begin);
    std::uint64_t head = begin;
    std::uint64_t next_id = 1;
    std::map<std::uint64_t, std::size_t> windows;
    std::map<std::uint64_t, std::uint64_t> froms;
    std::uint64_t lowest_from = 1;
    const auto some_member = [&] { return std::next(windows.begin(), static_cast<long>(roll(windows.size())))->first; };
    const auto let_go = [&](std::uint64_t id) {
      std::erase_if(model.under_way, [&](const auto& one) { return one.second == id; });
    };
    for (int step = 0; step < 400; ++step) {
      switch (roll(8)) {
        case 0:
          if (windows.size() < 5) {
            const std::size_t window = 1 + roll(6);
            const std::uint64_t from = roll(4) == 0 ? 1 + roll(head + 2) : lowest_from;
            add(group, next_id, window, from);
            froms[next_id] = from;
            windows[next_id++] = window;
          }
          break;
        case 1:
          if (!windows.empty() && roll(2) == 0) {
            const std::uint64_t id = some_member();
            group.remove(id);
            windows.erase(id);
            let_go(id);
          }
          break;
        case 2: head += roll(6); break;
        default:
          if (!model.under_way.empty()) {
            const auto one = *std::next(model.under_way.begin(), static_cast<long>(roll(model.under_way.size())));
            group.acknowledged(one.second, Seq{one.first});
            ASSERT_TRUE(model.done.insert(one.first).second);
            model.under_way.erase(one.first);
          }
          break;
      }
      std::map<std::uint64_t, std::uint64_t> last_new;
      for (const auto& [id, seq] : hand_out(group, head)) {
        ASSERT_GT(seq, begin);
        ASSERT_LE(seq, head);
        ASSERT_FALSE(model.done.contains(seq)) << "twice: " << seq;
        ASSERT_TRUE(model.under_way.emplace(seq, id).second) << "to two: " << seq;
        ASSERT_GE(seq, froms[id]);
        // What one member gets in one go ascends.
        ASSERT_LT(last_new[id], seq);
        last_new[id] = seq;
      }
      std::map<std::uint64_t, std::size_t> has;
      for (const auto& [seq, id] : model.under_way) ++has[id];
      for (const auto& [id, count] : has) ASSERT_LE(count, windows.at(id));
      // Nothing waits for which somebody has room.
      for (const auto& [id, window] : windows) {
        if (has[id] >= window) continue;
        for (std::uint64_t seq = std::max(begin + 1, froms[id]); seq <= head; ++seq) {
          ASSERT_TRUE(model.done.contains(seq) || model.under_way.contains(seq)) << seq << " waits for " << id;
        }
      }
      ASSERT_EQ(group.cursor().value, model.cursor());
    }
  }
}

}  // namespace
}  // namespace parley::chat
