#pragma once

#include <algorithm>
#include <cstddef>
#include <string_view>

/// Names of conversations and users. docs/PROTOCOL.md "Names".
namespace parley {

inline constexpr std::size_t kNameSizeMax = 128;

constexpr bool is_name_character(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return c != '/' && c != '+' && c != '#' && byte >= 0x20 && byte != 0x7F;
}

/// 1 to 128 bytes, no `/ + #`, NUL or control characters, not starting with `$`. The text is well-formed UTF-8 already.
constexpr bool is_name(std::string_view name) {
  return !name.empty() && name.size() <= kNameSizeMax && name.front() != '$' &&
         std::all_of(name.begin(), name.end(), is_name_character);
}

}  // namespace parley
