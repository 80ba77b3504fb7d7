#include "mqtt/decode.hpp"

#include <array>

#include "mqtt/decoders.hpp"

namespace parley::mqtt {
namespace {

constexpr unsigned kDup = 8;

/// By the first byte of a packet: whether type and flags are allowed together in some version. MQTT 5 §2.1.2, §2.1.3,
/// §3.3.1.
constexpr auto kFirstByteAllowed = [] {
  std::array<bool, 256> allowed{};
  for (unsigned byte = 0x10; byte < 256; ++byte) {
    const auto type = static_cast<PacketType>(byte >> 4);
    const unsigned flags = byte & 0x0F;
    switch (type) {
      case PacketType::Publish: {
        const unsigned qos = (flags >> 1) & 3;
        const bool dup = (flags & kDup) != 0;
        allowed[byte] = qos != 3 && !(qos == 0 && dup);
        break;
      }
      case PacketType::Pubrel:
      case PacketType::Subscribe:
      case PacketType::Unsubscribe: allowed[byte] = (flags & ~kDup) == 2; break;
      default: allowed[byte] = flags == 0;
    }
  }
  return allowed;
}();

/// Only 3.1 knows DUP on PUBREL, SUBSCRIBE and UNSUBSCRIBE. MQTT 3.1 "Fixed header"; reserved later, MQTT 5 §2.1.3.
bool has_reserved_dup(const Frame& frame, ProtocolVersion version) {
  return (frame.flags & kDup) != 0 && frame.type != PacketType::Publish && version != ProtocolVersion::V3_1;
}

/// DISCONNECT and AUTH: a reason and properties, both of which may be left out.
struct ReasonAndProperties {
  ReasonCode reason = ReasonCode::Success;
  Properties properties;
};

Result<ReasonAndProperties> decode_reason(const Frame& frame) {
  ReasonAndProperties packet;
  Reader reader(frame.body);
  if (reader.empty()) return packet;
  PARLEY_TRY(const auto reason, reader.integer<std::uint8_t>());
  packet.reason = static_cast<ReasonCode>(reason);
  if (!may_carry(frame.type, packet.reason)) return ReasonCode::ProtocolError;
  // Only DISCONNECT may end after its reason. §3.14.2.2.1, §3.15.2.1.
  if (reader.empty() && frame.type == PacketType::Disconnect) return packet;
  PARLEY_TRY(packet.properties, read_properties(reader, place_of(frame.type), ProtocolVersion::V5));
  if (!reader.empty()) return ReasonCode::MalformedPacket;
  return packet;
}

Result<Disconnect> decode_disconnect(const Frame& frame, ProtocolVersion version) {
  if (version != ProtocolVersion::V5) {
    if (!frame.body.empty()) return ReasonCode::MalformedPacket;
    return Disconnect{};
  }
  PARLEY_TRY(const auto packet, decode_reason(frame));
  return Disconnect{packet.reason, packet.properties};
}

Result<Auth> decode_auth(const Frame& frame, ProtocolVersion version) {
  if (version != ProtocolVersion::V5) return ReasonCode::MalformedPacket;  // A reserved type. 3.1.1 §2.2.1.
  PARLEY_TRY(const auto packet, decode_reason(frame));
  // A packet of no bytes means reason 0 and no properties; else the method must be there. §3.15.2.2.2.
  if (!frame.body.empty() && !packet.properties.text(PropertyId::AuthenticationMethod)) {
    return ReasonCode::ProtocolError;
  }
  return Auth{packet.reason, packet.properties};
}

template <class Ping>
Result<Ping> decode_ping(const Frame& frame) {
  if (!frame.body.empty()) return ReasonCode::MalformedPacket;
  return Ping{};
}

template <class T>
Result<Packet> as_packet(Result<T> decoded) {
  if (!decoded) return decoded.error();
  return Packet(*std::move(decoded));
}

}  // namespace

Result<std::optional<Frame>> next_frame(std::string_view bytes, const DecodeLimits& limits, std::size_t* needed) {
  if (needed != nullptr) *needed = 0;
  if (bytes.empty()) return std::optional<Frame>();
  const auto first = static_cast<std::uint8_t>(bytes[0]);
  if (!kFirstByteAllowed[first]) return ReasonCode::MalformedPacket;
  std::size_t body_size = 0;
  std::size_t header_size = 1;
  while (true) {
    if (header_size == bytes.size()) return std::optional<Frame>();
    const auto byte = static_cast<std::uint8_t>(bytes[header_size]);
    body_size |= static_cast<std::size_t>(byte & 0x7F) << (7 * (header_size - 1));
    ++header_size;
    if ((byte & 0x80) == 0) {
      if (byte == 0 && header_size > 2) return ReasonCode::MalformedPacket;  // Longer than needed. §1.5.5.
      break;
    }
    if (header_size > 4) return ReasonCode::MalformedPacket;
  }
  const std::size_t size = header_size + body_size;
  if (size > limits.packet_size_max) return ReasonCode::PacketTooLarge;
  if (needed != nullptr) *needed = size;
  if (bytes.size() < size) return std::optional<Frame>();
  return std::optional(Frame{.type = static_cast<PacketType>(first >> 4),
                             .flags = static_cast<std::uint8_t>(first & 0x0F),
                             .body = bytes.substr(header_size, body_size),
                             .size = size});
}

Result<Publish> decode_publish(const Frame& frame, ProtocolVersion version) {
  Reader reader(frame.body);
  Publish packet{.dup = (frame.flags & kDup) != 0,
                 .qos = static_cast<Qos>((frame.flags >> 1) & 3),
                 .retain = (frame.flags & 1) != 0};
  PARLEY_TRY(packet.topic, read_topic(reader));
  if (packet.qos != Qos::AtMostOnce) {
    PARLEY_TRY(packet.packet_id, read_packet_id(reader));
  }
  PARLEY_TRY(packet.properties, read_properties(reader, PropertyPlace::Publish, version));
  if (packet.topic.empty()) {
    if (version != ProtocolVersion::V5) return ReasonCode::TopicNameInvalid;                   // 3.1.1 §4.7.3.
    if (!packet.properties.integer(PropertyId::TopicAlias)) return ReasonCode::ProtocolError;  // §3.3.2.1
  }
  packet.payload = reader.rest();
  return packet;
}

Result<Ack> decode_ack(const Frame& frame, ProtocolVersion version) {
  if (has_reserved_dup(frame, version)) return ReasonCode::MalformedPacket;
  Reader reader(frame.body);
  Ack packet{.type = frame.type};
  PARLEY_TRY(packet.packet_id, read_packet_id(reader));
  if (reader.empty()) return packet;
  if (version != ProtocolVersion::V5) return ReasonCode::MalformedPacket;
  PARLEY_TRY(const auto reason, reader.integer<std::uint8_t>());
  packet.reason = static_cast<ReasonCode>(reason);
  if (!may_carry(frame.type, packet.reason)) return ReasonCode::ProtocolError;
  if (reader.empty()) return packet;  // §3.4.2.2.1
  PARLEY_TRY(packet.properties, read_properties(reader, place_of(frame.type), version));
  if (!reader.empty()) return ReasonCode::MalformedPacket;
  return packet;
}

Result<Packet> decode(const Frame& frame, ProtocolVersion version, const DecodeLimits& limits) {
  if (has_reserved_dup(frame, version)) return ReasonCode::MalformedPacket;
  switch (frame.type) {
    case PacketType::Connect: return as_packet(decode_connect(frame));
    case PacketType::Connack: return as_packet(decode_connack(frame, version));
    case PacketType::Publish: return as_packet(decode_publish(frame, version));
    case PacketType::Puback:
    case PacketType::Pubrec:
    case PacketType::Pubrel:
    case PacketType::Pubcomp: return as_packet(decode_ack(frame, version));
    case PacketType::Subscribe: return as_packet(decode_subscribe(frame, version, limits));
    case PacketType::Suback: return as_packet(decode_suback(frame, version, limits));
    case PacketType::Unsubscribe: return as_packet(decode_unsubscribe(frame, version, limits));
    case PacketType::Unsuback: return as_packet(decode_unsuback(frame, version, limits));
    case PacketType::Pingreq: return as_packet(decode_ping<Pingreq>(frame));
    case PacketType::Pingresp: return as_packet(decode_ping<Pingresp>(frame));
    case PacketType::Disconnect: return as_packet(decode_disconnect(frame, version));
    case PacketType::Auth: return as_packet(decode_auth(frame, version));
  }
  return ReasonCode::MalformedPacket;
}

}  // namespace parley::mqtt
