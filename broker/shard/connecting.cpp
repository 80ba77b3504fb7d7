#include "broker/shard/connecting.hpp"

#include <optional>
#include <utility>

#include "base/log.hpp"
#include "broker/chat/topic.hpp"
#include "broker/shard/connect_checks.hpp"
#include "broker/shard/shard.hpp"

namespace parley::shard {
namespace {

using mqtt::PropertyId;
using mqtt::ProtocolVersion;
using mqtt::ReasonCode;

/// Nothing: it is welcome.
std::optional<Metric> limit_of(Admission admission) {
  switch (admission) {
    case Admission::TooManyConnections: return Metric::LimitConnections;
    case Admission::TooManyOfAddress: return Metric::LimitConnectionsPerAddress;
    case Admission::Welcome: break;
  }
  return std::nullopt;
}

}  // namespace

Connecting::Connecting(Shard& shard)
    : shard_(shard),
      refusals_(shard),
      sessions_(shard),
      attaching_(shard, refusals_),
      connects_{.a_second = shard.options().connects_a_second} {}

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
    return refuse({.connection = connection, .version = version_spoken(frame)}, reason,
                  reason == ReasonCode::UnsupportedProtocolVersion ? "This server speaks MQTT 5.0, 3.1.1 and 3.1."
                                                                   : "CONNECT can't be read.");
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
  const ConnectRefusals::Applicant applicant{.connection = connection,
                                             .version = connect.version,
                                             .client_id = connect.client_id,
                                             .packet_size_max = packet_size_max(connect)};
  if (const auto found = objection_to(connect, shard_.options().limits); found.reason != ReasonCode::Success) {
    return refuse(applicant, found.reason, found.why);
  }
  if (const auto limit = limit_of(shard_.links().admission(connection))) {  // Counted when it came.
    return refuse_quota(applicant, *limit);
  }
  if (shard_.is_stopping()) {
    return refuse(applicant, ReasonCode::ServerUnavailable, "The server is going away.");
  }
  if (shard_.dismissal().refuses()) {
    return refuse(applicant, ReasonCode::UseAnotherServer, "This node takes no clients for now.",
                  shard_.dismissal().next_reference());
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
      return refuse_quota(applicant, Metric::LimitConnectRate);
    }
    connects_bucket_.take(connects_, shard_.now(), 1);
  }
  login.method = connect.properties.text(PropertyId::AuthenticationMethod).value_or(std::string_view());
  login.packet_size_max = applicant.packet_size_max;
  return authenticate(connection, connect, packet, std::move(login));
}

ConnectRefusals::Applicant Connecting::applicant_of(ConnectionId connection, ProtocolVersion version,
                                                    const Login& login) {
  return {.connection = connection,
          .version = version,
          .client_id = login.client_id,
          .packet_size_max = login.packet_size_max};
}

void Connecting::refuse_opening(ConnectionId connection, ReasonCode reason, std::string_view why) {
  const auto opening = openings_.extract(connection.place);
  refuse(applicant_of(connection, opening.mapped().version, opening.mapped().login), reason, why);
}

Connecting::Opening& Connecting::add(ConnectionId connection, Opening opening) {
  return openings_.insert_or_assign(connection.place, std::move(opening)).first->second;
}

Connecting::Outcome Connecting::open(ConnectionId connection, const mqtt::Connect& connect, std::string_view packet,
                                     Login login, std::optional<std::uint64_t> claimed) {
  const Client* known = shard_.clients().find(login.client_id);
  const auto applicant = applicant_of(connection, connect.version, login);
  if (known != nullptr && known->session->user() != login.user) {
    return refuse(applicant, ReasonCode::ClientIdentifierNotValid, "The client id belongs to another user.");
  }
  if (connect.will) {
    const auto refusal =
        shard_.publishing().will_objection({.user = login.user, .client_id = login.client_id}, *connect.will);
    if (refusal != chat::Refusal::None) {
      refusals_.refuse_will(applicant, refusal);
      return Outcome::Refused;
    }
  }
  if (!sessions_.user_has_place(known, login.user)) {
    shard_.limit_reached(Metric::LimitConnectionsPerUser, connection, login.client_id, login.user);
    return refuse_quota(applicant, Metric::LimitConnectionsPerUser);
  }
  if (known == nullptr && !sessions_.has_place()) {
    shard_.limit_reached(Metric::LimitSessions, connection, login.client_id, login.user);
    return refuse_quota(applicant, Metric::LimitSessions);
  }
  std::uint64_t generation = known != nullptr ? known->generation : 0;
  if (claimed) {
    generation = *claimed;
  } else if (!shard_.nodes().standalone()) {
    if (login.assigned) {
      generation = 1;  // Nobody else has that one.
    } else if (!shard_.session_claims().is_own(known, slot_of_name(login.client_id, shard_.options()))) {
      return claim(connection, connect, packet, std::move(login));
    }
  }
  const auto [client, present] = sessions_.open(connect, login, generation);
  Opening opening{.generation = connection.generation,
                  .stage = Stage::Storing,
                  .version = connect.version,
                  .session_present = present,
                  .login = std::move(login),
                  .exchange = {},
                  .held = {}};
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
  if (!sessions_.take(std::string(opening->login.client_id), kept ? client : nullptr, *granted)) {
    refuse_opening(connection, ReasonCode::ServerUnavailable, "The stored session can't be read.");
    return;
  }
  // Dropping what was here may have ended other connections, never this one.
  opening = find(connection);
  opening->stage = Stage::Claimed;
  opening->session_generation = granted->generation;
  go_on(connection, *opening);
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
  refuse({.connection = connection,
          .version = failed.version,
          .client_id = client != nullptr ? client->session->client_id() : std::string_view(),
          .packet_size_max = failed.login.packet_size_max},
         full ? ReasonCode::QuotaExceeded : ReasonCode::ServerUnavailable,
         stored ? "The session can't be written to disk." : "Nobody leads the session's slot now.");
  if (client == nullptr) return;
  client->opening = {};
  if (failed.session_present) {
    shard_.expire_later(*client);
  } else {
    shard_.end_session(*client);
  }
}

void Connecting::attach(ConnectionId connection, const mqtt::Connect& connect, Client& client, const Opening& opening) {
  attaching_.attach(connection, connect, client,
                    {.login = opening.login, .session_present = opening.session_present, .will_id = opening.will_id});
}

void Connecting::go_on(ConnectionId connection, Opening& opening) {
  const bool ended = opening.ended;
  const std::string packets = std::move(opening.held);
  shard_.receiving().receive_held(connection, packets);
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

Connecting::Outcome Connecting::refuse(const ConnectRefusals::Applicant& applicant, ReasonCode reason,
                                       std::string_view why, std::string_view properties) {
  refusals_.refuse(applicant, reason, why, properties);
  return Outcome::Refused;
}

Connecting::Outcome Connecting::refuse_quota(const ConnectRefusals::Applicant& applicant, Metric limit) {
  refusals_.refuse_quota(applicant, limit);
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

}  // namespace parley::shard
