#include "mqtt/decoders.hpp"
#include "mqtt/topic.hpp"

namespace parley::mqtt {
namespace {

/// What SUBSCRIBE and UNSUBSCRIBE begin with.
template <class T>
Result<T> decode_head(Reader& reader, PacketType type, ProtocolVersion version) {
  T packet;
  PARLEY_TRY(packet.packet_id, read_packet_id(reader));
  PARLEY_TRY(packet.properties, read_properties(reader, place_of(type), version));
  return packet;
}

Result<std::string_view> read_filter(Reader& reader) {
  PARLEY_TRY(const auto filter, reader.utf8_string());
  if (!is_topic_filter(filter)) return ReasonCode::TopicFilterInvalid;
  return filter;
}

/// MQTT 5 §3.8.3.1; in 3.x only the QoS, the rest reserved (3.1.1 §3.8.3).
Result<SubscriptionOptions> read_options(Reader& reader, ProtocolVersion version) {
  PARLEY_TRY(const auto byte, reader.integer<std::uint8_t>());
  const unsigned reserved = version == ProtocolVersion::V5 ? 0xC0 : 0xFC;
  if ((byte & reserved) != 0) return ReasonCode::MalformedPacket;
  const SubscriptionOptions options{.qos = static_cast<Qos>(byte & 3),
                                    .no_local = (byte & 4) != 0,
                                    .retain_as_published = (byte & 8) != 0,
                                    .retain_handling = static_cast<std::uint8_t>(byte >> 4 & 3)};
  if ((byte & 3) == 3) {
    return version == ProtocolVersion::V5 ? ReasonCode::ProtocolError : ReasonCode::MalformedPacket;
  }
  if (options.retain_handling == 3) return ReasonCode::ProtocolError;
  return options;
}

/// SUBACK and, in MQTT 5, UNSUBACK: one reason for each filter.
template <class T>
Result<T> decode_reasons(Reader& reader, PacketType type, ProtocolVersion version, const DecodeLimits& limits) {
  PARLEY_TRY(auto packet, decode_head<T>(reader, type, version));
  const auto codes = reader.rest();
  if (codes.empty()) return ReasonCode::ProtocolError;
  if (codes.size() > limits.items_max) return ReasonCode::QuotaExceeded;
  packet.reasons.reserve(codes.size());
  for (const char code : codes) {
    const auto reason = static_cast<ReasonCode>(code);
    const bool known_in_3 = reason <= ReasonCode::GrantedQos2 || reason == ReasonCode::UnspecifiedError;
    if (version == ProtocolVersion::V5 ? !may_carry(type, reason) : !known_in_3) return ReasonCode::ProtocolError;
    packet.reasons.push_back(reason);
  }
  return packet;
}

}  // namespace

Result<Subscribe> decode_subscribe(const Frame& frame, ProtocolVersion version, const DecodeLimits& limits) {
  Reader reader(frame.body);
  PARLEY_TRY(auto packet, decode_head<Subscribe>(reader, frame.type, version));
  if (reader.empty()) return ReasonCode::ProtocolError;  // §3.8.3
  while (!reader.empty()) {
    if (packet.items.size() == limits.items_max) return ReasonCode::QuotaExceeded;
    Subscribe::Item item;
    PARLEY_TRY(item.filter, read_filter(reader));
    PARLEY_TRY(item.options, read_options(reader, version));
    if (item.options.no_local && shared_filter(item.filter)) return ReasonCode::ProtocolError;  // §3.8.3.1
    packet.items.push_back(item);
  }
  return packet;
}

Result<Suback> decode_suback(const Frame& frame, ProtocolVersion version, const DecodeLimits& limits) {
  Reader reader(frame.body);
  return decode_reasons<Suback>(reader, frame.type, version, limits);
}

Result<Unsubscribe> decode_unsubscribe(const Frame& frame, ProtocolVersion version, const DecodeLimits& limits) {
  Reader reader(frame.body);
  PARLEY_TRY(auto packet, decode_head<Unsubscribe>(reader, frame.type, version));
  if (reader.empty()) return ReasonCode::ProtocolError;  // §3.10.3
  while (!reader.empty()) {
    if (packet.filters.size() == limits.items_max) return ReasonCode::QuotaExceeded;
    PARLEY_TRY(const auto filter, read_filter(reader));
    packet.filters.push_back(filter);
  }
  return packet;
}

Result<Unsuback> decode_unsuback(const Frame& frame, ProtocolVersion version, const DecodeLimits& limits) {
  Reader reader(frame.body);
  if (version == ProtocolVersion::V5) return decode_reasons<Unsuback>(reader, frame.type, version, limits);
  PARLEY_TRY(auto packet, decode_head<Unsuback>(reader, frame.type, version));
  if (!reader.empty()) return ReasonCode::MalformedPacket;
  return packet;
}

}  // namespace parley::mqtt
