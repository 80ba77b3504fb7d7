#include "base/base64.hpp"

#include <gtest/gtest.h>

namespace parley {
namespace {

TEST(Base64, DecodesTheVectorsOfTheRfc) {  // RFC 4648 §10
  EXPECT_EQ(decode_base64(""), "");
  EXPECT_EQ(decode_base64("Zg=="), "f");
  EXPECT_EQ(decode_base64("Zm8="), "fo");
  EXPECT_EQ(decode_base64("Zm9v"), "foo");
  EXPECT_EQ(decode_base64("Zm9vYg=="), "foob");
  EXPECT_EQ(decode_base64("Zm9vYmE="), "fooba");
  EXPECT_EQ(decode_base64("Zm9vYmFy"), "foobar");
}

TEST(Base64, RefusesWhatIsMalformed) {
  for (const auto* text : {"Z", "Zg", "Zg=", "Zg===", "Z===", "====", "Zm9v\n", "Zm-v", "Zh==", "Zm9=", "Zg==Zg=="}) {
    EXPECT_EQ(decode_base64(text), std::nullopt) << text;
  }
}

TEST(Base64, ReadsBackWhatTheEncodersWrite) {
  std::string bytes;
  for (int i = 0; i < 300; ++i) {
    std::string standard;
    append_base64(standard, bytes);
    EXPECT_EQ(decode_base64(standard), bytes);
    std::string url;
    append_base64url(url, bytes);
    EXPECT_EQ(decode_base64url(url), bytes);
    bytes.push_back(static_cast<char>(i * 37));
  }
}

}  // namespace
}  // namespace parley
