#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace parley::bridge {

/// RFC 4648 §4, padding required, nothing else in between; nothing when it is malformed. Pure.
std::optional<std::string> decode_base64(std::string_view text);
/// RFC 4648 §5 without padding.
std::optional<std::string> decode_base64url(std::string_view text);
void append_base64url(std::string& to, std::string_view bytes);

}  // namespace parley::bridge
