#include "config/cluster_settings.hpp"

#include <unistd.h>

#include <array>
#include <charconv>
#include <fstream>
#include <optional>

#include "base/name.hpp"
#include "config/error.hpp"
#include "mqtt/utf8.hpp"

namespace parley::config {
namespace {

constexpr std::size_t kSecretMin = 16;
/// In the handshake the cluster's identity stands behind its name, in one field of 128 bytes.
constexpr std::size_t kClusterNameMax = 96;

[[noreturn]] void refuse_redis(std::string_view url, std::string_view why) {
  throw ConfigError(std::string("cluster.redis \"")
                        .append(url)
                        .append("\" ")
                        .append(why)
                        .append("; it looks like redis://127.0.0.1:6379, sentinel://127.0.0.1:26379/mymaster or "
                                "cluster://127.0.0.1:7000,127.0.0.1:7001"));
}

struct RedisScheme {
  std::string_view word;
  RedisPlace::Topology topology;
};
constexpr std::array kRedisSchemes{
    RedisScheme{"redis", RedisPlace::Topology::Single},
    RedisScheme{"sentinel", RedisPlace::Topology::Sentinel},
    RedisScheme{"cluster", RedisPlace::Topology::Cluster},
};

std::optional<std::uint32_t> read_number(std::string_view text, std::uint32_t most) {
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || number > most) return std::nullopt;
  return number;
}

/// `HOST:PORT`, `[IPV6]:PORT`.
std::optional<Address> read_host_and_port(std::string_view text) {
  const auto colon = text.rfind(':');
  if (colon == text.npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  const auto port = read_number(text.substr(colon + 1), 65'535);
  if (!port || *port == 0 || host.empty() || (!bracketed && host.find(':') != host.npos)) return std::nullopt;
  return Address{.host = std::string(host), .port = static_cast<std::uint16_t>(*port)};
}

/// Takes what stands before the next `mark` off the front, and the mark.
std::string_view take_until(std::string_view& rest, char mark) {
  const auto end = std::min(rest.find(mark), rest.size());
  const auto taken = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return taken;
}

std::string first_line(std::string_view setting, const std::string& path) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line)) {
    throw ConfigError(std::string(setting).append(" names a file that can't be read or is empty: ").append(path));
  }
  while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
  return line;
}

bool listens_everywhere(const std::string& host) { return host == "0.0.0.0" || host == "::"; }

}  // namespace

RedisPlace read_redis_url(std::string_view url) {
  const auto separator = url.find("://");
  const std::string_view word = url.substr(0, separator);
  RedisPlace place;
  const auto* scheme = kRedisSchemes.begin();
  while (scheme != kRedisSchemes.end() && scheme->word != word) ++scheme;
  if (separator == url.npos || scheme == kRedisSchemes.end()) refuse_redis(url, "has no scheme that is known");
  place.topology = scheme->topology;
  std::string_view path = url.substr(separator + 3);
  std::string_view authority = take_until(path, '/');
  while (!authority.empty()) {
    auto address = read_host_and_port(take_until(authority, ','));
    if (!address) refuse_redis(url, "names a server that is no HOST:PORT");
    place.addresses.push_back(*std::move(address));
  }
  if (place.addresses.empty()) refuse_redis(url, "names no server");
  if (place.topology == RedisPlace::Topology::Single && place.addresses.size() > 1) {
    refuse_redis(url, "names more than one server");
  }
  if (place.topology == RedisPlace::Topology::Sentinel) {
    place.master = take_until(path, '/');
    if (place.master.empty()) refuse_redis(url, "doesn't say which master the sentinels watch");
  }
  if (path.empty()) return place;
  const auto database = read_number(path, 1'000'000);
  if (!database || place.topology == RedisPlace::Topology::Cluster) refuse_redis(url, "has more than servers");
  place.database = static_cast<int>(*database);
  return place;
}

std::string node_name(const Config& config) {
  std::string name = config.node.id;
  if (name.empty()) {
    std::array<char, 256> host{};
    if (::gethostname(host.data(), host.size() - 1) == 0) name = host.data();
  }
  if (!is_name(name) || !mqtt::is_mqtt_utf8(name)) {
    throw ConfigError("node.id is \"" + name +
                      "\", but it must be 1 to 128 bytes without / + # and control characters");
  }
  return name;
}

std::string cluster_secret(const Config& config) {
  const auto& cluster = config.cluster;
  if (cluster.secret.empty() == cluster.secret_file.empty()) {
    throw ConfigError("a cluster needs cluster.secret or cluster.secret_file, and one of them only");
  }
  const bool from_file = cluster.secret.empty();
  std::string secret = from_file ? first_line("cluster.secret_file", cluster.secret_file) : cluster.secret;
  if (secret.size() < kSecretMin) {
    throw ConfigError(std::string(from_file ? "the secret in cluster.secret_file" : "cluster.secret") +
                      " has less than 16 bytes, which can be guessed; make one by: openssl rand -hex 32");
  }
  return secret;
}

std::string redis_password(const Config& config) {
  const auto& cluster = config.cluster;
  if (cluster.redis_password_file.empty()) return cluster.redis_password;
  if (!cluster.redis_password.empty()) {
    throw ConfigError("cluster.redis_password and cluster.redis_password_file are both given; one is enough");
  }
  return first_line("cluster.redis_password_file", cluster.redis_password_file);
}

Address advertised_address(const Config& config) {
  const Address listen = read_url("cluster.listen", "tcp", config.cluster.listen);
  if (!config.cluster.advertise.empty()) {
    Address address = read_url("cluster.advertise", "tcp", config.cluster.advertise);
    if (listens_everywhere(address.host)) {
      throw ConfigError("cluster.advertise is " + config.cluster.advertise + ", which no other node can reach");
    }
    return address;
  }
  if (listens_everywhere(listen.host)) {
    throw ConfigError("cluster.listen is " + config.cluster.listen +
                      ", every address of this host, so cluster.advertise must say which one other nodes reach");
  }
  return listen;
}

void check_cluster(const Config& config) {
  const auto& cluster = config.cluster;
  if (!cluster.enabled) return;
  node_name(config);
  if (!is_name(cluster.name) || cluster.name.size() > kClusterNameMax) {
    throw ConfigError("cluster.name is \"" + cluster.name +
                      "\", but it must be 1 to 96 bytes without / + # and control characters");
  }
  read_redis_url(cluster.redis);
  advertised_address(config);
  if (cluster.secret_file.empty()) cluster_secret(config);
}

}  // namespace parley::config
