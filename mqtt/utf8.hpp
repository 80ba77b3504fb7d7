#pragma once

#include <cstddef>
#include <string_view>

namespace parley::mqtt {

/// Well-formed UTF-8 as MQTT 5 §1.5.4 demands: shortest form, no surrogates, no U+0000, nothing above U+10FFFF.
bool is_mqtt_utf8(std::string_view text);
/// The same and no `+` or `#`, in one pass: what a topic name may hold. MQTT 5 §4.7.1.
bool is_mqtt_utf8_without_wildcards(std::string_view text);

/// The longest prefix of well-formed `text` with at most `size_max` bytes that ends with a whole character.
std::string_view utf8_prefix(std::string_view text, std::size_t size_max);

}  // namespace parley::mqtt
