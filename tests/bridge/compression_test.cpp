#include "bridge/compression.hpp"

#include <gtest/gtest.h>
#include <zlib.h>

namespace parley::bridge {
namespace {

std::string inflate(const std::string& gzip) {
  z_stream stream{};
  EXPECT_EQ(inflateInit2(&stream, 15 + 16), Z_OK);
  std::string plain(1'000'000, '\0');
  std::string input = gzip;
  stream.next_in = reinterpret_cast<Bytef*>(input.data());
  stream.avail_in = static_cast<uInt>(input.size());
  stream.next_out = reinterpret_cast<Bytef*>(plain.data());
  stream.avail_out = static_cast<uInt>(plain.size());
  EXPECT_EQ(inflate(&stream, Z_FINISH), Z_STREAM_END);
  plain.resize(plain.size() - stream.avail_out);
  inflateEnd(&stream);
  return plain;
}

TEST(Gzip, IsUnderstoodByInflateAndUsableAgain) {
  Gzip gzip;
  for (const std::size_t size : {0U, 1U, 5'000U, 300'000U}) {
    const std::string plain(size, 'x');
    std::string body = plain;
    ASSERT_TRUE(gzip.compress(body));
    EXPECT_EQ(inflate(body), plain);
  }
}

TEST(Gzip, IsUsedOnlyWhereItIsAccepted) {  // RFC 9110 §12.5.3
  for (const auto* accepting :
       {"gzip", "deflate, gzip", "gzip;q=0.5", "GZIP", "br;q=1.0, gzip ;q=0.8", "gzip;q=0.01"}) {
    EXPECT_TRUE(accepts_gzip(accepting)) << accepting;
  }
  for (const auto* refusing : {"", "identity", "br", "gzip;q=0", "gzip; q=0.000", "x-gzip2", "deflate"}) {
    EXPECT_FALSE(accepts_gzip(refusing)) << refusing;
  }
}

}  // namespace
}  // namespace parley::bridge
