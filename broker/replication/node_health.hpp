#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <variant>
#include <vector>

#include "base/number.hpp"
#include "base/time.hpp"
#include "broker/replication/messages.hpp"
#include "broker/replication/options.hpp"

namespace parley::replication {

struct SendHeartbeat {
  NodeId to;
  Heartbeat heartbeat;
};
/// For Slot::peer_reachable of every slot, respectively peer_unreachable. A node that has restarted is both, in the
/// order unreachable, reachable.
struct NodeReachable {
  NodeId node;
};
struct NodeUnreachable {
  NodeId node;
};
/// For Slot::leadership of every slot: with its term when it is in the list (sorted by slot), with none when it isn't.
struct NodeLeads {
  NodeId node;
  std::vector<Leading> slots;
};
using HealthAction = std::variant<SendHeartbeat, NodeReachable, NodeUnreachable, NodeLeads>;
using HealthActions = std::vector<HealthAction>;

/// Which nodes are there, for all slots together: one heartbeat for each pair of nodes, and in it, until the other has
/// seen it, the list of slots that the sender leads. So a follower trusts its leader as long as that one's node is
/// there and says so, and a quiet slot costs nothing. Pure.
///
/// A node is reachable when it has answered a recent heartbeat: both ways work. Any message may be lost, doubled or
/// late. Belongs to one thread. tick() is due every HeartbeatOptions::interval.
class NodeHealth {
 public:
  /// `incarnation`: not 0; rises with each start of this node.
  NodeHealth(std::uint64_t incarnation, const HeartbeatOptions& options)
      : incarnation_(incarnation), options_(options) {}

  /// Unreachable until it has answered. Removing one that is reachable says NodeUnreachable.
  void add(NodeId node);
  void remove(NodeId node, HealthActions& actions);

  /// What this node's slots say: Slot's BecameLeader and SteppedDown.
  void set_leading(parley::Slot slot, Term term);
  void clear_leading(parley::Slot slot);

  void tick(Instant now, HealthActions& actions);
  /// From a node that was added; from another one it is ignored.
  void receive(NodeId from, const Heartbeat& heartbeat, Instant now, HealthActions& actions);
  [[nodiscard]] bool reachable(NodeId node) const;

 private:
  struct Node {
    std::uint64_t incarnation = 0;      ///< 0: never heard.
    std::uint64_t sent = 0;             ///< The latest of its heartbeats, by its own time.
    std::uint64_t version_seen = 0;     ///< Which of its lists was taken.
    std::uint64_t version_there = 0;    ///< Which of our lists it has taken.
    Instant answered = Instant::min();  ///< When we sent the latest heartbeat that it has answered.
    bool reachable = false;
  };

  static std::uint64_t stamp(Instant now) { return static_cast<std::uint64_t>(now.time_since_epoch().count()); }
  void lose(NodeId id, Node& node, HealthActions& actions);

  std::uint64_t incarnation_;
  HeartbeatOptions options_;
  std::map<NodeId, Node> nodes_;
  std::map<parley::Slot, Term> leading_;
  std::uint64_t version_ = 1;
};

}  // namespace parley::replication
