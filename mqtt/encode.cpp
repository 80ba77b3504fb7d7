#include "mqtt/encode.hpp"

#include <array>
#include <cstring>

#include "base/bytes.hpp"

namespace parley::mqtt {
namespace {

constexpr std::size_t variable_size(std::size_t value) {
  return value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x20'0000 ? 3 : 4;
}

/// Counts what a Writer would write.
class Counter {
 public:
  void byte(std::uint8_t /*value*/) { size += 1; }
  void u16(std::uint16_t /*value*/) { size += 2; }
  void u32(std::uint32_t /*value*/) { size += 4; }
  void variable(std::size_t value) { size += variable_size(value); }
  void raw(std::string_view bytes) { size += bytes.size(); }
  void string(std::string_view text) { size += 2 + text.size(); }

  std::size_t size = 0;
};

/// Writes at the end of an Output.
class Writer {
 public:
  explicit Writer(Output& to) : to_(to) {}

  void byte(std::uint8_t value) { *to_.extend(1) = static_cast<char>(value); }
  void u16(std::uint16_t value) { store_big_endian(to_.extend(2), value); }
  void u32(std::uint32_t value) { store_big_endian(to_.extend(4), value); }
  void variable(std::size_t value) {
    for (; value >= 0x80; value >>= 7) byte(static_cast<std::uint8_t>((value & 0x7F) | 0x80));
    byte(static_cast<std::uint8_t>(value));
  }
  void raw(std::string_view bytes) { to_.append(bytes); }
  void string(std::string_view text) {
    u16(static_cast<std::uint16_t>(text.size()));
    raw(text);
  }

 private:
  Output& to_;
};

template <class Sink>
void write_properties(Sink& sink, const Properties& properties, ProtocolVersion version) {
  if (version != ProtocolVersion::V5) return;
  sink.variable(properties.bytes().size());
  sink.raw(properties.bytes());
}

/// 3.1.1 §3.2.2.3.
std::uint8_t return_code(ReasonCode reason) {
  switch (reason) {
    case ReasonCode::Success: return 0;
    case ReasonCode::UnsupportedProtocolVersion: return 1;
    case ReasonCode::ClientIdentifierNotValid: return 2;
    case ReasonCode::BadUserNameOrPassword: return 4;
    case ReasonCode::NotAuthorized:
    case ReasonCode::Banned:
    case ReasonCode::BadAuthenticationMethod: return 5;
    default: return 3;
  }
}

/// One overload for each packet: the body after the fixed header, to a Counter or a Writer.
template <class Sink>
struct BodyWriter {
  Sink& sink;
  ProtocolVersion version;

  void operator()(const Connect& packet) const {
    // The packet's own version counts: the connection has none yet.
    const auto own = packet.version;
    sink.string(own == ProtocolVersion::V3_1 ? "MQIsdp" : "MQTT");
    sink.byte(static_cast<std::uint8_t>(own));
    std::uint8_t flags = packet.clean_start ? 0x02 : 0;
    if (packet.will) {
      flags |= static_cast<std::uint8_t>(0x04 | static_cast<std::uint8_t>(packet.will->qos) << 3 | (packet.will->retain ? 0x20 : 0));
    }
    if (packet.password) flags |= 0x40;
    if (packet.user_name) flags |= 0x80;
    sink.byte(flags);
    sink.u16(packet.keep_alive);
    write_properties(sink, packet.properties, own);
    sink.string(packet.client_id);
    if (packet.will) {
      write_properties(sink, packet.will->properties, own);
      sink.string(packet.will->topic);
      sink.string(packet.will->payload);
    }
    if (packet.user_name) sink.string(*packet.user_name);
    if (packet.password) sink.string(*packet.password);
  }
  void operator()(const Connack& packet) const {
    sink.byte(packet.session_present ? 1 : 0);
    sink.byte(version == ProtocolVersion::V5 ? static_cast<std::uint8_t>(packet.reason) : return_code(packet.reason));
    write_properties(sink, packet.properties, version);
  }
  void operator()(const Publish& packet) const {
    sink.string(packet.topic);
    if (packet.qos != Qos::AtMostOnce) sink.u16(packet.packet_id);
    write_properties(sink, packet.properties, version);
    sink.raw(packet.payload);
  }
  void operator()(const Ack& packet) const {
    sink.u16(packet.packet_id);
    if (version != ProtocolVersion::V5) return;
    if (packet.reason == ReasonCode::Success && packet.properties.empty()) return;
    sink.byte(static_cast<std::uint8_t>(packet.reason));
    if (!packet.properties.empty()) write_properties(sink, packet.properties, version);
  }
  void operator()(const Subscribe& packet) const {
    sink.u16(packet.packet_id);
    write_properties(sink, packet.properties, version);
    for (const auto& item : packet.items) {
      sink.string(item.filter);
      auto bits = static_cast<std::uint8_t>(item.options.qos);
      if (version == ProtocolVersion::V5) {
        bits = static_cast<std::uint8_t>(bits | (item.options.no_local ? 0x04 : 0) |
                                         (item.options.retain_as_published ? 0x08 : 0) | item.options.retain_handling << 4);
      }
      sink.byte(bits);
    }
  }
  void operator()(const Suback& packet) const {
    sink.u16(packet.packet_id);
    write_properties(sink, packet.properties, version);
    for (const ReasonCode reason : packet.reasons) {
      const bool plain = version != ProtocolVersion::V5 && is_failure(reason);
      sink.byte(plain ? 0x80 : static_cast<std::uint8_t>(reason));
    }
  }
  void operator()(const Unsubscribe& packet) const {
    sink.u16(packet.packet_id);
    write_properties(sink, packet.properties, version);
    for (const auto filter : packet.filters) sink.string(filter);
  }
  void operator()(const Unsuback& packet) const {
    sink.u16(packet.packet_id);
    write_properties(sink, packet.properties, version);
    if (version != ProtocolVersion::V5) return;
    for (const ReasonCode reason : packet.reasons) sink.byte(static_cast<std::uint8_t>(reason));
  }
  void operator()(const Pingreq& /*packet*/) const {}
  void operator()(const Pingresp& /*packet*/) const {}
  void operator()(const Disconnect& packet) const { reason_packet(packet.reason, packet.properties); }
  void operator()(const Auth& packet) const { reason_packet(packet.reason, packet.properties); }

  void reason_packet(ReasonCode reason, const Properties& properties) const {
    if (version != ProtocolVersion::V5 || (reason == ReasonCode::Success && properties.empty())) return;
    sink.byte(static_cast<std::uint8_t>(reason));
    if (!properties.empty()) write_properties(sink, properties, version);
  }
};

/// Type and flags of the fixed header. §2.1.
struct FirstByte {
  static std::uint8_t of(PacketType type, unsigned flags = 0) {
    return static_cast<std::uint8_t>(static_cast<unsigned>(type) << 4 | flags);
  }
  std::uint8_t operator()(const Connect& /*p*/) const { return of(PacketType::Connect); }
  std::uint8_t operator()(const Connack& /*p*/) const { return of(PacketType::Connack); }
  std::uint8_t operator()(const Publish& p) const {
    return of(PacketType::Publish, (p.dup ? 8U : 0U) | static_cast<unsigned>(p.qos) << 1 | (p.retain ? 1U : 0U));
  }
  std::uint8_t operator()(const Ack& p) const { return of(p.type, p.type == PacketType::Pubrel ? 2 : 0); }
  std::uint8_t operator()(const Subscribe& /*p*/) const { return of(PacketType::Subscribe, 2); }
  std::uint8_t operator()(const Suback& /*p*/) const { return of(PacketType::Suback); }
  std::uint8_t operator()(const Unsubscribe& /*p*/) const { return of(PacketType::Unsubscribe, 2); }
  std::uint8_t operator()(const Unsuback& /*p*/) const { return of(PacketType::Unsuback); }
  std::uint8_t operator()(const Pingreq& /*p*/) const { return of(PacketType::Pingreq); }
  std::uint8_t operator()(const Pingresp& /*p*/) const { return of(PacketType::Pingresp); }
  std::uint8_t operator()(const Disconnect& /*p*/) const { return of(PacketType::Disconnect); }
  std::uint8_t operator()(const Auth& /*p*/) const { return of(PacketType::Auth); }
};

std::size_t body_size(const Packet& packet, ProtocolVersion version) {
  Counter counter;
  std::visit(BodyWriter<Counter>{counter, version}, packet);
  return counter.size;
}

/// The properties of one delivery that aren't the message's own.
std::size_t own_properties_size(const Delivery& delivery) {
  std::size_t size = delivery.topic_alias != 0 ? 3 : 0;
  if (delivery.expiry_left) size += 5;
  for (const auto id : delivery.subscription_ids) size += 1 + variable_size(id);
  return size;
}

char* put_variable(char* to, std::size_t value) {
  for (; value >= 0x80; value >>= 7) *to++ = static_cast<char>((value & 0x7F) | 0x80);
  *to++ = static_cast<char>(value);
  return to;
}

char* put(char* to, std::string_view bytes) {
  std::memcpy(to, bytes.data(), bytes.size());
  return to + bytes.size();
}

/// Sizes of a delivery's parts, computed once.
struct DeliverySizes {
  std::size_t own = 0;         ///< Own properties.
  std::size_t properties = 0;  ///< All properties, without their length.
  std::size_t head = 0;        ///< Everything before the message's property bytes.
  std::size_t remaining = 0;   ///< Remaining Length.
};

DeliverySizes sizes_of(const Message& message, const Delivery& delivery) {
  DeliverySizes sizes;
  const std::size_t topic = delivery.topic_in_full ? message.topic().size() : 0;
  std::size_t before = 2 + topic + (delivery.qos != Qos::AtMostOnce ? 2U : 0U);
  std::size_t after = message.payload().size();
  if (delivery.version == ProtocolVersion::V5) {
    sizes.own = own_properties_size(delivery);
    sizes.properties = sizes.own + message.properties().size();
    before += variable_size(sizes.properties) + sizes.own;
    after += message.properties().size();
  }
  sizes.remaining = before + after;
  sizes.head = 1 + variable_size(sizes.remaining) + before;
  return sizes;
}

char* put_head(char* to, const Message& message, const Delivery& delivery, const DeliverySizes& sizes) {
  *to++ = static_cast<char>(static_cast<unsigned>(PacketType::Publish) << 4 | (delivery.dup ? 8U : 0U) |
                            static_cast<unsigned>(delivery.qos) << 1 | (delivery.retain ? 1U : 0U));
  to = put_variable(to, sizes.remaining);
  const auto topic = delivery.topic_in_full ? message.topic() : std::string_view();
  store_big_endian(to, static_cast<std::uint16_t>(topic.size()));
  to = put(to + 2, topic);
  if (delivery.qos != Qos::AtMostOnce) {
    store_big_endian(to, delivery.packet_id);
    to += 2;
  }
  if (delivery.version != ProtocolVersion::V5) return to;
  to = put_variable(to, sizes.properties);
  if (delivery.topic_alias != 0) {
    *to++ = static_cast<char>(PropertyId::TopicAlias);
    store_big_endian(to, delivery.topic_alias);
    to += 2;
  }
  if (delivery.expiry_left) {
    *to++ = static_cast<char>(PropertyId::MessageExpiryInterval);
    store_big_endian(to, *delivery.expiry_left);
    to += 4;
  }
  for (const auto id : delivery.subscription_ids) {
    *to++ = static_cast<char>(PropertyId::SubscriptionIdentifier);
    to = put_variable(to, id);
  }
  return to;
}

}  // namespace

void encode(Output& to, const Packet& packet, ProtocolVersion version) {
  Writer writer(to);
  writer.byte(std::visit(FirstByte{}, packet));
  writer.variable(body_size(packet, version));
  std::visit(BodyWriter<Writer>{writer, version}, packet);
}

std::size_t encoded_size(const Packet& packet, ProtocolVersion version) {
  const std::size_t body = body_size(packet, version);
  return 1 + variable_size(body) + body;
}

void encode_delivery(Output& to, const Message& message, const Delivery& delivery) {
  const auto sizes = sizes_of(message, delivery);
  const auto properties = delivery.version == ProtocolVersion::V5 ? message.properties() : std::string_view();
  const std::size_t total = sizes.head + properties.size() + message.payload().size();
  if (total <= BlockPool::kBlockSize) {
    char* end = put_head(to.extend(total), message, delivery, sizes);
    end = put(end, properties);
    put(end, message.payload());
    return;
  }
  if (sizes.head <= BlockPool::kBlockSize) {
    put_head(to.extend(sizes.head), message, delivery, sizes);
  } else {
    // A topic of more than a block: rare enough to be built apart.
    std::string head(sizes.head, '\0');
    put_head(head.data(), message, delivery, sizes);
    to.append(head);
  }
  to.append(properties);
  to.append(message.payload());
}

std::size_t delivery_size(const Message& message, const Delivery& delivery) {
  const auto sizes = sizes_of(message, delivery);
  return sizes.head + (delivery.version == ProtocolVersion::V5 ? message.properties().size() : 0) + message.payload().size();
}

}  // namespace parley::mqtt
