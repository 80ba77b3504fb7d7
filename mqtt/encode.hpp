#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/output.hpp"
#include "mqtt/message.hpp"
#include "mqtt/packet.hpp"

/// Packets to bytes: the size is computed first, then everything is written once, at the end of an Output. Pure.
namespace parley::mqtt {

/// Appends one packet as `version` writes it: for 3.x without properties and reason codes. A CONNACK's reason becomes
/// the 3.1.1 return code (§3.2.2.3) that comes nearest: 1 unacceptable protocol, 2 identifier rejected, 3 unavailable,
/// 4 bad user name or password, 5 not authorized. A SUBACK's failure becomes 0x80 (3.1.1 §3.9.3; 3.1 knows none, and
/// gets 0x80 too). An UNSUBACK has no reasons in 3.x.
void encode(Output& to, const Packet& packet, ProtocolVersion version);

/// Whole size in bytes of what `encode` would append: to be compared with the client's Maximum Packet Size.
std::size_t encoded_size(const Packet& packet, ProtocolVersion version);

/// How one receiver gets a Message.
struct Delivery {
  ProtocolVersion version = ProtocolVersion::V5;
  bool dup = false;
  Qos qos = Qos::AtMostOnce;
  bool retain = false;
  PacketId packet_id = 0;                           ///< 0 at QoS 0.
  std::uint16_t topic_alias = 0;                    ///< 0: none.
  bool topic_in_full = true;                        ///< False: empty topic, the alias is known to the receiver.
  std::optional<std::uint32_t> expiry_left;         ///< Message Expiry Interval still left, in seconds.
  std::span<const std::uint32_t> subscription_ids;  ///< Subscription Identifiers, each written once.
};

/// Appends a PUBLISH: header, topic, packet id, the delivery's own properties, then the message's property bytes and
/// payload copied as they stand. This is the hot path of all fan-out: no allocation beyond Output's blocks.
void encode_delivery(Output& to, const Message& message, const Delivery& delivery);
std::size_t delivery_size(const Message& message, const Delivery& delivery);

}  // namespace parley::mqtt
