#include <gtest/gtest.h>

#include "tests/broker/replication/rig.hpp"

namespace parley::replication {
namespace {

Rig leader_of(const SlotState& state, std::initializer_list<std::uint64_t> peers) {
  Rig rig(state);
  rig.reach(peers);
  rig.lead(peers);
  EXPECT_EQ(rig.slot.role(), Role::Leader);
  return rig;
}

TEST(Leader, CommitsEntriesOfEarlierTermsOnlyWithOneOfItsOwn) {  // Raft figure 8
  Rig rig = leader_of(log_of({1, 2}, 3, 5), {2, 3, 4, 5});
  rig.sync();
  rig.acknowledge(2, 2);
  rig.acknowledge(3, 2);
  EXPECT_EQ(rig.slot.commit(), Index{0}) << "(c): a majority has it, and it may still be replaced";
  rig.acknowledge(2, 3);
  EXPECT_EQ(rig.slot.commit(), Index{0});
  rig.acknowledge(3, 3);
  EXPECT_EQ(rig.action<Committed>()->upto, Index{3}) << "(e)";
}

TEST(Leader, CommitsWhatAMajorityHasAndItselfHas) {
  Rig rig = leader_of(log_of({}, 0), {2, 3});
  ASSERT_TRUE(rig.slot.propose(4));
  rig.acknowledge(2, 3);
  rig.acknowledge(3, 5);
  EXPECT_EQ(rig.slot.commit(), Index{0}) << "its own disk is behind";
  rig.slot.synced(rig.slot.generation(), {2}, rig.now, rig.actions);
  EXPECT_EQ(rig.slot.commit(), Index{2});
  rig.sync();
  EXPECT_EQ(rig.slot.commit(), Index{5});
}

TEST(Leader, SendsATurnsProposalsTogetherAndEachTermApart) {
  Rig rig = leader_of(log_of({1, 1, 2}, 2), {2, 3});
  EXPECT_EQ(rig.sent<AppendEntries>(2)->count, 1U) << "the NoOp";
  EXPECT_EQ(rig.sent<AppendEntries>(2)->prev, at(2, 3));
  rig.receive(2, 3, AppendEntriesReply{.received = {3}, .hint = at(1, 1)});
  EXPECT_EQ(rig.sent<AppendEntries>(2)->prev, at(1, 1));
  EXPECT_EQ(rig.sent<AppendEntries>(2)->count, 1U) << "one question at a time, and one term";
  rig.acknowledge(2, 2);
  EXPECT_EQ(rig.sent<AppendEntries>(2)->prev, at(2, 3)) << "then the rest";
  ASSERT_TRUE(rig.slot.propose(2));
  ASSERT_TRUE(rig.slot.propose(3));
  rig.actions.clear();
  rig.slot.replicate(rig.now, rig.actions);
  EXPECT_EQ(rig.sent<AppendEntries>(2)->count, 5U);
  EXPECT_EQ(rig.sent<AppendEntries>(3), nullptr) << "that one hasn't answered yet";
}

TEST(Leader, AsksAgainWhoeverDoesNotAnswer) {
  Rig rig = leader_of(log_of({}, 0), {2, 3});
  rig.acknowledge(2, 1);
  rig.tick_at_deadline();
  EXPECT_NE(rig.sent<AppendEntries>(3), nullptr);
}

TEST(Leader, LimitsWhatIsUnderWay) {
  Rig rig = leader_of(log_of({}, 0), {2, 3});
  rig.options.entries_in_flight = 8;
  rig.options.entries_per_append = 4;
  rig.acknowledge(2, 1);
  ASSERT_TRUE(rig.slot.propose(100));
  rig.actions.clear();
  rig.slot.replicate(rig.now, rig.actions);
  EXPECT_EQ(rig.sent<AppendEntries>(2)->last(), Index{9});
  rig.acknowledge(2, 5);
  EXPECT_EQ(rig.sent<AppendEntries>(2)->last(), Index{13});
}

TEST(Leader, SendsAgainFromWhereALinkWasFull) {
  Rig rig = leader_of(log_of({}, 0), {2, 3});
  rig.acknowledge(2, 1);
  ASSERT_TRUE(rig.slot.propose(5));
  rig.slot.replicate(rig.now, rig.actions);
  rig.slot.append_unsent(node(2), {4});
  rig.actions.clear();
  rig.slot.replicate(rig.now, rig.actions);
  EXPECT_EQ(rig.sent<AppendEntries>(2), nullptr);
  rig.slot.peer_writable(node(2), rig.now, rig.actions);
  EXPECT_EQ(rig.sent<AppendEntries>(2)->prev.index, Index{3});
}

TEST(Leader, TellsAQuietFollowerHowFarItIsCommittedUntilItKnows) {
  Rig rig = leader_of(log_of({}, 0, 2), {2});
  rig.sync();
  rig.acknowledge(2, 1);
  EXPECT_EQ(rig.slot.commit(), Index{1});
  for (int tries = 0; tries < 3; ++tries) {
    rig.tick_at_deadline();
    ASSERT_NE(rig.sent<CommitHint>(2), nullptr);
    EXPECT_EQ(rig.sent<CommitHint>(2)->commit, Index{1});
  }
  rig.receive(2, 1, AppendEntriesReply{.success = true, .match = {1}, .received = {1}, .commit = {1}});
  rig.tick_at_deadline();
  EXPECT_EQ(rig.sent<CommitHint>(2), nullptr);
  EXPECT_EQ(rig.slot.deadline(), Instant::max()) << "nothing is left to be said";
}

TEST(Leader, RefusesAtOnceAndStepsDownSoonWithoutAMajority) {
  Rig rig = leader_of(log_of({}, 0), {2, 3});
  rig.lose(2);
  EXPECT_TRUE(rig.slot.propose(1));
  rig.lose(3);
  EXPECT_EQ(rig.slot.propose(1).error(), ReplicationError::NoMajority);
  rig.reach({2});
  EXPECT_TRUE(rig.slot.propose(1));
  rig.lose(2);
  const Instant lost = rig.now;
  rig.tick_at_deadline();
  EXPECT_EQ(rig.now, lost + rig.options.election_timeout);
  EXPECT_NE(rig.action<SteppedDown>(), nullptr);
  EXPECT_EQ(rig.slot.propose(1).error(), ReplicationError::NotLeader);
}

TEST(Leader, GivesAPlaceThatTheDiskRefusedAgainOnlyWhenNobodyHeardOfIt) {
  Rig alone = leader_of(log_of({}, 0, 1), {});
  alone.sync();
  const auto first = alone.slot.propose(2);
  alone.actions.clear();
  alone.slot.append_failed(alone.now, alone.actions);
  EXPECT_EQ(alone.action<Truncate>()->from, first->index);
  EXPECT_EQ(alone.slot.propose(1)->index, first->index);

  Rig rig = leader_of(log_of({}, 0), {2, 3});
  rig.sync();
  rig.acknowledge(2, 1);
  ASSERT_TRUE(rig.slot.propose(2));
  rig.slot.replicate(rig.now, rig.actions);
  rig.slot.append_failed(rig.now, rig.actions);
  EXPECT_NE(rig.action<SteppedDown>(), nullptr);
  EXPECT_EQ(rig.slot.last(), at(1, 1));
}

TEST(Leader, SendsAgainToAReplicaWhoseRemovalTheDiskRefused) {
  Rig rig = leader_of(log_of({}, 0, 1), {2});
  rig.sync();
  ASSERT_TRUE(rig.slot.propose_replicas({ReplicaChange::Kind::AddLearner, node(2)}, rig.actions));
  rig.sync();
  ASSERT_TRUE(rig.slot.propose_replicas({ReplicaChange::Kind::Remove, node(2)}, rig.actions));
  rig.actions.clear();
  rig.slot.append_failed(rig.now, rig.actions);
  EXPECT_EQ(rig.slot.role(), Role::Leader);
  EXPECT_NE(rig.sent<AppendEntries>(2), nullptr);
}

TEST(Leader, HandsOverOnceTheTargetHasEverything) {  // Thesis §3.10
  Rig rig = leader_of(log_of({}, 0), {2, 3});
  EXPECT_EQ(rig.slot.transfer_to(node(9), rig.now, rig.actions).error(), ReplicationError::NoSuchReplica);
  rig.sync();
  rig.acknowledge(2, 1, 1);
  ASSERT_TRUE(rig.slot.propose(1));
  ASSERT_TRUE(rig.slot.transfer_to(node(2), rig.now, rig.actions));
  EXPECT_EQ(rig.sent<TimeoutNow>(2), nullptr);
  EXPECT_EQ(rig.slot.propose(1).error(), ReplicationError::Transferring);
  rig.acknowledge(2, 2, 1);
  EXPECT_NE(rig.sent<TimeoutNow>(2), nullptr);
  rig.receive(2, 2, RequestVote{.last = at(1, 2), .transfer = true});
  EXPECT_EQ(rig.slot.role(), Role::Follower);
}

TEST(Leader, LeadsOnWhenATransferFails) {
  Rig rig = leader_of(log_of({}, 0), {2, 3});
  rig.sync();
  rig.acknowledge(2, 1, 1);
  rig.acknowledge(3, 1, 1);
  ASSERT_TRUE(rig.slot.transfer_to(node(2), rig.now, rig.actions));
  rig.now += rig.options.election_timeout;
  rig.slot.tick(rig.now, rig.actions);
  EXPECT_TRUE(rig.slot.propose(1));
}

/// A transfer stops proposals until it is over, so one that can only fail isn't begun.
TEST(Leader, HandsOverToNobodyWhoCouldNotLeadSoon) {
  Rig rig = leader_of(log_of({1, 1, 1}, 1), {2, 3});
  const auto refused = [&rig] {
    return rig.slot.transfer_to(node(2), rig.now, rig.actions).error() == ReplicationError::ReplicaBehind &&
           !rig.slot.could_lead(node(2)) && rig.slot.propose(1);
  };
  EXPECT_TRUE(refused()) << "it hasn't answered yet";
  rig.sync();
  rig.acknowledge(3, rig.slot.last().index.value);
  rig.acknowledge(2, rig.slot.last().index.value, 3);
  EXPECT_TRUE(refused()) << "of this term it knows nothing to be committed: it may have lost something";
  rig.acknowledge(2, rig.slot.last().index.value, rig.slot.commit().value);
  EXPECT_TRUE(rig.slot.could_lead(node(2)));
  rig.lose(2);
  EXPECT_FALSE(rig.slot.could_lead(node(2)));
  rig.reach({2});
  EXPECT_TRUE(refused()) << "where the logs agree isn't known";
  rig.acknowledge(2, rig.slot.last().index.value, rig.slot.commit().value);
  EXPECT_TRUE(rig.slot.could_lead(node(2)));
  ASSERT_TRUE(rig.slot.propose(rig.options.entries_in_flight + 1));
  EXPECT_TRUE(refused()) << "it is far behind";
  EXPECT_FALSE(rig.slot.could_lead(node(9)));
}

TEST(Leader, HandsOverToNobodyWhoTakesASnapshot) {
  SlotState state = log_of({}, 1);
  state.base = at(1, 50);
  state.last = state.commit = {50};
  Rig rig = leader_of(state, {2, 3});
  rig.sync();
  rig.acknowledge(3, 51, 51);
  rig.receive(2, rig.slot.term().value, AppendEntriesReply{.received = {50}, .hint = at(0, 0)});
  ASSERT_NE(rig.action<NeedSnapshot>(), nullptr);
  EXPECT_EQ(rig.slot.transfer_to(node(2), rig.now, rig.actions).error(), ReplicationError::ReplicaBehind);
  EXPECT_TRUE(rig.slot.propose(1));
}

TEST(ReplicaChanges, GoOneAtATimeAndNotBeforeTheLeadersFirstCommit) {  // Thesis §4.1
  const ReplicaChange add{ReplicaChange::Kind::AddLearner, node(4)};
  const ReplicaChange promote{ReplicaChange::Kind::PromoteLearner, node(4)};
  Rig rig = leader_of(log_of({}, 0), {2, 3, 4});
  rig.sync();
  EXPECT_EQ(rig.slot.propose_replicas(add, rig.actions).error(), ReplicationError::ChangeUnderWay);
  rig.acknowledge(2, 1);
  rig.actions.clear();
  ASSERT_TRUE(rig.slot.propose_replicas(add, rig.actions));
  EXPECT_EQ(rig.action<ReplicasChanged>()->index, Index{2});
  rig.slot.replicate(rig.now, rig.actions);
  EXPECT_EQ(rig.sent<AppendEntries>(2)->replicas, rig.slot.replicas()) << "the entry travels with what it names";
  EXPECT_EQ(rig.slot.propose_replicas(promote, rig.actions).error(), ReplicationError::ChangeUnderWay);
  rig.sync();
  rig.acknowledge(4, 2);
  EXPECT_FALSE(rig.slot.replicas_committed()) << "a learner counts for nothing";
  rig.acknowledge(2, 2);
  EXPECT_TRUE(rig.slot.replicas_committed());
  EXPECT_TRUE(rig.slot.propose_replicas(promote, rig.actions));
}

TEST(ReplicaChanges, DoNotLetALearnerVoteThatIsBehind) {
  SlotState state = log_of({}, 0);
  state.replicas.set.learners = {node(4)};
  Rig rig = leader_of(state, {2, 3, 4});
  rig.sync();
  rig.acknowledge(2, 1);
  const ReplicaChange promote{ReplicaChange::Kind::PromoteLearner, node(4)};
  EXPECT_EQ(rig.slot.propose_replicas(promote, rig.actions).error(), ReplicationError::ReplicaBehind);
  rig.acknowledge(4, 0);  // Not far behind; but it would have nothing when it is asked for its vote.
  EXPECT_EQ(rig.slot.propose_replicas(promote, rig.actions).error(), ReplicationError::ReplicaBehind);
  rig.acknowledge(4, 1);
  rig.lose(4);
  EXPECT_EQ(rig.slot.propose_replicas(promote, rig.actions).error(), ReplicationError::ReplicaBehind);
  rig.reach({4});
  rig.acknowledge(4, 1);
  EXPECT_TRUE(rig.slot.propose_replicas(promote, rig.actions));
}

TEST(ReplicaChanges, AreRefusedWhenTheNextSetCouldNotCommitThem) {
  Rig rig = leader_of(log_of({}, 0), {2, 3});
  rig.sync();
  rig.acknowledge(2, 1);
  rig.lose(3);
  const ReplicaChange remove{ReplicaChange::Kind::Remove, node(2)};
  EXPECT_EQ(rig.slot.propose_replicas(remove, rig.actions).error(), ReplicationError::NoMajority);
}

TEST(ReplicaChanges, LetALeaderFinishItsOwnRemoval) {  // Thesis §4.2.2
  Rig rig = leader_of(log_of({}, 0), {2, 3});
  rig.sync();
  rig.acknowledge(2, 1);
  ASSERT_TRUE(rig.slot.propose_replicas({ReplicaChange::Kind::Remove, node(1)}, rig.actions));
  rig.sync();
  rig.acknowledge(2, 2);
  EXPECT_EQ(rig.slot.commit(), Index{1}) << "it doesn't count itself";
  rig.acknowledge(3, 2);
  EXPECT_EQ(rig.slot.commit(), Index{2});
  EXPECT_EQ(rig.slot.role(), Role::Follower);
}

TEST(Snapshots, AreAskedForWhenTheLogNoLongerHasWhatIsNeeded) {
  SlotState state = log_of({1, 1, 1, 1}, 1);
  state.commit = {4};
  Rig rig = leader_of(state, {2, 3});
  rig.slot.cut({3});
  rig.receive(2, 2, AppendEntriesReply{.received = {4}, .hint = at(1, 1)});
  EXPECT_EQ(rig.action<NeedSnapshot>()->to, node(2));
  rig.now += std::chrono::hours(1);
  rig.actions.clear();
  rig.slot.tick(rig.now, rig.actions);
  EXPECT_EQ(rig.sent<AppendEntries>(2), nullptr) << "it gets nothing meanwhile";
  rig.actions.clear();
  rig.slot.snapshot_sent(node(2), std::nullopt, rig.now, rig.actions);
  EXPECT_EQ(rig.action<NeedSnapshot>(), nullptr) << "not at once again";
  rig.tick_at_deadline();
  EXPECT_NE(rig.action<NeedSnapshot>(), nullptr);
  rig.actions.clear();
  rig.slot.snapshot_sent(node(2), at(1, 4), rig.now, rig.actions);
  EXPECT_EQ(rig.sent<AppendEntries>(2)->prev, at(1, 4));
}

}  // namespace
}  // namespace parley::replication
