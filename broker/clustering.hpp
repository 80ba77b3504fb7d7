#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>

#include "broker/cluster/cluster_node.hpp"
#include "broker/net/server.hpp"
#include "broker/shard/options.hpp"
#include "config/config.hpp"

/// The node as one of a cluster: broker/cluster and broker/net, which don't know each other, handed to each other.
namespace parley {

/// What this node's file says; nothing when `stopped` said so before it was settled. Waits for a cluster to be formed
/// or found when the data directory, which is locked already, has none. Throws std::runtime_error.
/// `has_data`: there is a log in it.
std::optional<cluster::NodeFile> enter_cluster(const config::Config& config, bool has_data,
                                               const std::function<bool()>& stopped);

/// Built and driven by `main`. Threads: its own, and those of the shards, to which it sends letters.
class Clustering final : private cluster::ShardMail {
 public:
  /// All arguments live longer. Throws ConfigError.
  Clustering(const config::Config& config, cluster::NodeFile file, const shard::ShardOptions& options);

  shard::PeerNodes& peer_nodes() { return node_.peer_nodes(); }
  cluster::ClusterNode& node() { return node_; }

  /// Before start().
  void connect(net::Server& server) { server_ = &server; }
  /// Throws ConfigError when it can't listen.
  void start();
  /// Hands over what this node leads and sends its clients away, for cluster.drain_timeout at most, or until `stopped`
  /// says so, which waits for as long as it is told.
  void leave(const std::function<bool(Duration)>& stopped);
  /// After the shards have stopped.
  void stop() { node_.stop(); }

 private:
  void post(shard::ShardId shard, std::unique_ptr<cluster::ShardLetter> letter) override;
  void ask_for_placement(shard::ShardId shard) override;

  const std::string listen_url_;
  const std::size_t moves_max_;
  const Duration drain_timeout_;
  std::atomic<net::Server*> server_ = nullptr;
  cluster::ClusterNode node_;
};

}  // namespace parley
