#pragma once

#include <string_view>
#include <vector>

#include "mqtt/packet.hpp"

namespace parley::mqtt {

/// A packet beside its exact bytes (see notation.hpp), as the specification prints them.
struct Sample {
  std::string_view name;
  ProtocolVersion version = ProtocolVersion::V5;
  std::string_view bytes;
  Packet packet;
};

/// All 15 packet types in all three versions, with and without what may be left out.
const std::vector<Sample>& samples();

}  // namespace parley::mqtt
