#include "mqtt/message.hpp"

#include <gtest/gtest.h>

#include <chrono>

#include "tests/mqtt/notation.hpp"

namespace parley::mqtt {
namespace {

using namespace std::chrono_literals;

TEST(Message, KeepsItsParts) {
  std::string topic = "a/b";
  std::string payload = "hello";
  const std::string list = bytes("26 00 01 'k' 00 01 'v'");
  const Instant expires{5s};
  const auto message = Message::make({.topic = topic,
                                      .properties = list,
                                      .payload = payload,
                                      .qos = Qos::AtLeastOnce,
                                      .retain = true,
                                      .expires = expires,
                                      .publisher = 7});
  topic.assign("x");
  payload.assign("y");
  EXPECT_EQ(message->topic(), "a/b");
  EXPECT_EQ(message->properties(), list);
  EXPECT_EQ(message->payload(), "hello");
  EXPECT_EQ(message->qos(), Qos::AtLeastOnce);
  EXPECT_TRUE(message->retain());
  EXPECT_EQ(message->expires(), expires);
  EXPECT_EQ(message->publisher(), 7U);
  EXPECT_EQ(message->size(), 3 + list.size() + 5);
}

TEST(Message, MayBeEmpty) {
  const auto message = Message::make({});
  EXPECT_EQ(message->topic(), "");
  EXPECT_EQ(message->properties(), "");
  EXPECT_EQ(message->payload(), "");
  EXPECT_EQ(message->expires(), std::nullopt);
  EXPECT_EQ(message->size(), 0U);
}

TEST(Message, HoldsPayloadsOfAnySize) {
  for (const std::size_t size : {1U, 7U, 8U, 9U, 63U, 64U, 65U, 4'096U, 1'000'000U}) {
    const std::string payload(size, 'p');
    const auto message = Message::make({.topic = "t", .payload = payload});
    EXPECT_EQ(message->payload(), payload);
    EXPECT_EQ(message->topic(), "t");
  }
}

/// Publishers stand on disk, and nodes tell them to one another.
TEST(Publisher, IsAlwaysTheSameOfAClientId) {
  EXPECT_EQ(publisher_of("phone"), 0xECF2'5B1B'6A53'9257U);
  EXPECT_NE(publisher_of("phone"), publisher_of("phones"));
  EXPECT_NE(publisher_of(""), 0U);
}

TEST(Message, HasExpiredWhenItsIntervalHasPassed) {
  EXPECT_FALSE(Message::make({})->has_expired(Instant(9s)));
  const auto message = Message::make({.expires = Instant(5s)});
  EXPECT_FALSE(message->has_expired(Instant(5s) - 1ns));
  EXPECT_TRUE(message->has_expired(Instant(5s)));
  EXPECT_FALSE(Message::make({.expires = Instant(5s), .at_once = true})->has_expired(Instant(5s)));
}

TEST(ForwardedProperties, AreThoseThatReceiversGet) {
  std::string buffer;
  const auto kept = properties("01 01 03 00 01 't' 08 00 01 'r' 09 00 01 FF 26 00 01 'k' 00 01 'v' 26 00 01 'a' 00 00");
  EXPECT_EQ(forwarded_properties(kept, buffer).data(), kept.bytes().data());  // Nothing to leave out: nothing copied.
  const auto mixed = properties(
      "23 00 01 01 01 02 00 00 00 05 03 00 01 't' 0B 05 08 00 01 'r' 09 00 01 FF"
      "26 00 01 'k' 00 01 'v' 18 00 00 00 01 26 00 01 'a' 00 00");
  EXPECT_EQ(hex(forwarded_properties(mixed, buffer)), hex(kept.bytes()));
  EXPECT_EQ(forwarded_properties(properties("23 00 01"), buffer), "");
  EXPECT_EQ(forwarded_properties(Properties(), buffer), "");
}

}  // namespace
}  // namespace parley::mqtt
