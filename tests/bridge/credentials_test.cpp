#include "bridge/credentials.hpp"

#include <gtest/gtest.h>

namespace parley::bridge {
namespace {

TEST(BasicCredentials, AreUserAndPassword) {  // RFC 7617 §2
  const auto read = read_basic_credentials("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
  ASSERT_TRUE(read);
  EXPECT_EQ(read->user, "Aladdin");
  EXPECT_EQ(read->password, "open sesame");
}

TEST(BasicCredentials, MayHaveColonsInThePasswordAndNone) {
  EXPECT_EQ(read_basic_credentials("basic YTpiOmM=")->password, "b:c");
  EXPECT_EQ(read_basic_credentials("BASIC  YTo=")->user, "a");
}

TEST(BasicCredentials, AreRefusedWhenMalformed) {
  for (const auto* field : {"", "Basic", "Basic ", "Basic !!!", "Bearer YTo=", "Basic YQ==", "Basic /zo="}) {
    EXPECT_FALSE(read_basic_credentials(field)) << field;
  }
}

}  // namespace
}  // namespace parley::bridge
