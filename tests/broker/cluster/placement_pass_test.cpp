#include "broker/cluster/placement_pass.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "broker/replication/error.hpp"

namespace parley::cluster {
namespace {

using namespace std::chrono_literals;

/// Slots whose changes are committed at once, unless they are refused.
class Slots final : public SlotCare {
 public:
  Slots(NodeId self, std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) {
      list.push_back({.slot = {i}, .term = {1}, .leader = self, .replicas = {{self}, {}}, .leading = true});
    }
  }
  std::vector<SlotReport> slots() override { return list; }
  Result<void> change_replicas(Slot slot, const replication::ReplicaChange& change) override {
    if (refusing) return replication::ReplicationError::NoMajority;
    PARLEY_TRY(list[slot.value].replicas, replication::apply(change, list[slot.value].replicas));
    return {};
  }
  Result<void> transfer_leadership(Slot slot, NodeId to) override {
    list[slot.value].leading = false;
    list[slot.value].leader = to;
    return {};
  }

  std::vector<SlotReport> list;
  bool refusing = false;
};

Placement three_nodes() {
  return Placement({}, {1},
                   {{.node = {1}, .reachable = true, .since = 1h},
                    {.node = {2}, .reachable = true, .since = 1h},
                    {.node = {3}, .reachable = true, .since = 1h}});
}

std::size_t with_learners(const Slots& slots) {
  return static_cast<std::size_t>(
      std::ranges::count_if(slots.list, [](const SlotReport& slot) { return !slot.replicas.learners.empty(); }));
}

TEST(PlacementPass, SpreadsSlotsAFewAtATime) {
  Slots slots({1}, 64);
  const Placement placement = three_nodes();
  int passes = 0;
  for (; run_placement(placement, 8, slots).waiting != 0; ++passes) {
    ASSERT_LE(with_learners(slots), 8U);
    ASSERT_LT(passes, 200);
  }
  for (const SlotReport& slot : slots.list) {
    EXPECT_EQ(slot.replicas.voters.size(), 3U);
    EXPECT_EQ(slot.leader, placement.desired(slot.slot).front());
  }
}

TEST(PlacementPass, WaitsForWhatIsUnderWayAndWhatIsRefused) {
  Slots slots({1}, 2);
  slots.list[0].settled = false;
  slots.refusing = true;
  auto pass = run_placement(three_nodes(), 8, slots);
  EXPECT_EQ(pass.steps, 0U);
  EXPECT_EQ(pass.waiting, 2U);
  slots.refusing = false;
  pass = run_placement(three_nodes(), 8, slots);
  EXPECT_EQ(pass.steps, 1U);
  EXPECT_TRUE(slots.list[0].replicas.learners.empty());
}

TEST(PlacementPass, CountsWhatALeavingNodeHasToHandOver) {
  const auto view = [](std::uint64_t id) {
    return NodeView{.node = {id}, .reachable = true, .since = 1h, .leaving = id == 1};
  };
  const Placement placement({}, {1}, {view(1), view(2), view(3)});
  Slots slots({1}, 20);
  for (SlotReport& slot : slots.list) slot.replicas.voters = {{1}, {2}, {3}};
  EXPECT_EQ(run_placement(placement, 8, slots).to_hand_over, 20U);
  EXPECT_EQ(run_placement(placement, 8, slots).to_hand_over, 12U);
  EXPECT_EQ(run_placement(placement, 8, slots).to_hand_over, 4U);
  const auto last = run_placement(placement, 8, slots);
  EXPECT_TRUE(last.leaving);
  EXPECT_EQ(last.to_hand_over, 0U);
}

TEST(PlacementPass, LeavesSlotsOfOthersAlone) {
  Slots slots({1}, 2);
  for (SlotReport& slot : slots.list) slot.leading = false;
  const auto pass = run_placement(three_nodes(), 8, slots);
  EXPECT_EQ(pass.waiting, 0U);
  EXPECT_EQ(pass.slots.size(), 2U);
}

/// Whether a node that was removed may come again with an empty directory.
TEST(CountedOn, IsWhoIsInASlotAsItsLeaderKnowsIt) {
  const NodeId self{1};
  const auto led = [](std::vector<NodeId> voters, std::vector<NodeId> learners = {}) {
    return SlotReport{.leader = {1}, .replicas = {std::move(voters), std::move(learners)}, .leading = true};
  };
  const auto followed = [](NodeId leader, std::vector<NodeId> voters) {
    return SlotReport{.leader = leader, .replicas = {std::move(voters), {}}};
  };
  EXPECT_EQ(counted_on({led({{1}, {2}}), led({{1}}, {{4}}), followed({2}, {{1}, {2}, {3}})}, self, {}),
            (std::set<NodeId>{{1}, {2}, {4}}));
  EXPECT_EQ(counted_on({led({{1}}), followed({}, {{1}, {2}, {3}})}, self, {}), std::nullopt)
      << "it may soon lead that, too";
  EXPECT_EQ(counted_on({followed(self, {{1}, {2}, {3}})}, self, {}), std::nullopt) << "or does already";
  EXPECT_EQ(counted_on({followed({3}, {{1}, {2}, {3}})}, self, {{3}}), std::nullopt) << "its leader is gone";
  EXPECT_EQ(counted_on({followed({}, {{2}, {3}}), followed({}, {})}, self, {}), std::set<NodeId>())
      << "no business of its own";
  SlotReport changing = led({{1}, {2}});
  changing.settled = false;
  EXPECT_EQ(counted_on({changing}, self, {}), std::nullopt);
}

}  // namespace
}  // namespace parley::cluster
