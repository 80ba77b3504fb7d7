#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "broker/cluster/departure.hpp"
#include "broker/cluster/members.hpp"
#include "broker/cluster/node_file.hpp"
#include "broker/cluster/peer_links.hpp"
#include "broker/cluster/placement_pass.hpp"
#include "broker/cluster/redis_client.hpp"
#include "broker/cluster/shard_mail.hpp"
#include "broker/shard/options.hpp"
#include "broker/shard/ports.hpp"

/// This node's part in its cluster.
namespace parley::cluster {

struct ClusterNodeOptions {
  std::string data_dir;
  std::string secret;
  std::string version;  ///< Of the program.
  RedisOptions redis;
  PeerLinkOptions links;
  PeerAddress advertise;        ///< Port 0: that where it listens.
  std::size_t message_max = 0;  ///< Largest message that shards send each other.
  Duration lease_time{};
  Duration node_timeout{};
  std::uint16_t protocol_max = kPeerVersions.max;  ///< Highest peer protocol version that this node speaks.
  std::string client_address;                      ///< Of this node, for Server Reference; empty: none.
  Duration hand_over_timeout{};                    ///< After which clients go even so.
  PlacementOptions placement;
  Duration placement_interval = std::chrono::seconds(1);
  Duration placement_interval_busy = std::chrono::milliseconds(100);  ///< While slots are on their way.
};

/// The cluster as this node sees it, for whoever asks.
struct ClusterView {
  std::string name;
  std::uint64_t id = 0;
  bool redis = false;  ///< It is there.
  struct Node {
    NodeId id;
    std::string name;
    PeerAddress address;
    bool self = false;
    bool reachable = false;
    Duration since{};
    bool draining = false;
    bool leaving = false;
    bool has_lease = false;
    std::map<Slot, std::uint64_t> pins;  ///< See NodeView.
    std::uint16_t protocol = 0;          ///< Version that both speak; 0: it hasn't been there yet.
    LinkCounters link;
  };
  std::vector<Node> nodes;
  std::vector<SlotReport> slots;  ///< As this node's shards have reported them.
  std::vector<SlotClaim> claims;  ///< Who leads them, as Redis has it.
  std::size_t clients = 0;        ///< Connected here.
};

/// Links, heartbeats and Redis: threads of its own, between which and the shards only letters and PeerNodes go. The
/// node's file follows what is learned of other nodes.
class ClusterNode {
 public:
  /// All arguments live longer. `file` comes from enter_cluster.
  ClusterNode(ClusterNodeOptions options, NodeFile file, const shard::ShardOptions& shard_options, ShardMail& mail);
  ~ClusterNode();  ///< Stops.

  /// For every shard of this node; there as long as this.
  shard::PeerNodes& peer_nodes();
  [[nodiscard]] std::uint16_t port() const;  ///< Where other nodes connect, after start().

  /// Listens and begins. Fails when the address can't be had.
  Result<void> start();
  /// Gives the lease back, says goodbye to every node, ends the threads.
  void stop();

  // -- Any thread, between start() and stop(); each waits for the cluster's thread --
  [[nodiscard]] ClusterView view();
  /// Tells a node, this one or another that is there, to give its slots away or to take some again. False when it
  /// isn't.
  bool set_draining(const std::string& name, bool draining);
  /// Moves a slot's leadership, and a replica if need be, to a node, where it stays until it is moved or released. A
  /// sentence why not, if so.
  std::optional<std::string> move_slot(Slot slot, const std::string& name);
  /// Placement decides again.
  std::optional<std::string> release_slot(Slot slot);
  /// This process will end: what it leads is handed over, clients are sent away. Over when left().
  void leave();
  /// Nothing is led here that another node could lead, and no client is there; or there is no other node.
  [[nodiscard]] bool left();
  /// Takes a node out of the cluster, here and on all nodes that are there. False when it is none or this one.
  bool remove(const std::string& name);
  /// Of a shard, from its own thread: how its slots stand.
  void report(shard::ShardId shard, PlacementPass pass);
  /// To be given to run_placement; always the latest.
  [[nodiscard]] std::shared_ptr<const Placement> placement() const;
  /// The same for clients.
  [[nodiscard]] std::shared_ptr<const ClientPolicy> client_policy() const;

 private:
  class Core;
  std::unique_ptr<Core> core_;
};

}  // namespace parley::cluster
