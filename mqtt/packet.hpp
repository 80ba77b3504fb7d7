#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <variant>
#include <vector>

#include "mqtt/properties.hpp"
#include "mqtt/types.hpp"

/// The 15 control packets as values. Decoded ones hold views into the receive buffer and live as long as those bytes;
/// packets to be encoded hold views into whatever the caller owns. One struct serves all protocol versions: fields that
/// a version doesn't have are empty. MQTT 5 §3.
namespace parley::mqtt {

using PacketId = std::uint16_t;

/// MQTT 5 §3.1.2.5, §3.1.3.2.
struct Will {
  Qos qos = Qos::AtMostOnce;
  bool retain = false;
  std::string_view topic;
  std::string_view payload;
  Properties properties;
};

/// Set in CONNECT's protocol level by a bridge of 3.1 or 3.1.1 that asks to be treated as one. No specification has it;
/// brokers have.
inline constexpr std::uint8_t kBridgeBit = 0x80;

struct Connect {
  ProtocolVersion version = ProtocolVersion::V5;
  bool is_bridge = false;   ///< What it subscribes to, it wants without its own messages, and retained as published.
  bool clean_start = true;  ///< Clean Session in 3.1.1.
  std::uint16_t keep_alive = 0;
  std::string_view client_id;
  std::optional<Will> will;
  std::optional<std::string_view> user_name;
  std::optional<std::string_view> password;
  Properties properties;
};

struct Connack {
  bool session_present = false;
  ReasonCode reason = ReasonCode::Success;  ///< Mapped to a 3.1.1 return code when encoded for 3.x; see encode.hpp.
  Properties properties;
};

struct Publish {
  bool dup = false;
  Qos qos = Qos::AtMostOnce;
  bool retain = false;
  std::string_view topic;  ///< Empty with a Topic Alias.
  PacketId packet_id = 0;  ///< 0 at QoS 0.
  Properties properties;
  std::string_view payload;
};

/// PUBACK, PUBREC, PUBREL, PUBCOMP.
struct Ack {
  PacketType type = PacketType::Puback;
  PacketId packet_id = 0;
  ReasonCode reason = ReasonCode::Success;
  Properties properties;
};

/// MQTT 5 §3.8.3.1. In 3.x only `qos`.
struct SubscriptionOptions {
  Qos qos = Qos::AtMostOnce;
  bool no_local = false;
  bool retain_as_published = false;
  std::uint8_t retain_handling = 0;  ///< 0, 1 or 2.
  friend bool operator==(const SubscriptionOptions&, const SubscriptionOptions&) = default;
};

struct Subscribe {
  struct Item {
    std::string_view filter;
    SubscriptionOptions options;
  };
  PacketId packet_id = 0;
  Properties properties;
  std::vector<Item> items;
};

struct Suback {
  PacketId packet_id = 0;
  Properties properties;
  std::vector<ReasonCode> reasons;
};

struct Unsubscribe {
  PacketId packet_id = 0;
  Properties properties;
  std::vector<std::string_view> filters;
};

struct Unsuback {
  PacketId packet_id = 0;
  Properties properties;
  std::vector<ReasonCode> reasons;
};

struct Pingreq {};
struct Pingresp {};

struct Disconnect {
  ReasonCode reason = ReasonCode::Success;
  Properties properties;
};

struct Auth {
  ReasonCode reason = ReasonCode::Success;
  Properties properties;
};

using Packet = std::variant<Connect, Connack, Publish, Ack, Subscribe, Suback, Unsubscribe, Unsuback, Pingreq, Pingresp,
                            Disconnect, Auth>;

}  // namespace parley::mqtt
