#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/aio/event.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "broker/cluster/redis_reply.hpp"

/// One connection to one Redis server, through hiredis' asynchronous API.
namespace parley::cluster {

namespace asio = boost::asio;

struct RedisAddress {
  std::string host;
  std::uint16_t port = 6379;
  friend auto operator<=>(const RedisAddress&, const RedisAddress&) = default;
};
std::string text_of(const RedisAddress& address);

/// How to be let in. hiredis 0.14 speaks no TLS: put a TLS tunnel before a Redis that is reached over foreign wires.
struct RedisLogin {
  std::string user;  ///< Empty: the default user.
  std::string password;
  int database = 0;
};

struct RedisLimits {
  Duration connect_timeout = std::chrono::seconds(1);  ///< Resolving, connecting and logging in.
  Duration call_timeout = std::chrono::seconds(1);
};

/// Belongs to one thread. Calls are pipelined: any number may be under way, and replies come in their order. A reply
/// that is late makes the whole connection worthless, so it is dropped and every call under way fails.
///
/// A connection that was lost stays lost; whoever owns it makes another one.
class RedisConnection {
 public:
  RedisConnection(asio::any_io_executor executor, RedisLimits limits);
  RedisConnection(const RedisConnection&) = delete;
  RedisConnection& operator=(const RedisConnection&) = delete;
  ~RedisConnection();  ///< Calls under way fail first.

  /// Connects and logs in, within connect_timeout. At most once.
  asio::awaitable<Result<void>> open(RedisAddress address, RedisLogin login);

  /// One round trip for all of them; the replies are in their order. Fails as a whole, within call_timeout.
  asio::awaitable<Result<std::vector<RedisReply>>> call(std::vector<RedisCommand> commands);
  asio::awaitable<Result<RedisReply>> call(RedisCommand command);

  /// From now on `receive` gets what is published on `channel`, on this thread; calls aren't possible any more.
  asio::awaitable<Result<void>> subscribe(std::string channel, std::function<void(std::string_view)> receive);

  /// Returns once the connection is lost; false when the waiting coroutine is cancelled.
  asio::awaitable<bool> wait_lost();

  void drop(RedisError why);
  [[nodiscard]] bool is_open() const;

 private:
  struct State;
  asio::awaitable<Result<void>> log_in(RedisAddress address, RedisLogin login);
  asio::awaitable<Result<void>> connect(RedisAddress address);

  std::shared_ptr<State> state_;
};

}  // namespace parley::cluster
