#include "broker/cluster/placement_pass.hpp"

#include <algorithm>
#include <variant>

namespace parley::cluster {
namespace {

bool adds_learner(const replication::ReplicaChange& change) {
  return change.kind == replication::ReplicaChange::Kind::AddLearner;
}

}  // namespace

PlacementPass run_placement(const Placement& placement, std::size_t moves_max, SlotCare& care) {
  PlacementPass pass{.slots = care.slots(), .leaving = placement.leaving()};
  auto moving = static_cast<std::size_t>(std::ranges::count_if(
      pass.slots, [](const SlotReport& slot) { return slot.leading && !slot.replicas.learners.empty(); }));
  std::size_t transfers = 0;
  for (const SlotReport& slot : pass.slots) {
    if (!slot.leading) continue;
    if (!slot.settled) {
      ++pass.waiting;
      if (pass.leaving) ++pass.to_hand_over;
      continue;
    }
    const auto step = placement.next({.slot = slot.slot, .replicas = slot.replicas, .behind = slot.behind});
    if (!step) continue;
    ++pass.waiting;
    if (const auto* transfer = std::get_if<Placement::Transfer>(&*step)) {
      ++pass.to_hand_over;
      if (transfers == moves_max || !care.transfer_leadership(slot.slot, transfer->to)) continue;
      ++transfers;
      ++pass.steps;
      continue;
    }
    const auto& change = std::get<replication::ReplicaChange>(*step);
    if (adds_learner(change) && moving >= moves_max) continue;
    if (!care.change_replicas(slot.slot, change)) continue;
    if (adds_learner(change)) ++moving;
    ++pass.steps;
  }
  return pass;
}

std::optional<std::set<NodeId>> counted_on(const std::vector<SlotReport>& slots, NodeId self,
                                           const std::set<NodeId>& gone) {
  std::set<NodeId> nodes;
  for (const SlotReport& slot : slots) {
    if (!slot.leading) {
      const bool led = slot.leader != NodeId{} && slot.leader != self && !gone.contains(slot.leader);
      if (!led && slot.replicas.has_voter(self)) return std::nullopt;
      continue;
    }
    if (!slot.settled) return std::nullopt;
    nodes.insert(slot.replicas.voters.begin(), slot.replicas.voters.end());
    nodes.insert(slot.replicas.learners.begin(), slot.replicas.learners.end());
  }
  return nodes;
}

}  // namespace parley::cluster
