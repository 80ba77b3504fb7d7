#include "broker/routing/retained_messages.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <set>

#include "mqtt/topic.hpp"
#include "tests/broker/routing/topics.hpp"

namespace parley::routing {
namespace {

using namespace std::chrono_literals;

constexpr Instant kNow{1000s};

mqtt::MessagePtr message(std::string_view topic, std::string_view payload,
                         std::optional<Instant> expires = std::nullopt) {
  return mqtt::Message::make({.topic = topic, .payload = payload, .retain = true, .expires = expires});
}

std::multiset<std::string> found(const RetainedMessages& retained, std::string_view filter, Instant now = kNow) {
  std::multiset<std::string> topics;
  retained.match(filter, now, [&](const mqtt::MessagePtr& one) { topics.insert(std::string(one->topic())); });
  return topics;
}

void sweep(RetainedMessages& retained, Instant now) {
  std::vector<std::uint64_t> numbers;
  EXPECT_TRUE(retained.sweep(now, 1'000, numbers));
}

TEST(RetainedMessages, AreReplacedAndRemoved) {
  RetainedMessages retained({});
  ASSERT_TRUE(retained.set(message("a/b", "one")));
  ASSERT_TRUE(retained.set(message("a/b", "three")));  // [MQTT-3.3.1-5]
  EXPECT_EQ(retained.size(), 1U);
  EXPECT_EQ(retained.bytes(), 8U);
  std::string payload;
  retained.match("a/b", kNow, [&](const mqtt::MessagePtr& one) { payload = one->payload(); });
  EXPECT_EQ(payload, "three");
  ASSERT_TRUE(retained.set(message("a/b", "")));  // [MQTT-3.3.1-6], [MQTT-3.3.1-7]
  EXPECT_EQ(retained.size(), 0U);
  EXPECT_EQ(retained.bytes(), 0U);
  EXPECT_TRUE(found(retained, "#").empty());
  ASSERT_TRUE(retained.set(message("never/there", "")));
  EXPECT_EQ(retained.size(), 0U);
}

/// Whatever the filter and wherever a piece ends, all pieces together are the whole.
TEST(RetainedMessages, ComeInPiecesOfAnySize) {
  RetainedMessages retained({});
  const std::vector<std::string> topics{"a", "a/b",   "a/b/c", "a/b-", "a/c",  "a//c", "/",   "/a",
                                        "b", "b/b/c", "ab",    "a-/b", "$x/a", "$x",   "a/$x"};
  for (const auto& topic : topics) ASSERT_TRUE(retained.set(message(topic, "x")));
  for (const auto* filter :
       {"#", "+", "a/#", "+/+", "+/b/#", "a/+/c", "a/b", "/+", "$x/#", "+/b/c", "none/#", "a/+/#"}) {
    const auto whole = found(retained, filter);
    for (std::size_t size = 1; size <= topics.size() + 1; ++size) {
      std::multiset<std::string> all;
      std::string behind;
      bool more = true;
      for (std::size_t pieces = 0; more && pieces <= topics.size(); ++pieces) {
        std::size_t left = size;
        more = !retained.match_some(filter, behind, kNow, [&](const mqtt::MessagePtr& one, std::uint64_t /*arrival*/) {
          if (left-- == 0) return false;
          behind = one->topic();
          all.insert(behind);
          return true;
        });
      }
      EXPECT_EQ(all, whole) << filter << " in pieces of " << size;
    }
  }
}

TEST(RetainedMessages, GoOnBehindATopicThatIsGone) {
  RetainedMessages retained({});
  for (const auto* topic : {"a", "a/b/c", "a/b/d", "a/c", "b"}) ASSERT_TRUE(retained.set(message(topic, "x")));
  const std::pair<std::string, std::multiset<std::string>> cases[] = {{"a/b", {"a/b/c", "a/b/d", "a/c", "b"}},
                                                                      {"a/b/cc/x", {"a/b/d", "a/c", "b"}},
                                                                      {"a/bb", {"a/c", "b"}},
                                                                      {"b/x", {}},
                                                                      {"A", {"a", "a/b/c", "a/b/d", "a/c", "b"}}};
  for (const auto& [behind, expected] : cases) {
    std::multiset<std::string> seen;
    retained.match_some("#", behind, kNow, [&](const mqtt::MessagePtr& one, std::uint64_t /*arrival*/) {
      seen.insert(std::string(one->topic()));
      return true;
    });
    EXPECT_EQ(seen, expected) << behind;
  }
}

TEST(RetainedMessages, KnowWhichOfThemCameLater) {
  RetainedMessages retained({});
  for (const auto* topic : {"a", "b"}) ASSERT_TRUE(retained.set(message(topic, "x")));
  const std::uint64_t then = retained.arrivals();
  for (const auto* topic : {"c", "a"}) ASSERT_TRUE(retained.set(message(topic, "y")));
  std::multiset<std::string> before;
  retained.match_some("#", {}, kNow, [&](const mqtt::MessagePtr& one, std::uint64_t arrival) {
    if (arrival <= then) before.insert(std::string(one->topic()));
    return true;
  });
  EXPECT_EQ(before, std::multiset<std::string>{"b"});
}

TEST(RetainedMessages, StayWhenOneAboveOrBelowGoes) {
  RetainedMessages retained({});
  for (const auto* topic : {"a", "a/b", "a/b/c", "a/d"}) ASSERT_TRUE(retained.set(message(topic, "x")));
  ASSERT_TRUE(retained.set(message("a/b", "")));
  EXPECT_EQ(found(retained, "#"), (std::multiset<std::string>{"a", "a/b/c", "a/d"}));
  ASSERT_TRUE(retained.set(message("a/b/c", "")));
  ASSERT_TRUE(retained.set(message("a", "")));
  EXPECT_EQ(found(retained, "#"), (std::multiset<std::string>{"a/d"}));
}

TEST(RetainedMessages, ExpireForReadersAtOnceAndForGoodWhenSwept) {
  RetainedMessages retained({});
  ASSERT_TRUE(retained.set(message("a/b", "x", kNow + 5s)));
  ASSERT_TRUE(retained.set(message("a/c", "x")));
  EXPECT_EQ(found(retained, "a/+", kNow + 4s).size(), 2U);
  EXPECT_EQ(found(retained, "a/+", kNow + 5s), (std::multiset<std::string>{"a/c"}));
  EXPECT_EQ(found(retained, "a/b", kNow + 5s).size(), 0U);
  EXPECT_EQ(retained.size(), 2U);
  sweep(retained, kNow + 4s);
  EXPECT_EQ(retained.size(), 2U);
  sweep(retained, kNow + 5s);
  EXPECT_EQ(retained.size(), 1U);
  EXPECT_EQ(retained.bytes(), 4U);
}

TEST(RetainedMessages, AreSweptInPiecesInOrderOfTheirEnds) {
  RetainedMessages retained({});
  for (std::uint64_t i = 1; i <= 5; ++i) {
    const std::string topic = "a/" + std::to_string(i);
    ASSERT_TRUE(retained.set(message(topic, "x", kNow + std::chrono::seconds(10 - i)), {}, i, nullptr));
  }
  std::vector<std::uint64_t> numbers;
  EXPECT_FALSE(retained.sweep(kNow + 9s, 2, numbers));
  EXPECT_EQ(numbers, (std::vector<std::uint64_t>{5, 4}));
  ASSERT_TRUE(retained.set(message("a/3", "y"), {}, 6, nullptr));  // Doesn't expire any more.
  EXPECT_TRUE(retained.sweep(kNow + 8s, 2, numbers));
  EXPECT_EQ(numbers, (std::vector<std::uint64_t>{5, 4, 2}));
  EXPECT_EQ(found(retained, "#", kNow), (std::multiset<std::string>{"a/1", "a/3"}));
}

TEST(RetainedMessages, KeepToTheirLimits) {
  RetainedMessages retained({.count_max = 2, .bytes_max = 10});
  const auto refused = [&](const mqtt::MessagePtr& one) {
    const auto result = retained.set(one);
    return !result && mqtt::reason_of(result.error()) == mqtt::ReasonCode::QuotaExceeded;
  };
  EXPECT_TRUE(refused(message("a", "0123456789")));
  EXPECT_FALSE(refused(message("a", "012345678")));
  EXPECT_TRUE(refused(message("b", "x")));
  EXPECT_FALSE(refused(message("a", "0")));
  EXPECT_TRUE(refused(message("a", "0123456789")));  // Replacing counts what goes.
  EXPECT_FALSE(refused(message("b/c", "x")));
  EXPECT_TRUE(refused(message("d", "x")));
  EXPECT_TRUE(refused(message("b", "x")));
  EXPECT_FALSE(refused(message("b/c", "yy")));
  EXPECT_EQ(found(retained, "#"), (std::multiset<std::string>{"a", "b/c"}));
  EXPECT_EQ(retained.size(), 2U);
  EXPECT_EQ(retained.bytes(), 2U + 5U);
}

TEST(RetainedMessages, KeepTheLatestStampInWhateverOrderTheyCome) {
  RetainedMessages retained({});
  RetainedMessages::Outcome outcome;
  const auto set = [&](std::string_view payload, std::uint64_t time, std::uint64_t node, std::uint64_t number) {
    EXPECT_TRUE(retained.set(message("a", payload), {time, {node}}, number, &outcome));
    return std::pair(outcome.older, outcome.replaced);
  };
  EXPECT_EQ(set("1", 5, 1, 100), std::pair(false, std::uint64_t{0}));
  EXPECT_EQ(set("2", 4, 9, 101), std::pair(true, std::uint64_t{0}));
  EXPECT_EQ(set("3", 5, 2, 102), std::pair(false, std::uint64_t{100}));
  EXPECT_EQ(set("", 5, 1, 0), std::pair(true, std::uint64_t{0}));
  std::vector<std::uint64_t> times;
  retained.for_each(kNow, [&](const mqtt::MessagePtr& one, const RetainStamp& stamp) {
    EXPECT_EQ(one->payload(), "3");
    times.push_back(stamp.time);
  });
  EXPECT_EQ(times, std::vector<std::uint64_t>{5});
  EXPECT_EQ(set("", 6, 1, 0), std::pair(false, std::uint64_t{102}));
  EXPECT_EQ(retained.size(), 0U);
}

TEST(RetainedMessages, RefuseTopicsThatAreTooDeep) {
  RetainedMessages retained({});
  const std::string deepest(mqtt::kFilterLevelsMax - 1, '/');
  EXPECT_TRUE(retained.set(message(deepest, "x")));
  EXPECT_FALSE(retained.set(message(deepest + "/", "x")));
  EXPECT_FALSE(retained.set(message(std::string(65'535, '/'), "x")));
  EXPECT_EQ(found(retained, "#").size(), 1U);
  EXPECT_EQ(found(retained, deepest).size(), 1U);
  sweep(retained, kNow);
  EXPECT_EQ(retained.size(), 1U);
}

TEST(RetainedMessages, AgreeWithAListOfTopics) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    Topics topics(seed);
    RetainedMessages retained({});
    std::map<std::string, std::optional<Instant>> naive;
    Instant now = kNow;
    for (int step = 0; step < 150; ++step) {
      now += std::chrono::seconds(topics.below(3));
      const std::string topic = topics.topic();
      if (topics.below(3) == 0) {
        ASSERT_TRUE(retained.set(message(topic, "")));
        naive.erase(topic);
      } else {
        std::optional<Instant> expires;
        if (topics.below(3) == 0) expires = now + std::chrono::seconds(topics.below(20));
        ASSERT_TRUE(retained.set(message(topic, "x", expires)));
        naive[topic] = expires;
      }
      if (topics.below(20) == 0) {
        sweep(retained, now);
        std::erase_if(naive, [&](const auto& one) { return one.second && *one.second <= now; });
        ASSERT_EQ(retained.size(), naive.size());
      }
      const std::string filter = topics.filter();
      std::multiset<std::string> expected;
      for (const auto& [one, expires] : naive) {
        if (mqtt::matches(filter, one) && (!expires || *expires > now)) expected.insert(one);
      }
      ASSERT_EQ(found(retained, filter, now), expected) << filter << ", seed " << seed;
    }
    for (const auto& [topic, expires] : naive) ASSERT_TRUE(retained.set(message(topic, "")));
    ASSERT_EQ(retained.size(), 0U);
    ASSERT_EQ(retained.bytes(), 0U);
  }
}

}  // namespace
}  // namespace parley::routing
