#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/result.hpp"
#include "mqtt/packet.hpp"

/// Bytes to packets: strict, without copying, limits before allocation. Pure; any thread.
namespace parley::mqtt {

struct DecodeLimits {
  std::size_t packet_size_max = 268'435'460;  ///< Whole packet, in bytes; more is PacketTooLarge.
  std::size_t items_max = 1'000;              ///< Filters in one SUBSCRIBE or UNSUBSCRIBE; more is QuotaExceeded.
};

/// One packet's bytes, cut out of a stream.
struct Frame {
  PacketType type{};
  std::uint8_t flags = 0;
  std::string_view body;  ///< After the fixed header; inside the caller's buffer.
  std::size_t size = 0;   ///< Fixed header and body.
};

/// Cuts the first packet off `bytes`. Nothing when it isn't complete yet, and then `needed` (if given) says how many
/// bytes the whole packet takes, 0 when not even that is known. Fails with MalformedPacket for a type, flags (of any
/// version) or Remaining Length that can't be, with PacketTooLarge as soon as the length is known. MQTT 5 §2.1.
Result<std::optional<Frame>> next_frame(std::string_view bytes, const DecodeLimits& limits,
                                        std::size_t* needed = nullptr);

/// Decodes one packet. `version` is the connection's; for CONNECT it is ignored. Fails with the Reason Code that the
/// specification gives the violation (MalformedPacket, ProtocolError, UnsupportedProtocolVersion,
/// ClientIdentifierNotValid, TopicFilterInvalid, TopicNameInvalid, …). Topic names and filters are checked for
/// well-formedness here, so later rooms needn't.
Result<Packet> decode(const Frame& frame, ProtocolVersion version, const DecodeLimits& limits);

/// The hot path of `decode`, for callers that branch on the type themselves.
Result<Publish> decode_publish(const Frame& frame, ProtocolVersion version);
/// PUBACK, PUBREC, PUBREL and PUBCOMP.
Result<Ack> decode_ack(const Frame& frame, ProtocolVersion version);

}  // namespace parley::mqtt
