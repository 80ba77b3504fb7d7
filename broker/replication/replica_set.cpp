#include "broker/replication/replica_set.hpp"

#include <algorithm>
#include <functional>

namespace parley::replication {
namespace {

void insert(std::vector<NodeId>& sorted, NodeId node) { sorted.insert(std::ranges::lower_bound(sorted, node), node); }

/// Strictly ascending: sorted, and nobody twice.
bool ascends(const std::vector<NodeId>& nodes) {
  return std::ranges::adjacent_find(nodes, std::greater_equal<>{}) == nodes.end();
}

}  // namespace

bool ReplicaSet::has_voter(NodeId node) const { return std::ranges::binary_search(voters, node); }
bool ReplicaSet::has_learner(NodeId node) const { return std::ranges::binary_search(learners, node); }

bool ReplicaSet::valid() const {
  if (voters.size() + learners.size() > kReplicasMax || !ascends(voters) || !ascends(learners)) return false;
  if (std::ranges::any_of(learners, [this](NodeId node) { return has_voter(node); })) return false;
  return !has(NodeId{});
}

Result<ReplicaSet> apply(const ReplicaChange& change, const ReplicaSet& set) {
  using Kind = ReplicaChange::Kind;
  const NodeId node = change.node;
  ReplicaSet next = set;
  if (change.kind == Kind::AddLearner) {
    if (set.has(node)) return ReplicationError::AlreadyReplica;
    if (set.voters.size() + set.learners.size() >= kReplicasMax) return ReplicationError::TooManyReplicas;
    if (node == NodeId{}) return ReplicationError::NoSuchReplica;
    insert(next.learners, node);
    return next;
  }
  const bool fits = change.kind == Kind::Remove           ? set.has(node)
                    : change.kind == Kind::PromoteLearner ? set.has_learner(node)
                                                          : set.has_voter(node);
  if (!fits) return ReplicationError::NoSuchReplica;
  std::erase(next.voters, node);
  std::erase(next.learners, node);
  if (change.kind == Kind::PromoteLearner) insert(next.voters, node);
  if (change.kind == Kind::DemoteVoter) insert(next.learners, node);
  if (next.voters.empty()) return ReplicationError::LastVoter;
  return next;
}

ReplicaHistory::ReplicaHistory(ReplicasAt first, std::span<const ReplicasAt> later) {
  sets_.push_back(std::move(first));
  sets_.insert(sets_.end(), later.begin(), later.end());
}

const ReplicaSet* ReplicaHistory::at(Index index) const {
  const auto found = std::ranges::lower_bound(sets_, index, {}, &ReplicasAt::index);
  return found == sets_.end() || found->index != index ? nullptr : &found->set;
}

const ReplicasAt& ReplicaHistory::in_force(Index index) const {
  const auto after = std::ranges::upper_bound(sets_, index, {}, &ReplicasAt::index);
  return after == sets_.begin() ? sets_.front() : *std::prev(after);
}

Index ReplicaHistory::first_in(Index first, Index last) const {
  const auto found = std::ranges::lower_bound(sets_, first, {}, &ReplicasAt::index);
  return found == sets_.end() || found->index > last ? last.next() : found->index;
}

bool ReplicaHistory::truncate_after(Index last) {
  const std::size_t before = sets_.size();
  while (sets_.size() > 1 && sets_.back().index > last) sets_.pop_back();
  return sets_.size() != before;
}

void ReplicaHistory::cut(Index upto) {
  while (sets_.size() > 1 && sets_[1].index <= upto) sets_.erase(sets_.begin());
}

}  // namespace parley::replication
