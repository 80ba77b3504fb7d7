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

TEST(Credentials, NameSomebodyWhomNobodyHasChecked) {
  const auto of_token = [](std::string_view token) {
    return claimed_user({.user = {}, .password = std::string(token)}, "sub");
  };
  EXPECT_EQ(claimed_user({.user = "ann", .password = "p"}, "sub"), "ann");
  EXPECT_EQ(claimed_user({.user = {}, .password = {}}, "sub"), "");
  EXPECT_EQ(of_token("e30.eyJzdWIiOiJjYXJsIn0.x"), "carl") << R"({"sub":"carl"})";
  EXPECT_EQ(claimed_user({.user = {}, .password = "e30.eyJ1IjoiYW5uIn0.x"}, "u"), "ann") << R"({"u":"ann"})";
  for (const auto* token : {"", "opaque", "a.b", "a.b.c", "e30.!!.x", "e30.e30.x", "e30.W10.x", "e30.eyJzdWIiOjF9.x"}) {
    EXPECT_EQ(of_token(token), "") << token;
  }
}

}  // namespace
}  // namespace parley::bridge
