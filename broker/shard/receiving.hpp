#pragma once

#include <cstddef>
#include <string_view>

#include "broker/session/actions.hpp"
#include "broker/shard/ports.hpp"
#include "broker/shard/subscribing.hpp"
#include "broker/shard/unsubscribing.hpp"
#include "mqtt/decode.hpp"

namespace parley::shard {

class Shard;
struct Client;

/// From a connection's bytes to what becomes of them: packets are cut, the session says what each one means, and it
/// goes to whom that concerns. Belongs to its shard's thread.
///
/// Each connection has its part of a turn: who sends more waits for the next one, and so does who doesn't read what it
/// is answered, or sends more than it may (see Throttling).
class Receiving {
 public:
  explicit Receiving(Shard& shard) : shard_(shard), subscribing_(shard), unsubscribing_(shard) {}

  /// See Shard::begin_turn and Shard::take_large_packets.
  void begin_turn(std::size_t packets_max);
  void take_large_packets(bool take) { takes_large_ = take; }

  /// See Shard::received.
  std::size_t received(ConnectionId connection, std::string_view bytes);
  /// What was kept of a connection while it waited for its session; all of it is consumed.
  void receive_held(ConnectionId connection, std::string_view bytes);
  /// The client's output is empty again after it could not be written at once.
  void drained(Client& client);

 private:
  /// False when the connection is no longer the client's.
  bool handle(Client& client, ConnectionId connection, const mqtt::Frame& frame);
  void act(Client& client, session::Actions& actions, ConnectionId connection);
  bool has_room(Client& client);
  void malformed(ConnectionId connection, Client* client, mqtt::ReasonCode reason);
  void violation(const Client& client, mqtt::ReasonCode reason);

  Shard& shard_;
  Subscribing subscribing_;
  Unsubscribing unsubscribing_;
  std::size_t packets_max_ = 0;
  bool takes_large_ = true;
  bool receives_held_ = false;
  session::Actions actions_;
};

}  // namespace parley::shard
