#include "broker/auth/identity.hpp"

#include <gtest/gtest.h>

#include "base/name.hpp"

namespace parley::auth {
namespace {

std::string repeated(std::string_view text, std::size_t count) {
  std::string all;
  for (; count > 0; --count) all += text;
  return all;
}

TEST(AnonymousUser, IsTheUserNameAsItStands) {
  for (const std::string_view name : {"ann", "Ann Lee", "a:b", "\xC3\xA9mile", "a$"}) {
    EXPECT_EQ(anonymous_user({.client_id = "device", .user_name = name}), name);
  }
  const std::string longest(kNameSizeMax, 'n');
  EXPECT_EQ(anonymous_user({.client_id = "device", .user_name = longest}), longest);
}

TEST(AnonymousUser, IsNobodyWithAnInvalidUserName) {
  for (const std::string_view name : {"a/b", "+", "a#", "$SYS", "a\x01", "a\x7F", "\n"}) {
    EXPECT_EQ(anonymous_user({.client_id = "device", .user_name = name}), std::nullopt) << name;
  }
  const std::string longer(kNameSizeMax + 1, 'n');
  EXPECT_EQ(anonymous_user({.client_id = "device", .user_name = longer}), std::nullopt);
}

TEST(AnonymousUser, IsMadeOfTheClientIdWithoutAUserName) {
  struct Case {
    std::string client_id;
    std::string user;
  };
  const Case kCases[] = {
      {"device", "device"},
      {"", "_"},
      {"a/b+c#d", "a_b_c_d"},
      {"$SYS", "_SYS"},
      {"a$b", "a$b"},
      {std::string("a\x01\x7F"), "a__"},
      {"\xC3\xA9", "\xC3\xA9"},
      {std::string(200, 'x'), std::string(128, 'x')},
      {"x" + repeated("\xC3\xA9", 100), "x" + repeated("\xC3\xA9", 63)},      // 127 bytes: half an é doesn't count.
      {repeated("\xE2\x82\xAC", 100), repeated("\xE2\x82\xAC", 42)},          // 126
      {repeated("\xF0\x9F\x98\x80", 100), repeated("\xF0\x9F\x98\x80", 32)},  // 128
      {repeated("\xF0\x9F\x98\x80", 32), repeated("\xF0\x9F\x98\x80", 32)},
  };
  for (const Case& one : kCases) {
    EXPECT_EQ(anonymous_user({.client_id = one.client_id}), one.user) << one.client_id;
    EXPECT_EQ(anonymous_user({.client_id = one.client_id, .user_name = ""}), one.user) << one.client_id;
    EXPECT_TRUE(is_name(one.user)) << one.client_id;
  }
}

}  // namespace
}  // namespace parley::auth
