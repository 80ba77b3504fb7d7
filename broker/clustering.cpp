#include "broker/clustering.hpp"

#include <algorithm>
#include <concepts>
#include <utility>

#include "base/log.hpp"
#include "base/version.hpp"
#include "broker/cluster/entering.hpp"
#include "broker/replication/error.hpp"
#include "broker/shard/shard.hpp"
#include "config/cluster_settings.hpp"
#include "config/error.hpp"

namespace parley {
namespace {

using config::RedisPlace;

cluster::RedisOptions redis_options(const config::Config& config) {
  const RedisPlace place = config::read_redis_url(config.cluster.redis);
  cluster::RedisOptions options;
  options.topology = place.topology == RedisPlace::Topology::Single     ? cluster::RedisTopology::Single
                     : place.topology == RedisPlace::Topology::Sentinel ? cluster::RedisTopology::Sentinel
                                                                        : cluster::RedisTopology::Cluster;
  for (const auto& address : place.addresses) options.addresses.push_back({address.host, address.port});
  options.master = place.master;
  options.login = {
      .user = config.cluster.redis_user, .password = config::redis_password(config), .database = place.database};
  options.sentinel_login = {.user = config.cluster.sentinel_user, .password = config.cluster.sentinel_password};
  return options;
}

cluster::ClusterNodeOptions node_options(const config::Config& config, const shard::ShardOptions& shard_options) {
  const auto listen = config::read_url("cluster.listen", "tcp", config.cluster.listen);
  const auto advertise = config::advertised_address(config);
  cluster::ClusterNodeOptions options{
      .data_dir = config.node.data_dir,
      .secret = config::cluster_secret(config),
      .version = std::string(version()),
      .redis = redis_options(config),
      .links = {.listen_host = listen.host, .listen_port = listen.port},
      .advertise = {.host = advertise.host, .port = advertise.port},
      .message_max = shard::node_message_max(shard_options),
      .lease_time = config.cluster.lease_time,
      .node_timeout = config.cluster.node_timeout,
      .protocol_max = static_cast<std::uint16_t>(config.cluster.protocol_max != 0 ? config.cluster.protocol_max
                                                                                  : cluster::kPeerVersions.max),
      .client_address = config.cluster.client_address,
      .hand_over_timeout = config.cluster.drain_timeout / 2,
      .placement = {.replicas = config.cluster.replicas, .replace_after = config.cluster.replace_after}};
  return options;
}

/// A letter of the cluster, as the shard's thread takes it.
class ClusterLetter final : public net::Letter {
 public:
  explicit ClusterLetter(std::unique_ptr<cluster::ShardLetter> letter) : letter_(std::move(letter)) {}
  void deliver(shard::Shard& shard) override { deliver_to(shard); }

 private:
  template <class Shard>
  void deliver_to(Shard& shard) {
    if constexpr (std::derived_from<Shard, shard::PeerNodesEvents>) letter_->deliver(shard);
  }

  std::unique_ptr<cluster::ShardLetter> letter_;
};

/// A shard's slots, on its thread.
class ShardSlots final : public cluster::SlotCare {
 public:
  explicit ShardSlots(shard::Shard& shard) : shard_(shard) {}
  std::vector<cluster::SlotReport> slots() override {
    std::vector<cluster::SlotReport> reports;
    for (shard::SlotStatus& slot : shard_.replicas().status()) {
      std::vector<NodeId> behind;
      for (const auto& peer : slot.peers) {
        if (slot.ready && peer.voter && !peer.could_lead) behind.push_back(peer.node);
      }
      reports.push_back({.slot = slot.slot,
                         .term = slot.term,
                         .leader = slot.leader,
                         .replicas = std::move(slot.replicas),
                         .leading = slot.ready,
                         .settled = slot.replicas_committed,
                         .behind = std::move(behind),
                         .last = slot.last,
                         .commit = slot.commit,
                         .whole = slot.whole});
    }
    return reports;
  }
  Result<void> change_replicas(Slot slot, const replication::ReplicaChange& change) override {
    return shard_.replicas().change_replicas(slot, change);
  }
  Result<void> transfer_leadership(Slot slot, NodeId to) override {
    return shard_.replicas().transfer_leadership(slot, to);
  }

 private:
  shard::Shard& shard_;
};

/// Has the shard take clients, or send them away.
void follow(const cluster::ClientPolicy& policy, shard::Dismissal& dismissal) {
  if (!policy.refuses) {
    dismissal.end();
    return;
  }
  dismissal.refuse_new(policy.references);
  if (policy.dismisses) dismissal.begin();
}

/// Asks the shard to look after its slots, and tells it what to do with clients.
class PlacementLetter final : public net::Letter {
 public:
  PlacementLetter(cluster::ClusterNode& node, net::Server& server, std::size_t moves_max)
      : node_(node), server_(server), moves_max_(moves_max) {}
  void deliver(shard::Shard& shard) override {
    const auto placement = node_.placement();
    ShardSlots slots(shard);
    auto pass = cluster::run_placement(*placement, moves_max_, slots);
    const auto policy = node_.client_policy();
    follow(*policy, shard.dismissal());
    server_.set_ready(!policy->refuses);
    pass.dismissing = policy->dismisses;
    pass.clients = shard.connected();
    node_.report(shard.id(), std::move(pass));
  }

 private:
  cluster::ClusterNode& node_;
  net::Server& server_;
  std::size_t moves_max_;
};

}  // namespace

std::optional<cluster::NodeFile> enter_cluster(const config::Config& config, bool has_data,
                                               const std::function<bool()>& stopped) {
  const cluster::EnteringOptions options{.data_dir = config.node.data_dir,
                                         .cluster = config.cluster.name,
                                         .node = config::node_name(config),
                                         .slots = static_cast<std::uint32_t>(config.cluster.slots),
                                         .has_data = has_data,
                                         .redis = redis_options(config),
                                         .lease_time = config.cluster.lease_time};
  return cluster::enter_cluster(options, stopped);
}

Clustering::Clustering(const config::Config& config, cluster::NodeFile file, const shard::ShardOptions& options)
    : listen_url_(config.cluster.listen),
      moves_max_(config.cluster.moves),
      drain_timeout_(config.cluster.drain_timeout),
      node_(node_options(config, options), std::move(file), options, *this) {}

void Clustering::start() {
  const auto started = node_.start();
  if (!started) {
    throw config::ConfigError("cluster.listen " + listen_url_ + " can't be opened: " + started.error().message());
  }
  log::info("listening for other nodes", {{"port", node_.port()}});
}

void Clustering::leave(const std::function<bool(Duration)>& stopped) {
  if (drain_timeout_ == Duration::zero()) return;
  constexpr Duration kLook = std::chrono::milliseconds(20);
  const auto until = std::chrono::steady_clock::now() + drain_timeout_;
  node_.leave();
  while (!node_.left()) {
    if (std::chrono::steady_clock::now() >= until) {
      log::warn("what this node leads and its clients aren't all handed over, stopping even so",
                {{"cluster.drain_timeout", std::chrono::duration_cast<std::chrono::seconds>(drain_timeout_).count()}});
      return;
    }
    if (stopped(kLook)) return;
  }
}

void Clustering::post(shard::ShardId shard, std::unique_ptr<cluster::ShardLetter> letter) {
  if (net::Server* server = server_.load()) server->send(shard, std::make_unique<ClusterLetter>(std::move(letter)));
}

void Clustering::ask_for_placement(shard::ShardId shard) {
  if (net::Server* server = server_.load())
    server->send(shard, std::make_unique<PlacementLetter>(node_, *server, moves_max_));
}

}  // namespace parley
