#include <array>

#include "mqtt/decoders.hpp"

namespace parley::mqtt {
namespace {

/// Protocol Name and level. MQTT 5 §3.1.2.1, §3.1.2.2; MQTT 3.1 "CONNECT".
struct Protocol {
  std::string_view name;
  std::uint8_t level;
  ProtocolVersion version;
};
constexpr std::array kProtocols{
    Protocol{"MQTT", 5, ProtocolVersion::V5},
    Protocol{"MQTT", 4, ProtocolVersion::V3_1_1},
    Protocol{"MQIsdp", 3, ProtocolVersion::V3_1},
};

Result<void> read_protocol(Reader& reader, Connect& packet) {
  PARLEY_TRY(const auto name, reader.utf8_string());
  PARLEY_TRY(const auto level, reader.integer<std::uint8_t>());
  for (const Protocol& protocol : kProtocols) {
    const bool as_bridge = protocol.version != ProtocolVersion::V5 && level == (protocol.level | kBridgeBit);
    if (protocol.name != name || (protocol.level != level && !as_bridge)) continue;
    packet.version = protocol.version;
    packet.is_bridge = as_bridge;
    return {};
  }
  return ReasonCode::UnsupportedProtocolVersion;
}

/// MQTT 5 §3.1.2.3.
struct ConnectFlags {
  bool clean_start;
  bool has_will;
  Qos will_qos;
  bool will_retain;
  bool has_password;
  bool has_user_name;
};

Result<ConnectFlags> read_flags(Reader& reader, ProtocolVersion version) {
  PARLEY_TRY(const auto byte, reader.integer<std::uint8_t>());
  const auto bit = [byte](unsigned position) { return (byte >> position & 1) != 0; };
  const unsigned will_qos = byte >> 3 & 3;
  const ConnectFlags flags{.clean_start = bit(1),
                           .has_will = bit(2),
                           .will_qos = static_cast<Qos>(will_qos),
                           .will_retain = bit(5),
                           .has_password = bit(6),
                           .has_user_name = bit(7)};
  // The reserved bit isn't looked at in 3.1, where nobody has to leave it 0 (MQTT 3.1 "CONNECT").
  if ((bit(0) && version != ProtocolVersion::V3_1) || will_qos == 3) return ReasonCode::MalformedPacket;
  if (!flags.has_will && (will_qos != 0 || flags.will_retain)) return ReasonCode::MalformedPacket;
  // MQTT 5 lets a password go without a user name (§3.1.2.9), 3.1.1 does not (§3.1.2.9).
  if (version != ProtocolVersion::V5 && flags.has_password && !flags.has_user_name) return ReasonCode::MalformedPacket;
  return flags;
}

Result<Will> read_will(Reader& reader, const ConnectFlags& flags, ProtocolVersion version) {
  Will will{.qos = flags.will_qos, .retain = flags.will_retain};
  PARLEY_TRY(will.properties, read_properties(reader, PropertyPlace::Will, version));
  PARLEY_TRY(will.topic, read_topic(reader));
  if (will.topic.empty()) return ReasonCode::TopicNameInvalid;
  PARLEY_TRY(will.payload, reader.binary());
  return will;
}

/// 3.1 has no identifiers made by the server (MQTT 3.1 "CONNECT"), 3.1.1 only for a clean session (§3.1.3.1).
bool may_lack_client_id(const Connect& packet) {
  return packet.version == ProtocolVersion::V5 || (packet.version == ProtocolVersion::V3_1_1 && packet.clean_start);
}

/// Data without the method it belongs to is a Protocol Error. MQTT 5 §3.1.2.11.10.
bool has_stray_authentication_data(const Properties& properties) {
  return properties.text(PropertyId::AuthenticationData) && !properties.text(PropertyId::AuthenticationMethod);
}

/// Return codes of CONNACK before MQTT 5. 3.1.1 §3.2.2.3, table 3.1.
constexpr std::array kReturnCodes{
    ReasonCode::Success,           ReasonCode::UnsupportedProtocolVersion, ReasonCode::ClientIdentifierNotValid,
    ReasonCode::ServerUnavailable, ReasonCode::BadUserNameOrPassword,      ReasonCode::NotAuthorized,
};

std::optional<ReasonCode> connack_reason(std::uint8_t code, ProtocolVersion version) {
  if (version != ProtocolVersion::V5)
    return code < kReturnCodes.size() ? std::optional(kReturnCodes[code]) : std::nullopt;
  const auto reason = static_cast<ReasonCode>(code);
  return may_carry(PacketType::Connack, reason) ? std::optional(reason) : std::nullopt;
}

}  // namespace

Result<Connect> decode_connect(const Frame& frame) {
  Reader reader(frame.body);
  Connect packet;
  PARLEY_TRY(read_protocol(reader, packet));
  PARLEY_TRY(const auto flags, read_flags(reader, packet.version));
  packet.clean_start = flags.clean_start;
  PARLEY_TRY(packet.keep_alive, reader.integer<std::uint16_t>());
  PARLEY_TRY(packet.properties, read_properties(reader, PropertyPlace::Connect, packet.version));
  if (has_stray_authentication_data(packet.properties)) return ReasonCode::ProtocolError;
  PARLEY_TRY(packet.client_id, reader.utf8_string());
  if (packet.client_id.empty() && !may_lack_client_id(packet)) return ReasonCode::ClientIdentifierNotValid;
  if (flags.has_will) {
    PARLEY_TRY(packet.will, read_will(reader, flags, packet.version));
  }
  // In 3.1 the packet's length has the last word on whether user name and password are there.
  const bool may_lack = packet.version == ProtocolVersion::V3_1;
  if (flags.has_user_name && !(may_lack && reader.empty())) {
    PARLEY_TRY(packet.user_name, reader.utf8_string());
  }
  if (flags.has_password && !(may_lack && reader.empty())) {
    PARLEY_TRY(packet.password, reader.binary());
  }
  if (!reader.empty()) return ReasonCode::MalformedPacket;
  return packet;
}

Result<Connack> decode_connack(const Frame& frame, ProtocolVersion version) {
  Reader reader(frame.body);
  Connack packet;
  PARLEY_TRY(const auto flags, reader.integer<std::uint8_t>());
  PARLEY_TRY(const auto code, reader.integer<std::uint8_t>());
  // 3.1 has no Session Present; the byte is reserved.
  if (version != ProtocolVersion::V3_1) {
    if (flags > 1) return ReasonCode::MalformedPacket;
    packet.session_present = flags == 1;
  }
  const auto reason = connack_reason(code, version);
  if (!reason) return ReasonCode::ProtocolError;
  packet.reason = *reason;
  if (packet.session_present && packet.reason != ReasonCode::Success) return ReasonCode::ProtocolError;  // §3.2.2.1.1
  PARLEY_TRY(packet.properties, read_properties(reader, PropertyPlace::Connack, version));
  if (has_stray_authentication_data(packet.properties)) return ReasonCode::ProtocolError;
  if (!reader.empty()) return ReasonCode::MalformedPacket;
  return packet;
}

}  // namespace parley::mqtt
