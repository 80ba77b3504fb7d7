#include "broker/shard/connect_checks.hpp"

#include "mqtt/reader.hpp"
#include "mqtt/utf8.hpp"

namespace parley::shard {
namespace {

using mqtt::PropertyId;
using mqtt::ProtocolVersion;
using mqtt::ReasonCode;

/// Whether what follows the protocol level is laid out as in MQTT 5. §3.1.2.3, §3.1.3
bool is_laid_out_as_5(mqtt::Reader reader) {
  constexpr std::size_t kFlagsAndKeepAlive = 3;
  if (!reader.bytes(kFlagsAndKeepAlive)) return false;
  const auto properties = reader.variable_byte_integer();
  return properties && reader.bytes(*properties) && reader.binary();
}

}  // namespace

ProtocolVersion version_spoken(const mqtt::Frame& frame) {
  constexpr auto kFive = static_cast<std::uint8_t>(ProtocolVersion::V5);
  mqtt::Reader reader(frame.body);
  const auto name = reader.binary();
  const auto level = reader.integer<std::uint8_t>();
  // Bridges set the highest bit, and go on without it when they are answered as 3.1.1 does.
  if (!name || !level || *level < kFive || (*level & mqtt::kBridgeBit) != 0) return ProtocolVersion::V3_1_1;
  const bool known = *name == "MQTT" && *level == kFive;
  return known || is_laid_out_as_5(reader) ? ProtocolVersion::V5 : ProtocolVersion::V3_1_1;
}

std::uint32_t packet_size_max(const mqtt::Connect& connect) {
  return connect.properties.integer(PropertyId::MaximumPacketSize).value_or(0xFFFF'FFFF);
}

ConnectObjection objection_to(const mqtt::Connect& connect, const session::Limits& limits) {
  if (connect.client_id.empty() && connect.version != ProtocolVersion::V5 && !connect.clean_start) {
    return {ReasonCode::ClientIdentifierNotValid, "A lasting session needs a client id."};  // 3.1.1 §3.1.3.1
  }
  if (connect.client_id.size() > kClientIdSizeMax) {
    return {ReasonCode::ClientIdentifierNotValid, "The client id is longer than this server takes."};
  }
  if (connect.will && connect.will->qos > limits.qos_max) {
    return {ReasonCode::QosNotSupported, "The will's QoS is higher than this server takes."};  // §3.2.2.3.4
  }
  if (connect.will && connect.will->retain && !limits.retain_available) {
    return {ReasonCode::RetainNotSupported, "This server keeps no retained messages."};  // §3.2.2.3.5
  }
  if (connect.will && limits.check_payload_format &&
      connect.will->properties.integer(PropertyId::PayloadFormatIndicator) == 1U &&
      !mqtt::is_mqtt_utf8(connect.will->payload)) {
    return {ReasonCode::PayloadFormatInvalid, "The will's payload isn't the UTF-8 that it says it is."};
  }
  return {};
}

}  // namespace parley::shard
