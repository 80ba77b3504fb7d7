#include "mqtt/encode.hpp"

#include <string_view>
#include <variant>

#include "mqtt/sinks.hpp"

namespace parley::mqtt {
namespace {

constexpr bool is_v5(ProtocolVersion version) { return version == ProtocolVersion::V5; }

template <class Sink>
void put_properties(Sink& sink, const Properties& properties, ProtocolVersion version) {
  if (!is_v5(version)) return;
  sink.variable_byte_integer(properties.bytes().size());
  sink.bytes(properties.bytes());
}

/// The return code nearest to a reason. 3.1.1 §3.2.2.3, table 3.1.
std::uint8_t return_code(ReasonCode reason) {
  switch (reason) {
    case ReasonCode::Success: return 0;
    case ReasonCode::UnsupportedProtocolVersion: return 1;
    case ReasonCode::ClientIdentifierNotValid: return 2;
    case ReasonCode::BadUserNameOrPassword:
    case ReasonCode::BadAuthenticationMethod: return 4;
    case ReasonCode::NotAuthorized:
    case ReasonCode::Banned: return 5;
    default: return 3;
  }
}

/// One packet's fixed header flags and body. Every body is written twice, into a counter and then for real.
struct Body {
  ProtocolVersion version;

  template <class Sink>
  void operator()(Sink& sink, const Connect& packet) const {
    sink.string(packet.version == ProtocolVersion::V3_1 ? "MQIsdp" : "MQTT");
    sink.byte(static_cast<std::uint8_t>(static_cast<unsigned>(packet.version) | (packet.is_bridge ? kBridgeBit : 0U)));
    unsigned flags = packet.clean_start ? 2 : 0;
    if (packet.will) flags |= 4U | static_cast<unsigned>(packet.will->qos) << 3 | (packet.will->retain ? 32U : 0U);
    if (packet.password) flags |= 64;
    if (packet.user_name) flags |= 128;
    sink.byte(static_cast<std::uint8_t>(flags));
    sink.two_bytes(packet.keep_alive);
    put_properties(sink, packet.properties, packet.version);
    sink.string(packet.client_id);
    if (packet.will) {
      put_properties(sink, packet.will->properties, packet.version);
      sink.string(packet.will->topic);
      sink.string(packet.will->payload);
    }
    if (packet.user_name) sink.string(*packet.user_name);
    if (packet.password) sink.string(*packet.password);
  }

  template <class Sink>
  void operator()(Sink& sink, const Connack& packet) const {
    sink.byte(packet.session_present && version != ProtocolVersion::V3_1 ? 1 : 0);
    sink.byte(is_v5(version) ? static_cast<std::uint8_t>(packet.reason) : return_code(packet.reason));
    put_properties(sink, packet.properties, version);
  }

  template <class Sink>
  void operator()(Sink& sink, const Publish& packet) const {
    sink.string(packet.topic);
    if (packet.qos != Qos::AtMostOnce) sink.two_bytes(packet.packet_id);
    put_properties(sink, packet.properties, version);
    sink.bytes(packet.payload);
  }

  template <class Sink>
  void operator()(Sink& sink, const Ack& packet) const {
    sink.two_bytes(packet.packet_id);
    if (is_v5(version)) reason_and_properties(sink, packet.reason, packet.properties);
  }

  template <class Sink>
  void operator()(Sink& sink, const Subscribe& packet) const {
    sink.two_bytes(packet.packet_id);
    put_properties(sink, packet.properties, version);
    for (const auto& item : packet.items) {
      sink.string(item.filter);
      const auto& options = item.options;
      const auto qos = static_cast<std::uint8_t>(options.qos);
      const auto rest = static_cast<std::uint8_t>((options.no_local ? 4 : 0) | (options.retain_as_published ? 8 : 0) |
                                                  options.retain_handling << 4);
      sink.byte(is_v5(version) ? qos | rest : qos);
    }
  }

  template <class Sink>
  void operator()(Sink& sink, const Suback& packet) const {
    sink.two_bytes(packet.packet_id);
    put_properties(sink, packet.properties, version);
    for (const ReasonCode reason : packet.reasons) {
      sink.byte(
          static_cast<std::uint8_t>(is_failure(reason) && !is_v5(version) ? ReasonCode::UnspecifiedError : reason));
    }
  }

  template <class Sink>
  void operator()(Sink& sink, const Unsubscribe& packet) const {
    sink.two_bytes(packet.packet_id);
    put_properties(sink, packet.properties, version);
    for (const auto filter : packet.filters) sink.string(filter);
  }

  template <class Sink>
  void operator()(Sink& sink, const Unsuback& packet) const {
    sink.two_bytes(packet.packet_id);
    put_properties(sink, packet.properties, version);
    if (!is_v5(version)) return;
    for (const ReasonCode reason : packet.reasons) sink.byte(static_cast<std::uint8_t>(reason));
  }

  template <class Sink>
  void operator()(Sink& /*sink*/, const Pingreq& /*packet*/) const {}
  template <class Sink>
  void operator()(Sink& /*sink*/, const Pingresp& /*packet*/) const {}

  template <class Sink>
  void operator()(Sink& sink, const Disconnect& packet) const {
    if (is_v5(version)) reason_and_properties(sink, packet.reason, packet.properties);
  }

  /// Unlike the others, AUTH has no form that ends after the reason. §3.15.2.1.
  template <class Sink>
  void operator()(Sink& sink, const Auth& packet) const {
    if (packet.reason == ReasonCode::Success && packet.properties.empty()) return;
    sink.byte(static_cast<std::uint8_t>(packet.reason));
    put_properties(sink, packet.properties, version);
  }

 private:
  /// As short as the specification allows. §3.4.2.1, §3.14.2.1.
  template <class Sink>
  static void reason_and_properties(Sink& sink, ReasonCode reason, const Properties& properties) {
    if (reason == ReasonCode::Success && properties.empty()) return;
    sink.byte(static_cast<std::uint8_t>(reason));
    if (!properties.empty()) put_properties(sink, properties, ProtocolVersion::V5);
  }
};

std::uint8_t publish_flags(bool dup, Qos qos, bool retain) {
  return static_cast<std::uint8_t>((dup ? 8U : 0U) | static_cast<unsigned>(qos) << 1 | (retain ? 1U : 0U));
}

/// The first byte: type and flags. MQTT 5 §2.1.2, §2.1.3.
struct FirstByte {
  static std::uint8_t of(PacketType type, unsigned flags = 0) {
    return static_cast<std::uint8_t>(static_cast<unsigned>(type) << 4 | flags);
  }
  std::uint8_t operator()(const Connect& /*packet*/) const { return of(PacketType::Connect); }
  std::uint8_t operator()(const Connack& /*packet*/) const { return of(PacketType::Connack); }
  std::uint8_t operator()(const Publish& packet) const {
    return of(PacketType::Publish, publish_flags(packet.dup, packet.qos, packet.retain));
  }
  std::uint8_t operator()(const Ack& packet) const {
    return of(packet.type, packet.type == PacketType::Pubrel ? 2 : 0);
  }
  std::uint8_t operator()(const Subscribe& /*packet*/) const { return of(PacketType::Subscribe, 2); }
  std::uint8_t operator()(const Suback& /*packet*/) const { return of(PacketType::Suback); }
  std::uint8_t operator()(const Unsubscribe& /*packet*/) const { return of(PacketType::Unsubscribe, 2); }
  std::uint8_t operator()(const Unsuback& /*packet*/) const { return of(PacketType::Unsuback); }
  std::uint8_t operator()(const Pingreq& /*packet*/) const { return of(PacketType::Pingreq); }
  std::uint8_t operator()(const Pingresp& /*packet*/) const { return of(PacketType::Pingresp); }
  std::uint8_t operator()(const Disconnect& /*packet*/) const { return of(PacketType::Disconnect); }
  std::uint8_t operator()(const Auth& /*packet*/) const { return of(PacketType::Auth); }
};

std::size_t packet_size(std::size_t body_size) { return 1 + variable_byte_integer_size(body_size) + body_size; }

std::size_t body_size(const Packet& packet, ProtocolVersion version) {
  Counter counter;
  std::visit([&](const auto& alternative) { Body{version}(counter, alternative); }, packet);
  return counter.size();
}

/// AUTH doesn't exist in 3.x.
bool exists_in(const Packet& packet, ProtocolVersion version) {
  return is_v5(version) || !std::holds_alternative<Auth>(packet);
}

/// Lets `write` write `size` bytes at the end of `to`, in one piece where a block has room for them.
template <class Write>
void write_sized(Output& to, std::size_t size, Write write) {
  if (size <= BlockPool::kBlockSize) {
    SpanWriter sink(to.extend(size));
    write(sink);
  } else {
    OutputWriter sink(to);
    write(sink);
  }
}

struct DeliverySizes {
  std::size_t properties = 0;
  std::size_t body = 0;
};

DeliverySizes sizes_of(const Message& message, const Delivery& delivery) {
  DeliverySizes sizes;
  sizes.body = 2 + (delivery.topic_in_full ? message.topic().size() : 0) + (delivery.qos == Qos::AtMostOnce ? 0 : 2) +
               message.payload().size();
  if (!is_v5(delivery.version)) return sizes;
  sizes.properties = message.properties().size() + (delivery.topic_alias != 0 ? 3 : 0) + (delivery.expiry_left ? 5 : 0);
  for (const auto id : delivery.subscription_ids) sizes.properties += 1 + variable_byte_integer_size(id);
  sizes.body += variable_byte_integer_size(sizes.properties) + sizes.properties;
  return sizes;
}

template <class Sink>
void put_delivery(Sink& sink, const Message& message, const Delivery& delivery, const DeliverySizes& sizes) {
  sink.byte(FirstByte::of(PacketType::Publish, publish_flags(delivery.dup, delivery.qos, delivery.retain)));
  sink.variable_byte_integer(sizes.body);
  sink.string(delivery.topic_in_full ? message.topic() : std::string_view());
  if (delivery.qos != Qos::AtMostOnce) sink.two_bytes(delivery.packet_id);
  if (is_v5(delivery.version)) {
    sink.variable_byte_integer(sizes.properties);
    if (delivery.topic_alias != 0) {
      sink.byte(static_cast<std::uint8_t>(PropertyId::TopicAlias));
      sink.two_bytes(delivery.topic_alias);
    }
    if (delivery.expiry_left) {
      sink.byte(static_cast<std::uint8_t>(PropertyId::MessageExpiryInterval));
      sink.four_bytes(*delivery.expiry_left);
    }
    for (const auto id : delivery.subscription_ids) {
      sink.byte(static_cast<std::uint8_t>(PropertyId::SubscriptionIdentifier));
      sink.variable_byte_integer(id);
    }
    sink.bytes(message.properties());
  }
  sink.bytes(message.payload());
}

}  // namespace

void encode(Output& to, const Packet& packet, ProtocolVersion version) {
  const std::size_t size = body_size(packet, version);
  if (size > kRemainingLengthMax || !exists_in(packet, version)) return;
  write_sized(to, packet_size(size), [&](auto& sink) {
    std::visit(
        [&](const auto& alternative) {
          sink.byte(FirstByte{}(alternative));
          sink.variable_byte_integer(size);
          Body{version}(sink, alternative);
        },
        packet);
  });
}

std::size_t encoded_size(const Packet& packet, ProtocolVersion version) {
  return exists_in(packet, version) ? packet_size(body_size(packet, version)) : 0;
}

void encode_delivery(Output& to, const Message& message, const Delivery& delivery) {
  const DeliverySizes sizes = sizes_of(message, delivery);
  if (sizes.body > kRemainingLengthMax) return;
  write_sized(to, packet_size(sizes.body), [&](auto& sink) { put_delivery(sink, message, delivery, sizes); });
}

std::size_t delivery_size(const Message& message, const Delivery& delivery) {
  return packet_size(sizes_of(message, delivery).body);
}

}  // namespace parley::mqtt
