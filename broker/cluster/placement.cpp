#include "broker/cluster/placement.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "base/bytes.hpp"

namespace parley::cluster {
namespace {

using replication::ReplicaChange;

bool has(const std::vector<NodeId>& list, NodeId node) { return std::ranges::find(list, node) != list.end(); }

/// Rendezvous hashing: the weight that a node has for a slot.
std::uint64_t weight(NodeId node, Slot slot) {
  std::string both;
  append_big_endian(both, node.value);
  append_big_endian(both, slot.value);
  return stable_hash(both);
}

}  // namespace

Placement::Placement(PlacementOptions options, NodeId self, std::vector<NodeView> nodes)
    : options_(options), self_(self) {
  for (const NodeView& node : nodes) nodes_.emplace(node.node, node);
}

const NodeView* Placement::find(NodeId node) const {
  const auto found = nodes_.find(node);
  return found == nodes_.end() ? nullptr : &found->second;
}

bool Placement::reachable(NodeId node) const {
  const NodeView* view = find(node);
  return view != nullptr && view->reachable;
}

bool Placement::leaving() const {
  const NodeView* self = find(self_);
  return self != nullptr && self->leaving;
}

bool Placement::eligible(const NodeView& node) const {
  return !node.draining && (node.reachable || node.since < options_.replace_after);
}

NodeId Placement::pinned(Slot slot) const {
  NodeId pinned;
  std::uint64_t latest = 0;
  for (const auto& [id, node] : nodes_) {
    const auto pin = node.pins.find(slot);
    if (pin == node.pins.end() || !eligible(node) || (pinned != NodeId{} && pin->second < latest)) continue;
    pinned = id;
    latest = pin->second;
  }
  return pinned;
}

std::vector<NodeId> Placement::desired(Slot slot) const {
  constexpr std::uint64_t kMost = ~std::uint64_t{0};
  const NodeId first = pinned(slot);
  std::vector<std::pair<std::uint64_t, NodeId>> weighed;
  for (const auto& [id, node] : nodes_) {
    if (eligible(node)) weighed.emplace_back(id == first ? kMost : weight(id, slot), id);
  }
  const std::size_t count = std::min(weighed.size(), options_.replicas);
  const auto end = weighed.begin() + static_cast<std::ptrdiff_t>(count);
  std::partial_sort(weighed.begin(), end, weighed.end(), std::greater<>());
  std::vector<NodeId> nodes;
  for (auto it = weighed.begin(); it != end; ++it) nodes.push_back(it->second);
  return nodes;
}

std::optional<Placement::Step> Placement::next(const Led& slot) const {
  const std::vector<NodeId> wanted = desired(slot.slot);
  if (leaving()) {
    // Whoever has it now, before it moves: its clients shall wait for no copy.
    if (const auto leader = better_leader(slot, wanted)) return Transfer{*leader};
  }
  for (const NodeId learner : slot.replicas.learners) {
    if (!has(wanted, learner)) return ReplicaChange{ReplicaChange::Kind::Remove, learner};
  }
  if (const auto change = grow(slot, wanted)) return *change;
  // Before it leaves, or since somebody else is the better one.
  if (const auto leader = better_leader(slot, wanted)) return Transfer{*leader};
  const auto leaving = superfluous(slot, wanted);
  if (leaving && *leaving != self_) return ReplicaChange{ReplicaChange::Kind::Remove, *leaving};
  return std::nullopt;
}

/// Learners become voters, and who is missing becomes a learner.
std::optional<ReplicaChange> Placement::grow(const Led& slot, const std::vector<NodeId>& wanted) const {
  for (const NodeId learner : slot.replicas.learners) {
    if (reachable(learner)) return ReplicaChange{ReplicaChange::Kind::PromoteLearner, learner};
  }
  if (!slot.replicas.learners.empty()) return std::nullopt;
  for (const NodeId node : wanted) {
    if (slot.replicas.has(node) || !reachable(node)) continue;
    return ReplicaChange{ReplicaChange::Kind::AddLearner, node};
  }
  return std::nullopt;
}

/// A voter that shall not be one and isn't needed: the least reachable first.
std::optional<NodeId> Placement::superfluous(const Led& slot, const std::vector<NodeId>& wanted) const {
  const auto& voters = slot.replicas.voters;
  const auto staying =
      static_cast<std::size_t>(std::ranges::count_if(voters, [&wanted](NodeId voter) { return has(wanted, voter); }));
  if (staying < wanted.size() || staying == 0) return std::nullopt;  // Those that shall come are on their way.
  std::optional<NodeId> leaving;
  for (const NodeId voter : voters) {
    if (has(wanted, voter)) continue;
    // A node without a successor still counts: a dead one may be back, and one that drains is there, when the next one
    // dies.
    const bool replaced = wanted.size() >= options_.replicas;
    if (!replaced && find(voter) != nullptr) continue;
    if (!leaving || !reachable(voter)) leaving = voter;
  }
  if (!leaving) return std::nullopt;
  const auto living = static_cast<std::size_t>(
      std::ranges::count_if(voters, [&](NodeId voter) { return voter != *leaving && reachable(voter); }));
  if (living < (voters.size() - 1) / 2 + 1) return std::nullopt;  // The rest couldn't go on without it.
  return leaving;
}

std::optional<NodeId> Placement::better_leader(const Led& slot, const std::vector<NodeId>& wanted) const {
  std::optional<NodeId> later;
  for (const NodeId node : wanted) {
    if (node == self_ && !leaving()) return std::nullopt;
    const NodeView* view = find(node);
    if (node == self_ || !slot.replicas.has_voter(node) || view == nullptr) continue;
    if (!view->reachable || view->leaving) continue;
    if (view->since < options_.settle_time && !leaving() && has(wanted, self_)) continue;
    if (!has(slot.behind, node)) return node;
    if (!later) later = node;
  }
  // Who leaves waits for it, and is refused so long.
  return leaving() ? later : std::nullopt;
}

}  // namespace parley::cluster
