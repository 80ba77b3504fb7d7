#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "broker/session/session.hpp"
#include "broker/shard/feeds.hpp"
#include "broker/shard/ports.hpp"

namespace parley::shard {

/// A client id that this shard knows: with a connection, or a session that waits for one.
struct Client {
  std::uint32_t place = 0;  ///< In Clients; also its SubscriberId.
  std::unique_ptr<session::Session> session;
  ConnectionId connection;
  std::vector<std::unique_ptr<Follower>> following;  ///< While connected: one for each cursor.
  std::vector<Follower*> behind;                     ///< Those with entries to send and no room.
  std::uint32_t feeds_awaited = 0;  ///< Cursors of a resumed session whose feed isn't there yet.
  std::optional<session::WillPlan> will;  ///< Waits for its delay.
  Instant will_due;
  Instant expires_at;             ///< While disconnected.
  bool persisted = false;      ///< The log has a record of the session.
  bool output_touched = false;  ///< In the turn's list of outputs to flush.
  bool cursors_touched = false;

  [[nodiscard]] bool awaits_feeds() const { return feeds_awaited != 0; }
};

/// The clients of one shard, by place and by client id.
class Clients {
 public:
  /// Null when the place is free or has another session by now.
  Client* find(std::uint32_t place, std::uint64_t identity);
  Client* find_place(std::uint32_t place) { return place < clients_.size() ? clients_[place].get() : nullptr; }
  Client& at(std::uint32_t place) { return *clients_[place]; }
  Client* find(std::string_view client_id);

  Client& add(std::unique_ptr<session::Session> session);
  void remove(Client& client);

  [[nodiscard]] std::size_t size() const { return by_id_.size(); }

  template <class Visit>
  void for_each(Visit visit) {
    for (auto& client : clients_) {
      if (client) visit(*client);
    }
  }

 private:
  std::vector<std::unique_ptr<Client>> clients_;
  std::vector<std::uint32_t> free_;
  std::unordered_map<std::string_view, std::uint32_t> by_id_;  ///< Keys are views of the sessions' client ids.
};

}  // namespace parley::shard
