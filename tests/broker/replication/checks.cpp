#include <algorithm>

#include "tests/broker/replication/cluster.hpp"

namespace parley::replication::simulation {

void Cluster::check(Node& node, std::size_t slot) {
  const Replica& replica = node.replicas[slot];
  const Slot& core = *replica.slot;
  const StoredSlot& stored = node.disk->slot(slot);
  if (core.commit() < replica.told || core.commit() > core.durable() || core.durable() > core.last().index ||
      core.terms().base().index > core.commit()) {
    breach(name(node.id) + ": commit, durable and last are out of order");
  }
  if (replica.log.last() != core.last().index || replica.log.term_at(replica.log.last()) != core.last().term) {
    breach(name(node.id) + ": the slot's terms aren't the log's");
  }
  const auto durable_term = stored.log.term_at(core.durable());
  // A snapshot may be on the disk before the slot hears of it; so long it says nothing and hears nothing.
  if (!replica.installing && stored.log.base.index <= core.durable() &&
      durable_term != core.terms().term_at(core.durable())) {
    breach(name(node.id) + ": what counts as durable isn't");
  }
  if (core.role() == Role::Leader && core.leader() != node.id) breach(name(node.id) + " leads and doesn't know it");
}

std::string Cluster::standing() const {
  static constexpr const char* kRoles[] = {"follower", "pre-candidate", "candidate", "leader"};
  std::string text;
  for (std::size_t slot = 0; slot < trouble_.slots; ++slot) {
    for (const Node& node : nodes_) {
      const Replica& replica = node.replicas[slot];
      const Slot& core = *replica.slot;
      text += "\n  slot " + std::to_string(slot) + ", " + name(node.id) + (node.up ? ": " : " (down): ");
      text += std::string(kRoles[static_cast<std::size_t>(core.role())]) + (replica.dormant ? " (put away)" : "");
      text += " of " + std::to_string(core.leader().value) + " in term " + std::to_string(core.term().value);
      text += ", log " + std::to_string(core.terms().base().index.value) + " < " + std::to_string(core.commit().value) +
              " <= " + std::to_string(core.durable().value) + " <= " + std::to_string(core.last().index.value) + " (" +
              std::to_string(core.last().term.value) + "), voters";
      for (const NodeId voter : core.replicas().voters) text += " " + std::to_string(voter.value);
      text += ", learners";
      for (const NodeId learner : core.replicas().learners) text += " " + std::to_string(learner.value);
      if (!core.replicas_committed()) text += " (not committed)";
      if (core.lost_before() == Term{}) continue;
      text += ", lost before term " + std::to_string(core.lost_before().value) + " up to " +
              std::to_string(core.lost_upto().index.value) + " (" + std::to_string(core.lost_upto().term.value) + ")";
    }
  }
  return text;
}

/// Promises leave only when they would survive.
void Cluster::check_send(Node& from, std::size_t slot, const Send& send) {
  const StoredSlot& stored = from.disk->slot(slot);
  const Term term = send.message.term;
  const auto* vote = std::get_if<RequestVoteReply>(&send.message.body);
  if (vote != nullptr && vote->granted) {
    truths_[slot].voted(from.id, from.birth, term, send.to);
    if (stored.hard != HardState{term, send.to}) breach(name(from.id) + " tells a vote that isn't durable");
  }
  if (std::holds_alternative<RequestVote>(send.message.body)) {
    truths_[slot].voted(from.id, from.birth, term, from.id);
    if (stored.hard != HardState{term, from.id}) breach(name(from.id) + " stands with a term that isn't durable");
  }
  const auto* reply = std::get_if<AppendEntriesReply>(&send.message.body);
  if (reply != nullptr && reply->success) {
    const Log& log = from.replicas[slot].log;
    const bool kept =
        reply->match <= stored.log.base.index || stored.log.term_at(reply->match) == log.term_at(reply->match);
    if (!kept) breach(name(from.id) + " acknowledges what isn't durable");
    const Term known = stored.log.entries.empty() ? stored.log.base.term : stored.log.entries.back().term;
    if (std::max(stored.hard.term, known) < term) breach(name(from.id) + " answers in a term that isn't durable");
  }
}

void Cluster::check_committed(Node& node, std::size_t slot, Index upto) {
  Replica& replica = node.replicas[slot];
  Truth& truth = truths_[slot];
  const bool leads = replica.slot->role() == Role::Leader;
  if (leads && truth.commit() < upto) {
    const auto term = replica.log.term_at(upto);
    std::size_t holders = 0;
    for (const NodeId voter : replica.slot->replicas().voters) {
      const StoredSlot& stored = this->node(voter).disk->slot(slot);
      const bool has = upto <= stored.log.base.index || stored.log.term_at(upto) == term;
      // What was lost counts as had: nobody is elected by a replica that has lost it.
      holders += has || !stored.whole() || this->node(voter).birth != 0 ? 1 : 0;
    }
    if (holders < replica.slot->replicas().majority()) {
      breach(name(node.id) + " commits entry " + std::to_string(upto.value) + ", which no majority has synced");
    }
  }
  truth.committed(node.id, replica.slot->term(), replica.log, replica.told.next(), upto);
  for (Index i = std::max(replica.told, replica.log.base.index).next(); leads && i <= upto; i = i.next()) {
    if (i <= replica.log.last()) truth.acknowledged(i, replica.log.at(i).payload);
  }
}

}  // namespace parley::replication::simulation
