#include "base/name.hpp"

#include <gtest/gtest.h>

#include <string>

namespace parley {
namespace {

TEST(Names, AreTakenByTheRules) {
  for (const std::string_view good : {"a", "general", "dm:ann:bob", "two words", " ", "\xC3\xA9", "a$", "-", "."}) {
    EXPECT_TRUE(is_name(good)) << good;
  }
  for (const std::string_view bad : {"", "/", "a/b", "+", "#", "a#", "$a", "$", "a\n", "\t", "\x7F", "\x1F"})
    EXPECT_FALSE(is_name(bad)) << bad;
  EXPECT_FALSE(is_name(std::string_view("a\0b", 3)));
}

TEST(Names, HaveAtMost128Bytes) {
  EXPECT_TRUE(is_name(std::string(kNameSizeMax, 'n')));
  EXPECT_FALSE(is_name(std::string(kNameSizeMax + 1, 'n')));
}

TEST(NameCharacters, AreAllButSlashWildcardsAndControls) {
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    const bool bad = byte < 0x20 || byte == 0x7F || c == '/' || c == '+' || c == '#';
    EXPECT_EQ(is_name_character(c), !bad) << byte;
  }
}

}  // namespace
}  // namespace parley
