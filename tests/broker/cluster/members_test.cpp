#include "broker/cluster/members.hpp"

#include <gtest/gtest.h>

namespace parley::cluster {
namespace {

using namespace std::chrono_literals;

const NodeId kB = node_id("b");
Instant at(Duration time) { return Instant(1h + time); }

NodeFile file_of(const std::string& node) {
  return {.cluster = "parley", .cluster_id = 1, .node = node, .birth = 10, .slots = 256};
}
NodeLease lease_of(const std::string& name, std::uint16_t port) {
  return {.node = node_id(name), .name = name, .host = "10.0.0.2", .port = port, .incarnation = 1, .version = "1"};
}
RemoteNode remote(const std::string& name, std::uint64_t birth) {
  return {.name = name, .id = node_id(name), .incarnation = 1, .birth = birth};
}
std::size_t placeable(const Members& members) { return members.views(at(0s)).size(); }

TEST(Members, BeginWithThisNodeAlone) {
  const Members members(file_of("a"), at(0s));
  const auto views = members.views(at(1s));
  ASSERT_EQ(views.size(), 1U);
  EXPECT_EQ(views.front().node, node_id("a"));
  EXPECT_TRUE(views.front().reachable);
}

TEST(Members, TakeALeaseForAnAddressOnly) {
  Members members(file_of("a"), at(0s));
  members.take_addresses_changed();
  members.leases({{kB, lease_of("b", 7400)}, {node_id("a"), lease_of("a", 1)}}, at(0s));
  EXPECT_TRUE(members.take_addresses_changed());
  EXPECT_FALSE(members.take_file_changed());
  ASSERT_EQ(members.addresses().size(), 1U);
  EXPECT_EQ(members.addresses().at(kB).port, 7400);
  EXPECT_EQ(placeable(members), 1U);
  members.connected(remote("b", 20), at(0s));
  EXPECT_EQ(placeable(members), 2U);
  EXPECT_TRUE(members.take_file_changed());
  EXPECT_EQ(members.file().peers.at(kB), (KnownNode{.name = "b", .host = "10.0.0.2", .port = 7400, .birth = 20}));
}

TEST(Members, KnowWhereAnOperatorHasMovedSlots) {
  Members members(file_of("a"), at(0s));
  members.connected(remote("b", 20), at(0s));
  members.set_pin({3}, 10);
  members.set_pin({4}, 10);
  EXPECT_TRUE(members.take_file_changed());
  EXPECT_EQ(members.views(at(0s)).front().pins, (std::map<Slot, std::uint64_t>{{{3}, 10}, {{4}, 10}}));
  // One of them has gone elsewhere since.
  members.told(kB, PinsNotice{.pins = {{{3}, 11}, {{4}, 9}}});
  EXPECT_TRUE(members.take_file_changed());
  EXPECT_EQ(members.file().pins, (std::map<Slot, std::uint64_t>{{{4}, 10}}));
  EXPECT_EQ(members.views(at(0s)).back().pins, (std::map<Slot, std::uint64_t>{{{3}, 11}, {{4}, 9}}));
  EXPECT_EQ(members.next_stamp({3}, 5), 12U);
  EXPECT_EQ(members.next_stamp({4}, 5), 11U);
  EXPECT_EQ(members.next_stamp({4}, 20), 20U);
  members.set_pin({4}, std::nullopt);
  EXPECT_TRUE(members.file().pins.empty());
  members.told(node_id("stranger"), PinsNotice{.pins = {{{3}, 99}}});
  EXPECT_EQ(members.peers().size(), 1U);
}

TEST(Members, RefuseLeasesThatCantBe) {
  Members members(file_of("a"), at(0s));
  NodeLease blank = lease_of("b", 1);
  blank.host = "10.0.0.2 x";
  NodeLease other = lease_of("c", 1);
  other.node = node_id("d");
  members.leases({{kB, blank}, {other.node, other}}, at(0s));
  EXPECT_TRUE(members.peers().empty());
}

TEST(Members, AreThereAgainAfterARestart) {
  NodeFile file = file_of("a");
  {
    Members members(file, at(0s));
    members.connected(remote("b", 20), at(0s));  // It has dialed; where it listens isn't known.
    file = members.file();
    EXPECT_EQ(read_node_file(encode(file)), file);
  }
  Members members(file, at(0s));
  EXPECT_EQ(placeable(members), 2U);
  EXPECT_TRUE(members.addresses().empty());
  members.told(kB, {"10.0.0.9", 1}, true);
  EXPECT_EQ(members.addresses().at(kB).host, "10.0.0.9");
  EXPECT_TRUE(members.views(at(0s)).back().draining);
}

TEST(Members, KnowForHowLongANodeIsAway) {
  Members members(file_of("a"), at(0s));
  members.connected(remote("b", 20), at(0s));
  members.reachable(kB, true, at(1s));
  members.reachable(kB, true, at(2s));
  EXPECT_EQ(members.views(at(5s)).back().since, 4s);
  members.reachable(kB, false, at(6s));
  EXPECT_FALSE(members.views(at(9s)).back().reachable);
  EXPECT_EQ(members.views(at(9s)).back().since, 3s);
}

TEST(Members, RefuseANodeThatHasLostItsDirectory) {
  Members members(file_of("a"), at(0s));
  EXPECT_FALSE(members.refusal(remote("b", 20)));
  members.connected(remote("b", 20), at(0s));
  EXPECT_FALSE(members.refusal(remote("b", 20)));
  const auto refusal = members.refusal(remote("b", 21));
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->code, RefuseCode::LostDirectory);
}

TEST(Members, RefuseADirectoryThatWasRemovedForGood) {
  Members members(file_of("a"), at(0s));
  EXPECT_FALSE(members.remove(kB));
  members.connected(remote("b", 20), at(0s));
  EXPECT_TRUE(members.remove(kB));
  EXPECT_EQ(placeable(members), 1U);
  members.leases({{kB, lease_of("b", 7400)}}, at(0s));  // It is still running.
  EXPECT_EQ(members.refusal(remote("b", 20))->code, RefuseCode::Removed);
  // With an empty directory it is another node, which has promised nothing of what slots count on.
  EXPECT_TRUE(members.parting());
  members.replicas({{1}, kB});
  EXPECT_EQ(members.refusal(remote("b", 21))->code, RefuseCode::Removed);
  const Members restarted(read_node_file(encode(members.file())).value(), at(0s));
  EXPECT_EQ(restarted.refusal(remote("b", 21))->code, RefuseCode::Removed);
  EXPECT_TRUE(members.take_file_changed());
  members.replicas({{1}});
  EXPECT_TRUE(members.take_file_changed());
  EXPECT_FALSE(members.parting());
  EXPECT_FALSE(members.refusal(remote("b", 21)));
  EXPECT_EQ(Members(members.file(), at(0s)).refusal(remote("b", 20))->code, RefuseCode::Removed);
}

TEST(Members, HearOfRemovalsElsewhere) {
  Members members(file_of("a"), at(0s));
  members.connected(remote("b", 20), at(0s));
  members.removed(20);
  EXPECT_EQ(placeable(members), 1U);
  members.removed(10);  // This node itself: it finds out by being refused.
  EXPECT_EQ(members.file().removed, std::set<std::uint64_t>{20});
}

}  // namespace
}  // namespace parley::cluster
