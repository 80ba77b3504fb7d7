#include "broker/shard/stored_will.hpp"

#include <gtest/gtest.h>

#include "mqtt/properties.hpp"
#include "storage/format/error.hpp"

namespace parley::shard {
namespace {

using namespace std::chrono_literals;

session::WillPlan a_will() {
  mqtt::PropertyWriter properties;
  properties.user("a", "b");
  session::WillPlan will;
  will.message = mqtt::Message::make({.topic = "wills/x",
                                      .properties = properties.bytes(),
                                      .payload = "gone",
                                      .qos = mqtt::Qos::AtLeastOnce,
                                      .retain = true});
  will.delay = 10s;
  will.expiry_interval = 60;
  will.id = 7;
  return will;
}

/// As docs/formats/session.md shows it.
TEST(StoredWill, StandsBeforeTheState) {
  const std::string bytes = with_will(a_will(), "state");
  const std::string body("\0\0\0\0\0\0\0\7\0\0\0\x0A\0\0\0\x3C\5\0\7wills/x\0\0\0\7\x26\0\1a\0\1bgone", 41);
  EXPECT_EQ(bytes, std::string("\3\0\0\0\x29", 5) + body + "state");
}

TEST(StoredWill, ComesBackAsItWent) {
  const std::string bytes = with_will(a_will(), "state");
  const auto split = split_will(bytes);
  ASSERT_TRUE(split);
  EXPECT_EQ(split->state, "state");
  ASSERT_TRUE(split->will);
  EXPECT_EQ(split->will->id, 7U);
  EXPECT_EQ(split->will->delay, 10s);
  EXPECT_EQ(split->will->expiry_interval, 60U);
  EXPECT_EQ(split->will->message->topic(), "wills/x");
  EXPECT_EQ(split->will->message->payload(), "gone");
  EXPECT_EQ(split->will->message->qos(), mqtt::Qos::AtLeastOnce);
  EXPECT_TRUE(split->will->message->retain());
  EXPECT_EQ(with_will(*split->will, split->state), bytes);
  EXPECT_EQ(without_will(bytes), "state");
}

/// As docs/formats/session.md shows it.
TEST(StoredWill, HasItsIntervalOfZeroAmongTheProperties) {
  session::WillPlan will = a_will();
  will.expiry_interval = 0;
  const std::string bytes = with_will(will, "state");
  const std::string body("\0\0\0\0\0\0\0\7\0\0\0\x0A\0\0\0\0\5\0\7wills/x\0\0\0\x0C\2\0\0\0\0\x26\0\1a\0\1bgone", 46);
  EXPECT_EQ(bytes, std::string("\3\0\0\0\x2E", 5) + body + "state");
  const auto split = split_will(bytes);
  ASSERT_TRUE(split);
  EXPECT_EQ(split->will->expiry_interval, 0U);
  EXPECT_EQ(split->will->message->properties(), a_will().message->properties());
  EXPECT_EQ(with_will(*split->will, split->state), bytes);
  EXPECT_EQ(without_will(bytes), "state");
}

TEST(StoredWill, HasNoIntervalWhereTheFieldAloneIsZero) {
  session::WillPlan will = a_will();
  will.expiry_interval.reset();
  const std::string bytes = with_will(will, "state");
  EXPECT_EQ(bytes.size(), with_will(a_will(), "state").size());
  const auto split = split_will(bytes);
  ASSERT_TRUE(split);
  EXPECT_EQ(split->will->expiry_interval, std::nullopt);
  EXPECT_EQ(with_will(*split->will, split->state), bytes);
}

TEST(StoredWill, IsntThereInAStateAlone) {
  for (const std::string_view state :
       {std::string_view(), std::string_view("\1 state"), std::string_view("\2 moved")}) {
    const auto split = split_will(state);
    ASSERT_TRUE(split);
    EXPECT_FALSE(split->will);
    EXPECT_EQ(split->state, state);
    EXPECT_EQ(without_will(state), state);
  }
}

TEST(StoredWill, RefusesNonsense) {
  const std::string good = with_will(a_will(), "state");
  const std::size_t will_size = good.size() - 5 - 5;
  for (std::size_t size = 1; size < 5 + will_size; ++size) EXPECT_FALSE(split_will(good.substr(0, size))) << size;
  struct Case {
    std::string_view why;
    std::size_t at;
    char value;
  };
  for (const Case& one : {Case{"an id of 0", 12, 0}, Case{"QoS 3", 21, 3}, Case{"unknown bits", 21, 8},
                          Case{"a wildcard in the topic", 24, '#'}, Case{"an unknown property", 35, 0x7E},
                          Case{"a size beyond the bytes", 1, 1}}) {
    std::string bad = good;
    bad[one.at] = one.value;
    const auto split = split_will(bad);
    ASSERT_FALSE(split) << one.why;
    EXPECT_EQ(split.error(), make_error_code(StorageError::CorruptRecord)) << one.why;
  }
}

/// The interval stands in one way only.
TEST(StoredWill, RefusesAnIntervalThatStandsElsewhere) {
  const auto bytes = [](std::uint32_t interval, const std::string& properties) {
    session::WillPlan will = a_will();
    will.expiry_interval = interval == 0 ? std::nullopt : std::optional(interval);
    will.message = mqtt::Message::make({.topic = "wills/x", .properties = properties, .payload = "gone"});
    return with_will(will, "state");
  };
  const std::string zero("\2\0\0\0\0", 5);
  const std::string user("\x26\0\1a\0\1b", 7);
  EXPECT_TRUE(split_will(bytes(0, zero + user)));
  EXPECT_FALSE(split_will(bytes(60, zero + user))) << "beside another one";
  EXPECT_FALSE(split_will(bytes(0, user + zero))) << "not at the front";
  EXPECT_FALSE(split_will(bytes(0, zero + zero))) << "twice";
  EXPECT_FALSE(split_will(bytes(0, std::string("\2\0\0\0\1", 5)))) << "another interval";
}

}  // namespace
}  // namespace parley::shard
