#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>

/// Big-endian integers in byte strings. Bytes travel as std::string_view (a view) and std::string (owned).
namespace parley {

template <class Integer>
requires std::is_unsigned_v<Integer>
constexpr Integer load_big_endian(const char* from) {
  Integer value = 0;
  for (std::size_t i = 0; i < sizeof(Integer); ++i) {
    value = static_cast<Integer>((value << (sizeof(Integer) > 1 ? 8 : 0)) | static_cast<unsigned char>(from[i]));
  }
  return value;
}

template <class Integer>
requires std::is_unsigned_v<Integer>
constexpr void store_big_endian(char* to, Integer value) {
  for (std::size_t i = sizeof(Integer); i-- > 0;) {
    to[i] = static_cast<char>(value & 0xFF);
    if constexpr (sizeof(Integer) > 1) value = static_cast<Integer>(value >> 8);
  }
}

template <class Integer>
void append_big_endian(std::string& to, Integer value) {
  char bytes[sizeof(Integer)];
  store_big_endian(bytes, value);
  to.append(bytes, sizeof bytes);
}

/// 64-bit FNV-1a with a final mix: for placement (slots) and hash tables of trusted size, the same on every node.
constexpr std::uint64_t stable_hash(std::string_view bytes) {
  std::uint64_t hash = 0xCBF2'9CE4'8422'2325ULL;
  for (const char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100'0000'01B3ULL;
  hash ^= hash >> 32;
  hash *= 0xD6E8'FEB8'6659'FD93ULL;
  hash ^= hash >> 32;
  return hash;
}

}  // namespace parley
