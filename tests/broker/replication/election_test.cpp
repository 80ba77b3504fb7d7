#include <gtest/gtest.h>

#include "tests/broker/replication/rig.hpp"

namespace parley::replication {
namespace {

TEST(Election, IsWonAtOnceByASoleVoterWithoutAMessage) {
  Rig rig(log_of({1, 1}, 1, 1));
  EXPECT_LE(rig.slot.deadline(), rig.now);
  rig.tick_at_deadline();
  ASSERT_NE(rig.action<PersistHardState>(), nullptr);
  EXPECT_EQ(rig.slot.role(), Role::Candidate);
  rig.sync_hard_state();
  ASSERT_NE(rig.action<BecameLeader>(), nullptr);
  EXPECT_EQ(rig.action<BecameLeader>()->no_op, Index{3});
  const auto place = rig.slot.propose(2);
  ASSERT_TRUE(place);
  EXPECT_EQ(*place, (format::RecordPosition{.slot = {7}, .term = {2}, .index = {4}}));
  EXPECT_EQ(rig.slot.commit(), Index{0});
  rig.sync();
  EXPECT_EQ(rig.slot.commit(), Index{5});
  EXPECT_EQ(rig.action<Send>(), nullptr);
  EXPECT_EQ(rig.slot.deadline(), Instant::max());
}

TEST(Election, AsksInTheOldTermBeforeItStands) {  // Thesis §9.6
  Rig rig(log_of({1, 1}, 3));
  rig.tick_at_deadline();
  EXPECT_EQ(rig.slot.role(), Role::PreCandidate);
  EXPECT_EQ(rig.slot.term(), Term{3});
  EXPECT_EQ(rig.action<PersistHardState>(), nullptr);
  ASSERT_NE(rig.sent<PreVote>(2), nullptr);
  EXPECT_EQ(rig.sent<PreVote>(2)->last, at(1, 2));
  rig.receive(2, 3, PreVoteReply{.granted = false});
  EXPECT_EQ(rig.slot.role(), Role::PreCandidate);
  rig.receive(9, 3, PreVoteReply{.granted = true});
  EXPECT_EQ(rig.slot.role(), Role::PreCandidate) << "a stranger's promise counts";
  rig.receive(3, 3, PreVoteReply{.granted = true});
  EXPECT_EQ(rig.slot.role(), Role::Candidate);
  EXPECT_EQ(rig.slot.term(), Term{4});
  EXPECT_EQ(rig.sent<RequestVote>(2), nullptr) << "its own vote isn't durable yet";
  rig.sync_hard_state();
  EXPECT_NE(rig.sent<RequestVote>(2), nullptr);
  EXPECT_NE(rig.sent<RequestVote>(3), nullptr);
  rig.receive(2, 4, RequestVoteReply{.granted = true});
  EXPECT_EQ(rig.slot.role(), Role::Leader);
}

TEST(Election, CountsAVoterOnce) {
  Rig rig(log_of({}, 1, 5));
  rig.tick_at_deadline();
  rig.receive(2, 1, PreVoteReply{.granted = true});
  rig.receive(2, 1, PreVoteReply{.granted = true});
  EXPECT_EQ(rig.slot.role(), Role::PreCandidate);
  rig.receive(3, 1, PreVoteReply{.granted = true});
  rig.sync_hard_state();
  rig.receive(2, 2, RequestVoteReply{.granted = true});
  rig.receive(2, 2, RequestVoteReply{.granted = true});
  EXPECT_EQ(rig.slot.role(), Role::Candidate);
}

TEST(Election, NeedsALogThatIsAsUpToDate) {  // Raft §5.4.1
  struct Case {
    LogPosition candidate;
    bool granted;
  };
  const Case cases[] = {{at(2, 3), true},  {at(2, 4), true},  {at(3, 1), true},
                        {at(2, 2), false}, {at(1, 9), false}, {at(0, 0), false}};
  for (const Case& one : cases) {
    Rig rig(log_of({1, 2, 2}, 4));
    rig.receive(2, 4, PreVote{.last = one.candidate});
    EXPECT_EQ(rig.sent<PreVoteReply>(2)->granted, one.granted);
    rig.receive(2, 5, RequestVote{.last = one.candidate});
    EXPECT_EQ(rig.action<PersistHardState>()->state, (HardState{{5}, one.granted ? node(2) : NodeId{}}));
    rig.sync_hard_state();
    const auto* reply = rig.sent<RequestVoteReply>(2);
    EXPECT_EQ(reply != nullptr && reply->granted, one.granted);
  }
}

TEST(Election, TellsAVoteOnceItIsDurable) {
  Rig rig(log_of({1}, 1));
  rig.receive(2, 2, RequestVote{.last = at(1, 1)});
  EXPECT_EQ(rig.action<Send>(), nullptr);
  rig.slot.hard_state_synced({{2}, {}}, rig.now, rig.actions);  // An older one.
  EXPECT_EQ(rig.action<Send>(), nullptr);
  rig.slot.hard_state_synced({{2}, {2}}, rig.now, rig.actions);
  ASSERT_NE(rig.sent<RequestVoteReply>(2), nullptr);
  EXPECT_TRUE(rig.sent<RequestVoteReply>(2)->granted);
}

TEST(Election, GivesOneVoteInATermAndRepeatsIt) {
  Rig rig(log_of({1}, 1));
  rig.receive(2, 2, RequestVote{.last = at(1, 1)});
  rig.sync_hard_state();
  rig.receive(3, 2, RequestVote{.last = at(1, 9)});
  EXPECT_FALSE(rig.sent<RequestVoteReply>(3)->granted);
  rig.receive(2, 2, RequestVote{.last = at(1, 1)});
  EXPECT_TRUE(rig.sent<RequestVoteReply>(2)->granted);
}

TEST(Election, RemembersItsVoteOverARestart) {
  SlotState state = log_of({1}, 2);
  state.hard.vote = node(3);
  Rig rig(state);
  rig.receive(2, 2, RequestVote{.last = at(1, 9)});
  EXPECT_FALSE(rig.sent<RequestVoteReply>(2)->granted);
}

TEST(Election, IsRefusedByWhoHearsALeader) {  // Thesis §4.2.3
  Rig rig(log_of({1}, 1));
  rig.reach({2});
  rig.receive(2, 1, AppendEntries{.prev = at(1, 1)});
  rig.receive(3, 1, PreVote{.last = at(1, 9)});
  EXPECT_FALSE(rig.sent<PreVoteReply>(3)->granted);
  rig.receive(3, 2, RequestVote{.last = at(1, 9)});
  EXPECT_TRUE(rig.actions.empty());
  EXPECT_EQ(rig.slot.term(), Term{1});
  rig.receive(3, 2, RequestVote{.last = at(1, 9), .transfer = true});  // The leader itself wants it.
  EXPECT_EQ(rig.slot.term(), Term{2});
  rig.sync_hard_state();
  EXPECT_TRUE(rig.sent<RequestVoteReply>(3)->granted);
}

TEST(Election, BeginsWhenTheLeadersNodeIsLostAndNotBefore) {
  Rig rig(log_of({1}, 1));
  rig.reach({2, 3});
  rig.receive(2, 1, AppendEntries{.prev = at(1, 1)});
  rig.slot.leadership(node(2), Term{1}, rig.now, rig.actions);
  EXPECT_EQ(rig.slot.deadline(), Instant::max()) << "a quiet follower needs no ticks";
  rig.slot.stand(rig.now, rig.actions);
  EXPECT_EQ(rig.slot.role(), Role::Follower);
  rig.lose(3);
  EXPECT_EQ(rig.slot.leader(), node(2));
  rig.lose(2);
  EXPECT_EQ(rig.slot.leader(), NodeId{});
  EXPECT_LE(rig.slot.deadline(), rig.now + rig.options.election_spread);
  rig.tick_at_deadline();
  EXPECT_EQ(rig.slot.role(), Role::PreCandidate);
}

TEST(Election, BeginsWhenTheLeaderSaysThatItDoesNotLead) {
  Rig rig(log_of({1}, 1));
  rig.reach({2});
  rig.slot.leadership(node(2), Term{1}, rig.now, rig.actions);
  EXPECT_EQ(rig.slot.leader(), node(2));
  rig.slot.leadership(node(3), std::nullopt, rig.now, rig.actions);
  EXPECT_EQ(rig.slot.leader(), node(2));
  rig.slot.leadership(node(2), std::nullopt, rig.now, rig.actions);
  EXPECT_EQ(rig.slot.leader(), NodeId{});
  // What it said as a leader may come late, and is true; but nobody would say any more when it is lost.
  rig.receive(2, 1, AppendEntries{.prev = at(1, 1)});
  EXPECT_NE(rig.slot.deadline(), Instant::max());
}

TEST(Election, IsNoBusinessOfLearnersAndStrangers) {
  SlotState state = log_of({1}, 1);
  state.replicas.set = {.voters = {{2}, {3}}, .learners = {{1}}};
  for (const bool learner : {true, false}) {
    if (!learner) state.replicas.set = {};
    Rig rig(state);
    rig.tick_at_deadline();
    rig.slot.stand(rig.now, rig.actions);
    rig.receive(2, 1, TimeoutNow{});
    EXPECT_EQ(rig.slot.role(), Role::Follower);
    EXPECT_EQ(rig.slot.term(), Term{1});
  }
}

/// A directory that is another one than that which has promised, as others still count on it.
TEST(Election, GetsNoVoteOfWhoHasNothing) {
  SlotState state = log_of({}, 0);
  state.replicas.set = {};
  Rig rig(state);
  rig.receive(2, 1, PreVote{.last = at(1, 1)});
  EXPECT_FALSE(rig.sent<PreVoteReply>(2)->granted);
  rig.receive(2, 2, RequestVote{.last = at(1, 1)});
  EXPECT_FALSE(rig.sent<RequestVoteReply>(2)->granted);
  // It takes what a leader has, and votes from then on.
  rig.receive(2, 3, AppendEntries{.prev = at(0, 0), .entries_term = {3}, .count = 1});
  rig.sync_hard_state();
  rig.sync();
  rig.receive(3, 4, RequestVote{.last = at(3, 1), .transfer = true});
  rig.sync_hard_state();
  EXPECT_TRUE(rig.sent<RequestVoteReply>(3)->granted);
  // Whoever founds a slot has nothing either, and votes for itself.
  Rig founder(log_of({}, 0, 1));
  founder.tick_at_deadline();
  founder.sync_hard_state();
  EXPECT_EQ(founder.slot.role(), Role::Leader);
}

/// Whose log was lost remembers where it ended.
TEST(Election, GetsTheVoteOfAReplicaThatHasLostNoMore) {
  const auto votes_for = [](LogPosition upto, LogPosition last) {
    SlotState state = log_of({1}, 4);
    state.lost_before = {4};
    state.lost_upto = upto;
    Rig rig(state);
    rig.receive(2, 4, PreVote{.last = last});
    const bool promised = rig.sent<PreVoteReply>(2)->granted;
    rig.receive(2, 5, RequestVote{.last = last});
    rig.sync_hard_state();
    const auto* reply = rig.sent<RequestVoteReply>(2);
    EXPECT_EQ(reply != nullptr && reply->granted, promised);
    // It doesn't stand itself.
    rig.tick_at_deadline();
    EXPECT_EQ(rig.slot.role(), Role::Follower);
    return promised;
  };
  EXPECT_FALSE(votes_for({}, at(9, 9))) << "where it ended isn't known";
  EXPECT_FALSE(votes_for(at(3, 7), at(3, 6)));
  EXPECT_TRUE(votes_for(at(3, 7), at(3, 7)));
  EXPECT_TRUE(votes_for(at(3, 7), at(4, 2)));
}

TEST(Election, IsOpenToAReplicaThatHasAsMuchAsItHadAgain) {
  SlotState state = log_of({1}, 4);
  state.lost_before = {4};
  state.lost_upto = at(1, 3);
  Rig rig(state);
  rig.receive(2, 5, AppendEntries{.prev = at(1, 1), .entries_term = {1}, .count = 2});
  EXPECT_EQ(rig.slot.lost_before(), Term{4}) << "a crash may still take it away";
  rig.sync();
  EXPECT_EQ(rig.slot.lost_before(), Term{});
  rig.tick_at_deadline();
  EXPECT_EQ(rig.slot.role(), Role::PreCandidate);
}

TEST(Election, IsGivenUpWhenTheDiskRefusedEntriesItWasToBeWonWith) {
  Rig rig(log_of({1}, 1));
  rig.receive(2, 1, AppendEntries{.prev = at(1, 1), .entries_term = {1}, .count = 3});
  EXPECT_EQ(rig.slot.last(), at(1, 4));
  rig.tick_at_deadline();
  rig.receive(3, 1, PreVoteReply{.granted = true});
  rig.sync_hard_state();
  EXPECT_EQ(rig.sent<RequestVote>(3)->last, at(1, 4));
  rig.slot.append_failed(rig.now, rig.actions);
  rig.receive(3, 2, RequestVoteReply{.granted = true});
  EXPECT_EQ(rig.slot.role(), Role::Follower);
  EXPECT_EQ(rig.slot.last(), at(1, 1));
}

/// What each message does in each role, by its term: older, the same, newer. Raft §5.1.
TEST(Election, TakesEachMessageInEachRoleAndTerm) {
  using Body = PeerMessage::Body;
  const Body bodies[] = {AppendEntries{.prev = at(1, 1)},
                         AppendEntriesReply{.success = true, .match = {1}, .received = {1}},
                         RequestVote{.last = at(1, 9)},
                         RequestVoteReply{.granted = true},
                         PreVote{.last = at(1, 9)},
                         PreVoteReply{.granted = true},
                         TimeoutNow{},
                         CommitHint{{1}}};
  // By role, after a message of the same term; '-' for one that no correct peer sends.
  static constexpr const char* kSame[] = {"FFFFFFCF", "FPFPPCCF", "FCCLCC?F", "-LLLLL--"};
  for (const Role role : {Role::Follower, Role::PreCandidate, Role::Candidate, Role::Leader}) {
    for (std::size_t kind = 0; kind < std::size(bodies); ++kind) {
      for (const int relation : {-1, 0, 1}) {
        Rig rig(log_of({1}, 4));
        if (role != Role::Follower) rig.tick_at_deadline();
        if (role >= Role::Candidate) rig.receive(3, 4, PreVoteReply{.granted = true});
        if (role >= Role::Candidate) rig.sync_hard_state();
        if (role == Role::Leader) rig.receive(3, 5, RequestVoteReply{.granted = true});
        ASSERT_EQ(rig.slot.role(), role);
        const std::uint64_t before = rig.slot.term().value;
        const std::uint64_t term = before + static_cast<std::uint64_t>(relation);
        const std::string label = "role " + std::to_string(static_cast<int>(role)) + ", kind " + std::to_string(kind) +
                                  ", relation " + std::to_string(relation);
        rig.receive(2, term, bodies[kind]);
        if (relation < 0) {
          EXPECT_EQ(rig.slot.role(), role) << label;
          EXPECT_EQ(rig.slot.term().value, before) << label;
          EXPECT_EQ(rig.action<PersistHardState>(), nullptr) << label;
          const bool asked = kind == 0 || kind == 2 || kind == 4 || kind == 6 || kind == 7;
          EXPECT_EQ(rig.action<Send>() != nullptr, asked) << label;
          if (asked) {
            EXPECT_EQ(rig.action<Send>()->message.term.value, before) << label;
          }
        } else if (relation > 0) {
          const bool stands = kind == 6;
          EXPECT_EQ(rig.slot.role(), stands ? Role::Candidate : Role::Follower) << label;
          EXPECT_EQ(rig.slot.term().value, stands ? term + 1 : term) << label;
          EXPECT_NE(rig.action<PersistHardState>(), nullptr) << label;
          EXPECT_EQ(rig.action<SteppedDown>() != nullptr, role == Role::Leader) << label;
          EXPECT_EQ(rig.slot.leader(), kind == 0 || kind == 7 ? node(2) : NodeId{}) << label;
        } else {
          const char expected = kSame[static_cast<std::size_t>(role)][kind];
          static constexpr char kLetters[] = "FPCL";
          if (expected == '-') {
            EXPECT_NE(rig.action<Diverged>(), nullptr) << label;
            EXPECT_EQ(rig.slot.role(), role) << label;
          } else if (expected != '?') {
            EXPECT_EQ(kLetters[static_cast<std::size_t>(rig.slot.role())], expected) << label;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace parley::replication
