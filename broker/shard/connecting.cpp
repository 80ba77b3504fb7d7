#include "broker/shard/connecting.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "base/check.hpp"
#include "base/log.hpp"
#include "broker/chat/topic.hpp"
#include "broker/shard/entry_message.hpp"
#include "broker/shard/shard.hpp"
#include "mqtt/encode.hpp"
#include "mqtt/reader.hpp"
#include "mqtt/topic.hpp"
#include "mqtt/utf8.hpp"

namespace parley::shard {
namespace {

using mqtt::PropertyId;
using mqtt::ProtocolVersion;
using mqtt::ReasonCode;

/// User property `meta` of CONNECT, in the order of Meta.
constexpr std::array<std::string_view, 3> kMetaWords{"full", "compact", "none"};

/// Another word than these means nothing: the name may be somebody else's.
Meta wanted_meta(const mqtt::Connect& connect) {
  const auto word = connect.properties.user("meta");
  const auto found = word ? std::ranges::find(kMetaWords, *word) : kMetaWords.end();
  return found == kMetaWords.end() ? Meta::Full : static_cast<Meta>(found - kMetaWords.begin());
}

/// Whether what follows the protocol level is laid out as in MQTT 5. §3.1.2.3, §3.1.3
bool is_laid_out_as_5(mqtt::Reader reader) {
  constexpr std::size_t kFlagsAndKeepAlive = 3;
  if (!reader.bytes(kFlagsAndKeepAlive)) return false;
  const auto properties = reader.variable_byte_integer();
  return properties && reader.bytes(*properties) && reader.binary();
}

/// In which version to answer a CONNECT that can't be decoded. Of a level that isn't known the layout tells which
/// CONNACK its client reads.
ProtocolVersion version_spoken(const mqtt::Frame& frame) {
  constexpr auto kFive = static_cast<std::uint8_t>(ProtocolVersion::V5);
  mqtt::Reader reader(frame.body);
  const auto name = reader.binary();
  const auto level = reader.integer<std::uint8_t>();
  // Bridges set the highest bit, and go on without it when they are answered as 3.1.1 does.
  if (!name || !level || *level < kFive || (*level & mqtt::kBridgeBit) != 0) return ProtocolVersion::V3_1_1;
  const bool known = *name == "MQTT" && *level == kFive;
  return known || is_laid_out_as_5(reader) ? ProtocolVersion::V5 : ProtocolVersion::V3_1_1;
}

/// 3.x has an answer for a protocol level and a client id, and none for a packet that isn't one. 3.1.1 §3.2.2.3,
/// §4.8, [MQTT-3.1.4-1].
bool is_silent(ProtocolVersion version, ReasonCode reason) {
  constexpr std::array kFaults{ReasonCode::MalformedPacket, ReasonCode::ProtocolError, ReasonCode::PacketTooLarge,
                               ReasonCode::TopicNameInvalid};
  return version != ProtocolVersion::V5 && std::ranges::find(kFaults, reason) != kFaults.end();
}

/// What a CONNECT is refused with for a limit. docs/PROTOCOL.md "Too many".
struct QuotaRule {
  Metric limit;
  ReasonCode reason;
  std::string_view error;
  std::string_view retry_after;  ///< Seconds; empty: it won't pass by itself.
  std::string_view why;
};

constexpr std::array kQuotaRules{
    QuotaRule{Metric::LimitConnections, ReasonCode::QuotaExceeded, "too-many-connections", "10",
              "This server has too many connections."},
    QuotaRule{Metric::LimitConnectionsPerAddress, ReasonCode::QuotaExceeded, "too-many-of-address", "",
              "The address has too many connections."},
    QuotaRule{Metric::LimitConnectionsPerUser, ReasonCode::QuotaExceeded, "too-many-of-user", "",
              "The user has too many connections."},
    QuotaRule{Metric::LimitSessions, ReasonCode::QuotaExceeded, "too-many-sessions", "",
              "This server has too many sessions."},
    QuotaRule{Metric::LimitConnectRate, ReasonCode::ConnectionRateExceeded, "too-many-connects", "1",
              "More clients connect than this server takes at a time."},
};

const QuotaRule& quota_rule(Metric limit) {
  const auto* found = std::ranges::find(kQuotaRules, limit, &QuotaRule::limit);
  PARLEY_CHECK(found != kQuotaRules.end(), "a CONNECT is refused for a limit that has no rule");
  return *found;
}

/// Nothing: it is welcome.
std::optional<Metric> limit_of(Admission admission) {
  switch (admission) {
    case Admission::TooManyConnections: return Metric::LimitConnections;
    case Admission::TooManyOfAddress: return Metric::LimitConnectionsPerAddress;
    case Admission::Welcome: break;
  }
  return std::nullopt;
}

struct Refused {
  ReasonCode reason = ReasonCode::Success;
  std::string_view why;
};

/// What the client takes.
std::uint32_t largest(const mqtt::Connect& connect) {
  return connect.properties.integer(PropertyId::MaximumPacketSize).value_or(0xFFFF'FFFF);
}

/// What can be said against a CONNECT without knowing the client.
Refused objection(const mqtt::Connect& connect, const session::Limits& limits) {
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

Connecting::Connecting(Shard& shard) : shard_(shard), connects_{.a_second = shard.options().connects_a_second} {}

Connecting::Outcome Connecting::first_packet(ConnectionId connection, const mqtt::Frame& frame,
                                             std::string_view unread) {
  if (frame.type != mqtt::PacketType::Connect) {  // §3.1.0-1
    shard_.counters().add(Metric::FirstPacketsRefused);
    log::info("first packet is no CONNECT, closing the connection",
              {{"address", shard_.links().address(connection)}, {"packet", mqtt::name_of(frame.type)}});
    shard_.links().close(connection);
    return Outcome::Refused;
  }
  const auto packet = mqtt::decode(frame, ProtocolVersion::V5, {});
  if (!packet) {
    const ReasonCode reason = mqtt::reason_of(packet.error());
    return refuse(connection, version_spoken(frame), reason,
                  reason == ReasonCode::UnsupportedProtocolVersion ? "This server speaks MQTT 5.0, 3.1.1 and 3.1."
                                                                   : "CONNECT can't be read.",
                  "");
  }
  return admit(connection, std::get<mqtt::Connect>(*packet), unread.substr(0, frame.size), unread);
}

Connecting::Outcome Connecting::admit(ConnectionId connection, const mqtt::Connect& connect, std::string_view packet,
                                      std::string_view unread) {
  if (Opening* opening = find(connection);
      opening != nullptr && (opening->stage == Stage::Admitted || opening->stage == Stage::Claimed)) {
    Login login = std::move(opening->login);
    std::optional<std::uint64_t> claimed;
    if (opening->stage == Stage::Claimed) claimed = opening->session_generation;
    openings_.erase(connection.place);
    return open(connection, connect, packet, std::move(login), claimed);
  }
  if (Opening* opening = find(connection); opening != nullptr && opening->stage == Stage::Durable) {
    Client* client = shard_.clients().find(opening->client, opening->identity);
    const Opening ready = std::move(*opening);
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
    return refuse(connection, connect.version, refused.reason, refused.why, connect.client_id, largest(connect));
  }
  if (const auto limit = limit_of(shard_.links().admission(connection))) {  // Counted when it came.
    return refuse_quota(connection, connect.version, *limit, largest(connect));
  }
  if (shard_.is_stopping()) {
    return refuse(connection, connect.version, ReasonCode::ServerUnavailable, "The server is going away.",
                  connect.client_id, largest(connect));
  }
  if (shard_.dismissal().refuses()) {
    return refuse(connection, connect.version, ReasonCode::UseAnotherServer, "This node takes no clients for now.",
                  connect.client_id, largest(connect), shard_.dismissal().next_reference());
  }
  Login login{.client_id = std::string(connect.client_id), .assigned = connect.client_id.empty()};
  if (login.assigned) login.client_id = make_client_id();
  if (const ShardId home = home_of_name(login.client_id, shard_.options()); home != shard_.id()) {
    shard_.links().hand_over(connection, home, unread);
    return Outcome::HandedOver;
  }
  if (connects_.is_limited()) {
    if (connects_bucket_.wait(connects_, shard_.now()) > Duration::zero()) {
      shard_.limit_reached(Metric::LimitConnectRate, connection, login.client_id, {});
      return refuse_quota(connection, connect.version, Metric::LimitConnectRate, largest(connect));
    }
    connects_bucket_.take(connects_, shard_.now(), 1);
  }
  login.method = connect.properties.text(PropertyId::AuthenticationMethod).value_or(std::string_view());
  login.packet_size_max = largest(connect);
  return authenticate(connection, connect, packet, std::move(login));
}

// -- Who it is --

Connecting::Outcome Connecting::authenticate(ConnectionId connection, const mqtt::Connect& connect,
                                             std::string_view packet, Login login) {
  LoginRequest request{.connection = connection,
                       .client_id = login.client_id,
                       .user_name = {},
                       .password = {},
                       .method = login.method,
                       .data = {},
                       .exchange = {},
                       .from = shard_.links().description(connection)};
  if (connect.user_name) request.user_name = std::string(*connect.user_name);
  if (connect.password) request.password = std::string(*connect.password);
  request.data = connect.properties.text(PropertyId::AuthenticationData).value_or(std::string_view());
  auto answer = shard_.authenticator().authenticate(shard_.id(), std::move(request));
  if (answer && answer->verdict == LoginAnswer::Verdict::Refused) {
    return refuse(connection, connect.version, answer->reason, answer->why, login.client_id, login.packet_size_max);
  }
  if (answer && answer->verdict == LoginAnswer::Verdict::Granted) {
    login.user = std::move(answer->user);
    login.expires = answer->expires;
    login.data = std::move(answer->data);
    return open(connection, connect, packet, std::move(login), std::nullopt);
  }
  Opening& opening = add(connection, {.generation = connection.generation,
                                      .version = connect.version,
                                      .login = std::move(login),
                                      .exchange = {},
                                      .held = std::string(packet)});
  shard_.timers().add({.due = shard_.now() + shard_.options().login_timeout,
                       .kind = TimerKind::Login,
                       .client = connection.place,
                       .identity = connection.generation});
  if (answer && !challenge(connection, opening, *std::move(answer))) return Outcome::Refused;
  return Outcome::Held;
}

bool Connecting::challenge(ConnectionId connection, Opening& opening, LoginAnswer answer) {
  opening.stage = Stage::AwaitingAuth;
  opening.exchange = std::move(answer.exchange);
  mqtt::PropertyWriter properties;
  properties.text(PropertyId::AuthenticationMethod, opening.login.method);
  if (!answer.data.empty()) properties.text(PropertyId::AuthenticationData, answer.data);
  const mqtt::Auth packet{.reason = ReasonCode::ContinueAuthentication,
                          .properties = mqtt::Properties::trusted(properties.bytes())};
  if (mqtt::encoded_size(packet, opening.version) > opening.login.packet_size_max) {  // [MQTT-3.1.2-24]
    refuse_opening(connection, ReasonCode::PacketTooLarge, "The client takes no packet as large as its challenge.");
    return false;
  }
  mqtt::encode(shard_.links().output(connection), packet, opening.version);
  shard_.links().flush(connection);
  return true;
}

void Connecting::authenticated(ConnectionId connection, LoginAnswer answer) {
  Opening* opening = find(connection);
  if (opening == nullptr || opening->stage != Stage::Checking) return;
  switch (answer.verdict) {
    case LoginAnswer::Verdict::Refused: refuse_opening(connection, answer.reason, answer.why); return;
    case LoginAnswer::Verdict::Continue: challenge(connection, *opening, std::move(answer)); return;
    case LoginAnswer::Verdict::Granted: break;
  }
  opening->stage = Stage::Admitted;
  opening->exchange.reset();
  opening->login.user = std::move(answer.user);
  opening->login.expires = answer.expires;
  opening->login.data = std::move(answer.data);
  go_on(connection, *opening);
}

/// Before CONNACK a client with an Authentication Method sends AUTH or DISCONNECT ([MQTT-3.1.2-30]), one at a time.
std::size_t Connecting::receive_auth(ConnectionId connection, Opening& opening, std::string_view bytes) {
  if (bytes.empty()) return 0;
  const mqtt::DecodeLimits limits{.packet_size_max = shard_.options().packet_size_before_connect_max};
  const auto frame = mqtt::next_frame(bytes, limits);
  if (frame && !*frame) return 0;
  const bool its_turn = opening.stage == Stage::AwaitingAuth;
  if (frame && (**frame).type == mqtt::PacketType::Disconnect) {
    lost(connection);
    shard_.links().close(connection);
    return bytes.size();
  }
  const auto packet = frame && its_turn && (**frame).type == mqtt::PacketType::Auth && (**frame).size == bytes.size()
                          ? mqtt::decode(**frame, opening.version, {})
                          : Result<mqtt::Packet>(ReasonCode::ProtocolError);
  const auto* auth = packet ? std::get_if<mqtt::Auth>(&*packet) : nullptr;
  const bool right = auth != nullptr && auth->reason == ReasonCode::ContinueAuthentication &&
                     auth->properties.text(PropertyId::AuthenticationMethod) == opening.login.method;
  if (!right) {
    refuse_opening(connection, packet ? ReasonCode::ProtocolError : mqtt::reason_of(packet.error()),
                   "The client doesn't go on with its authentication.");
    return bytes.size();
  }
  opening.stage = Stage::Checking;
  LoginRequest request{.connection = connection,
                       .client_id = opening.login.client_id,
                       .user_name = {},
                       .password = {},
                       .method = opening.login.method,
                       .data = {},
                       .exchange = std::move(opening.exchange),
                       .from = shard_.links().description(connection)};
  request.data = auth->properties.text(PropertyId::AuthenticationData).value_or(std::string_view());
  if (auto answer = shard_.authenticator().authenticate(shard_.id(), std::move(request))) {
    authenticated(connection, *std::move(answer));
  }
  return bytes.size();
}

void Connecting::expire(ConnectionId connection) {
  const Opening* opening = find(connection);
  if (opening == nullptr) return;
  if (opening->stage == Stage::Checking) {
    refuse_opening(connection, ReasonCode::ServerUnavailable, "Who the client is could not be found out in time.");
  } else if (opening->stage == Stage::AwaitingAuth) {
    refuse_opening(connection, ReasonCode::NotAuthorized, "The client didn't go on with its authentication in time.");
  }
}

void Connecting::refuse_opening(ConnectionId connection, ReasonCode reason, std::string_view why) {
  const auto opening = openings_.extract(connection.place);
  const Login& login = opening.mapped().login;
  refuse(connection, opening.mapped().version, reason, why, login.client_id, login.packet_size_max);
}

Connecting::Opening& Connecting::add(ConnectionId connection, Opening opening) {
  return openings_.insert_or_assign(connection.place, std::move(opening)).first->second;
}

// -- Which session --

Connecting::Outcome Connecting::open(ConnectionId connection, const mqtt::Connect& connect, std::string_view packet,
                                     Login login, std::optional<std::uint64_t> claimed) {
  Client* client = shard_.clients().find(login.client_id);
  if (client != nullptr && client->session->user() != login.user) {
    return refuse(connection, connect.version, ReasonCode::ClientIdentifierNotValid,
                  "The client id belongs to another user.", login.client_id, login.packet_size_max);
  }
  if (connect.will) {
    const auto refusal =
        shard_.publishing().will_objection({.user = login.user, .client_id = login.client_id}, *connect.will);
    if (refusal != chat::Refusal::None) return refuse_will(connection, connect.version, refusal, login);
  }
  if (!user_has_place(client, login)) {
    shard_.limit_reached(Metric::LimitConnectionsPerUser, connection, login.client_id, login.user);
    return refuse_quota(connection, connect.version, Metric::LimitConnectionsPerUser, login.packet_size_max);
  }
  if (client == nullptr && !session_has_place()) {
    shard_.limit_reached(Metric::LimitSessions, connection, login.client_id, login.user);
    return refuse_quota(connection, connect.version, Metric::LimitSessions, login.packet_size_max);
  }
  std::uint64_t generation = client != nullptr ? client->generation : 0;
  if (claimed) {
    generation = *claimed;
  } else if (!shard_.nodes().standalone()) {
    if (login.assigned) {
      generation = 1;  // Nobody else has that one.
    } else if (!shard_.session_claims().is_own(client, slot_of_name(login.client_id, shard_.options()))) {
      return claim(connection, connect, packet, std::move(login));
    }
  }
  client = earlier_session(connect, login.client_id);
  Opening opening{.generation = connection.generation,
                  .stage = Stage::Storing,
                  .version = connect.version,
                  .session_present = client != nullptr,
                  .login = std::move(login),
                  .exchange = {},
                  .held = {}};
  if (client == nullptr) {
    client = &shard_.clients().add(std::make_unique<session::Session>(opening.login.client_id, opening.login.user,
                                                                      shard_.new_identity(), shard_.options().limits,
                                                                      &shard_.counters()));
    shard_.counters().set(Metric::Sessions, shard_.clients().size());
    client->session->set_journal(&shard_.journal());
  }
  client->generation = generation;
  client->expires_at = Instant::max();
  end_will(*client);
  const std::uint32_t expiry = session::Session::granted_expiry(connect, shard_.options().limits);
  client->session->set_expiry_interval(expiry);
  auto will = session::Session::will_of(connect, expiry);
  if (will) opening.will_id = will->id = shard_.wills().make_id(*will);
  // A record that says that the session lasts may not stay.
  if (!client->is_lasting() && opening.will_id == 0 && !client->persisted) {
    attach(connection, connect, *client, opening);
    return Outcome::Connected;
  }
  opening.client = client->place;
  opening.identity = client->session->identity();
  opening.held = packet;
  add(connection, std::move(opening));
  client->opening = connection;
  shard_.session_records().write_opening(*client, std::move(will),
                                         [this, connection](Result<void> outcome) { settled(connection, outcome); });
  return Outcome::Held;
}

/// The client is back: its will is cancelled, unless its delay has passed. §3.1.3.2.2
void Connecting::end_will(Client& client) {
  const auto will = std::move(client.will);
  if (!will || will->publishing || will->due > shard_.now()) return;
  shard_.wills().publish(will->plan, {.user = client.session->user(), .client_id = client.session->client_id()},
                         nullptr);
}

/// The connection that this one takes over is the user's, too. Two that come at the same moment may both get the last
/// place.
bool Connecting::user_has_place(const Client* earlier, const Login& login) {
  const std::uint32_t most = shard_.options().user_connections_max;
  if (most == 0) return true;
  const auto account = shard_.links().account(login.user);
  if (!account) return true;
  const std::uint32_t taken_over = earlier != nullptr && earlier->session->connected() ? 1 : 0;
  return account->connections.load(std::memory_order_relaxed) - taken_over < most;
}

/// Of several that come at the same moment on different threads a few more than the limit may get one.
bool Connecting::session_has_place() const {
  const std::uint64_t most = shard_.options().sessions_max;
  return most == 0 || shard_.totals()[Metric::Sessions] < most;
}

Connecting::Outcome Connecting::claim(ConnectionId connection, const mqtt::Connect& connect, std::string_view packet,
                                      Login login) {
  add(connection, {.generation = connection.generation,
                   .stage = Stage::Claiming,
                   .version = connect.version,
                   .login = std::move(login),
                   .exchange = {},
                   .held = std::string(packet)});
  ask_for_session(connection);
  return Outcome::Held;
}

void Connecting::ask_for_session(ConnectionId connection) {
  Opening& opening = *find(connection);
  const Client* client = shard_.clients().find(opening.login.client_id);
  const std::uint64_t held = client != nullptr ? client->generation : 0;
  opening.claim = shard_.session_claims().claim(
      opening.login.client_id, opening.login.user, held,
      [this, connection, held](const Result<SessionClaims::Granted>& granted) { claimed(connection, held, granted); });
}

void Connecting::claimed(ConnectionId connection, std::uint64_t held, const Result<SessionClaims::Granted>& granted) {
  Opening* opening = find(connection);
  if (opening == nullptr) return;
  opening->claim = 0;
  if (!granted) {
    const bool foreign = granted.error() == make_error_code(chat::Refusal::NotAuthorized);
    refuse_opening(connection, foreign ? ReasonCode::ClientIdentifierNotValid : ReasonCode::ServerUnavailable,
                   foreign ? "The client id belongs to another user."
                           : "Too few of the cluster's nodes hear each other, or the session can't be read.");
    return;
  }
  Client* client = shard_.clients().find(opening->login.client_id);
  const bool kept = held != 0 && granted->generation == held;
  if (kept && (client == nullptr || client->generation != held)) {
    // It was given away in between.
    ask_for_session(connection);
    return;
  }
  if (kept ? !take_latest(*client, *granted) : !take_over(std::string(opening->login.client_id), *granted)) {
    refuse_opening(connection, ReasonCode::ServerUnavailable, "The stored session can't be read.");
    return;
  }
  // Dropping what was here may have ended other connections, never this one.
  opening = find(connection);
  opening->stage = Stage::Claimed;
  opening->session_generation = granted->generation;
  go_on(connection, *opening);
}

/// A session that this node has. False when it can't be read.
bool Connecting::take_latest(Client& client, const SessionClaims::Granted& granted) {
  if (!client.restored) return true;
  if (granted.stored) return shard_.refresh(client, *granted.stored);
  shard_.forget_session(client);
  return true;
}

/// A session that this node doesn't have, or what it has isn't the latest. False when it can't be read.
bool Connecting::take_over(const std::string& client_id, const SessionClaims::Granted& granted) {
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

void Connecting::abandon(Client& client) {
  if (client.opening.generation == 0) return;
  const ConnectionId connection = std::exchange(client.opening, {});
  if (Opening* opening = find(connection); opening != nullptr && opening->ended) {
    // What it has sent comes before whatever takes its place; that its session is durable nobody is left to hear.
    opening->stage = Stage::Durable;
    go_on(connection, *opening);
    return;
  }
  openings_.erase(connection.place);
  shard_.links().close(connection);
}

void Connecting::give_up(Client& client) {
  if (client.opening.generation == 0) return;
  refuse_opening(std::exchange(client.opening, {}), ReasonCode::ServerUnavailable,
                 "Another node has the session by now.");
}

Client* Connecting::earlier_session(const mqtt::Connect& connect, std::string_view client_id) {
  Client* client = shard_.clients().find(client_id);
  if (client == nullptr) return nullptr;
  abandon(*client);
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

void Connecting::attach(ConnectionId connection, const mqtt::Connect& connect, Client& client, const Opening& opening) {
  session::Session& session = *client.session;
  session.attach(connect, shard_.links().output(connection), shard_.now());
  client.connected_at = shard_.now();
  session.set_will_id(opening.will_id);
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
  shard_.reauthentication().begin(client, opening.login.expires, !opening.login.method.empty());
  mqtt::PropertyWriter extra;
  const std::string reply = reply_topic(session.client_id());
  // To a client id with a wildcard in it belongs no topic.
  if (connect.properties.integer(PropertyId::RequestResponseInformation) == 1U && mqtt::is_topic_name(reply)) {
    extra.text(PropertyId::ResponseInformation, reply);  // §3.2.2.3.15
  }
  if (!opening.login.method.empty()) {  // §3.2.2.3.17
    extra.text(PropertyId::AuthenticationMethod, opening.login.method);
    if (!opening.login.data.empty()) extra.text(PropertyId::AuthenticationData, opening.login.data);
  }
  if (client.accepted.batch) extra.user("accept", name_of(client.accepted));
  if (!session.write_connack(opening.session_present, opening.login.assigned, extra.bytes())) {
    shard_.detach(client, false);
    refuse(connection, connect.version, ReasonCode::PacketTooLarge, "CONNACK is larger than what the client takes.",
           opening.login.client_id, opening.login.packet_size_max);
    return;
  }
  session.resume(shard_.now());
  shard_.schedule(client);
  if (client.retained) shard_.retained_shows().go_on(client);
  follow_cursors(client);
  if (shard_.client_of(connection) != &client) return;
  if (opening.session_present) {
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

void Connecting::settled(ConnectionId connection, Result<void> outcome) {
  Opening* opening = find(connection);
  if (opening == nullptr) return;
  if (outcome) {
    opening->stage = Stage::Durable;
    go_on(connection, *opening);
    return;
  }
  Client* client = shard_.clients().find(opening->client, opening->identity);
  const Opening failed = std::move(*opening);
  openings_.erase(connection.place);
  const bool full = outcome.error() == make_error_code(StorageError::DiskFull);
  const bool stored = outcome.error().category() == make_error_code(StorageError::DiskFull).category();
  refuse(connection, failed.version, full ? ReasonCode::QuotaExceeded : ReasonCode::ServerUnavailable,
         stored ? "The session can't be written to disk." : "Nobody leads the session's slot now.",
         client != nullptr ? client->session->client_id() : "", failed.login.packet_size_max);
  if (client == nullptr) return;
  client->opening = {};
  if (failed.session_present) {
    shard_.expire_later(*client);
  } else {
    shard_.end_session(*client);
  }
}

void Connecting::go_on(ConnectionId connection, Opening& opening) {
  const bool ended = opening.ended;
  const std::string packets = std::move(opening.held);
  shard_.receive_held(connection, packets);
  if (!ended) return;
  if (Client* client = shard_.client_of(connection)) {
    shard_.detach(*client);
    shard_.links().close(connection);
  } else if (Opening* next = find(connection)) {
    next->ended = true;
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
         found->second.stage != Stage::Admitted && found->second.stage != Stage::Claimed &&
         found->second.stage != Stage::Durable;
}

std::size_t Connecting::hold(ConnectionId connection, std::string_view bytes) {
  Opening& opening = *find(connection);
  const bool is_known = opening.stage == Stage::Storing || opening.stage == Stage::Claiming;
  if (!is_known && !opening.login.method.empty()) return receive_auth(connection, opening, bytes);
  const mqtt::DecodeLimits limits{.packet_size_max = shard_.options().limits.packet_size_max};
  const std::size_t most = is_known ? kHeldBytesMax : shard_.options().packet_size_before_connect_max;
  std::size_t whole = 0;
  while (whole < bytes.size()) {
    const auto frame = mqtt::next_frame(bytes.substr(whole), limits);
    const bool bad = !frame || (*frame && opening.held.size() + whole + (**frame).size > most);
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
  opening.has_more = opening.has_more || whole != 0;
  return whole;
}

bool Connecting::ended(ConnectionId connection) {
  Opening* opening = find(connection);
  if (opening == nullptr || !opening->has_more) return false;
  opening->ended = true;
  return true;
}

void Connecting::lost(ConnectionId connection) {
  const Opening* opening = find(connection);
  if (opening == nullptr) return;
  Client* client = shard_.clients().find(opening->client, opening->identity);
  if (opening->claim != 0) shard_.session_claims().withdraw(opening->claim);
  openings_.erase(connection.place);
  if (client == nullptr) return;
  client->opening = {};
  shard_.expire_later(*client);
}

void Connecting::shut_down() {
  for (const auto& [place, opening] : std::exchange(openings_, {})) shard_.links().close({place, opening.generation});
}

Connecting::Outcome Connecting::refuse(ConnectionId connection, ProtocolVersion version, ReasonCode reason,
                                       std::string_view why, std::string_view client_id, std::uint32_t packet_size_max,
                                       std::string_view properties) {
  log::info("refusing a connection", {{"client_id", client_id},
                                      {"address", shard_.links().address(connection)},
                                      {"reason", mqtt::name_of(reason)},
                                      {"why", why}});
  return turn_away(connection, version, reason, why, packet_size_max, properties);
}

/// One that would be refused when it is due.
Connecting::Outcome Connecting::refuse_will(ConnectionId connection, ProtocolVersion version, chat::Refusal refusal,
                                            const Login& login) {
  const chat::RefusalRule& rule = chat::rule_of(refusal);
  mqtt::PropertyWriter properties;
  properties.user("error", rule.word);
  // 3.1.1 has no other return code for it.
  const auto reason = version == ProtocolVersion::V5 ? static_cast<ReasonCode>(rule.reason) : ReasonCode::NotAuthorized;
  return refuse(connection, version, reason, "The will may not be published.", login.client_id, login.packet_size_max,
                properties.bytes());
}

Connecting::Outcome Connecting::refuse_quota(ConnectionId connection, ProtocolVersion version, Metric limit,
                                             std::uint32_t packet_size_max) {
  const QuotaRule& rule = quota_rule(limit);
  mqtt::PropertyWriter properties;
  properties.user("error", rule.error);
  if (!rule.retry_after.empty()) properties.user("retry-after", rule.retry_after);
  return turn_away(connection, version, rule.reason, rule.why, packet_size_max, properties.bytes());
}

Connecting::Outcome Connecting::turn_away(ConnectionId connection, ProtocolVersion version, ReasonCode reason,
                                          std::string_view why, std::uint32_t packet_size_max,
                                          std::string_view properties) {
  shard_.counters().refused(static_cast<std::uint8_t>(reason));
  if (!is_silent(version, reason) && mqtt::may_carry(mqtt::PacketType::Connack, reason)) {
    mqtt::PropertyWriter own;
    own.text(PropertyId::ReasonString, why);
    const std::string all = std::string(own.bytes()).append(properties);
    mqtt::Connack packet{.reason = reason, .properties = mqtt::Properties::trusted(all)};
    if (mqtt::encoded_size(packet, version) > packet_size_max) packet.properties = {};  // [MQTT-3.2.2-19]
    if (mqtt::encoded_size(packet, version) <= packet_size_max) {                       // [MQTT-3.1.2-24]
      mqtt::encode(shard_.links().output(connection), packet, version);
    }
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

void Connecting::follow_cursor(Client& client, session::CursorId cursor) {
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
