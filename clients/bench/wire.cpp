#include "clients/bench/wire.hpp"

#include "clients/bench/failure.hpp"

namespace parley::bench {
namespace {

/// MQTT 5 §1.5.5.
void append_variable_integer(std::string& to, std::size_t value) {
  do {
    const auto low = static_cast<unsigned char>(value & 0x7F);
    value >>= 7;
    to.push_back(static_cast<char>(value > 0 ? low | 0x80 : low));
  } while (value > 0);
}

/// Takes a Variable Byte Integer off the front; nothing when it doesn't end within four bytes.
std::optional<std::size_t> take_variable_integer(std::string_view& from) {
  std::size_t value = 0;
  for (unsigned i = 0; i < 4 && i < from.size(); ++i) {
    const auto byte = static_cast<unsigned char>(from[i]);
    value |= static_cast<std::size_t>(byte & 0x7F) << (7 * i);
    if ((byte & 0x80) == 0) {
      from.remove_prefix(i + 1);
      return value;
    }
  }
  return std::nullopt;
}

void append_string(std::string& to, std::string_view text) {
  append_big_endian(to, static_cast<std::uint16_t>(text.size()));
  to.append(text);
}

/// Writes the lowest `digits` hexadecimal digits.
void write_hex(char* to, std::size_t digits, std::uint64_t value) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (std::size_t i = digits; i-- > 0; value >>= 4) to[i] = kDigits[value & 0xF];
}

}  // namespace

std::optional<Delivery> read_delivery(const mqtt::Frame& frame, mqtt::ProtocolVersion version) {
  Delivery delivery{.qos = static_cast<mqtt::Qos>((frame.flags >> 1) & 3), .dup = (frame.flags & 8) != 0};
  std::string_view rest = frame.body;
  if (rest.size() < 2) return std::nullopt;
  const std::size_t topic_size = load_big_endian<std::uint16_t>(rest.data());
  if (rest.size() < 2 + topic_size) return std::nullopt;
  rest.remove_prefix(2 + topic_size);
  if (delivery.qos != mqtt::Qos::AtMostOnce) {
    if (rest.size() < 2) return std::nullopt;
    delivery.packet_id = load_big_endian<std::uint16_t>(rest.data());
    rest.remove_prefix(2);
  }
  if (version == mqtt::ProtocolVersion::V5) {
    const auto properties_size = take_variable_integer(rest);
    if (!properties_size || rest.size() < *properties_size) return std::nullopt;
    rest.remove_prefix(*properties_size);
  }
  delivery.payload = rest;
  return delivery;
}

PublishTemplate::PublishTemplate(const Shape& shape) {
  if (shape.payload_size < kStampSize) throw Failure("--payload must be at least " + std::to_string(kStampSize));
  std::string body;
  std::size_t packet_id_in_body = 0;
  std::size_t message_id_in_body = 0;
  append_string(body, shape.topic);
  if (shape.qos != mqtt::Qos::AtMostOnce) {
    packet_id_in_body = body.size();
    body.append(2, '\0');
  }
  if (shape.version == mqtt::ProtocolVersion::V5) {
    std::string properties;
    std::size_t id_in_properties = 0;
    if (shape.message_id) {
      properties.push_back(static_cast<char>(mqtt::PropertyId::UserProperty));
      append_string(properties, "id");
      id_in_properties = properties.size() + 2 + kRunSize;
      std::string id(kMessageIdSize, '0');
      write_hex(id.data(), kRunSize, shape.run);
      append_string(properties, id);
    }
    append_variable_integer(body, properties.size());
    if (shape.message_id) message_id_in_body = body.size() + id_in_properties;
    body.append(properties);
  }
  const std::size_t stamp_in_body = body.size();
  body.append(shape.payload_size, 'x');

  bytes_.push_back(
      static_cast<char>(static_cast<unsigned>(mqtt::PacketType::Publish) << 4 | static_cast<unsigned>(shape.qos) << 1));
  append_variable_integer(bytes_, body.size());
  const std::size_t header_size = bytes_.size();
  if (packet_id_in_body != 0) packet_id_at_ = header_size + packet_id_in_body;
  if (message_id_in_body != 0) message_id_at_ = header_size + message_id_in_body;
  stamp_at_ = header_size + stamp_in_body;
  bytes_.append(body);
}

void PublishTemplate::write_message_id(char* to, const Stamp& stamp) {
  write_hex(to, 8, stamp.stream);
  write_hex(to + 8, 16, stamp.sequence);
}

}  // namespace parley::bench
