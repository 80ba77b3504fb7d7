#include "base/base64.hpp"

#include <array>
#include <cstdint>

namespace parley {
namespace {

constexpr std::string_view kCommon = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::uint8_t kInvalid = 0xFF;

using Values = std::array<std::uint8_t, 256>;

constexpr Values values_of(std::string_view last_two) {
  Values values{};
  for (auto& value : values) value = kInvalid;
  for (std::size_t i = 0; i < 64; ++i) {
    const char c = i < 62 ? kCommon[i] : last_two[i - 62];
    values[static_cast<unsigned char>(c)] = static_cast<std::uint8_t>(i);
  }
  return values;
}
constexpr Values kStandard = values_of("+/");
constexpr Values kUrl = values_of("-_");

/// `text` without padding. The bits left over at the end must be zero, so that each value has one spelling only.
std::optional<std::string> decode(std::string_view text, const Values& values) {
  if (text.size() % 4 == 1) return std::nullopt;
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3 + 2);
  std::uint32_t bits = 0;
  unsigned count = 0;
  for (const char c : text) {
    const std::uint8_t value = values[static_cast<unsigned char>(c)];
    if (value == kInvalid) return std::nullopt;
    bits = bits << 6 | value;
    count += 6;
    if (count < 8) continue;
    count -= 8;
    bytes.push_back(static_cast<char>(bits >> count & 0xFF));
  }
  if ((bits & ((1U << count) - 1)) != 0) return std::nullopt;
  return bytes;
}

}  // namespace

std::optional<std::string> decode_base64(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  for (int i = 0; i < 2 && text.ends_with('='); ++i) text.remove_suffix(1);
  return decode(text, kStandard);
}

std::optional<std::string> decode_base64url(std::string_view text) { return decode(text, kUrl); }

void append_base64(std::string& to, std::string_view bytes) {
  const std::size_t before = to.size();
  to.resize(before + (bytes.size() + 2) / 3 * 4, '=');
  char* out = to.data() + before;
  const auto* in = reinterpret_cast<const unsigned char*>(bytes.data());
  const auto put = [&out](std::uint32_t group, int characters) {
    for (int i = 0; i < characters; ++i) *out++ = kAlphabet[group >> (18 - 6 * i) & 63];
  };
  std::size_t left = bytes.size();
  for (; left >= 3; left -= 3, in += 3) put(std::uint32_t{in[0]} << 16 | std::uint32_t{in[1]} << 8 | in[2], 4);
  if (left == 2) put(std::uint32_t{in[0]} << 16 | std::uint32_t{in[1]} << 8, 3);
  if (left == 1) put(std::uint32_t{in[0]} << 16, 2);
}

void append_base64url(std::string& to, std::string_view bytes) {
  std::uint32_t bits = 0;
  unsigned count = 0;
  const auto put = [&to](std::uint32_t value) { to.push_back(value < 62 ? kCommon[value] : value == 62 ? '-' : '_'); };
  for (const char c : bytes) {
    bits = bits << 8 | static_cast<unsigned char>(c);
    count += 8;
    while (count >= 6) {
      count -= 6;
      put(bits >> count & 63);
    }
  }
  if (count != 0) put(bits << (6 - count) & 63);
}

}  // namespace parley
