#include "broker/shard/receiving.hpp"

#include <utility>

#include "base/log.hpp"
#include "broker/shard/shard.hpp"

namespace parley::shard {
namespace {

/// What a packet counts for in its connection's part of a turn: a filter costs as much as a small packet.
std::size_t share_of(const mqtt::Frame& frame) {
  const bool has_filters = frame.type == mqtt::PacketType::Subscribe || frame.type == mqtt::PacketType::Unsubscribe;
  return 1 + frame.size / (has_filters ? 32 : 4096);
}

}  // namespace

void Receiving::begin_turn(std::size_t packets_max) {
  packets_max_ = packets_max;
  takes_large_ = true;
}

std::size_t Receiving::received(ConnectionId connection, std::string_view bytes) {
  if (shard_.connecting().is_waiting(connection)) return shard_.connecting().hold(connection, bytes);
  std::size_t consumed = 0;
  std::size_t packets = 0;
  Client* client = shard_.client_of(connection);
  mqtt::DecodeLimits limits{.packet_size_max = client != nullptr ? shard_.options().limits.packet_size_max
                                                                 : shard_.options().packet_size_before_connect_max,
                            .items_max = shard_.options().limits.filters_max};
  while (consumed < bytes.size()) {
    const auto rest = bytes.substr(consumed);
    const auto frame = mqtt::next_frame(rest, limits);
    if (!frame) {
      malformed(connection, client, mqtt::reason_of(frame.error()));
      return bytes.size();
    }
    if (!*frame && client == nullptr) {
      const auto type = static_cast<mqtt::PacketType>(static_cast<std::uint8_t>(rest.front()) >> 4);
      if (type == mqtt::PacketType::Connect) break;
      // It needn't be whole to be refused. [MQTT-3.1.0-1]
      shard_.connecting().first_packet(connection, {.type = type, .flags = 0, .body = {}, .size = 0}, rest);
      return bytes.size();
    }
    if (!*frame) break;
    const mqtt::Frame& packet = **frame;
    if (client != nullptr && !receives_held_) {
      const std::size_t share = share_of(packet);
      const bool first = packets == 0;
      if (packets >= packets_max_ || (first && !takes_large_ && share > packets_max_)) {
        shard_.links().resume(connection);
        break;
      }
      packets += share;
      if (!has_room(*client)) break;
      const auto verdict = shard_.throttling().admit(*client, packet);
      if (verdict == Throttling::Verdict::Cut) return bytes.size();
      if (verdict == Throttling::Verdict::Wait) break;
    }
    consumed += packet.size;
    shard_.counters().add(Metric::PacketsReceived);
    if (client != nullptr) {
      if (!handle(*client, connection, packet)) return bytes.size();
      continue;
    }
    const auto outcome = shard_.connecting().first_packet(connection, packet, rest);
    if (outcome == Connecting::Outcome::Held) {
      return consumed + shard_.connecting().hold(connection, bytes.substr(consumed));
    }
    client = shard_.client_of(connection);
    if (client == nullptr) return bytes.size();
    limits.packet_size_max = shard_.options().limits.packet_size_max;
  }
  if (client != nullptr) shard_.wrote(*client);
  return consumed;
}

void Receiving::receive_held(ConnectionId connection, std::string_view bytes) {
  const bool before = std::exchange(receives_held_, true);
  received(connection, bytes);
  receives_held_ = before;
}

/// Deliveries stop at half of that; what grows beyond it are answers to a client that doesn't read them.
bool Receiving::has_room(Client& client) {
  const std::size_t most = 2 * shard_.options().limits.output_max;
  if (client.output->size() < most) return true;
  shard_.links().flush(client.connection);
  if (client.output->size() < most) return true;
  client.awaits_drain = true;
  shard_.limit_reached(Metric::LimitOutput, client);
  shard_.links().pause(client.connection);
  return false;
}

bool Receiving::handle(Client& client, ConnectionId connection, const mqtt::Frame& frame) {
  // What comes of it may be that something held is received: that has a list of its own.
  session::Actions actions = std::exchange(actions_, {});
  actions.clear();
  client.session->receive(frame, shard_.now(), actions);
  if (!actions.empty()) act(client, actions, connection);
  actions_ = std::move(actions);
  return shard_.client_of(connection) == &client;
}

void Receiving::malformed(ConnectionId connection, Client* client, mqtt::ReasonCode reason) {
  if (client != nullptr) {
    violation(*client, reason);
    shard_.close_client(*client, reason);
    return;
  }
  shard_.counters().add(reason == mqtt::ReasonCode::PacketTooLarge ? Metric::LimitConnectPacketSize
                                                                   : Metric::FirstPacketsRefused);
  log::info("first packet is malformed, closing the connection",
            {{"address", shard_.links().address(connection)}, {"reason", mqtt::name_of(reason)}});
  shard_.links().close(connection);
}

void Receiving::violation(const Client& client, mqtt::ReasonCode reason) {
  if (reason == mqtt::ReasonCode::PacketTooLarge) shard_.counters().add(Metric::LimitPacketSize);
  if (reason == mqtt::ReasonCode::ReceiveMaximumExceeded) shard_.counters().add(Metric::LimitReceiveMaximum);
  if (reason == mqtt::ReasonCode::TopicAliasInvalid) shard_.counters().add(Metric::LimitTopicAlias);
  log::info("client breaks the protocol, closing its connection",
            {{"client_id", client.session->client_id()},
             {"address", shard_.links().address(client.connection)},
             {"reason", mqtt::name_of(reason)}});
}

void Receiving::act(Client& client, session::Actions& actions, ConnectionId connection) {
  bool pump = false;
  bool acknowledged = false;
  for (session::Action& action : actions) {
    if (auto* publish = std::get_if<session::PublishAction>(&action)) {
      shard_.counters().add(Metric::PublishesReceived);
      shard_.counters().add(Metric::PublishBytesReceived, publish->publish.payload.size());
      shard_.publishing().publish(client, *publish);
    } else if (std::holds_alternative<session::WindowAction>(action)) {
      pump = true;
      if (client.persisted) shard_.session_records().cursors_moved(client);
      acknowledged = client.inbox != nullptr;
      if (!client.following.empty()) shard_.marks().acknowledged(client);
      if (client.seats != 0) shard_.share_members().acknowledged(client);
    } else if (auto* subscribe = std::get_if<session::SubscribeAction>(&action)) {
      subscribing_.subscribe(client, *subscribe);
    } else if (auto* unsubscribe = std::get_if<session::UnsubscribeAction>(&action)) {
      unsubscribing_.unsubscribe(client, *unsubscribe);
    } else if (auto* step = std::get_if<session::AuthAction>(&action)) {
      shard_.reauthentication().step(client, *step);
    } else if (auto* close = std::get_if<session::CloseAction>(&action)) {
      if (mqtt::is_failure(close->reason)) {
        violation(client, close->reason);
        shard_.counters().disconnected(static_cast<std::uint8_t>(close->reason));
      }
      const ConnectionId closing = client.connection;
      shard_.detach(client);
      shard_.links().close(closing);
      return;
    }
    // A refusal of a publish may have closed the connection.
    if (shard_.client_of(connection) != &client) return;
  }
  if (pump) {
    const bool page_first = shard_.history_requests().take_turn(client);
    if (page_first) shard_.history_requests().go_on(client);
    if (shard_.client_of(connection) != &client) return;
    if (!client.behind.empty() || client.session->resend_wanted()) shard_.feeds().pump(client);
    if (!page_first) shard_.history_requests().go_on(client);
    if (shard_.client_of(connection) != &client) return;
    if (client.retained) shard_.retained_shows().go_on(client);
  }
  if (acknowledged && shard_.client_of(connection) == &client) shard_.inboxes().moved(client);
}

void Receiving::drained(Client& client) {
  const ConnectionId connection = client.connection;
  client.session->drained(shard_.now());
  shard_.feeds().pump(client);
  shard_.history_requests().go_on(client);
  if (shard_.client_of(connection) != &client) return;
  if (client.retained) shard_.retained_shows().go_on(client);
  if (std::exchange(client.awaits_drain, false)) {
    client.session->heard(shard_.now());
    shard_.links().resume(connection);
    shard_.schedule(client);
  }
  shard_.wrote(client);
}

}  // namespace parley::shard
