#include <gtest/gtest.h>

#include <algorithm>

#include "tests/broker/replication/rig.hpp"

namespace parley::replication {
namespace {

/// Carries messages between the two until neither says anything; how many the leader sent.
int exchange(Rig& leader, Rig& follower) {
  int sent = 0;
  for (bool said = true; said && sent < 100;) {
    said = false;
    Actions out = leader.actions;
    leader.actions.clear();
    for (const Action& action : out) {
      const auto* append = std::get_if<SendAppend>(&action);
      const auto* send = std::get_if<Send>(&action);
      const bool for_follower = append != nullptr ? append->to == node(2) : send != nullptr && send->to == node(2);
      if (!for_follower) continue;
      ++sent;
      said = true;
      PeerMessage message = append != nullptr ? part_of(*append, append->first, append->last) : send->message;
      follower.actions.clear();
      follower.slot.receive(node(1), message, follower.now, follower.actions);
      Actions replies = follower.actions;
      follower.sync_hard_state();
      replies.insert(replies.end(), follower.actions.begin(), follower.actions.end());
      follower.sync();
      replies.insert(replies.end(), follower.actions.begin(), follower.actions.end());
      for (const Action& reply : replies) {
        const auto* back = std::get_if<Send>(&reply);
        if (back == nullptr || back->to != node(1)) continue;
        leader.slot.receive(node(2), back->message, leader.now, leader.actions);
      }
    }
  }
  return sent;
}

TEST(LogMatching, BringsEveryLogOfFigureSevenInLine) {
  struct Case {
    const char* name;
    std::initializer_list<std::uint64_t> terms;
  };
  const Case cases[] = {
      {"a", {1, 1, 1, 4, 4, 5, 5, 6, 6}},
      {"b", {1, 1, 1, 4}},
      {"c", {1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6}},
      {"d", {1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7}},
      {"e", {1, 1, 1, 4, 4, 4, 4}},
      {"f", {1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3}},
  };
  for (const Case& one : cases) {
    Rig leader(log_of({1, 1, 1, 4, 4, 5, 5, 6, 6, 6}, 7));
    leader.reach({2, 3});
    leader.lead({3});
    ASSERT_EQ(leader.slot.role(), Role::Leader);
    Rig follower(log_of(one.terms, 7), 2);
    const int sent = exchange(leader, follower);
    EXPECT_TRUE(std::ranges::equal(follower.slot.terms().runs(), leader.slot.terms().runs())) << one.name;
    EXPECT_EQ(follower.slot.last(), at(8, 11)) << one.name;
    EXPECT_LE(sent, 6) << one.name << ": hints skip whole terms";
    leader.sync();
    EXPECT_EQ(leader.slot.commit(), Index{11}) << one.name;
  }
}

TEST(Follower, AcknowledgesWhatIsDurableAndNothingElse) {
  Rig rig(log_of({1}, 1));
  rig.receive(2, 1, AppendEntries{.prev = at(1, 1), .entries_term = {1}, .count = 3});
  ASSERT_NE(rig.action<Append>(), nullptr);
  EXPECT_EQ(rig.action<Append>()->first, Index{2});
  EXPECT_EQ(rig.sent<AppendEntriesReply>(2), nullptr);
  rig.slot.synced(rig.slot.generation(), {3}, rig.now, rig.actions);
  EXPECT_EQ(rig.sent<AppendEntriesReply>(2)->match, Index{3});
  EXPECT_EQ(rig.sent<AppendEntriesReply>(2)->received, Index{4});
  rig.receive(2, 1, AppendEntries{.prev = at(1, 1), .entries_term = {1}, .count = 3});  // Doubled.
  EXPECT_EQ(rig.action<Append>(), nullptr);
  EXPECT_EQ(rig.sent<AppendEntriesReply>(2)->match, Index{3});
  rig.sync();
  EXPECT_EQ(rig.sent<AppendEntriesReply>(2)->match, Index{4});
}

TEST(Follower, AnswersInATermOnceThatIsDurable) {
  Rig rig(log_of({1}, 1));
  rig.receive(2, 2, AppendEntries{.prev = at(1, 1), .entries_term = {2}, .count = 1});
  EXPECT_EQ(rig.action<PersistHardState>()->state, (HardState{.term = {2}}));
  rig.slot.synced(rig.slot.generation(), {2}, rig.now, rig.actions);
  EXPECT_EQ(rig.sent<AppendEntriesReply>(2), nullptr);
  rig.slot.hard_state_synced({.term = {2}}, rig.now, rig.actions);
  EXPECT_EQ(rig.sent<AppendEntriesReply>(2)->match, Index{2});
}

/// Else somebody who loses the entries wouldn't know in which terms he has acknowledged some.
TEST(Follower, WritesATermBeforeItsEntries) {
  Rig rig(log_of({1}, 1));
  rig.receive(2, 2, AppendEntries{.prev = at(1, 1), .entries_term = {2}, .count = 1});
  const auto place = [&rig]<class T>(const T* of) {
    return std::ranges::find_if(rig.actions, [of](const Action& one) { return std::get_if<T>(&one) == of; });
  };
  ASSERT_NE(rig.action<Append>(), nullptr);
  EXPECT_LT(place(rig.action<PersistHardState>()), place(rig.action<Append>()));
}

TEST(Follower, CommitsWhatItKnowsToBeTheLeadersAndHasSynced) {
  Rig rig(log_of({1, 1, 1, 2, 2}, 2));
  rig.receive(2, 3, AppendEntries{.prev = at(1, 1), .entries_term = {1}, .count = 1, .commit = {9}});
  EXPECT_EQ(rig.slot.commit(), Index{2}) << "what comes after may not be the leader's";
  rig.receive(2, 3, AppendEntries{.prev = at(1, 3), .entries_term = {3}, .count = 3, .commit = {9}});
  EXPECT_EQ(rig.action<Truncate>()->from, Index{4});
  EXPECT_EQ(rig.slot.commit(), Index{3});
  rig.sync();
  EXPECT_EQ(rig.action<Committed>()->upto, Index{6});
}

TEST(Follower, AcknowledgesInANewTermOnlyWhatThatLeaderHas) {
  Rig rig(log_of({1}, 1));
  rig.receive(2, 1, AppendEntries{.prev = at(1, 1), .entries_term = {1}, .count = 5});
  rig.sync();
  EXPECT_EQ(rig.sent<AppendEntriesReply>(2)->match, Index{6});
  rig.receive(3, 2, AppendEntries{.prev = at(1, 2)});
  rig.sync_hard_state();
  EXPECT_EQ(rig.sent<AppendEntriesReply>(3)->match, Index{2});
}

TEST(Follower, DoesNotTakeALateSyncForWhatReplacedTheEntries) {
  Rig rig(log_of({1}, 1));
  rig.receive(2, 1, AppendEntries{.prev = at(1, 1), .entries_term = {1}, .count = 4});
  const LogGeneration before = rig.slot.generation();
  rig.receive(3, 2, AppendEntries{.prev = at(1, 1), .entries_term = {2}, .count = 4});
  rig.slot.synced(before, {5}, rig.now, rig.actions);
  EXPECT_EQ(rig.slot.durable(), Index{1});
}

TEST(Follower, ReportsALeaderThatContradictsWhatIsCommitted) {
  struct Case {
    const char* name;
    AppendEntries message;
  };
  const Case cases[] = {
      {"another entry", {.prev = at(1, 1), .entries_term = {3}, .count = 1}},
      {"another entry before it", {.prev = at(1, 3), .entries_term = {3}, .count = 1}},
      {"entries of a later term than its own", {.prev = at(2, 3), .entries_term = {9}, .count = 1}},
  };
  for (const Case& one : cases) {
    SlotState state = log_of({1, 2, 2}, 2);
    state.commit = {3};
    Rig rig(state);
    rig.receive(2, 3, one.message);
    EXPECT_NE(rig.action<Diverged>(), nullptr) << one.name;
    EXPECT_EQ(rig.slot.last(), at(2, 3)) << one.name;
  }
}

TEST(Follower, TakesWhatLiesBelowItsLogsBeginningAsKnown) {
  SlotState state = log_of({}, 3);
  state.base = at(3, 10);
  state.last = state.commit = {10};
  Rig rig(state);
  rig.receive(2, 3, AppendEntries{.prev = at(1, 2), .entries_term = {2}, .count = 4});
  EXPECT_EQ(rig.action<Diverged>(), nullptr);
  EXPECT_EQ(rig.sent<AppendEntriesReply>(2)->match, Index{10});
  rig.receive(2, 3, AppendEntries{.prev = at(3, 8), .entries_term = {3}, .count = 4});
  EXPECT_EQ(rig.action<Append>()->first, Index{11});
}

TEST(Follower, GoesBackToAnEarlierReplicaSetWithItsEntry) {
  Rig rig(log_of({1}, 1));
  const ReplicaSet next{.voters = {{1}, {2}, {3}}, .learners = {{4}}};
  rig.receive(2, 1, AppendEntries{.prev = at(1, 1), .entries_term = {1}, .count = 1, .replicas = next});
  EXPECT_EQ(rig.slot.replicas(), next);
  EXPECT_FALSE(rig.slot.replicas_committed());
  rig.receive(3, 2, AppendEntries{.prev = at(1, 1), .entries_term = {2}, .count = 1});
  EXPECT_TRUE(rig.slot.replicas().learners.empty());
}

TEST(Follower, TakesASnapshotAndGoesOnFromThere) {
  for (const bool continues : {true, false}) {
    Rig rig(continues ? log_of({1, 1, 2, 2, 2, 2}, 2) : log_of({1, 1, 1}, 2));
    rig.receive(2, 2, AppendEntries{.prev = at(2, 9)});
    EXPECT_FALSE(rig.sent<AppendEntriesReply>(2)->success);
    rig.actions.clear();
    rig.slot.snapshot_installed(at(2, 4), {{3}, rig.slot.replicas()}, rig.now, rig.actions);
    EXPECT_EQ(rig.action<Committed>()->upto, Index{4});
    EXPECT_EQ(rig.slot.last(), continues ? at(2, 6) : at(2, 4));
    EXPECT_EQ(rig.sent<AppendEntriesReply>(2)->match, Index{4});
    rig.receive(2, 2, AppendEntries{.prev = at(2, 4), .entries_term = {2}, .count = 1});
    EXPECT_EQ(rig.action<Append>() != nullptr, !continues);
  }
}

}  // namespace
}  // namespace parley::replication
