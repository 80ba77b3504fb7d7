#include <algorithm>

#include "base/check.hpp"
#include "broker/replication/slot.hpp"

/// The follower's side of log matching: Raft §5.3.
namespace parley::replication {

void Slot::receive(NodeId from, const AppendEntries& message, Instant /*now*/, Actions& actions) {
  leader_commit_ = std::max(leader_commit_, message.commit);
  if (!agrees(from, message, actions)) return;
  const bool written = take_entries(message, actions);
  verified_ = std::max(verified_, message.last());
  follow_commit(actions);
  // What was just written is acknowledged once it is durable.
  if (written) {
    ack_owed_ = true;
  } else {
    acknowledge(actions);
  }
}

/// Whether the entries fit on this log; else says so.
bool Slot::agrees(NodeId from, const AppendEntries& message, Actions& actions) {
  const LogPosition& prev = message.prev;
  const auto term = terms_.term_at(prev.index);
  if (prev.index > commit_ && term != prev.term) {
    send(from, AppendEntriesReply{.received = prev.index, .commit = commit_, .hint = terms_.agreement(prev)}, actions);
    return false;
  }
  // What is committed is the same in every leader's log; what is below the base isn't known any more.
  const Index first{std::max(prev.index, terms_.base().index).value + 1};
  if (prev.index >= terms_.base().index && term != prev.term) return diverged(from, prev.index, actions);
  if (first > message.last()) return true;
  if (message.entries_term > hard_.term || message.entries_term < terms_.term_at({first.value - 1})) {
    return diverged(from, first, actions);
  }
  const Index last = std::min(message.last(), commit_);
  const bool same =
      first > last || (terms_.term_at(first) == message.entries_term && terms_.term_at(last) == message.entries_term);
  return same || diverged(from, first, actions);
}

bool Slot::diverged(NodeId from, Index index, Actions& actions) {
  actions.push_back(Diverged{from, index});
  return false;
}

/// Writes those that aren't there yet; false when all are.
bool Slot::take_entries(const AppendEntries& message, Actions& actions) {
  Index first{std::max(message.prev.index, terms_.base().index).value + 1};
  const Index shared = std::min(message.last(), terms_.last_index());
  while (first <= shared && terms_.term_at(first) == message.entries_term) first = terms_.run_end(first).next();
  if (first > message.last()) return false;
  if (first <= terms_.last_index()) {
    actions.push_back(Truncate{first});
    truncate_after({first.value - 1}, actions);
    generation_ = generation_.next();
  }
  // The term is durable before what was written in it: who loses the records knows up to which term he has promised.
  persist_hard_state(actions);
  terms_.append(message.entries_term, message.last());
  actions.push_back(Append{first, message.last()});
  if (message.replicas) {
    history_.append(message.last(), *message.replicas);
    replicas_changed(actions);
  }
  return true;
}

void Slot::receive(NodeId /*from*/, const CommitHint& message, Instant /*now*/, Actions& actions) {
  leader_commit_ = std::max(leader_commit_, message.commit);
  follow_commit(actions);
  acknowledge(actions);
}

void Slot::follow_commit(Actions& actions) { advance_commit(std::min({leader_commit_, verified_, durable_}), actions); }

/// Promises to keep what is durable, in a term that is durable, too.
void Slot::acknowledge(Actions& actions) {
  ack_owed_ = true;
  if (role_ != Role::Follower || leader_ == NodeId{} || !hard_state_durable()) return;
  const Index match = std::min(verified_, durable_);
  send(leader_, AppendEntriesReply{.success = true, .match = match, .received = verified_, .commit = commit_}, actions);
  ack_owed_ = match < verified_;
}

void Slot::snapshot_installed(LogPosition position, ReplicasAt replicas, Instant now, Actions& actions) {
  if (position.index <= terms_.base().index) return;
  std::vector<ReplicasAt> later;
  if (terms_.term_at(position.index) == position.term) {
    for (Index at = history_.first_in(position.index.next(), terms_.last_index()); at <= terms_.last_index();
         at = history_.first_in(at.next(), terms_.last_index())) {
      later.push_back({at, *history_.at(at)});
    }
    terms_.cut(position.index);
  } else {
    PARLEY_CHECK(role_ != Role::Leader && position.index > commit_, "a snapshot contradicts what is committed");
    if (role_ != Role::Follower || position.term > hard_.term) {
      become_follower(std::max(position.term, hard_.term), {}, now, actions);
    }
    terms_ = TermHistory(position, {}, position.index);
    generation_ = generation_.next();
    durable_ = position.index;
    verified_ = std::min(verified_, position.index);
  }
  durable_ = std::max(durable_, position.index);
  verified_ = std::max(verified_, position.index);
  history_ = ReplicaHistory(std::move(replicas), later);
  replicas_changed(actions);
  advance_commit(position.index, actions);
  acknowledge(actions);
  persist_hard_state(actions);
}

}  // namespace parley::replication
