#pragma once

#include <cstddef>
#include <cstdint>

#include "mqtt/types.hpp"

namespace parley::session {

/// What the broker grants every client; from [mqtt] settings. One instance outlives all sessions.
struct Limits {
  std::uint32_t packet_size_max = 2 * 1024 * 1024;  ///< Inbound, announced as Maximum Packet Size.
  std::uint16_t receive_max = 256;         ///< Inbound QoS 1/2 publishes under way, announced as Receive Maximum.
  std::uint16_t inflight_max = 256;        ///< Outbound ones; the client's Receive Maximum may lower it.
  std::uint16_t topic_alias_max = 32;      ///< Inbound aliases, announced.
  std::uint16_t topic_alias_out_max = 16;  ///< Outbound aliases used, at most the client's Topic Alias Maximum.
  std::uint16_t keep_alive_max = 0;        ///< Seconds; 0: none. A larger one is lowered by Server Keep Alive.
  std::uint32_t session_expiry_max = 0xFFFF'FFFF;  ///< Seconds.
  mqtt::Qos qos_max = mqtt::Qos::ExactlyOnce;
  bool retain_available = true;
  bool wildcard_subscriptions = true;
  bool shared_subscriptions = true;
  bool subscription_identifiers = true;
  bool check_payload_format = false;  ///< What says that it is UTF-8 must be. MQTT 5 §3.3.2.3.2.
  std::size_t queued_messages_max = 1'000;
  std::size_t queued_bytes_max = 8 * 1024 * 1024;
  std::size_t output_max = 256 * 1024;  ///< Bytes waiting in one connection's Output before it counts as full.
  std::size_t filters_max = 10'000;     ///< Filters in one SUBSCRIBE or UNSUBSCRIBE; more end the connection.
};

}  // namespace parley::session
