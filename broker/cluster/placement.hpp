#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <variant>
#include <vector>

#include "base/time.hpp"
#include "broker/cluster/node.hpp"
#include "broker/replication/replica_set.hpp"

/// Which nodes shall keep a slot and which of them shall lead it, and the next step there. Pure: every leader decides
/// for its own slots, from what it sees of the nodes.
namespace parley::cluster {

struct PlacementOptions {
  std::size_t replicas = 3;
  /// A dead node keeps its places for so long.
  Duration replace_after = std::chrono::minutes(5);
  /// A node that is back gets leadership only when it has been there for so long.
  Duration settle_time = std::chrono::seconds(3);
};

/// A member of the cluster as this node sees it; itself among them, always reachable.
struct NodeView {
  NodeId node;
  bool reachable = false;
  Duration since{};  ///< For how long it has been so.
  bool draining = false;
  bool leaving = false;                ///< Keeps its replicas, but leads nothing that another one can lead.
  std::map<Slot, std::uint64_t> pins;  ///< Slots that an operator has moved there, and when.
};

/// Members that can be given replicas, and how good a place each is. Made once for all slots. A node that isn't among
/// the views is no member any more.
class Placement {
 public:
  Placement(PlacementOptions options, NodeId self, std::vector<NodeView> nodes);

  /// The nodes that shall have the slot, the best leader first: rendezvous hashing over members that aren't draining
  /// and haven't been away too long. The same for all who see the same; a node that comes or goes moves only what it
  /// gets or had. A slot that an operator has moved to such a member has it as its first one; of two moves the later
  /// one counts.
  [[nodiscard]] std::vector<NodeId> desired(Slot slot) const;

  struct Transfer {
    NodeId to;
  };
  using Step = std::variant<replication::ReplicaChange, Transfer>;

  /// How a slot stands that this node leads.
  struct Led {
    Slot slot;
    replication::ReplicaSet replicas;
    std::vector<NodeId> behind = {};  ///< Voters that couldn't lead at once: far behind, or taking a snapshot.
  };
  /// What to do next for it; nothing when it is where it shall be, or can't be now. One change at a time, and none
  /// while the last one isn't committed. A voter leaves only when those that shall take its place vote already, unless
  /// it was removed and nobody is left to take its place; never the last one.
  [[nodiscard]] std::optional<Step> next(const Led& slot) const;
  /// This node is.
  [[nodiscard]] bool leaving() const;

 private:
  [[nodiscard]] const NodeView* find(NodeId node) const;
  [[nodiscard]] bool reachable(NodeId node) const;
  /// It may keep what it has.
  [[nodiscard]] bool eligible(const NodeView& node) const;
  /// Whom an operator has moved the slot to; 0: nobody who may keep it.
  [[nodiscard]] NodeId pinned(Slot slot) const;
  [[nodiscard]] std::optional<replication::ReplicaChange> grow(const Led& slot,
                                                               const std::vector<NodeId>& wanted) const;
  [[nodiscard]] std::optional<NodeId> superfluous(const Led& slot, const std::vector<NodeId>& wanted) const;
  [[nodiscard]] std::optional<NodeId> better_leader(const Led& slot, const std::vector<NodeId>& wanted) const;

  PlacementOptions options_;
  NodeId self_;
  std::map<NodeId, NodeView> nodes_;
};

}  // namespace parley::cluster
