#include "mqtt/decode.hpp"

#include <array>

#include "mqtt/reader.hpp"
#include "mqtt/reasons.hpp"
#include "mqtt/topic.hpp"

namespace parley::mqtt {
namespace {

/// Reserved flag bits of the fixed header, by packet type; PUBLISH has none. MQTT 5 §2.1.3, table 2-2.
constexpr std::array<std::uint8_t, 16> kFlags{0, 0, 0, 0, 0, 0, 2, 0, 2, 0, 2, 0, 0, 0, 0, 0};

constexpr PropertyPlace place_of(PacketType type) {
  return static_cast<PropertyPlace>(1 << static_cast<int>(type));
}

/// Property length and properties; nothing at all in 3.x.
Result<Properties> read_properties(Reader& reader, ProtocolVersion version, PropertyPlace place) {
  if (version != ProtocolVersion::V5) return Properties();
  PARLEY_TRY(const auto size, reader.variable_byte_integer());
  if (size == 0) return Properties();
  PARLEY_TRY(const auto bytes, reader.bytes(size));
  return Properties::validate(bytes, place);
}

/// §2.2.1: never zero.
Result<PacketId> read_packet_id(Reader& reader) {
  PARLEY_TRY(const auto id, reader.integer<std::uint16_t>());
  if (id == 0) return ReasonCode::ProtocolError;
  return id;
}

Result<void> expect_end(const Reader& reader) {
  if (!reader.empty()) return ReasonCode::MalformedPacket;
  return {};
}

/// The bits of CONNECT's flag byte. MQTT 5 §3.1.2.3.
struct ConnectFlags {
  std::uint8_t bits = 0;
  [[nodiscard]] bool reserved() const { return (bits & 0x01) != 0; }
  [[nodiscard]] bool clean_start() const { return (bits & 0x02) != 0; }
  [[nodiscard]] bool will() const { return (bits & 0x04) != 0; }
  [[nodiscard]] std::uint8_t will_qos() const { return (bits >> 3) & 0x03; }
  [[nodiscard]] bool will_retain() const { return (bits & 0x20) != 0; }
  [[nodiscard]] bool password() const { return (bits & 0x40) != 0; }
  [[nodiscard]] bool user_name() const { return (bits & 0x80) != 0; }
};

Result<ProtocolVersion> read_version(Reader& reader) {
  PARLEY_TRY(const auto name, reader.binary());
  PARLEY_TRY(const auto level, reader.integer<std::uint8_t>());
  if (name == "MQTT" && level == 4) return ProtocolVersion::V3_1_1;
  if (name == "MQTT" && level == 5) return ProtocolVersion::V5;
  if (name == "MQIsdp" && level == 3) return ProtocolVersion::V3_1;
  return ReasonCode::UnsupportedProtocolVersion;  // §3.1.2.1, §3.1.2.2.
}

Result<Will> read_will(Reader& reader, ProtocolVersion version, ConnectFlags flags) {
  Will will{.qos = static_cast<Qos>(flags.will_qos()), .retain = flags.will_retain()};
  PARLEY_TRY(will.properties, read_properties(reader, version, PropertyPlace::Will));
  PARLEY_TRY(will.topic, reader.utf8_string());
  PARLEY_TRY(will.payload, reader.binary());
  if (!is_topic_name(will.topic)) return ReasonCode::TopicNameInvalid;
  return will;
}

Result<Packet> decode_connect(Reader reader) {
  Connect packet;
  PARLEY_TRY(packet.version, read_version(reader));
  PARLEY_TRY(const auto bits, reader.integer<std::uint8_t>());
  const ConnectFlags flags{bits};
  if (flags.reserved()) return ReasonCode::MalformedPacket;  // §3.1.2.3
  if (flags.will_qos() == 3) return ReasonCode::MalformedPacket;
  if (!flags.will() && (flags.will_qos() != 0 || flags.will_retain())) return ReasonCode::MalformedPacket;
  // 3.1.1 §3.1.2.9: no password without a user name. MQTT 5 allows it.
  if (packet.version != ProtocolVersion::V5 && flags.password() && !flags.user_name()) return ReasonCode::MalformedPacket;
  packet.clean_start = flags.clean_start();
  PARLEY_TRY(packet.keep_alive, reader.integer<std::uint16_t>());
  PARLEY_TRY(packet.properties, read_properties(reader, packet.version, PropertyPlace::Connect));
  if (packet.properties.text(PropertyId::AuthenticationData) && !packet.properties.text(PropertyId::AuthenticationMethod)) {
    return ReasonCode::ProtocolError;  // §3.1.2.11.10
  }
  PARLEY_TRY(packet.client_id, reader.utf8_string());
  if (flags.will()) {
    PARLEY_TRY(packet.will, read_will(reader, packet.version, flags));
  }
  if (flags.user_name()) {
    PARLEY_TRY(packet.user_name, reader.utf8_string());
  }
  if (flags.password()) {
    PARLEY_TRY(packet.password, reader.binary());
  }
  PARLEY_TRY(expect_end(reader));
  return Packet(packet);
}

Result<Packet> decode_connack(Reader reader, ProtocolVersion version) {
  PARLEY_TRY(const auto flags, reader.integer<std::uint8_t>());
  if ((flags & 0xFE) != 0) return ReasonCode::MalformedPacket;  // §3.2.2.1
  Connack packet{.session_present = flags == 1};
  PARLEY_TRY(const auto code, reader.integer<std::uint8_t>());
  if (version == ProtocolVersion::V5) {
    packet.reason = static_cast<ReasonCode>(code);
    if (!reason_allowed(PacketType::Connack, packet.reason)) return ReasonCode::MalformedPacket;
  } else {
    // 3.1.1 §3.2.2.3.
    constexpr std::array kReturnCodes{ReasonCode::Success,           ReasonCode::UnsupportedProtocolVersion,
                                      ReasonCode::ClientIdentifierNotValid, ReasonCode::ServerUnavailable,
                                      ReasonCode::BadUserNameOrPassword, ReasonCode::NotAuthorized};
    if (code >= kReturnCodes.size()) return ReasonCode::MalformedPacket;
    packet.reason = kReturnCodes[code];
  }
  PARLEY_TRY(packet.properties, read_properties(reader, version, PropertyPlace::Connack));
  PARLEY_TRY(expect_end(reader));
  return Packet(packet);
}

Result<Packet> decode_subscribe(Reader reader, ProtocolVersion version, const DecodeLimits& limits) {
  Subscribe packet;
  PARLEY_TRY(packet.packet_id, read_packet_id(reader));
  PARLEY_TRY(packet.properties, read_properties(reader, version, PropertyPlace::Subscribe));
  if (reader.empty()) return ReasonCode::ProtocolError;  // §3.8.3: at least one filter.
  while (!reader.empty()) {
    if (packet.items.size() == limits.items_max) return ReasonCode::QuotaExceeded;
    Subscribe::Item item;
    PARLEY_TRY(item.filter, reader.utf8_string());
    PARLEY_TRY(const auto bits, reader.integer<std::uint8_t>());
    if ((bits & 0x03) == 3) return version == ProtocolVersion::V5 ? ReasonCode::ProtocolError : ReasonCode::MalformedPacket;
    item.options.qos = static_cast<Qos>(bits & 0x03);
    if (version == ProtocolVersion::V5) {
      if ((bits & 0xC0) != 0) return ReasonCode::MalformedPacket;   // §3.8.3.1
      if ((bits & 0x30) == 0x30) return ReasonCode::ProtocolError;  // Retain Handling 3.
      item.options.no_local = (bits & 0x04) != 0;
      item.options.retain_as_published = (bits & 0x08) != 0;
      item.options.retain_handling = static_cast<std::uint8_t>((bits >> 4) & 0x03);
    } else if ((bits & 0xFC) != 0) {
      return ReasonCode::MalformedPacket;  // 3.1.1 §3.8.3
    }
    if (!is_topic_filter(item.filter)) return ReasonCode::TopicFilterInvalid;
    // §3.8.3.1: No Local on a shared subscription.
    if (item.options.no_local && shared_filter(item.filter)) return ReasonCode::ProtocolError;
    packet.items.push_back(item);
  }
  return Packet(std::move(packet));
}

Result<Packet> decode_unsubscribe(Reader reader, ProtocolVersion version, const DecodeLimits& limits) {
  Unsubscribe packet;
  PARLEY_TRY(packet.packet_id, read_packet_id(reader));
  PARLEY_TRY(packet.properties, read_properties(reader, version, PropertyPlace::Unsubscribe));
  if (reader.empty()) return ReasonCode::ProtocolError;  // §3.10.3
  while (!reader.empty()) {
    if (packet.filters.size() == limits.items_max) return ReasonCode::QuotaExceeded;
    PARLEY_TRY(const auto filter, reader.utf8_string());
    if (!is_topic_filter(filter)) return ReasonCode::TopicFilterInvalid;
    packet.filters.push_back(filter);
  }
  return Packet(std::move(packet));
}

Result<std::vector<ReasonCode>> read_reasons(Reader& reader, PacketType type, ProtocolVersion version,
                                             const DecodeLimits& limits) {
  std::vector<ReasonCode> reasons;
  while (!reader.empty()) {
    if (reasons.size() == limits.items_max) return ReasonCode::QuotaExceeded;
    PARLEY_TRY(const auto code, reader.integer<std::uint8_t>());
    const auto reason = static_cast<ReasonCode>(code);
    const bool known = version == ProtocolVersion::V5 ? reason_allowed(type, reason) : (code <= 2 || code == 0x80);
    if (!known) return ReasonCode::MalformedPacket;
    reasons.push_back(reason);
  }
  return reasons;
}

Result<Packet> decode_suback(Reader reader, ProtocolVersion version, const DecodeLimits& limits) {
  Suback packet;
  PARLEY_TRY(packet.packet_id, read_packet_id(reader));
  PARLEY_TRY(packet.properties, read_properties(reader, version, PropertyPlace::Suback));
  PARLEY_TRY(packet.reasons, read_reasons(reader, PacketType::Suback, version, limits));
  if (packet.reasons.empty()) return ReasonCode::ProtocolError;
  return Packet(std::move(packet));
}

Result<Packet> decode_unsuback(Reader reader, ProtocolVersion version, const DecodeLimits& limits) {
  Unsuback packet;
  PARLEY_TRY(packet.packet_id, read_packet_id(reader));
  PARLEY_TRY(packet.properties, read_properties(reader, version, PropertyPlace::Unsuback));
  if (version != ProtocolVersion::V5) {
    PARLEY_TRY(expect_end(reader));
    return Packet(std::move(packet));
  }
  PARLEY_TRY(packet.reasons, read_reasons(reader, PacketType::Unsuback, version, limits));
  if (packet.reasons.empty()) return ReasonCode::ProtocolError;
  return Packet(std::move(packet));
}

/// DISCONNECT and AUTH: reason and properties may be left out. §3.14.2.1, §3.15.2.1.
template <class Kind>
Result<Packet> decode_reason_packet(Reader reader, PacketType type, ProtocolVersion version) {
  Kind packet;
  if (reader.empty()) return Packet(packet);
  if (version != ProtocolVersion::V5) return ReasonCode::MalformedPacket;
  PARLEY_TRY(const auto code, reader.integer<std::uint8_t>());
  packet.reason = static_cast<ReasonCode>(code);
  if (!reason_allowed(type, packet.reason)) return ReasonCode::MalformedPacket;
  if (reader.empty()) return Packet(packet);
  PARLEY_TRY(packet.properties, read_properties(reader, version, place_of(type)));
  PARLEY_TRY(expect_end(reader));
  return Packet(packet);
}

template <class Kind>
Result<Packet> decode_empty(const Reader& reader) {
  PARLEY_TRY(expect_end(reader));
  return Packet(Kind{});
}

template <class Kind>
Result<Packet> as_packet(Result<Kind> decoded) {
  if (!decoded) return decoded.error();
  return Packet(*std::move(decoded));
}

}  // namespace

Result<std::optional<Frame>> next_frame(std::string_view bytes, const DecodeLimits& limits, std::size_t* needed) {
  if (needed != nullptr) *needed = 0;
  if (bytes.empty()) return std::optional<Frame>();
  const auto first = static_cast<unsigned char>(bytes[0]);
  Frame frame{.type = static_cast<PacketType>(first >> 4), .flags = static_cast<std::uint8_t>(first & 0x0F)};
  if (first >> 4 == 0) return ReasonCode::MalformedPacket;
  if (frame.type != PacketType::Publish && frame.flags != kFlags[first >> 4]) return ReasonCode::MalformedPacket;
  std::size_t length = 0;
  std::size_t header = 1;
  for (;; ++header) {
    if (header == 5) return ReasonCode::MalformedPacket;
    if (header == bytes.size()) return std::optional<Frame>();
    const auto byte = static_cast<unsigned char>(bytes[header]);
    length |= static_cast<std::size_t>(byte & 0x7F) << (7 * (header - 1));
    if ((byte & 0x80) != 0) continue;
    if (byte == 0 && header > 1) return ReasonCode::MalformedPacket;  // §1.5.5
    break;
  }
  ++header;
  frame.size = header + length;
  if (frame.size > limits.packet_size_max) return ReasonCode::PacketTooLarge;
  if (needed != nullptr) *needed = frame.size;
  if (bytes.size() < frame.size) return std::optional<Frame>();
  frame.body = bytes.substr(header, length);
  return std::optional<Frame>(frame);
}

Result<Publish> decode_publish(const Frame& frame, ProtocolVersion version) {
  Publish packet{.dup = (frame.flags & 0x08) != 0, .qos = static_cast<Qos>((frame.flags >> 1) & 0x03),
                 .retain = (frame.flags & 0x01) != 0};
  if (((frame.flags >> 1) & 0x03) == 3) return ReasonCode::MalformedPacket;                    // §3.3.1.2
  if (packet.dup && packet.qos == Qos::AtMostOnce) return ReasonCode::MalformedPacket;         // §3.3.1.1
  Reader reader(frame.body);
  PARLEY_TRY(packet.topic, reader.utf8_string());
  if (packet.qos != Qos::AtMostOnce) {
    PARLEY_TRY(packet.packet_id, read_packet_id(reader));
  }
  PARLEY_TRY(packet.properties, read_properties(reader, version, PropertyPlace::Publish));
  if (packet.topic.empty()) {
    // §3.3.2.1: only with a Topic Alias.
    if (version != ProtocolVersion::V5) return ReasonCode::MalformedPacket;
    if (!packet.properties.integer(PropertyId::TopicAlias)) return ReasonCode::ProtocolError;
  } else if (!is_topic_name(packet.topic)) {
    return ReasonCode::TopicNameInvalid;
  }
  packet.payload = reader.rest();
  return packet;
}

Result<Ack> decode_ack(const Frame& frame, ProtocolVersion version) {
  Ack packet{.type = frame.type};
  Reader reader(frame.body);
  PARLEY_TRY(packet.packet_id, read_packet_id(reader));
  if (reader.empty()) return packet;  // §3.4.2.1: Reason Code Success.
  if (version != ProtocolVersion::V5) return ReasonCode::MalformedPacket;
  PARLEY_TRY(const auto code, reader.integer<std::uint8_t>());
  packet.reason = static_cast<ReasonCode>(code);
  if (!reason_allowed(frame.type, packet.reason)) return ReasonCode::MalformedPacket;
  if (reader.empty()) return packet;
  PARLEY_TRY(packet.properties, read_properties(reader, version, place_of(frame.type)));
  PARLEY_TRY(expect_end(reader));
  return packet;
}

Result<Packet> decode(const Frame& frame, ProtocolVersion version, const DecodeLimits& limits) {
  const Reader reader(frame.body);
  switch (frame.type) {
    case PacketType::Connect: return decode_connect(reader);
    case PacketType::Connack: return decode_connack(reader, version);
    case PacketType::Publish: return as_packet(decode_publish(frame, version));
    case PacketType::Puback:
    case PacketType::Pubrec:
    case PacketType::Pubrel:
    case PacketType::Pubcomp: return as_packet(decode_ack(frame, version));
    case PacketType::Subscribe: return decode_subscribe(reader, version, limits);
    case PacketType::Suback: return decode_suback(reader, version, limits);
    case PacketType::Unsubscribe: return decode_unsubscribe(reader, version, limits);
    case PacketType::Unsuback: return decode_unsuback(reader, version, limits);
    case PacketType::Pingreq: return decode_empty<Pingreq>(reader);
    case PacketType::Pingresp: return decode_empty<Pingresp>(reader);
    case PacketType::Disconnect: return decode_reason_packet<Disconnect>(reader, frame.type, version);
    case PacketType::Auth:
      if (version != ProtocolVersion::V5) return ReasonCode::MalformedPacket;
      return decode_reason_packet<Auth>(reader, frame.type, version);
  }
  return ReasonCode::MalformedPacket;
}

}  // namespace parley::mqtt
