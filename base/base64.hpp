#pragma once

#include <optional>
#include <string>
#include <string_view>

/// Base64. RFC 4648. What isn't exactly one value's only spelling is malformed. Pure.
namespace parley {

/// §4, padding required, nothing else in between; nothing when it is malformed.
std::optional<std::string> decode_base64(std::string_view text);
/// §4, with padding.
void append_base64(std::string& to, std::string_view bytes);
/// §5 without padding.
std::optional<std::string> decode_base64url(std::string_view text);
void append_base64url(std::string& to, std::string_view bytes);

}  // namespace parley
