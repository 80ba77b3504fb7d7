#pragma once

#include <string_view>

#include "broker/shard/ports.hpp"
#include "mqtt/decode.hpp"

namespace parley::shard {

class Shard;
struct Client;

/// From the first packet to CONNACK: who is it, which session, take-over. Belongs to its shard's thread.
class Connecting {
 public:
  explicit Connecting(Shard& shard) : shard_(shard) {}

  enum class Outcome : std::uint8_t { Connected, Refused, HandedOver };
  /// `frame` is the connection's first packet, `unread` everything received from its first byte on.
  Outcome first_packet(ConnectionId connection, const mqtt::Frame& frame, std::string_view unread);

  /// Follows the conversations of a session that has just been attached.
  void follow_cursors(Client& client);

 private:
  Outcome refuse(ConnectionId connection, mqtt::ProtocolVersion version, mqtt::ReasonCode reason, std::string_view why,
                 std::string_view client_id);
  void take_over(Client& client, bool session_ends);

  Shard& shard_;
};

}  // namespace parley::shard
