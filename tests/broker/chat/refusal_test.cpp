#include "broker/chat/refusal.hpp"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace parley::chat {
namespace {

constexpr int kRefusals = static_cast<int>(Refusal::Unsupported) + 1;

TEST(Refusals, HaveARuleEachInTheOrderOfTheEnum) {
  for (int i = 0; i < kRefusals; ++i) EXPECT_EQ(static_cast<int>(rule_of(static_cast<Refusal>(i)).refusal), i);
  EXPECT_EQ(rule_of(Refusal::NotLeader).refusal, Refusal::NoMajority) << "clients needn't know of leaders";
  EXPECT_EQ(rule_of(Refusal::TooMany).word, "too-many");
  EXPECT_EQ(rule_of(Refusal::Rate).refusal, Refusal::Rate);
  EXPECT_EQ(rule_of(Refusal::Rate).word, "rate");
  EXPECT_EQ(rule_of(Refusal::Rate).reason, 0x97);
  EXPECT_ANY_THROW(rule_of(static_cast<Refusal>(kRefusals + 3)));
}

TEST(Refusals, HaveStableWordsAndSentences) {
  std::set<std::string_view> words;
  for (int i = 1; i < kRefusals; ++i) {
    const RefusalRule& rule = rule_of(static_cast<Refusal>(i));
    EXPECT_TRUE(words.insert(rule.word).second) << rule.word;
    EXPECT_FALSE(rule.word.empty());
    for (const char c : rule.word) EXPECT_TRUE((c >= 'a' && c <= 'z') || c == '-') << rule.word;
    ASSERT_FALSE(rule.message.empty());
    EXPECT_EQ(rule.message.back(), '.') << rule.message;
  }
}

TEST(Refusals, HaveReasonsThatPubackMayCarry) {
  const std::set<int> allowed{0x80, 0x83, 0x87, 0x90, 0x97, 0x99};  // MQTT 5 §3.4.2.1
  for (int i = 1; i < kRefusals; ++i) {
    EXPECT_TRUE(allowed.contains(rule_of(static_cast<Refusal>(i)).reason)) << rule_of(static_cast<Refusal>(i)).word;
  }
}

TEST(Refusals, SayWhenToTryAgainWhereItWillPass) {
  for (const Refusal passing :
       {Refusal::DiskFull, Refusal::StorageFailed, Refusal::Busy, Refusal::NoMajority, Refusal::Rate}) {
    EXPECT_GT(rule_of(passing).retry_after, 0U) << rule_of(passing).word;
  }
  for (const Refusal lasting :
       {Refusal::NotAuthorized, Refusal::InvalidTopic, Refusal::InvalidPayload, Refusal::InvalidId, Refusal::TooLarge,
        Refusal::BeyondHead, Refusal::OtherEpoch, Refusal::Unsupported}) {
    EXPECT_EQ(rule_of(lasting).retry_after, 0U) << rule_of(lasting).word;
  }
}

TEST(Refusals, TravelAsErrors) {
  const boost::system::error_code error = Refusal::DiskFull;
  EXPECT_TRUE(error);
  EXPECT_STREQ(error.category().name(), "chat");
  EXPECT_EQ(error.message(), rule_of(Refusal::DiskFull).message);
  EXPECT_FALSE(boost::system::error_code(Refusal::None));
}

}  // namespace
}  // namespace parley::chat
