#include "broker/replication/node_health.hpp"

#include <gtest/gtest.h>

namespace parley::replication {
namespace {

using std::chrono::milliseconds;

/// Two nodes that hear each other when the test lets them.
struct Pair {
  Pair() {
    one.add({2});
    two.add({1});
  }
  /// A heartbeat each way, where the way is open.
  void beat(bool one_to_two = true, bool two_to_one = true) {
    now += milliseconds(100);
    actions.clear();
    two_actions.clear();
    HealthActions from_one;
    HealthActions from_two;
    one.tick(now, from_one);
    two.tick(now, from_two);
    for (const auto& action : from_one) take(action, two, {1}, one_to_two, actions, two_actions);
    for (const auto& action : from_two) take(action, one, {2}, two_to_one, two_actions, actions);
  }
  void take(const HealthAction& action, NodeHealth& to, NodeId from, bool open, HealthActions& own,
            HealthActions& other) {
    const auto* heartbeat = std::get_if<SendHeartbeat>(&action);
    if (heartbeat == nullptr) return own.push_back(action);
    last = heartbeat->heartbeat;
    if (open) to.receive(from, heartbeat->heartbeat, now, other);
  }
  template <class T>
  static const T* in(const HealthActions& list) {
    for (const HealthAction& action : list) {
      if (const auto* found = std::get_if<T>(&action)) return found;
    }
    return nullptr;
  }

  HeartbeatOptions options;
  Instant now{std::chrono::hours(5)};
  NodeHealth one{7, options};
  NodeHealth two{7, options};
  HealthActions actions;      ///< Of one.
  HealthActions two_actions;  ///< Of two.
  Heartbeat last;
};

TEST(NodeHealth, KnowsANodeOnceItHasAnswered) {
  Pair pair;
  for (int i = 0; i < 3 && !pair.one.reachable({2}); ++i) pair.beat();
  EXPECT_TRUE(pair.one.reachable({2}));
  EXPECT_NE(Pair::in<NodeReachable>(pair.actions), nullptr);
  EXPECT_TRUE(pair.two.reachable({1}));
}

TEST(NodeHealth, LosesANodeWhicheverWayIsCut) {
  for (const bool outward : {true, false}) {
    Pair pair;
    for (int i = 0; i < 3; ++i) pair.beat();
    int beats = 0;
    while (pair.one.reachable({2}) && beats < 30) {
      pair.beat(!outward, outward);
      ++beats;
    }
    EXPECT_NE(Pair::in<NodeUnreachable>(pair.actions), nullptr);
    EXPECT_NEAR(beats, 12, 3);
    for (int i = 0; i < 3; ++i) pair.beat();
    EXPECT_TRUE(pair.one.reachable({2}));
  }
}

TEST(NodeHealth, RepeatsTheListOfLedSlotsUntilItIsSeen) {
  Pair pair;
  for (int i = 0; i < 4; ++i) pair.beat();
  EXPECT_FALSE(pair.last.leading.has_value());
  pair.one.set_leading({5}, {3});
  pair.one.set_leading({2}, {4});
  pair.beat(false, true);
  EXPECT_EQ(Pair::in<NodeLeads>(pair.two_actions), nullptr);
  pair.beat();
  const auto* leads = Pair::in<NodeLeads>(pair.two_actions);
  ASSERT_NE(leads, nullptr);
  EXPECT_EQ(leads->slots, (std::vector<Leading>{{{2}, {4}}, {{5}, {3}}}));
  pair.one.clear_leading({5});
  pair.beat();
  EXPECT_EQ(Pair::in<NodeLeads>(pair.two_actions)->slots.size(), 1U);
  pair.beat();
  EXPECT_EQ(Pair::in<NodeLeads>(pair.two_actions), nullptr);
}

TEST(NodeHealth, SaysThatARestartedNodeWasGone) {
  Pair pair;
  for (int i = 0; i < 3; ++i) pair.beat();
  pair.two = NodeHealth(8, pair.options);
  pair.two.add({1});
  pair.beat();
  EXPECT_NE(Pair::in<NodeUnreachable>(pair.actions), nullptr);
  pair.beat();
  pair.beat();
  EXPECT_TRUE(pair.one.reachable({2}));
}

TEST(NodeHealth, IgnoresWhatIsLateDoubledOrOfAStranger) {
  Pair pair;
  for (int i = 0; i < 3; ++i) pair.beat();
  HealthActions none;
  pair.one.receive({2}, Heartbeat{.incarnation = 6, .sent = ~0ULL}, pair.now, none);  // Its former life.
  pair.one.receive({2}, Heartbeat{.incarnation = 7, .sent = 1}, pair.now, none);
  pair.one.receive({9}, Heartbeat{.incarnation = 7, .sent = 1}, pair.now, none);
  EXPECT_TRUE(none.empty());
  pair.one.remove({2}, none);
  EXPECT_NE(Pair::in<NodeUnreachable>(none), nullptr);
}

}  // namespace
}  // namespace parley::replication
