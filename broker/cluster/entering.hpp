#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "broker/cluster/node_file.hpp"
#include "broker/cluster/redis_client.hpp"

/// How a process comes into its cluster, before it has any shard.
namespace parley::cluster {

struct EnteringOptions {
  std::string data_dir;
  std::string cluster;
  std::string node;
  std::uint32_t slots = 0;
  bool has_data = false;  ///< The data directory has a standalone broker's log: it may form a cluster, but join none.
  RedisOptions redis;
  Duration lease_time{};
};

/// What this node's file says from now on, saved: read when the data directory has one, else by forming the cluster or
/// joining it, for which Redis is needed. Runs on the calling thread until it is settled; looks at `stopped` several
/// times a second, and returns nothing when that is true. Throws std::runtime_error, with a sentence, when this node
/// can't belong to the cluster.
std::optional<NodeFile> enter_cluster(const EnteringOptions& options, const std::function<bool()>& stopped);

}  // namespace parley::cluster
