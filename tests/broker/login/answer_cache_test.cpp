#include "broker/login/answer_cache.hpp"

#include <gtest/gtest.h>

namespace parley::login {
namespace {

using namespace std::chrono_literals;

shard::LoginAnswer answer_for(std::string user) {
  return {
      .verdict = shard::LoginAnswer::Verdict::Granted, .user = std::move(user), .data = {}, .exchange = {}, .why = {}};
}

TEST(AnswerCache, RemembersForAsLongAsItMay) {
  AnswerCache cache(10s);
  const Instant start{1h};
  cache.put("a", answer_for("ann"), start);
  EXPECT_EQ(cache.find("a", start + 9s)->user, "ann");
  EXPECT_FALSE(cache.find("a", start + 10s));
  EXPECT_FALSE(cache.find("b", start));
  cache.put("a", answer_for("anna"), start + 5s);
  cache.put("b", answer_for("bob"), start + 12s);
  EXPECT_EQ(cache.find("a", start + 14s)->user, "anna") << "the newer answer counts from when it came";
  cache.clear();
  EXPECT_FALSE(cache.find("b", start + 12s));
}

TEST(AnswerCache, RemembersNothingWhenItMayNot) {
  AnswerCache cache(0s);
  cache.put("a", answer_for("ann"), Instant{1h});
  EXPECT_FALSE(cache.find("a", Instant{1h}));
}

TEST(AnswerCache, IsBounded) {
  AnswerCache cache(1h);
  for (std::size_t i = 0; i < AnswerCache::kAnswersMax + 10; ++i) {
    cache.put(std::to_string(i), answer_for("ann"), Instant{1h} + std::chrono::milliseconds(i));
  }
  EXPECT_FALSE(cache.find("9", Instant{1h}));
  EXPECT_TRUE(cache.find("10", Instant{1h}));
}

}  // namespace
}  // namespace parley::login
