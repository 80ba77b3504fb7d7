#pragma once

#include <string_view>

namespace parley::mqtt {

/// Well-formed UTF-8 as MQTT 5 §1.5.4 demands: shortest form, no surrogates, no U+0000, nothing above U+10FFFF.
bool is_mqtt_utf8(std::string_view text);

}  // namespace parley::mqtt
