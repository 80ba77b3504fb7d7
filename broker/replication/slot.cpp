#include "broker/replication/slot.hpp"

#include <algorithm>
#include <utility>

#include "base/check.hpp"

namespace parley::replication {
namespace {

/// Messages that only a leader sends.
bool from_leader(const PeerMessage::Body& body) {
  return std::holds_alternative<AppendEntries>(body) || std::holds_alternative<CommitHint>(body) ||
         std::holds_alternative<TimeoutNow>(body);
}

}  // namespace

Slot::Slot(parley::Slot slot, NodeId self, const Options& options, const SlotState& state, std::uint64_t random,
           Instant now)
    : options_(options),
      slot_(slot),
      self_(self),
      random_(random),
      hard_(state.hard),
      terms_(state.base, state.terms, state.last),
      history_(state.replicas, state.changes),
      durable_(state.last),
      commit_(std::clamp(state.commit, state.base.index, state.last)),
      lost_before_(state.lost_before),
      lost_upto_(state.lost_upto) {
  // An older version may have left an entry whose term isn't durable by itself.
  if (terms_.last().term > hard_.term) hard_ = {.term = terms_.last().term};
  durable_hard_ = asked_hard_ = hard_;
  verified_ = leader_commit_ = commit_;
  for (const std::vector<NodeId>* nodes : {&replicas().voters, &replicas().learners}) {
    for (const NodeId node : *nodes) {
      if (node != self_) peers_.push_back({.node = node, .voter = nodes == &replicas().voters});
    }
  }
  take_back_what_was_lost();
  wait_for_leader(now);
  if (may_stand() && replicas().majority() == 1) election_at_ = now;
}

// -- Time and messages

void Slot::tick(Instant now, Actions& actions) {
  if (role_ == Role::Leader) {
    tick_leader(now, actions);
  } else if (now >= election_at_) {
    // A candidate whose disk is slow doesn't ask for a second term before it could ask for votes in the first.
    const bool disk_busy = role_ == Role::Candidate && !hard_state_durable();
    if (role_ == Role::Follower) set_leader({}, actions);
    if (may_stand() && !disk_busy) {
      begin_pre_vote(now, actions);
    } else {
      wait_for_leader(now);
    }
  }
  persist_hard_state(actions);
}

Instant Slot::deadline() const {
  if (role_ != Role::Leader) return election_at_;
  Instant earliest = std::min(transfer_until_, quorum_lost_until_);
  for (const Peer& peer : peers_) {
    if (reachable(peer.node)) earliest = std::min({earliest, peer.retry_at, peer.hint_at});
  }
  return earliest;
}

void Slot::receive(NodeId from, const PeerMessage& message, Instant now, Actions& actions) {
  if (message.slot != slot_ || from == self_) return;
  if (message.term < hard_.term) return receive_stale(from, message, actions);
  if (message.term > hard_.term) {
    // Whoever hears a leader doesn't let himself be talked into another term. Thesis §4.2.3.
    const auto* vote = std::get_if<RequestVote>(&message.body);
    if (vote != nullptr && !vote->transfer && hears_leader()) return;
    become_follower(message.term, from_leader(message.body) ? from : NodeId{}, now, actions);
  }
  receive_current(from, message, now, actions);
  persist_hard_state(actions);
}

void Slot::receive_current(NodeId from, const PeerMessage& message, Instant now, Actions& actions) {
  if (from_leader(message.body)) {
    if (role_ == Role::Leader || (leader_ != NodeId{} && leader_ != from)) {
      actions.push_back(Diverged{from, commit_});  // Two leaders in one term: somebody has forgotten its vote.
      return;
    }
    if (role_ != Role::Follower || leader_ != from) become_follower(hard_.term, from, now, actions);
    wait_for_leader(now);
  }
  std::visit([&](const auto& body) { receive(from, body, now, actions); }, message.body);
}

/// Whoever asks in an old term is told the new one; answers from there mean nothing any more.
void Slot::receive_stale(NodeId from, const PeerMessage& message, Actions& actions) const {
  if (std::holds_alternative<RequestVote>(message.body)) {
    send(from, RequestVoteReply{.granted = false}, actions);
  } else if (std::holds_alternative<PreVote>(message.body)) {
    send(from, PreVoteReply{.granted = false}, actions);
  } else if (from_leader(message.body)) {
    send(from, AppendEntriesReply{.commit = commit_}, actions);
  }
}

// -- From the disk

void Slot::synced(LogGeneration generation, Index upto, Instant now, Actions& actions) {
  if (generation != generation_) return;  // What was written then may be gone by now.
  durable_ = std::max(durable_, std::min(upto, terms_.last_index()));
  take_back_what_was_lost();
  if (role_ == Role::Leader) {
    commit_by_counting(now, actions);
  } else {
    follow_commit(actions);
    if (ack_owed_) acknowledge(actions);
  }
  persist_hard_state(actions);
}

void Slot::append_failed(Instant now, Actions& actions) {
  generation_ = generation_.next();
  if (terms_.last_index() == durable_) return;
  const bool told = sent_ > durable_;  // Entries that somebody may have can't be replaced in the same term.
  const Term last_term = terms_.term_at(durable_).value_or(Term{});
  if (role_ == Role::Leader ? told || last_term != hard_.term : role_ != Role::Follower) {
    become_follower(hard_.term, {}, now, actions);
  }
  actions.push_back(Truncate{durable_.next()});
  truncate_after(durable_, actions);
  ack_owed_ = false;
  replicate(now, actions);  // A replica may be back whose removal was refused.
  persist_hard_state(actions);
}

void Slot::hard_state_synced(const HardState& state, Instant now, Actions& actions) {
  durable_hard_ = state;
  if (!hard_state_durable()) return;
  if (std::exchange(vote_owed_, false)) send(hard_.vote, RequestVoteReply{.granted = true}, actions);
  if (ack_owed_) acknowledge(actions);
  if (role_ == Role::Candidate) {
    ask_for_votes(actions);
    count_votes(now, actions);
  }
  persist_hard_state(actions);
}

void Slot::cut(Index upto) {
  PARLEY_CHECK(upto <= commit_, "a slot's log is cut above what is committed");
  terms_.cut(upto);
  history_.cut(upto);
}

// -- From the nodes

void Slot::peer_reachable(NodeId node, Instant now, Actions& actions) {
  if (!reachable(node)) reachable_.push_back(node);
  if (role_ != Role::Leader) {
    if (leader_ == node) wait_for_leader(now);
    return;
  }
  check_quorum(now);
  if (Peer* replica = peer(node)) {
    replica->paused = false;
    if (replica->progress != Peer::Progress::Snapshot) {
      replica->probe(replica->progress == Peer::Progress::Replicating ? replica->match.next() : replica->next);
    }
    pump(*replica, now, actions);
  }
}

void Slot::peer_unreachable(NodeId node, Instant now, Actions& actions) {
  std::erase(reachable_, node);
  if (role_ == Role::Leader) return check_quorum(now);
  if (leader_ == node) lose_leader(now, actions);
}

void Slot::leadership(NodeId node, std::optional<Term> term, Instant now, Actions& actions) {
  // Nobody would say when an unreachable leader is lost.
  if (!reachable(node)) return;
  if (term && *term >= hard_.term) {
    const bool news = *term > hard_.term || (role_ != Role::Leader && leader_ == NodeId{});
    if (news) become_follower(*term, node, now, actions);
    if (leader_ == node) {
      confirmed_ = true;
      wait_for_leader(now);
    }
  } else if (leader_ == node) {
    lose_leader(now, actions);
  }
  persist_hard_state(actions);
}

// -- What is common to all roles

Peer* Slot::peer(NodeId node) {
  const auto found = std::ranges::find(peers_, node, &Peer::node);
  return found == peers_.end() ? nullptr : &*found;
}

bool Slot::reachable(NodeId node) const { return std::ranges::find(reachable_, node) != reachable_.end(); }

bool Slot::has_quorum(const ReplicaSet& set) const {
  const auto heard =
      std::ranges::count_if(set.voters, [this](NodeId node) { return node == self_ || reachable(node); });
  return static_cast<std::size_t>(heard) >= set.majority();
}

void Slot::set_leader(NodeId leader, Actions& actions) {
  if (leader == leader_) return;
  leader_ = leader;
  confirmed_ = false;
  actions.push_back(LeaderChanged{hard_.term, leader});
}

void Slot::enter_term(Term term, NodeId vote) {
  hard_ = {.term = term, .vote = vote};
  verified_ = commit_;  // What is committed is in every later leader's log. Raft §5.4.3.
  ack_owed_ = vote_owed_ = false;
}

void Slot::become_follower(Term term, NodeId leader, Instant now, Actions& actions) {
  if (role_ == Role::Leader) {
    actions.push_back(SteppedDown{hard_.term});
    end_transfer();
    quorum_lost_until_ = Instant::max();
  }
  role_ = Role::Follower;
  if (term > hard_.term) {
    set_leader({}, actions);
    enter_term(term, {});
  }
  set_leader(leader, actions);
  wait_for_leader(now);
}

void Slot::persist_hard_state(Actions& actions) {
  if (hard_ == asked_hard_) return;
  asked_hard_ = hard_;
  actions.push_back(PersistHardState{hard_});
}

void Slot::advance_commit(Index upto, Actions& actions) {
  if (upto <= commit_) return;
  commit_ = upto;
  take_back_what_was_lost();
  actions.push_back(Committed{upto});
}

/// Who was elected in that term has all that was committed in earlier ones, Raft §5.4.3, and had this replica's vote
/// only for a log that ends no earlier than the lost one; and the log agrees with its up to what it has committed. Or
/// what is durable here ends no earlier itself: it has come from such leaders, and so has whatever was committed by
/// counting on what was lost.
void Slot::take_back_what_was_lost() {
  if (is_whole()) return;
  const LogPosition end{terms_.term_at(durable_).value_or(Term{}), durable_};
  const bool ends_there = lost_upto_ != LogPosition{} && end >= lost_upto_;
  if (!ends_there && terms_.term_at(commit_) < lost_before_) return;
  lost_before_ = {};
  lost_upto_ = {};
}

void Slot::truncate_after(Index last, Actions& actions) {
  PARLEY_CHECK(last >= commit_, "a slot's committed entries are truncated");
  terms_.truncate_after(last);
  verified_ = std::min(verified_, last);
  durable_ = std::min(durable_, last);
  sent_ = std::min(sent_, last);
  for (Peer& peer : peers_) peer.next = std::min(peer.next, last.next());
  if (history_.truncate_after(last)) replicas_changed(actions);
}

void Slot::replicas_changed(Actions& actions) {
  std::vector<Peer> before = std::exchange(peers_, {});
  for (const std::vector<NodeId>* nodes : {&replicas().voters, &replicas().learners}) {
    for (const NodeId node : *nodes) {
      if (node == self_) continue;
      const auto known = std::ranges::find(before, node, &Peer::node);
      peers_.push_back(known != before.end() ? *known : Peer{.node = node, .next = terms_.last_index().next()});
      peers_.back().voter = nodes == &replicas().voters;
    }
  }
  actions.push_back(ReplicasChanged{history_.current().index});
}

void Slot::send(NodeId to, PeerMessage::Body body, Actions& actions) const {
  actions.push_back(Send{to, {.slot = slot_, .term = hard_.term, .body = std::move(body)}});
}

/// splitmix64.
Duration Slot::random_part() {
  random_ += 0x9E37'79B9'7F4A'7C15ULL;
  std::uint64_t mixed = random_;
  mixed = (mixed ^ (mixed >> 30)) * 0xBF58'476D'1CE4'E5B9ULL;
  mixed = (mixed ^ (mixed >> 27)) * 0x94D0'49BB'1331'11EBULL;
  mixed ^= mixed >> 31;
  const auto spread = static_cast<std::uint64_t>(options_.election_spread.count());
  return Duration(static_cast<std::int64_t>(mixed % (spread + 1)));
}

}  // namespace parley::replication
