#pragma once

#include <string>
#include <string_view>

#include "base/output.hpp"
#include "mqtt/decode.hpp"
#include "mqtt/encode.hpp"

/// How the tests of the codec write bytes and packets down.
namespace parley::mqtt {

/// The bytes that `notation` stands for: hexadecimal pairs, and text between single quotes; spaces don't count.
/// bytes("30 05 00 03 'a/b'") is a whole PUBLISH. Throws std::invalid_argument for anything else.
std::string bytes(std::string_view notation);
/// Pairs of hexadecimal digits, for messages.
std::string hex(std::string_view bytes);

/// A property list from its notation, without the length; its bytes live until the program ends.
Properties properties(std::string_view notation);

/// What stands in an output, without consuming it.
std::string content(const Output& output);
/// The packet as `version` writes it.
std::string encoded(const Packet& packet, ProtocolVersion version);
/// Frame and packet at once; the bytes must hold exactly one packet, else MalformedPacket.
Result<Packet> decoded(std::string_view bytes, ProtocolVersion version, const DecodeLimits& limits = {});
/// The reason for which `decoded` fails; Success when it doesn't.
ReasonCode refusal(std::string_view bytes, ProtocolVersion version, const DecodeLimits& limits = {});

/// Every field of a packet as text: two packets are the same when their descriptions are.
std::string describe(const Packet& packet);

inline constexpr ProtocolVersion kVersions[] = {ProtocolVersion::V3_1, ProtocolVersion::V3_1_1, ProtocolVersion::V5};

/// For messages of failing tests.
void PrintTo(ReasonCode code, std::ostream* to);
void PrintTo(PacketType type, std::ostream* to);
void PrintTo(ProtocolVersion version, std::ostream* to);

}  // namespace parley::mqtt
