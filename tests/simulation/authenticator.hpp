#pragma once

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "broker/shard/shard.hpp"

namespace parley::simulation {

/// An Authenticator with a table. A user in it needs the password; others are who they say they are, else called by
/// their client id. Method TEST takes three steps: the user's name, the challenge "?", the password.
class Authenticator final : public shard::Authenticator {
 public:
  std::map<std::string, std::string> passwords;
  std::optional<Timestamp> expires;  ///< Of what is granted from now on.
  bool at_once = true;               ///< Else answers come in a later turn, …
  bool silent = false;               ///< … once it isn't silent any more.
  int asked = 0;

  std::optional<shard::LoginAnswer> authenticate(shard::ShardId shard, shard::LoginRequest request) override;

  // -- For the world --
  void work(shard::ShardId id, shard::Shard& shard);
  [[nodiscard]] bool has_work() const { return !silent && !answers_.empty(); }
  void crash() { answers_.clear(); }

 private:
  struct Exchange final : shard::LoginExchange {
    std::string user;
  };
  struct Waiting {
    shard::ShardId shard;
    shard::ConnectionId connection;
    shard::LoginAnswer answer;
  };

  shard::LoginAnswer decide(const shard::LoginRequest& request);
  shard::LoginAnswer grant(std::string user);

  std::deque<Waiting> answers_;
};

}  // namespace parley::simulation
