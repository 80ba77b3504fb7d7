#include "storage/format/checksum.hpp"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace parley::format {
namespace {

TEST(Checksum, MatchesThePublishedVectors) {
  std::string ascending(32, '\0');
  std::string descending(32, '\0');
  for (int i = 0; i < 32; ++i) {
    ascending[static_cast<std::size_t>(i)] = static_cast<char>(i);
    descending[static_cast<std::size_t>(i)] = static_cast<char>(31 - i);
  }
  const struct {
    std::string bytes;
    std::uint32_t checksum;
  } cases[] = {
      {"", 0x0000'0000},
      {"123456789", 0xE306'9283},
      {std::string(32, '\0'), 0x8A91'36AA},  // RFC 3720 appendix B.4, as are the next three.
      {std::string(32, '\xFF'), 0x62A8'AB43},
      {ascending, 0x46DD'794E},
      {descending, 0x113F'DB5C},
  };
  for (const auto& one : cases) {
    EXPECT_EQ(crc32c(one.bytes), one.checksum) << one.bytes.size();
    EXPECT_EQ(crc32c_by_table(one.bytes), one.checksum) << one.bytes.size();
  }
}

TEST(Checksum, IsTheSameWithAndWithoutTheInstruction) {
  std::mt19937_64 random(1);
  for (std::size_t size = 0; size < 300; ++size) {
    std::string bytes(size, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    EXPECT_EQ(crc32c(bytes), crc32c_by_table(bytes)) << size;
  }
}

}  // namespace
}  // namespace parley::format
