#include "bridge/problem.hpp"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <set>

#include "broker/chat/refusal.hpp"

namespace parley::bridge {
namespace {

TEST(Problems, HaveEachTheirOwnCode) {
  std::set<std::string_view> codes;
  for (const auto& rule : problems()) {
    EXPECT_TRUE(codes.insert(rule.code).second) << rule.code;
    EXPECT_GE(rule.status, 400U);
    EXPECT_LT(rule.status, 600U);
  }
}

TEST(Problems, KnowEveryWordWithWhichABrokerRefusesASend) {
  for (int i = 1;; ++i) {
    const auto& rule = chat::rule_of(static_cast<chat::Refusal>(i));
    const auto problem = problem_of_word(rule.word);
    EXPECT_EQ(rule_of(problem).code, rule.word);
    EXPECT_EQ(rule_of(problem).retry_after != 0, rule.retry_after != 0) << rule.word;
    if (rule.refusal == chat::Refusal::Unsupported) break;
  }
  EXPECT_EQ(problem_of_word("something-new"), Problem::BrokerFailed);
}

TEST(Problems, AreJsonWithTheMembersOfTheRfc) {  // RFC 9457 §3.1
  std::string text;
  append_problem(text, parameter_problem("limit", "limit is \"a\" number."));
  const auto value = boost::json::parse(text);
  EXPECT_EQ(value.at("type").as_string(), "urn:parley:problem:invalid-parameter");
  EXPECT_EQ(value.at("status").as_int64(), 400);
  EXPECT_EQ(value.at("code").as_string(), "invalid-parameter");
  EXPECT_EQ(value.at("parameter").as_string(), "limit");
  EXPECT_EQ(value.at("detail").as_string(), "limit is \"a\" number.");
}

}  // namespace
}  // namespace parley::bridge
