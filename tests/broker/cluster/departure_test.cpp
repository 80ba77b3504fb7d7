#include "broker/cluster/departure.hpp"

#include <gtest/gtest.h>

namespace parley::cluster {
namespace {

using namespace std::chrono_literals;

Instant at(Duration time) { return Instant(1h + time); }

/// This node is `a`.
struct Nodes {
  Nodes() { add("b"); }
  NodeId add(const std::string& name) {
    const NodeId node = node_id(name);
    members.connected({.name = name, .id = node, .incarnation = 1, .birth = node.value}, at(0s));
    members.reachable(node, true, at(0s));
    return node;
  }
  Members members{{.cluster = "parley", .cluster_id = 1, .node = "a", .birth = 10, .slots = 256}, at(0s)};
};

PlacementPass pass(std::size_t to_hand_over, std::size_t clients, bool dismissing = false) {
  return {.slots = {},
          .steps = 0,
          .waiting = 0,
          .leaving = true,
          .to_hand_over = to_hand_over,
          .dismissing = dismissing,
          .clients = clients};
}

TEST(Departure, NobodyLeaves) {
  const Nodes nodes;
  Departure departure(2, 30s);
  departure.report(0, pass(0, 5));
  const ClientPolicy policy = departure.policy(nodes.members, at(99s));
  EXPECT_FALSE(policy.refuses);
  EXPECT_FALSE(policy.dismisses);
  EXPECT_FALSE(departure.over(nodes.members));
  EXPECT_EQ(departure.clients(), 5U);
}

TEST(Departure, SlotsGoBeforeClients) {
  const Nodes nodes;
  Departure departure(2, 30s);
  departure.report(0, pass(0, 5));  // From before: it counts no more.
  departure.report(1, pass(0, 5));
  departure.leaving(true, at(0s));
  EXPECT_TRUE(departure.policy(nodes.members, at(1s)).refuses);
  EXPECT_FALSE(departure.policy(nodes.members, at(1s)).dismisses);
  departure.report(0, pass(0, 5));
  departure.report(1, pass(1, 5));
  EXPECT_FALSE(departure.policy(nodes.members, at(2s)).dismisses);
  departure.report(1, pass(0, 5));
  EXPECT_TRUE(departure.waits_for(pass(0, 5)));
  EXPECT_TRUE(departure.policy(nodes.members, at(2s)).dismisses);
  // A slot that comes back, as others lose their leader, doesn't bring clients back.
  departure.report(1, pass(1, 5));
  EXPECT_TRUE(departure.policy(nodes.members, at(2s)).dismisses);
  EXPECT_FALSE(departure.over(nodes.members));
  EXPECT_FALSE(departure.waits_for(pass(0, 0, true)));
  departure.report(0, pass(0, 0, true));
  departure.report(1, pass(0, 1, true));
  EXPECT_FALSE(departure.over(nodes.members));
  departure.report(1, pass(0, 0, true));
  EXPECT_TRUE(departure.over(nodes.members));
}

TEST(Departure, SlotsThatNobodyTakesHoldClientsOnlySoLong) {
  const Nodes nodes;
  Departure departure(1, 30s);
  departure.leaving(true, at(0s));
  departure.leaving(true, at(20s));  // Said again: it began before.
  departure.report(0, pass(3, 5));
  EXPECT_FALSE(departure.policy(nodes.members, at(29s)).dismisses);
  EXPECT_TRUE(departure.policy(nodes.members, at(30s)).dismisses);
}

TEST(Departure, ClientsGoWhereTheyAreTaken) {
  Nodes nodes;
  const NodeId leaving = nodes.add("c"), away = nodes.add("d"), silent = nodes.add("e");
  nodes.members.told(node_id("b"), ClientsNotice{.leaving = false, .address = "b.example:1883"});
  nodes.members.told(leaving, ClientsNotice{.leaving = true, .address = "c.example:1883"});
  nodes.members.told(away, ClientsNotice{.leaving = false, .address = "d.example:1883"});
  nodes.members.told(silent, ClientsNotice{.leaving = false, .address = ""});
  nodes.members.reachable(away, false, at(1s));
  Departure departure(1, 30s);
  departure.leaving(true, at(0s));
  EXPECT_EQ(departure.policy(nodes.members, at(1s)).references, std::vector<std::string>{"b.example:1883"});
}

TEST(Departure, WithoutAnotherNodeClientsStay) {
  Nodes nodes;
  Departure departure(1, 30s);
  departure.leaving(true, at(0s));
  departure.report(0, pass(0, 5));
  EXPECT_TRUE(departure.policy(nodes.members, at(1s)).dismisses);
  nodes.members.reachable(node_id("b"), false, at(2s));
  const ClientPolicy policy = departure.policy(nodes.members, at(40s));
  EXPECT_FALSE(policy.refuses);
  EXPECT_FALSE(policy.dismisses);
  EXPECT_TRUE(departure.over(nodes.members));  // The process may end.
}

TEST(Departure, ANodeMayStay) {
  const Nodes nodes;
  Departure departure(1, 30s);
  departure.leaving(true, at(0s));
  departure.report(0, pass(0, 5));
  EXPECT_TRUE(departure.policy(nodes.members, at(1s)).dismisses);
  departure.leaving(false, at(2s));
  EXPECT_FALSE(departure.policy(nodes.members, at(2s)).refuses);
  EXPECT_FALSE(departure.over(nodes.members));
  departure.leaving(true, at(50s));
  EXPECT_FALSE(departure.policy(nodes.members, at(51s)).dismisses);
}

}  // namespace
}  // namespace parley::cluster
