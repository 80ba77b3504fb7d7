#include <algorithm>

#include "broker/replication/slot.hpp"

/// Elections: Raft §5.2 and §5.4.1; pre-vote thesis §9.6, leadership transfer thesis §3.10.
namespace parley::replication {

/// Whom a change removes that may never be committed, may be needed to commit it. Thesis §4.2.2.
bool Slot::may_stand() const {
  if (!is_whole()) return false;
  if (voter(self_)) return true;
  return !replicas_committed() && history_.in_force({history_.current().index.value - 1}).set.has_voter(self_);
}

/// Raft §5.4.1. Whoever became a voter had a record before: so one that has none is not the replica that others count
/// on, its directory is another one than that which has promised. One whose log was lost is, as long as it knows where
/// that ended.
bool Slot::may_vote_for(LogPosition last) const {
  if (is_whole()) return !is_blank() && last >= terms_.last();
  return lost_upto_ != LogPosition{} && last >= std::max(lost_upto_, terms_.last());
}

void Slot::wait_for_leader(Instant now) {
  // A leader whose reachable node says that it leads is there until that changes. Else only its messages show it, and
  // the last ones may come after it has stepped down.
  const bool watched = leader_ != NodeId{} && confirmed_ && reachable(leader_);
  election_at_ = watched ? Instant::max() : now + options_.election_timeout + random_part();
}

void Slot::lose_leader(Instant now, Actions& actions) {
  role_ = Role::Follower;
  set_leader({}, actions);
  election_at_ = now + random_part();
}

void Slot::stand(Instant now, Actions& actions) {
  if (role_ == Role::Candidate || hears_leader() || role_ == Role::Leader || !may_stand()) return;
  begin_pre_vote(now, actions);
  persist_hard_state(actions);
}

void Slot::begin_pre_vote(Instant now, Actions& actions) {
  role_ = Role::PreCandidate;
  set_leader({}, actions);
  wait_for_leader(now);
  for (Peer& peer : peers_) {
    peer.granted = false;
    if (peer.voter) send(peer.node, PreVote{.last = terms_.last()}, actions);
  }
  count_votes(now, actions);
}

void Slot::begin_election(bool transfer, Instant now, Actions& actions) {
  role_ = Role::Candidate;
  by_transfer_ = transfer;
  set_leader({}, actions);
  enter_term(hard_.term.next(), self_);
  wait_for_leader(now);
  for (Peer& peer : peers_) peer.granted = false;
}

/// Once its vote for itself is durable.
void Slot::ask_for_votes(Actions& actions) {
  for (const Peer& peer : peers_) {
    if (!peer.voter || peer.granted) continue;
    send(peer.node, RequestVote{.last = terms_.last(), .transfer = by_transfer_}, actions);
  }
}

void Slot::count_votes(Instant now, Actions& actions) {
  auto votes = static_cast<std::size_t>(
      std::ranges::count_if(peers_, [](const Peer& peer) { return peer.voter && peer.granted; }));
  if (voter(self_)) ++votes;
  if (votes < replicas().majority()) return;
  if (role_ == Role::PreCandidate) {
    begin_election(false, now, actions);
  } else {
    become_leader(now, actions);
  }
}

void Slot::receive(NodeId from, const RequestVote& message, Instant now, Actions& actions) {
  const bool free = hard_.vote == from || (hard_.vote == NodeId{} && leader_ == NodeId{});
  if (!free || !may_vote_for(message.last)) return send(from, RequestVoteReply{.granted = false}, actions);
  if (role_ == Role::PreCandidate) role_ = Role::Follower;
  hard_.vote = from;
  wait_for_leader(now);
  vote_owed_ = !hard_state_durable();
  if (!vote_owed_) send(from, RequestVoteReply{.granted = true}, actions);
}

void Slot::receive(NodeId from, const RequestVoteReply& message, Instant now, Actions& actions) {
  Peer* voter = peer(from);
  if (role_ != Role::Candidate || !hard_state_durable() || voter == nullptr || !message.granted) return;
  voter->granted = true;
  count_votes(now, actions);
}

void Slot::receive(NodeId from, const PreVote& message, Instant /*now*/, Actions& actions) {
  send(from, PreVoteReply{.granted = !hears_leader() && may_vote_for(message.last)}, actions);
}

void Slot::receive(NodeId from, const PreVoteReply& message, Instant now, Actions& actions) {
  Peer* voter = peer(from);
  if (role_ != Role::PreCandidate || voter == nullptr || !message.granted) return;
  voter->granted = true;
  count_votes(now, actions);
}

void Slot::receive(NodeId /*from*/, const TimeoutNow& /*message*/, Instant now, Actions& actions) {
  if (may_stand()) begin_election(true, now, actions);
}

}  // namespace parley::replication
