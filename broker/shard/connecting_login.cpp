#include <utility>

#include "broker/shard/connecting.hpp"
#include "broker/shard/shard.hpp"
#include "mqtt/encode.hpp"

/// Who a CONNECT is from: what the Authenticator is asked, and the AUTH packets between. MQTT 5 §4.12.
namespace parley::shard {

using mqtt::PropertyId;
using mqtt::ReasonCode;

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
    return refuse(applicant_of(connection, connect.version, login), answer->reason, answer->why);
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

}  // namespace parley::shard
