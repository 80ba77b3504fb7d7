#include "broker/cluster/placement.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

namespace parley::cluster {
namespace {

using namespace std::chrono_literals;
using replication::ReplicaChange;
using replication::ReplicaSet;
using Kind = ReplicaChange::Kind;

constexpr Duration kLong = 1h;

NodeView live(std::uint64_t id) { return {.node = {id}, .reachable = true, .since = kLong}; }
NodeView dead(std::uint64_t id, Duration since = kLong) { return {.node = {id}, .reachable = false, .since = since}; }
NodeView leaving(std::uint64_t id) { return {.node = {id}, .reachable = true, .since = kLong, .leaving = true}; }
NodeView draining(std::uint64_t id) { return {.node = {id}, .reachable = true, .since = kLong, .draining = true}; }

std::string text(const std::optional<Placement::Step>& step) {
  if (!step) return "-";
  if (const auto* transfer = std::get_if<Placement::Transfer>(&*step)) {
    return "transfer " + std::to_string(transfer->to.value);
  }
  const auto& change = std::get<ReplicaChange>(*step);
  const char* const words[] = {"add ", "promote ", "demote ", "remove "};
  return words[static_cast<std::size_t>(change.kind)] + std::to_string(change.node.value);
}

std::vector<NodeId> nodes(std::initializer_list<std::uint64_t> ids) {
  std::vector<NodeId> list;
  for (const auto id : ids) list.push_back({id});
  return list;
}

/// A slot for which the nodes are wanted in this order.
Slot slot_that_wants(std::initializer_list<std::uint64_t> ids) {
  std::vector<NodeView> views;
  for (const auto id : ids) views.push_back(live(id));
  const Placement placement({.replicas = ids.size()}, {1}, views);
  for (std::uint64_t slot = 0; slot < 10'000; ++slot) {
    if (placement.desired({slot}) == nodes(ids)) return {slot};
  }
  ADD_FAILURE() << "no slot has this order";
  return {};
}

NodeView with_pin(NodeView view, Slot slot, std::uint64_t stamp) {
  view.pins[slot] = stamp;
  return view;
}

TEST(Placement, GivesASlotToWhomAnOperatorHasMovedIt) {
  const Slot slot = slot_that_wants({1, 2, 3, 4});
  const Slot other = slot_that_wants({2, 1, 3, 4});
  const auto desired = [&](const std::vector<NodeView>& views, Slot of) {
    return Placement({.replicas = 3}, {1}, views).desired(of);
  };
  EXPECT_EQ(desired({live(1), live(2), live(3), with_pin(live(4), slot, 5)}, slot), nodes({4, 1, 2}));
  EXPECT_EQ(desired({live(1), live(2), live(3), with_pin(live(4), slot, 5)}, other), nodes({2, 1, 3}));
  // The later one counts, as long as it may keep the slot.
  EXPECT_EQ(desired({live(1), with_pin(live(2), slot, 6), with_pin(live(3), slot, 5)}, slot), nodes({2, 1, 3}));
  EXPECT_EQ(desired({live(1), with_pin(draining(2), slot, 6), with_pin(live(3), slot, 5)}, slot), nodes({3, 1}));
  EXPECT_EQ(desired({live(1), live(2), with_pin(dead(3), slot, 5)}, slot), nodes({1, 2}));
  // It gets a replica first, then its vote, then it leads; then who isn't needed any more leaves.
  const std::vector<NodeView> views{live(1), live(2), live(3), with_pin(live(4), slot, 5)};
  const auto step = [&](std::uint64_t self, const ReplicaSet& replicas) {
    return text(Placement({.replicas = 3}, {self}, views).next({.slot = slot, .replicas = replicas}));
  };
  EXPECT_EQ(step(1, {nodes({1, 2, 3}), {}}), "add 4");
  EXPECT_EQ(step(1, {nodes({1, 2, 3}), nodes({4})}), "promote 4");
  EXPECT_EQ(step(1, {nodes({1, 2, 3, 4}), {}}), "transfer 4");
  EXPECT_EQ(step(4, {nodes({1, 2, 3, 4}), {}}), "remove 3");
  EXPECT_EQ(step(4, {nodes({1, 2, 4}), {}}), "-");
}

/// A transfer to it would stop the slot and fail.
TEST(Placement, HasASlotLedByNobodyWhoIsBehind) {
  const Slot slot = slot_that_wants({1, 2, 3, 4});
  const ReplicaSet all{nodes({1, 2, 3}), {}};
  const auto step = [&](std::uint64_t self, const std::vector<NodeView>& views, std::vector<NodeId> behind) {
    return text(Placement({}, {self}, views).next({.slot = slot, .replicas = all, .behind = std::move(behind)}));
  };
  const std::vector<NodeView> three{live(1), live(2), live(3)};
  EXPECT_EQ(step(2, three, {}), "transfer 1");
  EXPECT_EQ(step(2, three, nodes({1})), "-");
  EXPECT_EQ(step(3, three, nodes({1})), "transfer 2");
  EXPECT_EQ(step(1, {draining(1), live(2), live(3)}, nodes({2})), "transfer 3");
  // Who leaves has something to hand over until somebody takes it.
  EXPECT_EQ(step(1, {leaving(1), live(2), live(3)}, nodes({2, 3})), "transfer 2");
}

TEST(Placement, TakesOneStepAtATime) {
  const Slot slot = slot_that_wants({1, 2, 3, 4});
  struct Case {
    const char* what;
    std::uint64_t self;
    std::vector<NodeView> views;
    ReplicaSet replicas;
    std::string step;
  };
  const Case cases[] = {
      {"alone", 1, {live(1)}, {nodes({1}), {}}, "-"},
      {"a second node comes", 1, {live(1), live(2)}, {nodes({1}), {}}, "add 2"},
      {"and votes", 1, {live(1), live(2)}, {nodes({1}), nodes({2})}, "promote 2"},
      {"one at a time", 1, {live(1), live(2), live(3)}, {nodes({1}), nodes({2})}, "promote 2"},
      {"then the third", 1, {live(1), live(2), live(3)}, {nodes({1, 2}), {}}, "add 3"},
      {"complete", 1, {live(1), live(2), live(3)}, {nodes({1, 2, 3}), {}}, "-"},
      {"a fourth that isn't wanted", 1, {live(1), live(2), live(3), live(4)}, {nodes({1, 2, 3}), {}}, "-"},
      {"a node that was never there isn't added", 1, {live(1), dead(2, 0s)}, {nodes({1}), {}}, "-"},
      {"a learner that is away waits", 1, {live(1), dead(2, 1s)}, {nodes({1}), nodes({2})}, "-"},
      {"and goes when it is dead", 1, {live(1), dead(2)}, {nodes({1}), nodes({2})}, "remove 2"},
      {"better placed nodes lead", 2, {live(1), live(2), live(3)}, {nodes({1, 2, 3}), {}}, "transfer 1"},
      {"unless they are just back",
       2,
       {{.node = {1}, .reachable = true, .since = 1s}, live(2), live(3)},
       {nodes({1, 2, 3}), {}},
       "-"},
      {"or leaving", 2, {leaving(1), live(2), live(3)}, {nodes({1, 2, 3}), {}}, "-"},
      {"who leaves hands over", 1, {leaving(1), live(2), live(3)}, {nodes({1, 2, 3}), {}}, "transfer 2"},
      {"also to who is just back",
       1,
       {leaving(1), {.node = {2}, .reachable = true, .since = 1s}, live(3)},
       {nodes({1, 2, 3}), {}},
       "transfer 2"},
      {"before its replicas move", 1, {leaving(1), live(2), live(3), live(4)}, {nodes({1, 2, 3}), {}}, "transfer 2"},
      {"to nobody who leaves, too", 1, {leaving(1), leaving(2), live(3)}, {nodes({1, 2, 3}), {}}, "transfer 3"},
      {"and keeps it when all leave", 1, {leaving(1), leaving(2), leaving(3)}, {nodes({1, 2, 3}), {}}, "-"},
      {"or away", 2, {dead(1, 1s), live(2), live(3)}, {nodes({1, 2, 3}), {}}, "-"},
      {"a dead node keeps its place", 1, {live(1), live(2), dead(3, 1min), live(4)}, {nodes({1, 2, 3}), {}}, "-"},
      {"for a while", 1, {live(1), live(2), dead(3), live(4)}, {nodes({1, 2, 3}), {}}, "add 4"},
      {"until the next one votes", 1, {live(1), live(2), dead(3), live(4)}, {nodes({1, 2, 3, 4}), {}}, "remove 3"},
      {"or there is no next one", 1, {live(1), live(2), dead(3)}, {nodes({1, 2, 3}), {}}, "-"},
      {"a removed node goes anyhow", 1, {live(1), live(2)}, {nodes({1, 2, 3}), {}}, "remove 3"},
      {"one that drains keeps its place as well", 1, {live(1), live(2), draining(3)}, {nodes({1, 2, 3}), {}}, "-"},
      {"until there is a next one", 1, {live(1), live(2), draining(3), live(4)}, {nodes({1, 2, 3}), {}}, "add 4"},
      {"which votes", 1, {live(1), live(2), draining(3), live(4)}, {nodes({1, 2, 3, 4}), {}}, "remove 3"},
      {"a leader that drains hands over", 1, {draining(1), live(2), live(3)}, {nodes({1, 2, 3}), {}}, "transfer 2"},
      {"also to somebody who is just back",
       1,
       {draining(1), {.node = {2}, .reachable = true, .since = 0s}, live(3)},
       {nodes({1, 2, 3}), {}},
       "transfer 2"},
      {"not to somebody who is away", 1, {draining(1), dead(2, 1s), live(3)}, {nodes({1, 2, 3}), {}}, "transfer 3"},
      {"the last one stays", 1, {draining(1)}, {nodes({1}), {}}, "-"},
  };
  for (const auto& [what, self, views, replicas, step] : cases) {
    const Placement placement({}, {self}, views);
    EXPECT_EQ(text(placement.next({slot, replicas})), step) << what;
  }
}

TEST(Placement, SpreadsSlotsAndLeadershipEvenly) {
  std::vector<NodeView> views;
  for (std::uint64_t i = 1; i <= 5; ++i) views.push_back(live(node_id("node-" + std::to_string(i)).value));
  const Placement placement({}, views.front().node, views);
  std::map<NodeId, int> kept;
  std::map<NodeId, int> led;
  constexpr int kSlots = 10'000;
  for (std::uint64_t slot = 0; slot < kSlots; ++slot) {
    const auto wanted = placement.desired({slot});
    ASSERT_EQ(wanted.size(), 3U);
    ++led[wanted.front()];
    for (const NodeId node : wanted) ++kept[node];
  }
  for (const NodeView& view : views) {
    EXPECT_NEAR(led[view.node], kSlots / 5, kSlots / 50);
    EXPECT_NEAR(kept[view.node], kSlots * 3 / 5, kSlots / 50);
  }
}

TEST(Placement, MovesOnlyWhatANodeGetsOrHad) {
  std::vector<NodeView> four{live(1), live(2), live(3), live(4)};
  std::vector<NodeView> five = four;
  five.push_back(live(5));
  const Placement before({}, {1}, four);
  const Placement after({}, {1}, five);
  for (std::uint64_t slot = 0; slot < 1000; ++slot) {
    auto old_nodes = before.desired({slot});
    auto new_nodes = after.desired({slot});
    const auto taken = std::ranges::find(new_nodes, NodeId{5});
    if (taken == new_nodes.end()) {
      EXPECT_EQ(old_nodes, new_nodes);
      continue;
    }
    new_nodes.erase(taken);
    old_nodes.erase(std::ranges::find_if(
        old_nodes, [&](NodeId node) { return std::ranges::find(new_nodes, node) == new_nodes.end(); }));
    EXPECT_EQ(old_nodes, new_nodes);
  }
}

/// Nodes come, die, drain and leave at random while the leader of the moment takes the steps; once that stops, every
/// slot is where it shall be within as many steps as it has replicas to change.
TEST(Placement, ComesToRestWhereItShallBeAndNeverGivesUpAMajority) {
  std::mt19937 dice(20'261'125);
  const auto roll = [&dice](std::uint32_t sides) { return static_cast<std::uint32_t>(dice() % sides); };
  for (int round = 0; round < 300; ++round) {
    const Slot slot{roll(256)};
    const PlacementOptions options{.replicas = 1 + roll(5)};
    std::map<NodeId, NodeView> views{{NodeId{1}, live(1)}};
    ReplicaSet replicas{nodes({1}), {}};
    NodeId leader{1};
    const auto all = [&views] {
      std::vector<NodeView> list;
      for (const auto& [id, view] : views) list.push_back(view);
      return list;
    };
    const auto lives = [&views](NodeId node) { return views.contains(node) && views.at(node).reachable; };
    int steps = 0;
    const auto step = [&] {
      if (!lives(leader) || !replicas.has_voter(leader)) {  // An election: any living voter.
        const auto heir = std::ranges::find_if(replicas.voters, lives);
        if (heir == replicas.voters.end()) return false;
        leader = *heir;
      }
      const auto alive = static_cast<std::size_t>(std::ranges::count_if(replicas.voters, lives));
      if (alive < replicas.majority()) return false;
      const auto next = Placement(options, leader, all()).next({slot, replicas});
      if (!next) return false;
      ++steps;
      if (const auto* transfer = std::get_if<Placement::Transfer>(&*next)) {
        EXPECT_TRUE(replicas.has_voter(transfer->to) && lives(transfer->to));
        leader = transfer->to;
        return true;
      }
      const auto& change = std::get<ReplicaChange>(*next);
      EXPECT_NE(change.node, leader);
      const auto changed = replication::apply(change, replicas);
      EXPECT_TRUE(changed.has_value()) << changed.error().message();
      if (!changed) return false;
      const auto living = static_cast<std::size_t>(std::ranges::count_if(changed->voters, lives));
      EXPECT_GE(living, changed->majority()) << "a step that leaves no majority alive";
      replicas = *changed;
      return true;
    };
    for (int event = 0; event < 30; ++event) {
      const NodeId node{1 + roll(8)};
      switch (roll(5)) {
        case 0: views[node] = live(node.value); break;
        case 1:
          if (views.contains(node)) views[node] = dead(node.value, roll(2) == 0 ? 1min : kLong);
          break;
        case 2:
          if (views.contains(node) && views.size() > 1) views[node] = draining(node.value);
          break;
        case 3:
          if (!replicas.has(node) && views.size() > 1) views.erase(node);
          break;
        default: break;
      }
      for (std::uint32_t i = roll(4); i > 0; --i) step();
    }
    for (NodeId node{1}; node.value <= 8; ++node.value) {
      if (views.contains(node) || replicas.has(node)) views[node] = live(node.value);
    }
    steps = 0;
    while (step()) ASSERT_LT(steps, 40) << "round " << round;
    const auto wanted = Placement(options, leader, all()).desired(slot);
    EXPECT_EQ(std::set<NodeId>(wanted.begin(), wanted.end()),
              std::set<NodeId>(replicas.voters.begin(), replicas.voters.end()));
    EXPECT_TRUE(replicas.learners.empty());
    EXPECT_EQ(leader, wanted.front());
  }
}

}  // namespace
}  // namespace parley::cluster
