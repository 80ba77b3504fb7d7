#include <algorithm>

#include "base/log.hpp"
#include "broker/shard/replica.hpp"
#include "broker/shard/replica_slots.hpp"

/// What ReplicaSlots does for replicas that are behind the log.
namespace parley::shard {

// -- As the leader

bool ReplicaSlots::needs_snapshot(const Replica& replica, NodeId node) {
  if (replica.core.role() != replication::Role::Leader) return false;
  const auto peer = std::ranges::find(replica.core.peers(), node, &replication::Peer::node);
  return peer != replica.core.peers().end() && peer->progress == replication::Peer::Progress::Snapshot;
}

void ReplicaSlots::offer_snapshots() {
  for (const auto& [slot, node] : snapshot_sending_.due(now_)) {
    const Replica& one = replica(slot);
    if (needs_snapshot(one, node)) {
      snapshot_sending_.offer(slot, node, one.core.term(), now_);
    } else {
      snapshot_sending_.forget(slot, node);
    }
  }
}

void ReplicaSlots::snapshot(NodeId from, const remote::SnapshotRead& request) {
  if (!is_home(request.slot) || replicas_.empty()) return;
  // Also one that can't commit anything of its own term before this replica is there: its store has only what is
  // committed.
  if (needs_snapshot(replica(request.slot), from)) {
    snapshot_sending_.read(from, request);
  } else {
    snapshot_sending_.refuse(from, request);
  }
}

void ReplicaSlots::snapshot_read(std::uint64_t token, const Result<SnapshotPiece>& piece) {
  const auto asked = snapshot_sending_.take(token);
  if (!asked) return;
  const replication::Slot& core = replica(asked->slot).core;
  remote::SnapshotPage page{.slot = asked->slot, .token = asked->token, .status = remote::Status::Failed};
  std::string voters;
  std::string learners;
  // A store that is that far behind its own log is a matter of a moment.
  if (piece && core.terms().term_at(piece->at.index) == piece->at.term) {
    const replication::ReplicasAt& set = core.replicas_at(piece->at.index);
    voters = format::nodes_text(set.set.voters);
    learners = format::nodes_text(set.set.learners);
    page.status = remote::Status::Done;
    page.term = piece->at.term;
    page.index = piece->at.index;
    page.named = set.index;
    page.voters = voters;
    page.learners = learners;
    page.next = piece->next;
    page.bytes = piece->bytes;
  } else if (!piece) {
    log::warn("a slot's history can't be read for another replica, which asks again",
              {{"slot", asked->slot}, {"node", asked->node}, {"error", piece.error().message()}});
  }
  snapshot_sending_.answer(asked->node, page);
}

void ReplicaSlots::snapshot(NodeId from, const remote::SnapshotTaken& taken) {
  if (!is_home(taken.slot) || replicas_.empty()) return;
  Replica& one = replica(taken.slot);
  if (!needs_snapshot(one, from) || one.core.terms().term_at(taken.index) != taken.term) return;
  snapshot_sending_.forget(taken.slot, from);
  hand_in(one, [&](replication::Slot& core, replication::Actions& actions) {
    core.snapshot_sent(from, replication::LogPosition{taken.term, taken.index}, now_, actions);
  });
  deliver();
}

// -- As a replica that is behind

void ReplicaSlots::snapshot(NodeId from, const remote::SnapshotOffer& offer) {
  if (!is_home(offer.slot) || replicas_.empty()) return;
  Replica& one = replica(offer.slot);
  if (offer.term >= one.core.term()) return snapshot_taking_.offered(from, offer, now_);
  // Whoever leads in an earlier term is answered as if it had asked in the log's way, and learns of the later term. One
  // that has lost its log has no other way to say so: it doesn't stand.
  hand_in(one, [&](replication::Slot& core, replication::Actions& actions) {
    core.receive(from, {.slot = offer.slot, .term = offer.term, .body = replication::CommitHint{}}, now_, actions);
  });
  deliver();
}

void ReplicaSlots::snapshot(NodeId from, const remote::SnapshotPage& page) {
  if (!is_home(page.slot) || replicas_.empty()) return;
  snapshot_taking_.page(from, page, now_);
}

void ReplicaSlots::snapshot_taken(std::uint64_t token, const Result<std::string>& known) {
  snapshot_taking_.taken(token, known, now_);
  finish_snapshots();
}

/// The last step, for slots that have nothing on its way to the log.
void ReplicaSlots::finish_snapshots() {
  for (const SnapshotTaking::Finished& one : snapshot_taking_.complete()) {
    const replication::Slot& core = replica(one.slot).core;
    if (core.role() == replication::Role::Leader) {
      snapshot_taking_.drop(one.slot, now_);
    } else if (core.commit() >= one.at.index || core.terms().term_at(one.at.index) == one.at.term) {
      // It had more than its leader thought.
      snapshot_taking_.drop(one.slot, now_);
      tell_taken(one);
    } else if (!appends_.has(one.slot)) {
      snapshot_taking_.finish(one.slot);
    }
  }
}

void ReplicaSlots::snapshot_finished(std::uint64_t token) {
  const auto done = snapshot_taking_.finished(token, now_);
  if (!done) return;
  log::debug("a replica goes on from another node's history",
             {{"slot", done->slot}, {"term", done->at.term}, {"index", done->at.index}});
  hand_in(replica(done->slot), [&](replication::Slot& core, replication::Actions& actions) {
    core.snapshot_installed(done->at, done->replicas, now_, actions);
  });
  tell_taken(*done);
  deliver();
}

void ReplicaSlots::tell_taken(const SnapshotTaking::Finished& done) {
  const remote::SnapshotTaken taken{.slot = done.slot, .term = done.at.term, .index = done.at.index};
  world_.nodes.send(done.leader, NodeChannel::Snapshots, remote::encode_for(taken.slot, taken));
}

}  // namespace parley::shard
