#include "storage/format/keyed_hash.hpp"

#include <gtest/gtest.h>

#include <string>

namespace parley::format {
namespace {

// SipHash paper, appendix A, and the authors' reference vectors for the input 00 01 02 …
TEST(KeyedHash, MatchesThePublishedVectors) {
  constexpr HashKey kKey{0x0706'0504'0302'0100, 0x0f0e'0d0c'0b0a'0908};
  std::string bytes;
  for (char i = 0; i < 15; ++i) bytes.push_back(i);
  EXPECT_EQ(keyed_hash(kKey, ""), 0x726f'db47'dd0e'0e31);
  EXPECT_EQ(keyed_hash(kKey, bytes.substr(0, 1)), 0x74f8'39c5'93dc'67fd);
  EXPECT_EQ(keyed_hash(kKey, bytes.substr(0, 8)), 0x93f5'f579'9a93'2462);
  EXPECT_EQ(keyed_hash(kKey, bytes), 0xa129'ca61'49be'45e5);
}

TEST(KeyedHash, DependsOnBothHalvesOfTheKey) {
  EXPECT_NE(keyed_hash({1, 2}, "x"), keyed_hash({1, 3}, "x"));
  EXPECT_NE(keyed_hash({1, 2}, "x"), keyed_hash({2, 2}, "x"));
}

}  // namespace
}  // namespace parley::format
