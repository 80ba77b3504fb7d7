#include "broker/shard/connecting.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "base/log.hpp"
#include "broker/auth/identity.hpp"
#include "broker/chat/topic.hpp"
#include "broker/shard/entry_message.hpp"
#include "broker/shard/shard.hpp"
#include "mqtt/encode.hpp"
#include "mqtt/reader.hpp"
#include "mqtt/utf8.hpp"

namespace parley::shard {
namespace {

using mqtt::PropertyId;
using mqtt::ProtocolVersion;
using mqtt::ReasonCode;

/// User property `meta` of CONNECT, in the order of Meta.
constexpr std::array<std::string_view, 3> kMetaWords{"full", "compact", "none"};

/// Empty when CONNECT has another word.
std::optional<Meta> wanted_meta(const mqtt::Connect& connect) {
  const auto word = connect.properties.user("meta");
  if (!word) return Meta::Full;
  const auto found = std::ranges::find(kMetaWords, *word);
  if (found == kMetaWords.end()) return std::nullopt;
  return static_cast<Meta>(found - kMetaWords.begin());
}

/// In which version to answer a CONNECT that can't be decoded.
ProtocolVersion version_spoken(const mqtt::Frame& frame) {
  mqtt::Reader reader(frame.body);
  const auto name = reader.binary();
  const auto level = reader.integer<std::uint8_t>();
  const bool five = name && level && *name == "MQTT" && *level >= static_cast<std::uint8_t>(ProtocolVersion::V5);
  return five ? ProtocolVersion::V5 : ProtocolVersion::V3_1_1;
}

struct Refused {
  ReasonCode reason = ReasonCode::Success;
  std::string_view why;
};

/// What can be said against a CONNECT without knowing the client.
Refused objection(const mqtt::Connect& connect, const session::Limits& limits) {
  if (connect.properties.text(PropertyId::AuthenticationMethod)) {
    return {ReasonCode::BadAuthenticationMethod, "This server has no extended authentication."};  // §4.12
  }
  if (!wanted_meta(connect)) {
    return {ReasonCode::ImplementationSpecificError, "User property meta is full, compact or none."};
  }
  if (connect.client_id.empty() && connect.version != ProtocolVersion::V5 && !connect.clean_start) {
    return {ReasonCode::ClientIdentifierNotValid, "A lasting session needs a client id."};  // 3.1.1 §3.1.3.1
  }
  if (connect.client_id.size() > Connecting::kClientIdSizeMax) {
    return {ReasonCode::ClientIdentifierNotValid, "The client id is longer than this server takes."};
  }
  if (connect.will && connect.will->qos > limits.qos_max) {
    return {ReasonCode::QosNotSupported, "The will's QoS is higher than this server takes."};  // §3.2.2.3.4
  }
  if (connect.will && connect.will->retain && !limits.retain_available) {
    return {ReasonCode::RetainNotSupported, "This server keeps no retained messages."};  // §3.2.2.3.5
  }
  if (connect.will && limits.check_payload_format &&
      connect.will->properties.integer(PropertyId::PayloadFormatIndicator) == 1U &&
      !mqtt::is_mqtt_utf8(connect.will->payload)) {
    return {ReasonCode::PayloadFormatInvalid, "The will's payload isn't the UTF-8 that it says it is."};
  }
  return {};
}

}  // namespace

Connecting::Outcome Connecting::first_packet(ConnectionId connection, const mqtt::Frame& frame,
                                             std::string_view unread) {
  if (frame.type != mqtt::PacketType::Connect) {  // §3.1.0-1
    log::info("first packet is no CONNECT, closing the connection",
              {{"address", shard_.links().address(connection)}, {"packet", mqtt::name_of(frame.type)}});
    shard_.links().close(connection);
    return Outcome::Refused;
  }
  const auto packet = mqtt::decode(frame, ProtocolVersion::V5, {});
  if (!packet) {
    return refuse(connection, version_spoken(frame), mqtt::reason_of(packet.error()), "CONNECT can't be read.", "");
  }
  return admit(connection, std::get<mqtt::Connect>(*packet), unread.substr(0, frame.size), unread);
}

Connecting::Outcome Connecting::admit(ConnectionId connection, const mqtt::Connect& connect, std::string_view packet,
                                      std::string_view unread) {
  if (const Opening* opening = find(connection); opening != nullptr && opening->stage == Opening::Stage::Durable) {
    Client* client = shard_.clients().find(opening->client, opening->identity);
    const Opening ready = *opening;
    openings_.erase(connection.place);
    if (client == nullptr) {
      shard_.links().close(connection);
      return Outcome::Refused;
    }
    client->opening = {};
    attach(connection, connect, *client, ready);
    return Outcome::Connected;
  }
  if (const auto refused = objection(connect, shard_.options().limits); refused.reason != ReasonCode::Success) {
    return refuse(connection, connect.version, refused.reason, refused.why, connect.client_id);
  }
  if (shard_.is_stopping()) {
    return refuse(connection, connect.version, ReasonCode::ServerUnavailable, "The server is going away.",
                  connect.client_id);
  }
  const bool assigned = connect.client_id.empty();
  std::string client_id = assigned ? make_client_id() : std::string(connect.client_id);
  if (const ShardId home = home_of_name(client_id, shard_.options()); home != shard_.id()) {
    shard_.links().hand_over(connection, home, unread);
    return Outcome::HandedOver;
  }
  // Passwords and tokens are checked here once there are any.
  auto user = auth::anonymous_user({client_id, connect.user_name, connect.password});
  if (!user) {
    return refuse(connection, connect.version, ReasonCode::BadUserNameOrPassword, "The user name is no valid name.",
                  client_id);
  }
  return open(connection, connect, packet, std::move(client_id), *std::move(user), assigned);
}

Connecting::Outcome Connecting::open(ConnectionId connection, const mqtt::Connect& connect, std::string_view packet,
                                     std::string client_id, std::string user, bool assigned) {
  Client* client = shard_.clients().find(client_id);
  if (client != nullptr && client->session->user() != user) {
    return refuse(connection, connect.version, ReasonCode::ClientIdentifierNotValid,
                  "The client id belongs to another user.", client_id);
  }
  std::uint64_t generation = client != nullptr ? client->generation : 0;
  if (const Opening* claimed = find(connection); claimed != nullptr && claimed->stage == Opening::Stage::Claimed) {
    generation = claimed->session_generation;
    openings_.erase(connection.place);
  } else if (!shard_.nodes().alone()) {
    if (assigned) {
      generation = 1;  // Nobody else has that one.
    } else if (!shard_.session_claims().is_own(client, slot_of_name(client_id, shard_.options()))) {
      return claim(connection, connect, packet, client_id, user);
    }
  }
  client = earlier_session(connect, client_id);
  Opening opening{.generation = connection.generation,
                  .version = connect.version,
                  .session_present = client != nullptr,
                  .assigned = assigned};
  if (client == nullptr) {
    client = &shard_.clients().add(std::make_unique<session::Session>(std::move(client_id), std::move(user),
                                                                      shard_.new_identity(), shard_.options().limits));
  }
  client->generation = generation;
  client->expires_at = Instant::max();
  client->will.reset();  // §3.1.3.2.2: the client is back before its delay has passed.
  client->session->set_expiry_interval(session::Session::granted_expiry(connect, shard_.options().limits));
  if (client->session->expiry_interval() == 0) {
    attach(connection, connect, *client, opening);
    return Outcome::Connected;
  }
  opening.client = client->place;
  opening.identity = client->session->identity();
  opening.held = packet;
  openings_.insert_or_assign(connection.place, std::move(opening));
  client->opening = connection;
  shard_.session_records().write(*client, {},
                                 [this, connection](Result<void> outcome) { settled(connection, outcome); });
  return Outcome::Held;
}

Connecting::Outcome Connecting::claim(ConnectionId connection, const mqtt::Connect& connect, std::string_view packet,
                                      const std::string& client_id, const std::string& user) {
  const Client* client = shard_.clients().find(client_id);
  Opening opening{.generation = connection.generation, .version = connect.version};
  opening.stage = Opening::Stage::Claiming;
  opening.client_id = client_id;
  opening.held = packet;
  openings_.insert_or_assign(connection.place, std::move(opening));
  shard_.session_claims().claim(client_id, user, client != nullptr ? client->generation : 0,
                                [this, connection, client_id](const Result<SessionClaims::Granted>& granted) {
                                  claimed(connection, client_id, granted);
                                });
  return Outcome::Held;
}

void Connecting::claimed(ConnectionId connection, const std::string& client_id,
                         const Result<SessionClaims::Granted>& granted) {
  Opening* opening = find(connection);
  if (!granted) {
    if (opening == nullptr) return;
    const auto version = opening->version;
    openings_.erase(connection.place);
    const bool foreign = granted.error() == make_error_code(chat::Refusal::NotAuthorized);
    refuse(connection, version, foreign ? ReasonCode::ClientIdentifierNotValid : ReasonCode::ServerUnavailable,
           foreign ? "The client id belongs to another user." : "Too few of the cluster's nodes hear each other.",
           client_id);
    return;
  }
  Client* client = shard_.clients().find(client_id);
  // What is here is the latest, unless another node has had the session in between.
  if (client != nullptr && granted->generation > client->generation + 1) {
    shard_.session_claims().lost(client_id, client->generation);
    client = nullptr;
  }
  if (client == nullptr && granted->stored) client = shard_.adopt(*granted->stored);
  if (client != nullptr) client->generation = granted->generation;
  if (opening == nullptr) {
    // The connection has gone meanwhile, but the session is this node's.
    if (client != nullptr && !client->session->connected())
      shard_.session_records().write(*client, shard_.wall(), nullptr);
    return;
  }
  opening->stage = Opening::Stage::Claimed;
  opening->session_generation = granted->generation;
  const std::string held = std::move(opening->held);
  shard_.received(connection, held);
}

void Connecting::abandon(Client& client) {
  if (client.opening.generation == 0) return;
  const ConnectionId opening = std::exchange(client.opening, {});
  openings_.erase(opening.place);
  shard_.links().close(opening);
}

Client* Connecting::earlier_session(const mqtt::Connect& connect, std::string_view client_id) {
  Client* client = shard_.clients().find(client_id);
  if (client == nullptr) return nullptr;
  abandon(*client);
  // May end the session: one whose expiry interval is 0 lasts as long as its connection.
  shard_.close_client(*client, ReasonCode::SessionTakenOver);  // §3.1.4-3
  client = shard_.clients().find(client_id);
  if (client == nullptr || !connect.clean_start) return client;
  shard_.end_session(*client);  // §3.1.2-4
  return nullptr;
}

void Connecting::attach(ConnectionId connection, const mqtt::Connect& connect, Client& client, const Opening& opening) {
  session::Session& session = *client.session;
  session.attach(connect, shard_.links().output(connection), shard_.now());
  client.meta = *wanted_meta(connect);
  client.named_senders.clear();
  shard_.bind(connection, client);
  shard_.plain_topics().connected(client, true);
  mqtt::PropertyWriter extra;
  if (connect.properties.integer(PropertyId::RequestResponseInformation) == 1U) {
    extra.text(PropertyId::ResponseInformation, reply_topic(session.client_id()));  // §3.2.2.3.15
  }
  session.write_connack(opening.session_present, opening.assigned, extra.bytes());
  session.resume(shard_.now());
  shard_.schedule(client);
  follow_cursors(client);
  shard_.wrote(client);
}

void Connecting::settled(ConnectionId connection, Result<void> outcome) {
  Opening* opening = find(connection);
  if (opening == nullptr) return;
  if (outcome) {
    opening->stage = Opening::Stage::Durable;
    const std::string held = std::move(opening->held);
    shard_.received(connection, held);
    return;
  }
  Client* client = shard_.clients().find(opening->client, opening->identity);
  const Opening failed = std::move(*opening);
  openings_.erase(connection.place);
  const bool full = outcome.error() == make_error_code(StorageError::DiskFull);
  refuse(connection, failed.version, full ? ReasonCode::QuotaExceeded : ReasonCode::ServerUnavailable,
         "The session can't be written to disk.", client != nullptr ? client->session->client_id() : "");
  if (client == nullptr) return;
  client->opening = {};
  if (failed.session_present) {
    shard_.expire_later(*client);
  } else {
    shard_.end_session(*client);
  }
}

Connecting::Opening* Connecting::find(ConnectionId connection) {
  if (openings_.empty()) return nullptr;
  const auto found = openings_.find(connection.place);
  if (found == openings_.end() || found->second.generation != connection.generation) return nullptr;
  return &found->second;
}

bool Connecting::is_waiting(ConnectionId connection) const {
  if (openings_.empty()) return false;
  const auto found = openings_.find(connection.place);
  return found != openings_.end() && found->second.generation == connection.generation &&
         (found->second.stage == Opening::Stage::Claiming || found->second.stage == Opening::Stage::Storing);
}

std::size_t Connecting::hold(ConnectionId connection, std::string_view bytes) {
  Opening& opening = *find(connection);
  const mqtt::DecodeLimits limits{.packet_size_max = shard_.options().limits.packet_size_max};
  std::size_t whole = 0;
  while (whole < bytes.size()) {
    const auto frame = mqtt::next_frame(bytes.substr(whole), limits);
    const bool bad = !frame || (*frame && opening.held.size() + whole + (**frame).size > kHeldBytesMax);
    if (bad) {
      log::info("client sends too much or nonsense before CONNACK, closing its connection",
                {{"address", shard_.links().address(connection)}});
      lost(connection);
      shard_.links().close(connection);
      return bytes.size();
    }
    if (!*frame) break;
    whole += (**frame).size;
  }
  opening.held.append(bytes.substr(0, whole));
  return whole;
}

void Connecting::lost(ConnectionId connection) {
  const Opening* opening = find(connection);
  if (opening == nullptr) return;
  Client* client = shard_.clients().find(opening->client, opening->identity);
  openings_.erase(connection.place);
  if (client == nullptr) return;
  client->opening = {};
  shard_.expire_later(*client);
}

void Connecting::shut_down() {
  for (const auto& [place, opening] : std::exchange(openings_, {})) shard_.links().close({place, opening.generation});
}

Connecting::Outcome Connecting::refuse(ConnectionId connection, ProtocolVersion version, ReasonCode reason,
                                       std::string_view why, std::string_view client_id) {
  log::info("refusing a connection", {{"client_id", client_id},
                                      {"address", shard_.links().address(connection)},
                                      {"reason", mqtt::name_of(reason)},
                                      {"why", why}});
  // 3.x has an answer for a protocol level and a client id, and none for a packet that isn't one. 3.1.1 §4.8.
  const bool silent = version != ProtocolVersion::V5 && reason == ReasonCode::MalformedPacket;
  if (!silent && mqtt::may_carry(mqtt::PacketType::Connack, reason)) {
    mqtt::PropertyWriter properties;
    properties.text(PropertyId::ReasonString, why);
    mqtt::encode(shard_.links().output(connection),
                 mqtt::Connack{.reason = reason, .properties = mqtt::Properties::trusted(properties.bytes())}, version);
  }
  shard_.links().close(connection);
  return Outcome::Refused;
}

/// Made so that its home is this shard: the connection needn't move, and the client comes back here.
std::string Connecting::make_client_id() {
  constexpr int kTries = 100'000;
  std::string id;
  for (int i = 0; i < kTries; ++i) {
    id = "auto-" + shard_.publishing().make_id();
    if (home_of_name(id, shard_.options()) == shard_.id()) break;
  }
  return id;
}

// -- Resuming --

void Connecting::follow_cursors(Client& client) {
  const auto cursors = client.session->cursors();
  client.feeds_awaited = static_cast<std::uint32_t>(cursors.size());
  const ConnectionId connection = client.connection;
  for (const session::CursorId cursor : cursors) {
    follow_cursor(client, cursor);
    // What can't be followed may close the connection, and end the session with it.
    if (shard_.client_of(connection) != &client) return;
  }
}

void Connecting::follow_cursor(Client& client, session::CursorId cursor) {
  const std::string topic(client.session->cursor(cursor).topic);
  const auto parts = chat::read_topic(shard_.options().root, topic);
  if (!parts) {
    --client.feeds_awaited;
    return;
  }
  shard_.feeds().with_feed(parts->conversation, [this, topic, connection = client.connection](Feed& feed) {
    Client* resumed = shard_.client_of(connection);
    if (resumed == nullptr) return;
    --resumed->feeds_awaited;
    shard_.feeds().resume(feed, *resumed, topic);
  });
}

}  // namespace parley::shard
