#include "mqtt/utf8.hpp"

#include <cstdint>
#include <cstring>

namespace parley::mqtt {
namespace {

constexpr std::uint64_t kOnes = 0x0101'0101'0101'0101ULL;
constexpr std::uint64_t kHighs = 0x8080'8080'8080'8080ULL;

/// Non-zero when a byte of `word`, all of which are below 0x80, is zero.
constexpr std::uint64_t zero_bytes(std::uint64_t word) { return (word - kOnes) & ~word & kHighs; }

template <class Word>
Word load(const char* from) {
  Word word = 0;
  std::memcpy(&word, from, sizeof word);
  return word;
}

/// Eight bytes at once: all of them ASCII, none zero and, if so wanted, none a wildcard.
template <bool kWildcards>
bool is_plain(std::uint64_t word) {
  std::uint64_t bad = (word & kHighs) | zero_bytes(word);
  if constexpr (!kWildcards) bad |= zero_bytes(word ^ (kOnes * '+')) | zero_bytes(word ^ (kOnes * '#'));
  return bad == 0;
}

constexpr bool is_continuation(unsigned char byte) { return (byte & 0xC0) == 0x80; }

/// Size of the well-formed character of two to four bytes at the front of `text`; 0 when there is none. Unicode table
/// 3-7.
std::size_t long_character(std::string_view text) {
  const auto byte = [text](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : static_cast<unsigned char>(0);
  };
  const unsigned char first = byte(0);
  const unsigned char second = byte(1);
  if (!is_continuation(second)) return 0;
  if (first >= 0xC2 && first <= 0xDF) return 2;
  if (!is_continuation(byte(2))) return 0;
  if (first >= 0xE0 && first <= 0xEF) {
    if (first == 0xE0 && second < 0xA0) return 0;
    if (first == 0xED && second > 0x9F) return 0;
    return 3;
  }
  if (!is_continuation(byte(3)) || first < 0xF0 || first > 0xF4) return 0;
  if (first == 0xF0 && second < 0x90) return 0;
  if (first == 0xF4 && second > 0x8F) return 0;
  return 4;
}

/// What is left of a text, fewer than eight bytes, when it is plain ASCII: seen in one or two words, some bytes twice.
template <bool kWildcards>
bool is_plain_end(std::string_view rest, bool after_others) {
  const char* const end = rest.data() + rest.size();
  if (after_others) return is_plain<kWildcards>(load<std::uint64_t>(end - 8));
  if (rest.size() < 4) return false;
  const std::uint64_t front = load<std::uint32_t>(rest.data());
  return is_plain<kWildcards>(front << 32 | load<std::uint32_t>(end - 4));
}

template <bool kWildcards>
bool is_well_formed(std::string_view text) {
  const bool long_enough = text.size() >= 8;
  while (!text.empty()) {
    if (text.size() >= 8) {
      if (is_plain<kWildcards>(load<std::uint64_t>(text.data()))) {
        text.remove_prefix(8);
        continue;
      }
    } else if (is_plain_end<kWildcards>(text, long_enough)) {
      return true;
    }
    const char first = text.front();
    if (static_cast<unsigned char>(first) < 0x80) {
      if (first == '\0' || (!kWildcards && (first == '+' || first == '#'))) return false;
      text.remove_prefix(1);
      continue;
    }
    const std::size_t size = long_character(text);
    if (size == 0) return false;
    text.remove_prefix(size);
  }
  return true;
}

}  // namespace

bool is_mqtt_utf8(std::string_view text) { return is_well_formed<true>(text); }

bool is_mqtt_utf8_without_wildcards(std::string_view text) { return is_well_formed<false>(text); }

std::string_view utf8_prefix(std::string_view text, std::size_t size_max) {
  if (text.size() <= size_max) return text;
  while (size_max > 0 && is_continuation(static_cast<unsigned char>(text[size_max]))) --size_max;
  return text.substr(0, size_max);
}

}  // namespace parley::mqtt
