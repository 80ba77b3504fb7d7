#include "broker/logins.hpp"

#include <memory>
#include <utility>

#include "base/log.hpp"

namespace parley {
namespace {

/// An answer of the login service, on its way to the shard's thread.
class LoginLetter final : public net::Letter {
 public:
  LoginLetter(shard::ConnectionId connection, shard::LoginAnswer answer)
      : connection_(connection), answer_(std::move(answer)) {}
  void deliver(shard::Shard& shard) override { shard.authenticated(connection_, std::move(answer_)); }

 private:
  shard::ConnectionId connection_;
  shard::LoginAnswer answer_;
};

/// What the access file says now.
class AccessLetter final : public net::Letter {
 public:
  explicit AccessLetter(std::shared_ptr<const auth::AccessRules> rules) : rules_(std::move(rules)) {}
  void deliver(shard::Shard& shard) override { shard.access().set(std::move(rules_)); }

 private:
  std::shared_ptr<const auth::AccessRules> rules_;
};

/// Passwords and tokens can be read by whoever is on the way.
void warn_of_plain_listeners(const config::Config& config) {
  for (const config::Listener& listener : config.listeners) {
    if (listener.is_secure() || listener.is_local()) continue;
    log::warn("passwords and tokens cross this listener unencrypted, better let it speak TLS",
              {{"listener", config::url_of(listener)}});
  }
}

}  // namespace

Logins::Logins(const config::Config& config, unsigned cores, std::uint32_t shards)
    : shards_(shards), service_(login::login_options(config, cores), *this) {
  warn_of_plain_listeners(config);
}

void Logins::connect(net::Server& server) {
  server_ = &server;
  for (shard::ShardId id = 0; id < shards_; ++id) server.shard(id).access().set(service_.access());
}

void Logins::reload() {
  service_.reload();
  for (shard::ShardId id = 0; id < shards_; ++id) {
    server_.load()->send(id, std::make_unique<AccessLetter>(service_.access()));
  }
}

void Logins::post(shard::ShardId shard, shard::ConnectionId connection, shard::LoginAnswer answer) {
  if (net::Server* server = server_.load()) {
    server->send(shard, std::make_unique<LoginLetter>(connection, std::move(answer)));
  }
}

}  // namespace parley
