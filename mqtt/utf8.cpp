#include "mqtt/utf8.hpp"

#include <cstdint>
#include <cstring>

namespace parley::mqtt {
namespace {

/// Eight bytes at once: all of them ASCII and none zero.
bool is_plain(const char* from) {
  std::uint64_t word = 0;
  std::memcpy(&word, from, sizeof word);
  constexpr std::uint64_t kHigh = 0x8080'8080'8080'8080ULL;
  constexpr std::uint64_t kOnes = 0x0101'0101'0101'0101ULL;
  return (word & kHigh) == 0 && (((word - kOnes) & ~word) & kHigh) == 0;
}

bool is_continuation(unsigned char byte) { return (byte & 0xC0) == 0x80; }

}  // namespace

bool is_mqtt_utf8(std::string_view text) {
  std::size_t i = 0;
  while (i < text.size()) {
    if (i + 8 <= text.size() && is_plain(text.data() + i)) {
      i += 8;
      continue;
    }
    const auto byte = [&](std::size_t offset) -> unsigned char {
      return i + offset < text.size() ? static_cast<unsigned char>(text[i + offset]) : static_cast<unsigned char>(0);
    };
    const unsigned char first = byte(0);
    if (first == 0) return false;
    if (first < 0x80) {
      ++i;
    } else if (first >= 0xC2 && first <= 0xDF && is_continuation(byte(1))) {
      i += 2;
    } else if ((first & 0xF0) == 0xE0 && is_continuation(byte(1)) && is_continuation(byte(2)) &&
               !(first == 0xE0 && byte(1) < 0xA0) && !(first == 0xED && byte(1) >= 0xA0)) {
      i += 3;
    } else if (first >= 0xF0 && first <= 0xF4 && is_continuation(byte(1)) && is_continuation(byte(2)) &&
               is_continuation(byte(3)) && !(first == 0xF0 && byte(1) < 0x90) && !(first == 0xF4 && byte(1) >= 0x90)) {
      i += 4;
    } else {
      return false;
    }
  }
  return true;
}

}  // namespace parley::mqtt
