#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/aio/event.hpp"
#include "base/aio/task_group.hpp"
#include "broker/cluster/circuit_breaker.hpp"
#include "broker/cluster/line_limiter.hpp"
#include "broker/cluster/redis_connection.hpp"
#include "broker/cluster/redis_slots.hpp"

/// Redis as the cluster's nodes see it, whatever stands behind: one server, Sentinel, or Redis Cluster.
namespace parley::cluster {

enum class RedisTopology : std::uint8_t { Single, Sentinel, Cluster };

struct RedisOptions {
  RedisTopology topology = RedisTopology::Single;
  std::vector<RedisAddress> addresses;  ///< The server; the sentinels; some of the cluster's servers.
  std::string master;                   ///< Its name, where sentinels are asked.
  RedisLogin login;
  RedisLogin sentinel_login;
  RedisLimits limits;
  CircuitBreaker::Options breaker;
};

/// A command and a key that it is about: where Redis Cluster has several servers, the key says which one is meant.
struct RedisRequest {
  std::string key;
  RedisCommand command;
};

class RedisClientEvents {
 public:
  virtual ~RedisClientEvents() = default;
  /// There is a connection; what was written earlier may be lost, whatever was acknowledged.
  virtual void redis_connected() = 0;
  virtual void redis_lost() = 0;
  virtual void redis_published(std::string_view message) = 0;
};

/// Keeps connections up and follows the topology. Belongs to one thread.
///
/// Calls never wait for a connection to the server of `home_key`: without one they fail at once with Unavailable. Each
/// ends within call_timeout, whatever happens. A command may be carried out twice (after a redirection) or though its
/// call failed: all of this room's are made to bear it.
///
/// SIGPIPE must be ignored in this process: hiredis writes to sockets that may be closed.
class RedisClient {
 public:
  /// `home_key`: the key whose server decides whether Redis is there; `channel`: what is listened to, on a connection
  /// of its own. `events` lives longer than this.
  RedisClient(asio::any_io_executor executor, RedisOptions options, std::string home_key, std::string channel,
              RedisClientEvents& events);

  void start();
  /// Ends everything and waits for it; must be awaited before this goes.
  asio::awaitable<void> stop();

  [[nodiscard]] bool is_connected() const { return connected_; }

  /// Replies in the order of the requests; one round trip where one server has all the keys.
  asio::awaitable<Result<std::vector<RedisReply>>> call(std::vector<RedisRequest> requests);
  asio::awaitable<Result<RedisReply>> call(RedisRequest request);

  /// Times that a connection came up, and that it couldn't or was lost.
  [[nodiscard]] std::uint64_t connects() const { return connects_; }
  [[nodiscard]] std::uint64_t failures() const { return failures_; }

 private:
  using Replies = std::vector<RedisReply>;

  asio::awaitable<void> maintain();
  asio::awaitable<void> pause();
  asio::awaitable<Result<void>> connect();
  asio::awaitable<void> listen();
  asio::awaitable<void> watch_sentinels();

  // -- Topology --
  asio::awaitable<Result<RedisAddress>> find_home();
  asio::awaitable<Result<RedisAddress>> ask_sentinels();
  asio::awaitable<Result<RedisAddress>> ask_sentinel(RedisAddress sentinel);
  asio::awaitable<Result<RedisAddress>> read_slots();
  asio::awaitable<Result<void>> check_role(RedisConnection* connection);
  asio::awaitable<Result<RedisConnection*>> connection_to(RedisAddress address);

  // -- Calls --
  asio::awaitable<Result<Replies>> route(std::vector<RedisRequest> requests);
  asio::awaitable<Result<Replies>> call_server(RedisAddress address, std::vector<RedisCommand> commands, bool asking);
  [[nodiscard]] std::optional<RedisAddress> address_of(const std::string& key) const;
  void lose_home(std::string_view why);

  asio::any_io_executor executor_;
  const RedisOptions options_;
  const std::string home_key_;
  const std::string channel_;
  RedisClientEvents& events_;
  aio::TaskGroup tasks_;
  CircuitBreaker breaker_;
  LineLimiter lines_;
  LineLimiter turning_lines_;

  std::optional<RedisAddress> home_;
  RedisSlots slots_;  ///< Of Redis Cluster.
  std::map<RedisAddress, std::shared_ptr<RedisConnection>> connections_;
  std::set<RedisAddress> opening_;
  bool connected_ = false;
  aio::Event came_;  ///< `connected_` became true.
  std::uint64_t connects_ = 0;
  std::uint64_t failures_ = 0;
};

}  // namespace parley::cluster
