#pragma once

#include "mqtt/types.hpp"

namespace parley::mqtt {

/// True when the table of MQTT 5 §2.4 lists `code` for that packet.
bool reason_allowed(PacketType type, ReasonCode code);

}  // namespace parley::mqtt
