#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "base/time.hpp"
#include "broker/cluster/handshake.hpp"
#include "broker/cluster/node_file.hpp"
#include "broker/cluster/peer_links.hpp"
#include "broker/cluster/peer_notice.hpp"
#include "broker/cluster/placement.hpp"
#include "broker/cluster/state_values.hpp"

/// The nodes of the cluster as this one sees them, from whatever tells of them: its own file, their leases, the links.
namespace parley::cluster {

/// Pure; belongs to one thread. A node counts as a member once it has proved itself to this one: a lease alone is only
/// an address to be tried.
class Members {
 public:
  Members(NodeFile file, Instant now);

  // -- What is heard --
  /// All leases that hold.
  void leases(const std::map<NodeId, NodeLease>& alive, Instant now);
  void connected(const RemoteNode& peer, Instant now);
  /// What a peer says of itself.
  void told(NodeId peer, const PeerAddress& address, bool draining);
  void told(NodeId peer, const ClientsNotice& notice);
  /// Of two moves of one slot the later one counts: this node gives up what a peer has got since.
  void told(NodeId peer, const PinsNotice& notice);
  void reachable(NodeId peer, bool is, Instant now);
  void set_draining(bool draining);  ///< This node.
  /// An operator has moved the slot to this node, or (no stamp) wants it where placement has it.
  void set_pin(Slot slot, std::optional<std::uint64_t> stamp);
  /// For a move at `now` (Unix ms): later than every move of the slot that is known here, also when clocks differ.
  [[nodiscard]] std::uint64_t next_stamp(Slot slot, std::uint64_t now) const;
  void stop() { stopping_ = true; }  ///< This node hands over what it leads, and will be back.
  /// Takes a node out, and its data directory for good. False when it is no member. This node can't be.
  bool remove(NodeId peer);
  /// The same as another node has done it.
  void removed(std::uint64_t birth);
  /// Those that are replicas of slots, see counted_on. A node that was removed isn't let in under its name before
  /// it is none: with an empty directory it isn't the one whose word the slot counts.
  void replicas(const std::set<NodeId>& nodes);
  /// There are such nodes.
  [[nodiscard]] bool parting() const { return !file_.parting.empty(); }

  // -- What follows --
  struct Member {
    KnownNode known;
    bool reachable = false;
    Instant since;
    bool draining = false;
    bool has_lease = false;
    bool leaving = false;        ///< See ClientsNotice.
    std::string client_address;  ///< The same.
    std::map<Slot, std::uint64_t> pins;
  };
  [[nodiscard]] const std::map<NodeId, Member>& peers() const { return peers_; }
  /// For placement; this node among them.
  [[nodiscard]] std::vector<NodeView> views(Instant now) const;
  [[nodiscard]] std::map<NodeId, PeerAddress> addresses() const;
  /// Why this peer isn't to be let in, if so.
  [[nodiscard]] std::optional<HandshakeRefusal> refusal(const RemoteNode& peer) const;
  [[nodiscard]] NodeId self() const { return self_; }
  /// This node drains or stops.
  [[nodiscard]] bool leaving() const { return file_.draining || stopping_; }
  [[nodiscard]] const NodeFile& file() const { return file_; }
  /// The file is another one than at the last call.
  bool take_file_changed() { return std::exchange(file_changed_, false); }
  /// The addresses are.
  bool take_addresses_changed() { return std::exchange(addresses_changed_, false); }

 private:
  Member& find_or_add(NodeId node, const KnownNode& known, Instant now);
  void keep(NodeId node, const Member& member);

  NodeFile file_;
  NodeId self_;
  std::map<NodeId, Member> peers_;
  bool stopping_ = false;
  bool file_changed_ = false;
  bool addresses_changed_ = true;
};

}  // namespace parley::cluster
