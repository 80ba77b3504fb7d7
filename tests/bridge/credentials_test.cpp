#include "bridge/credentials.hpp"

#include <gtest/gtest.h>

namespace parley::bridge {
namespace {

TEST(Credentials, AreUserAndPassword) {  // RFC 7617 §2
  const auto read = read_credentials("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
  ASSERT_TRUE(read);
  EXPECT_EQ(read->user, "Aladdin");
  EXPECT_EQ(read->password, "open sesame");
}

TEST(Credentials, MayHaveColonsInThePasswordAndNone) {
  EXPECT_EQ(read_credentials("basic YTpiOmM=")->password, "b:c");
  EXPECT_EQ(read_credentials("BASIC  YTo=")->user, "a");
  EXPECT_EQ(read_credentials("BASIC  YTo=")->password, std::nullopt);
}

TEST(Credentials, MayBeAToken) {  // RFC 6750 §2.1
  const auto read = read_credentials("bearer  aA1-._~+/=");
  ASSERT_TRUE(read);
  EXPECT_EQ(read->user, "");
  EXPECT_EQ(read->password, "aA1-._~+/=");
}

TEST(Credentials, AreRefusedWhenMalformed) {
  for (const auto* field : {"", "Basic", "Basic ", "Basic !!!", "Bearer", "Bearer ", "Bearer a b", "Bearer a\"",
                            "Token a", "BearerYTo=", "Basic YQ==", "Basic /zo="}) {
    EXPECT_FALSE(read_credentials(field)) << field;
  }
}

TEST(Credentials, HaveAKeyOfTheirOwn) {
  const Credentials named{.user = "ann", .password = std::nullopt};
  const Credentials empty{.user = "ann", .password = ""};
  const Credentials with{.user = "ann", .password = "p"};
  EXPECT_NE(named.key(), empty.key());
  EXPECT_NE(empty.key(), with.key());
}

}  // namespace
}  // namespace parley::bridge
