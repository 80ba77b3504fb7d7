#include "mqtt/utf8.hpp"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "tests/mqtt/notation.hpp"

namespace parley::mqtt {
namespace {

/// The character as UTF-8 writes it with so many bytes, needed or not.
std::string written(std::uint32_t character, unsigned size) {
  std::string text;
  if (size == 1) return {static_cast<char>(character)};
  constexpr unsigned kLead[] = {0, 0, 0xC0, 0xE0, 0xF0};
  text.push_back(static_cast<char>(kLead[size] | character >> (6 * (size - 1))));
  for (unsigned i = size - 1; i-- > 0;) text.push_back(static_cast<char>(0x80 | (character >> (6 * i) & 0x3F)));
  return text;
}

unsigned shortest(std::uint32_t character) {
  return character < 0x80 ? 1 : character < 0x800 ? 2 : character < 0x1'0000 ? 3 : 4;
}

TEST(Utf8, HasEveryCharacterInItsShortestFormOnly) {
  for (std::uint32_t character = 0; character < 0x20'0000; character += character < 0x1'1000 ? 1 : 37) {
    const bool exists = character != 0 && !(character >= 0xD800 && character <= 0xDFFF) && character <= 0x10'FFFF;
    for (unsigned size = shortest(character); size <= 4; ++size) {
      const bool good = exists && size == shortest(character);
      ASSERT_EQ(is_mqtt_utf8(written(character, size)), good) << character << " in " << size << " bytes";
    }
  }
}

struct Case {
  std::string_view bytes;
  bool good;
};
constexpr Case kCases[] = {
    {"", true},
    {"'abcdefgh'", true},
    {"00", false},
    {"C0 80", false},        // U+0000 in two bytes
    {"E0 80 80", false},     // in three
    {"F0 80 80 80", false},  // in four
    {"C1 BF", false},        // U+007F in two
    {"E0 9F BF", false},     // U+07FF in three
    {"F0 8F BF BF", false},  // U+FFFF in four
    {"ED 9F BF", true},      // U+D7FF
    {"ED A0 80", false},     // U+D800
    {"ED BF BF", false},     // U+DFFF
    {"EE 80 80", true},      // U+E000
    {"EF BB BF", true},      // U+FEFF [MQTT-1.5.4-3]
    {"EF BF BF", true},      // U+FFFF
    {"F4 8F BF BF", true},   // U+10FFFF
    {"F4 90 80 80", false},  // U+110000
    {"F5 80 80 80", false},
    {"F8 88 80 80 80", false},
    {"FE", false},
    {"FF", false},
    {"80", false},
    {"BF", false},
    {"C3", false},
    {"E2 82", false},
    {"F0 9F 98", false},
    {"C3 28", false},
    {"E2 28 A1", false},
    {"E2 82 28", false},
    {"F0 28 8C BC", false},
    {"F0 9F 28 BC", false},
    {"F0 9F 98 28", false},
};

TEST(Utf8, KnowsTheUsualForgeries) {
  for (const Case& one : kCases) EXPECT_EQ(is_mqtt_utf8(bytes(one.bytes)), one.good) << one.bytes;
}

TEST(Utf8, SeesAForgeryWhereverItStands) {
  for (const Case& one : kCases) {
    for (std::size_t before = 0; before < 20; ++before) {
      for (std::size_t after = 0; after < 20; ++after) {
        const std::string text = std::string(before, 'x') + bytes(one.bytes) + std::string(after, 'y');
        ASSERT_EQ(is_mqtt_utf8(text), one.good) << one.bytes << " after " << before << " before " << after;
        ASSERT_EQ(is_mqtt_utf8_without_wildcards(text), one.good);
      }
    }
  }
}

TEST(Utf8, SeesAWildcardWhereverItStands) {
  for (std::size_t size = 1; size < 40; ++size) {
    for (std::size_t place = 0; place < size; ++place) {
      for (const char wildcard : {'+', '#'}) {
        std::string text(size, 'a');
        EXPECT_TRUE(is_mqtt_utf8_without_wildcards(text));
        text[place] = wildcard;
        EXPECT_FALSE(is_mqtt_utf8_without_wildcards(text)) << size << " " << place;
        EXPECT_TRUE(is_mqtt_utf8(text));
      }
    }
  }
}

/// One byte at a time, as the table of Unicode §3.9 reads.
bool naive(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto at = [&](std::size_t n) { return i + n < text.size() ? static_cast<unsigned char>(text[i + n]) : 0U; };
    const unsigned lead = at(0);
    const unsigned size = lead < 0x80 ? 1 : lead < 0xC0 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF8 ? 4 : 0;
    if (size == 0) return false;
    std::uint32_t character = size == 1 ? lead : lead & (0x7FU >> size);
    for (unsigned n = 1; n < size; ++n) {
      if ((at(n) & 0xC0) != 0x80) return false;
      character = character << 6 | (at(n) & 0x3F);
    }
    const bool exists = character != 0 && !(character >= 0xD800 && character <= 0xDFFF) && character <= 0x10'FFFF;
    if (!exists || shortest(character) != size) return false;
    i += size;
  }
  return true;
}

TEST(Utf8, AgreesWithOneByteAtATimeOnRandomBytes) {
  std::mt19937_64 random(1);
  constexpr unsigned char kPieces[] = {'a',  '/',  '+',  '#',  0,    0x7F, 0x80, 0xBF, 0xC2, 0xC3, 0xDF, 0xE0,
                                       0xA0, 0xED, 0x9F, 0xEF, 0xF0, 0x90, 0xF4, 0x8F, 0xFF, 'x',  'y',  'z'};
  for (int round = 0; round < 200'000; ++round) {
    std::string text;
    const std::size_t size = random() % 24;
    for (std::size_t i = 0; i < size; ++i) {
      text.push_back(random() % 3 != 0 ? 'a' : static_cast<char>(kPieces[random() % std::size(kPieces)]));
    }
    ASSERT_EQ(is_mqtt_utf8(text), naive(text)) << hex(text);
    ASSERT_EQ(is_mqtt_utf8_without_wildcards(text), naive(text) && text.find_first_of("+#") == text.npos) << hex(text);
  }
}

TEST(Utf8Prefix, EndsWithAWholeCharacter) {
  const std::string text = "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80z";  // a é € 😀 z
  constexpr std::size_t kEnds[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11, 11};
  for (std::size_t size = 0; size < std::size(kEnds); ++size) {
    EXPECT_EQ(utf8_prefix(text, size).size(), kEnds[size]) << size;
  }
  EXPECT_EQ(utf8_prefix("", 0), "");
}

}  // namespace
}  // namespace parley::mqtt
