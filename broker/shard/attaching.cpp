#include "broker/shard/attaching.hpp"

#include <algorithm>
#include <array>
#include <string>

#include "broker/chat/topic.hpp"
#include "broker/shard/connect_refusals.hpp"
#include "broker/shard/entry_message.hpp"
#include "broker/shard/shard.hpp"
#include "mqtt/topic.hpp"

namespace parley::shard {
namespace {

using mqtt::PropertyId;
using mqtt::ReasonCode;

/// User property `meta` of CONNECT, in the order of Meta.
constexpr std::array<std::string_view, 3> kMetaWords{"full", "compact", "none"};

/// Another word than these means nothing: the name may be somebody else's.
Meta wanted_meta(const mqtt::Connect& connect) {
  const auto word = connect.properties.user("meta");
  const auto found = word ? std::ranges::find(kMetaWords, *word) : kMetaWords.end();
  return found == kMetaWords.end() ? Meta::Full : static_cast<Meta>(found - kMetaWords.begin());
}

}  // namespace

void Attaching::attach(ConnectionId connection, const mqtt::Connect& connect, Client& client, const Arrival& arrival) {
  session::Session& session = *client.session;
  session.attach(connect, shard_.links().output(connection), shard_.now());
  client.connected_at = shard_.now();
  session.set_will_id(arrival.will_id);
  client.meta = wanted_meta(connect);
  client.accepted = read_accept(connect.properties.user("accept").value_or(std::string_view()));
  client.named_senders.clear();
  client.account = shard_.links().account(session.user());
  if (client.account) client.account->connections.fetch_add(1, std::memory_order_relaxed);
  shard_.bind(connection, client);
  client.quiet = false;
  client.is_present = connect.properties.user("presence") != "none";
  if (client.is_present) shard_.presence().connected(client);
  shard_.plain_topics().connected(client, true);
  shard_.reauthentication().begin(client, arrival.login.expires, !arrival.login.method.empty());
  mqtt::PropertyWriter extra;
  const std::string reply = reply_topic(session.client_id());
  // To a client id with a wildcard in it belongs no topic.
  if (connect.properties.integer(PropertyId::RequestResponseInformation) == 1U && mqtt::is_topic_name(reply)) {
    extra.text(PropertyId::ResponseInformation, reply);  // §3.2.2.3.15
  }
  if (!arrival.login.method.empty()) {  // §3.2.2.3.17
    extra.text(PropertyId::AuthenticationMethod, arrival.login.method);
    if (!arrival.login.data.empty()) extra.text(PropertyId::AuthenticationData, arrival.login.data);
  }
  if (client.accepted.batch) extra.user("accept", name_of(client.accepted));
  if (!session.write_connack(arrival.session_present, arrival.login.assigned, extra.bytes())) {
    shard_.detach(client, false);
    refusals_.refuse({.connection = connection,
                      .version = connect.version,
                      .client_id = arrival.login.client_id,
                      .packet_size_max = arrival.login.packet_size_max},
                     ReasonCode::PacketTooLarge, "CONNACK is larger than what the client takes.");
    return;
  }
  session.resume(shard_.now());
  shard_.schedule(client);
  if (client.retained) shard_.retained_shows().go_on(client);
  follow_cursors(client);
  if (shard_.client_of(connection) != &client) return;
  if (arrival.session_present) {
    shard_.listeners().resume(client);
    if (shard_.client_of(connection) != &client) return;
    shard_.inbox_listeners().resume(client);
    if (shard_.client_of(connection) != &client) return;
    shard_.presence().watches().resume(client);
    if (shard_.client_of(connection) != &client) return;
    shard_.share_members().resume(client);
  }
  if (shard_.client_of(connection) != &client) return;
  shard_.wrote(client);
}

/// Follows the conversations of a session that has just been attached.
void Attaching::follow_cursors(Client& client) {
  const auto cursors = client.session->cursors();
  client.feeds_awaited = static_cast<std::uint32_t>(cursors.size());
  const ConnectionId connection = client.connection;
  for (const session::CursorId cursor : cursors) {
    // The inbox follows its own.
    if (client.session->find_subscription(client.session->cursor(cursor).topic) == nullptr) {
      --client.feeds_awaited;
      continue;
    }
    follow_cursor(client, cursor);
    // What can't be followed may close the connection, and end the session with it.
    if (shard_.client_of(connection) != &client) return;
  }
  shard_.inboxes().resume(client);
}

void Attaching::follow_cursor(Client& client, session::CursorId cursor) {
  const std::string topic(client.session->cursor(cursor).topic);
  const auto parts = chat::read_topic(shard_.options().root, topic);
  const std::string& user = client.session->user();
  const auto conversation = parts ? chat::conversation_meant(parts->conversation, user) : std::nullopt;
  if (!conversation) {
    --client.feeds_awaited;
    return;
  }
  shard_.feeds().with_access(*conversation, user,
                             [this, topic, connection = client.connection](Feed& feed, const Feeds::Access& access) {
                               Client* resumed = shard_.client_of(connection);
                               if (resumed == nullptr) return;
                               --resumed->feeds_awaited;
                               shard_.feeds().resume(feed, access, *resumed, topic);
                             });
}

}  // namespace parley::shard
