#pragma once

#include "mqtt/decode.hpp"
#include "mqtt/reader.hpp"

/// The pieces of `decode`, one a packet; for this room only.
namespace parley::mqtt {

Result<Connect> decode_connect(const Frame& frame);
Result<Connack> decode_connack(const Frame& frame, ProtocolVersion version);
Result<Subscribe> decode_subscribe(const Frame& frame, ProtocolVersion version, const DecodeLimits& limits);
Result<Suback> decode_suback(const Frame& frame, ProtocolVersion version, const DecodeLimits& limits);
Result<Unsubscribe> decode_unsubscribe(const Frame& frame, ProtocolVersion version, const DecodeLimits& limits);
Result<Unsuback> decode_unsuback(const Frame& frame, ProtocolVersion version, const DecodeLimits& limits);

/// A Packet Identifier that must not be zero. MQTT 5 §2.2.1.
inline Result<PacketId> read_packet_id(Reader& reader) {
  PARLEY_TRY(const auto id, reader.integer<std::uint16_t>());
  if (id == 0) return ReasonCode::MalformedPacket;
  return id;
}

/// Property Length and properties in MQTT 5, nothing in 3.x. MQTT 5 §2.2.2.
inline Result<Properties> read_properties(Reader& reader, PropertyPlace place, ProtocolVersion version) {
  if (version != ProtocolVersion::V5) return Properties();
  PARLEY_TRY(const auto size, reader.variable_byte_integer());
  if (size == 0) return Properties();
  PARLEY_TRY(const auto bytes, reader.bytes(size));
  return Properties::validate(bytes, place);
}

/// A UTF-8 string that is a topic name, or an empty one, which only a Topic Alias makes sense of.
inline Result<std::string_view> read_topic(Reader& reader) {
  PARLEY_TRY(const auto topic, reader.binary());
  if (topic.empty() || is_mqtt_utf8_without_wildcards(topic)) return topic;
  return is_mqtt_utf8(topic) ? ReasonCode::TopicNameInvalid : ReasonCode::MalformedPacket;
}

/// The place of a packet's own property list.
constexpr PropertyPlace place_of(PacketType type) {
  return static_cast<PropertyPlace>(1U << static_cast<std::uint8_t>(type));
}

}  // namespace parley::mqtt
