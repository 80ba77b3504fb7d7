#pragma once

#include <cstddef>
#include <optional>
#include <set>
#include <vector>

#include "base/number.hpp"
#include "base/result.hpp"
#include "broker/cluster/placement.hpp"
#include "broker/replication/replica_set.hpp"

/// Placement carried out for the slots that one shard leads.
namespace parley::cluster {

/// A slot's replica on this node.
struct SlotReport {
  Slot slot;
  Term term;
  NodeId leader;  ///< 0: not known.
  replication::ReplicaSet replicas;
  bool leading = false;
  bool settled = true;         ///< Leading: no change of replicas is under way.
  std::vector<NodeId> behind;  ///< Leading: see Placement::Led.
  Index last;
  Index commit;
  bool whole = true;  ///< It may lead: nothing of what it had promised is lost.
};

/// What a shard lets be done with its slots. On the shard's thread.
class SlotCare {
 public:
  virtual ~SlotCare() = default;
  virtual std::vector<SlotReport> slots() = 0;
  virtual Result<void> change_replicas(Slot slot, const replication::ReplicaChange& change) = 0;
  virtual Result<void> transfer_leadership(Slot slot, NodeId to) = 0;
};

struct PlacementPass {
  std::vector<SlotReport> slots;  ///< As they stood before it.
  std::size_t steps = 0;          ///< That were taken.
  std::size_t waiting = 0;        ///< Slots with something under way, or that must wait for others to be done.
  bool leaving = false;           ///< Done for a node that leaves.
  std::size_t to_hand_over = 0;   ///< Slots that others shall lead.
  bool dismissing = false;        ///< The shard sends its clients away …
  std::size_t clients = 0;        ///< … of which so many are there.
};

/// Takes the next step for every slot that is led here, but so that no more than `moves_max` of them have a new replica
/// under way, and no more than that change their leader at once. What is refused is tried again by the next pass.
PlacementPass run_placement(const Placement& placement, std::size_t moves_max, SlotCare& care);

/// Nodes that are replicas of slots of which this one, `self`, can say so: those that it leads. Nothing as long as it
/// can't say: a slot for which it votes has no leader, or had one of those that are `gone`, so that it may soon lead it
/// itself, as it knows it now; or one changes its replicas. What it follows it may know wrongly, for ever, and leaves
/// to the leader.
std::optional<std::set<NodeId>> counted_on(const std::vector<SlotReport>& slots, NodeId self,
                                           const std::set<NodeId>& gone);

}  // namespace parley::cluster
