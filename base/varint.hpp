#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

/// Base-128 integers: seven bits a byte, the low ones first, in as few bytes as the value needs.
namespace parley {

inline void append_varint(std::string& to, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) to.push_back(static_cast<char>(value | 0x80));
  to.push_back(static_cast<char>(value));
}

/// Takes one from the front of `from`. Nothing, and `from` as far as it was looked at, when it is cut short, has more
/// than 64 bits, or is longer than it need be.
inline std::optional<std::uint64_t> take_varint(std::string_view& from) {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64 && !from.empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(from.front());
    from.remove_prefix(1);
    if ((shift == 63 && byte > 1) || (byte == 0 && shift != 0)) return std::nullopt;
    value |= std::uint64_t{byte & 0x7FU} << shift;
    if (byte < 0x80) return value;
  }
  return std::nullopt;
}

}  // namespace parley
