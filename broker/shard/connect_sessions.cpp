#include "broker/shard/connect_sessions.hpp"

#include <memory>
#include <utility>

#include "broker/shard/shard.hpp"

namespace parley::shard {

using mqtt::ReasonCode;

/// The connection that this one takes over is the user's, too.
bool ConnectSessions::user_has_place(const Client* earlier, const std::string& user) const {
  const std::uint32_t most = shard_.options().user_connections_max;
  if (most == 0) return true;
  const auto account = shard_.links().account(user);
  if (!account) return true;
  const std::uint32_t taken_over = earlier != nullptr && earlier->session->connected() ? 1 : 0;
  return account->connections.load(std::memory_order_relaxed) - taken_over < most;
}

bool ConnectSessions::has_place() const {
  const std::uint64_t most = shard_.options().sessions_max;
  return most == 0 || shard_.totals()[Metric::Sessions] < most;
}

bool ConnectSessions::take(const std::string& client_id, Client* kept, const SessionClaims::Granted& granted) {
  return kept != nullptr ? take_latest(*kept, granted) : take_over(client_id, granted);
}

/// A session that this node has.
bool ConnectSessions::take_latest(Client& client, const SessionClaims::Granted& granted) {
  if (!client.restored) return true;
  if (granted.stored) return shard_.refresh(client, *granted.stored);
  shard_.forget_session(client);
  return true;
}

/// A session that this node doesn't have, or what it has isn't the latest.
bool ConnectSessions::take_over(const std::string& client_id, const SessionClaims::Granted& granted) {
  if (const Client* before = shard_.clients().find(client_id)) {
    shard_.session_claims().lost(client_id, before->generation);
  }
  if (!granted.stored) return true;
  Client* client = shard_.adopt(*granted.stored);
  if (client == nullptr) return false;
  client->generation = granted.generation;
  // It is over, but for its will.
  if (client->expires_at <= shard_.now()) shard_.end_session(*client);
  return true;
}

ConnectSessions::Opened ConnectSessions::open(const mqtt::Connect& connect, const Login& login,
                                              std::uint64_t generation) {
  Client* client = earlier_session(connect, login.client_id);
  const bool present = client != nullptr;
  if (client == nullptr) {
    client = &shard_.clients().add(std::make_unique<session::Session>(
        login.client_id, login.user, shard_.new_identity(), shard_.options().limits, &shard_.counters()));
    shard_.counters().set(Metric::Sessions, shard_.clients().size());
    client->session->set_journal(&shard_.journal());
  }
  client->generation = generation;
  client->expires_at = Instant::max();
  end_will(*client);
  return {client, present};
}

/// Null when there is no session to go on with: none of that client id, or it ends here.
Client* ConnectSessions::earlier_session(const mqtt::Connect& connect, std::string_view client_id) {
  Client* client = shard_.clients().find(client_id);
  if (client == nullptr) return nullptr;
  shard_.connecting().abandon(*client);
  client = shard_.clients().find(client_id);
  if (client == nullptr) return nullptr;
  // May end the session: one whose expiry interval is 0 lasts as long as its connection.
  shard_.close_client(*client, ReasonCode::SessionTakenOver);  // §3.1.4-3
  client = shard_.clients().find(client_id);
  // One that doesn't last is here only until its will is published.
  if (client == nullptr || (!connect.clean_start && client->is_lasting())) return client;
  shard_.end_session(*client);  // §3.1.2-4
  return nullptr;
}

/// The client is back: its will is cancelled, unless its delay has passed. §3.1.3.2.2
void ConnectSessions::end_will(Client& client) {
  const auto will = std::move(client.will);
  if (!will || will->publishing || will->due > shard_.now()) return;
  shard_.wills().publish(will->plan, {.user = client.session->user(), .client_id = client.session->client_id()},
                         nullptr);
}

}  // namespace parley::shard
