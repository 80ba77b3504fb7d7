#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "broker/session/limits.hpp"
#include "mqtt/decode.hpp"

/// What a CONNECT says by itself, whoever it is from. Pure; from any thread.
namespace parley::shard {

/// A longer client id is refused.
inline constexpr std::size_t kClientIdSizeMax = 256;

/// In which version to answer a CONNECT that can't be decoded. Of a level that isn't known the layout tells which
/// CONNACK its client reads.
mqtt::ProtocolVersion version_spoken(const mqtt::Frame& frame);

/// The largest packet that the client takes.
std::uint32_t packet_size_max(const mqtt::Connect& connect);

struct ConnectObjection {
  mqtt::ReasonCode reason = mqtt::ReasonCode::Success;  ///< Success: there is none.
  std::string_view why;                                 ///< A sentence, for ever.
};
/// What can be said against a CONNECT without knowing the client.
ConnectObjection objection_to(const mqtt::Connect& connect, const session::Limits& limits);

}  // namespace parley::shard
