#include <algorithm>
#include <array>
#include <functional>

#include "base/check.hpp"
#include "broker/replication/slot.hpp"

/// The leader's side: replication Raft §5.3, commitment §5.4.2, replica changes thesis §4, transfer thesis §3.10.
namespace parley::replication {

void Slot::become_leader(Instant now, Actions& actions) {
  role_ = Role::Leader;
  election_at_ = Instant::max();
  set_leader(self_, actions);
  sent_ = terms_.last_index();  // It was elected for having these.
  for (Peer& peer : peers_) peer.begin(sent_.next());
  terms_.append(hard_.term, sent_.next());
  actions.push_back(BecameLeader{hard_.term, terms_.last_index()});
  check_quorum(now);
  replicate(now, actions);
}

// -- Proposals

Result<void> Slot::may_propose() const {
  if (role_ != Role::Leader) return ReplicationError::NotLeader;
  if (transfer_target_ != NodeId{}) return ReplicationError::Transferring;
  if (!has_quorum()) return ReplicationError::NoMajority;
  return {};
}

Result<format::RecordPosition> Slot::propose(std::uint64_t count) {
  PARLEY_CHECK(count > 0, "nothing is proposed");
  PARLEY_TRY(may_propose());
  const Index first = terms_.last_index().next();
  terms_.append(hard_.term, {terms_.last_index().value + count});
  return format::RecordPosition{.slot = slot_, .term = hard_.term, .index = first};
}

void Slot::replicate(Instant now, Actions& actions) {
  if (role_ != Role::Leader) return;
  for (Peer& peer : peers_) pump(peer, now, actions);
}

Result<format::RecordPosition> Slot::propose_replicas(const ReplicaChange& change, Actions& actions) {
  PARLEY_TRY(may_propose());
  // Until it has committed something of its own, a leader can't know whether an earlier change is. Thesis §4.1.
  if (!replicas_committed() || terms_.term_at(commit_) != hard_.term) return ReplicationError::ChangeUnderWay;
  PARLEY_TRY(auto next, apply(change, replicas()));
  if (change.kind == ReplicaChange::Kind::PromoteLearner && !caught_up(change.node)) {
    return ReplicationError::ReplicaBehind;
  }
  if (!has_quorum(next)) return ReplicationError::NoMajority;  // It could never be committed, nor be taken back.
  PARLEY_TRY(const auto position, propose(1));
  history_.append(position.index, std::move(next));
  replicas_changed(actions);
  return position;
}

/// A voter that answers and isn't far behind won't hold up commits; and one without a record gives no vote.
bool Slot::caught_up(NodeId learner) const {
  const auto found = std::ranges::find(peers_, learner, &Peer::node);
  return found != peers_.end() && reachable(learner) && found->progress == Peer::Progress::Replicating &&
         found->match > Index{} && found->match.value + options_.promotion_lag >= terms_.last_index().value;
}

bool Slot::could_lead(NodeId node) const {
  const auto found = std::ranges::find(peers_, node, &Peer::node);
  return role_ == Role::Leader && found != peers_.end() && found->voter && reachable(node) &&
         found->progress == Peer::Progress::Replicating && terms_.term_at(found->commit_known) == hard_.term &&
         found->match.value + options_.entries_in_flight >= terms_.last_index().value;
}

Result<void> Slot::transfer_to(NodeId node, Instant now, Actions& actions) {
  if (role_ != Role::Leader) return ReplicationError::NotLeader;
  if (transfer_target_ != NodeId{}) return ReplicationError::Transferring;
  const Peer* target = peer(node);
  if (target == nullptr || !target->voter || !reachable(node)) return ReplicationError::NoSuchReplica;
  if (!could_lead(node)) return ReplicationError::ReplicaBehind;
  transfer_target_ = node;
  transfer_until_ = now + options_.election_timeout;
  check_transfer(actions);
  return {};
}

void Slot::end_transfer() {
  transfer_target_ = {};
  transfer_until_ = Instant::max();
}

void Slot::check_transfer(Actions& actions) {
  const Peer* target = transfer_target_ != NodeId{} ? peer(transfer_target_) : nullptr;
  if (target != nullptr && target->match == terms_.last_index()) send(target->node, TimeoutNow{}, actions);
}

// -- Replication

void Slot::pump(Peer& to, Instant now, Actions& actions) {
  using Progress = Peer::Progress;
  if (!reachable(to.node) || to.paused || to.progress == Progress::Snapshot) return;
  if (to.next.value <= terms_.base().index.value) {
    to.progress = Progress::Snapshot;
    to.retry_at = to.hint_at = Instant::max();
    actions.push_back(NeedSnapshot{to.node});
    return;
  }
  if (to.progress == Progress::Probing) {
    if (!to.probe_sent) send_append(to, now, actions);
    return;
  }
  while (to.next <= terms_.last_index() && to.in_flight() < options_.entries_in_flight) send_append(to, now, actions);
}

/// The next entries of one term; or none, which asks where the logs agree.
void Slot::send_append(Peer& to, Instant now, Actions& actions) {
  const Index first = to.next;
  const Index prev{first.value - 1};
  AppendEntries message{.prev = {terms_.term_at(prev).value(), prev}, .commit = commit_};
  if (first <= terms_.last_index()) {
    Index last = std::min(terms_.run_end(first), Index{prev.value + options_.entries_per_append});
    if (const ReplicaSet* named = history_.at(first)) {
      message.replicas = *named;
      last = first;
    } else {
      last = {history_.first_in(first, last).value - 1};
    }
    message.entries_term = terms_.term_at(first).value();
    message.count = last.value - prev.value;
    sent_ = std::max(sent_, last);
    if (to.progress == Peer::Progress::Replicating) to.next = last.next();
    actions.push_back(SendAppend{to.node, slot_, hard_.term, std::move(message), first, last});
  } else {
    send(to.node, std::move(message), actions);
  }
  to.probe_sent = true;
  to.retry_at = std::min(to.retry_at, now + options_.retry_interval);
  if (to.hint_at != Instant::max()) to.hint_at = now + options_.commit_hint_delay;
}

void Slot::receive(NodeId from, const AppendEntriesReply& message, Instant now, Actions& actions) {
  Peer* replica = role_ == Role::Leader ? peer(from) : nullptr;
  if (replica == nullptr || message.match > terms_.last_index()) return;
  replica->commit_known = std::max(replica->commit_known, message.commit);
  if (message.success) {
    take_success(*replica, message, now);
    commit_by_counting(now, actions);
    if (role_ != Role::Leader) return;
    check_transfer(actions);
  } else {
    take_refusal(*replica, message);
  }
  // Of all replicas: the commit may have let new ones in, and `replica` is one of the old.
  replicate(now, actions);
}

void Slot::take_success(Peer& from, const AppendEntriesReply& message, Instant now) {
  from.match = std::max(from.match, message.match);
  if (from.progress == Peer::Progress::Snapshot && from.match < terms_.base().index) return;
  if (from.progress == Peer::Progress::Replicating) {
    from.next = std::max(from.next, from.match.next());
  } else {
    from.progress = Peer::Progress::Replicating;
    from.next = std::clamp(message.received, from.match, terms_.last_index()).next();
  }
  from.retry_at = from.in_flight() > 0 ? now + options_.retry_interval : Instant::max();
}

void Slot::take_refusal(Peer& from, const AppendEntriesReply& message) {
  const Index refused = message.received;
  const bool probing = from.progress == Peer::Progress::Probing;
  // Late answers: to a question that isn't asked any more.
  if (from.progress == Peer::Progress::Snapshot || refused <= from.match) return;
  if (probing && refused.next() != from.next) return;
  const Index known =
      message.hint.index < terms_.base().index ? message.hint.index : terms_.agreement(message.hint).index;
  from.probe(std::max(from.match, std::min(known, Index{refused.value - 1})).next());
}

void Slot::append_unsent(NodeId to, Index first) {
  Peer* replica = role_ == Role::Leader ? peer(to) : nullptr;
  if (replica == nullptr) return;
  replica->paused = true;
  replica->retry_at = Instant::max();
  if (replica->progress == Peer::Progress::Probing) replica->probe_sent = false;
  if (replica->progress == Peer::Progress::Replicating) {
    replica->next = std::max(replica->match.next(), std::min(replica->next, first));
  }
}

void Slot::peer_writable(NodeId to, Instant now, Actions& actions) {
  Peer* replica = role_ == Role::Leader ? peer(to) : nullptr;
  if (replica == nullptr || !replica->paused) return;
  replica->paused = false;
  if (replica->in_flight() > 0) replica->retry_at = now + options_.retry_interval;
  pump(*replica, now, actions);
}

void Slot::snapshot_sent(NodeId to, std::optional<LogPosition> position, Instant now, Actions& actions) {
  Peer* replica = role_ == Role::Leader ? peer(to) : nullptr;
  if (replica == nullptr || replica->progress != Peer::Progress::Snapshot) return;
  if (position) {
    replica->probe(std::min(position->index, terms_.last_index()).next());
    return pump(*replica, now, actions);
  }
  replica->probe(replica->next);
  replica->probe_sent = true;  // Asked again when its time comes.
  replica->retry_at = now + options_.retry_interval;
}

// -- Commitment

/// What a majority has, and of this term: older entries are committed with it, never by being counted. Raft §5.4.2.
void Slot::commit_by_counting(Instant now, Actions& actions) {
  std::array<Index, kReplicasMax> matches;
  std::size_t count = 0;
  if (voter(self_)) matches[count++] = durable_;
  for (const Peer& peer : peers_) {
    if (peer.voter) matches[count++] = peer.match;
  }
  const std::size_t needed = replicas().majority();
  if (count < needed) return;
  const auto middle = matches.begin() + static_cast<std::ptrdiff_t>(needed - 1);
  std::nth_element(matches.begin(), middle, matches.begin() + static_cast<std::ptrdiff_t>(count), std::greater<>{});
  if (terms_.term_at(*middle) != hard_.term) return;
  advance_commit(std::min(*middle, durable_), actions);
  for (Peer& peer : peers_) {
    if (peer.hint_at == Instant::max() && needs_hint(peer)) peer.hint_at = now + options_.commit_hint_delay;
  }
  // A leader that has removed itself has done its work. Thesis §4.2.2.
  if (replicas_committed() && !voter(self_)) become_follower(hard_.term, {}, now, actions);
}

bool Slot::needs_hint(const Peer& peer) const {
  return peer.progress == Peer::Progress::Replicating && peer.commit_known < std::min(commit_, peer.match);
}

void Slot::check_quorum(Instant now) {
  if (has_quorum()) {
    quorum_lost_until_ = Instant::max();
  } else if (quorum_lost_until_ == Instant::max()) {
    quorum_lost_until_ = now + options_.election_timeout;
  }
}

// -- Time

void Slot::tick_leader(Instant now, Actions& actions) {
  check_quorum(now);
  if (now >= quorum_lost_until_) return become_follower(hard_.term, {}, now, actions);
  if (now >= transfer_until_) end_transfer();
  for (Peer& peer : peers_) tick_peer(peer, now, actions);
}

void Slot::tick_peer(Peer& peer, Instant now, Actions& actions) {
  if (!reachable(peer.node)) return;
  if (now >= peer.retry_at) {
    peer.retry_at = Instant::max();
    peer.probe(peer.progress == Peer::Progress::Replicating ? peer.match.next() : peer.next);
    pump(peer, now, actions);
  }
  if (now >= peer.hint_at) {
    const bool needed = needs_hint(peer);
    if (needed) send(peer.node, CommitHint{commit_}, actions);
    peer.hint_at = needed ? now + options_.retry_interval : Instant::max();
  }
}

}  // namespace parley::replication
