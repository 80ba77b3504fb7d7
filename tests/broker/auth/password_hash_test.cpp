#include "broker/auth/password_hash.hpp"

#include <gtest/gtest.h>

namespace parley::auth {
namespace {

constexpr PasswordCost kCheap{.memory_kib = 64, .passes = 1, .lanes = 1};
constexpr std::string_view kSalt = "0123456789abcdef";

TEST(PasswordHash, IsMadeAndChecked) {
  const auto hash = hash_password("secret", kSalt, kCheap);
  ASSERT_TRUE(hash);
  EXPECT_TRUE(hash->starts_with("$argon2id$v=19$m=64,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$")) << *hash;
  EXPECT_EQ(cost_of(*hash), kCheap);
  EXPECT_TRUE(is_password("secret", *hash));
  for (const std::string_view wrong : {"", "Secret", "secret ", "secre"}) EXPECT_FALSE(is_password(wrong, *hash));
}

TEST(PasswordHash, TakesAnyBytes) {
  const std::string_view password("a\0b\xFF", 4);
  const auto hash = hash_password(password, kSalt, kCheap);
  ASSERT_TRUE(hash);
  EXPECT_TRUE(is_password(password, *hash));
  EXPECT_FALSE(is_password("a", *hash));
}

TEST(PasswordHash, HasALimitToItsCost) {
  EXPECT_FALSE(hash_password("secret", kSalt, {.memory_kib = 7}));
  EXPECT_FALSE(hash_password("secret", kSalt, {.memory_kib = kPasswordCostMax.memory_kib + 1}));
  EXPECT_FALSE(hash_password("secret", kSalt, {.passes = 0}));
  EXPECT_FALSE(hash_password("secret", kSalt, {.lanes = kPasswordCostMax.lanes + 1}));
  EXPECT_FALSE(hash_password("secret", "short", kCheap));
}

TEST(PasswordHash, IsNothingElse) {
  constexpr std::string_view kHash = "$MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZg";
  EXPECT_TRUE(cost_of("$argon2id$v=19$m=64,t=1,p=1" + std::string(kHash)));
  for (const std::string_view head :
       {"$argon2i$v=19$m=64,t=1,p=1", "$argon2d$v=19$m=64,t=1,p=1", "$argon2id$v=16$m=64,t=1,p=1",
        "$argon2id$m=64,t=1,p=1", "$argon2id$v=19$m=064,t=1,p=1", "$argon2id$v=19$m=64,t=0,p=1",
        "$argon2id$v=19$m=99999999999,t=1,p=1", "$argon2id$v=19$m=4000000,t=1,p=1", "$argon2id$v=19$m=64,t=1,p=9",
        ""}) {
    const std::string hash = std::string(head).append(kHash);
    EXPECT_FALSE(cost_of(hash)) << hash;
    EXPECT_FALSE(is_password("", hash)) << hash;
  }
  for (const std::string_view tail :
       {"", "$", "$$", "$MDEyMzQ1Njc4OWFiY2RlZg", "$MDEyMzQ1Njc4OWFiY2RlZg$",
        "$MDEyMzQ1Njc4OWFiY2RlZg$MDEy MzQ1Njc4OWFiY2RlZg", "$MDEy$MDEyMzQ1Njc4OWFiY2RlZg"}) {
    EXPECT_FALSE(cost_of("$argon2id$v=19$m=64,t=1,p=1" + std::string(tail))) << tail;
  }
}

}  // namespace
}  // namespace parley::auth
