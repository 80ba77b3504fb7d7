#pragma once

#include <atomic>
#include <cstdint>

#include "broker/login/login_service.hpp"
#include "broker/net/server.hpp"
#include "config/config.hpp"

/// Authentication and rights: broker/login and broker/net, which don't know each other, handed to each other.
namespace parley {

/// Built and driven by `main`. Threads: those of the login service; answers go to the shards' threads as letters.
class Logins final : private login::LoginAnswers {
 public:
  /// Throws ConfigError when a file is broken.
  Logins(const config::Config& config, unsigned cores, std::uint32_t shards);

  shard::Authenticator& authenticator() { return service_; }
  /// Before the server starts, and before sessions are restored: tells every shard its rights.
  void connect(net::Server& server);
  /// Reads users, keys and rights again. Between the server's start and its stop.
  void reload();
  /// After the server has stopped.
  void stop() { service_.stop(); }

 private:
  void post(shard::ShardId shard, shard::ConnectionId connection, shard::LoginAnswer answer) override;

  const std::uint32_t shards_;
  std::atomic<net::Server*> server_ = nullptr;
  login::LoginService service_;
};

}  // namespace parley
