#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.hpp"
#include "config/listener.hpp"

/// What the settings of [cluster] say beyond single values.
namespace parley::config {

/// Which kind of Redis stands behind cluster.redis, and where to ask for it.
struct RedisPlace {
  enum class Topology : std::uint8_t { Single, Sentinel, Cluster };
  Topology topology = Topology::Single;
  std::vector<Address> addresses;  ///< The server; the sentinels; some of the cluster's servers.
  std::string master;              ///< Its name, where sentinels are asked.
  int database = 0;
  friend bool operator==(const RedisPlace&, const RedisPlace&) = default;
};

/// `redis://HOST:PORT[/DATABASE]`, `sentinel://HOST:PORT,…/MASTER[/DATABASE]`, `cluster://HOST:PORT,…`. Throws
/// ConfigError.
RedisPlace read_redis_url(std::string_view url);

/// node.id, or this host's name. Throws ConfigError when that is no name: is_name.
std::string node_name(const Config& config);
/// cluster.secret, or the first line of cluster.secret_file. Throws ConfigError when the file can't be read, when there
/// is none or both, or when it is too short.
std::string cluster_secret(const Config& config);
/// cluster.redis_password, or the first line of cluster.redis_password_file; empty: none. Throws ConfigError.
std::string redis_password(const Config& config);
/// Where other nodes reach this one; port 0: where it listens. Throws ConfigError.
Address advertised_address(const Config& config);

/// Refuses what no single setting shows. Throws ConfigError. Reads no file.
void check_cluster(const Config& config);

}  // namespace parley::config
