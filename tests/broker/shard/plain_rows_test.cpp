#include "broker/shard/plain_rows.hpp"

#include <gtest/gtest.h>

#include "storage/format/error.hpp"

namespace parley::shard {
namespace {

using namespace std::chrono_literals;

constexpr Moment kThen{Instant(100s), Timestamp{1'000'000}};

mqtt::MessagePtr message(std::optional<Instant> expires = std::nullopt) {
  const std::string properties("\x03\x00\x01t", 4);
  return mqtt::Message::make({.topic = "a/b",
                              .properties = properties,
                              .payload = "payload",
                              .qos = mqtt::Qos::ExactlyOnce,
                              .retain = true,
                              .expires = expires});
}

TEST(PlainRows, GiveBackAMessageAndWhoIsOwedIt) {
  const std::vector<PlainTarget> targets{
      {.queue = 7, .qos = mqtt::Qos::AtLeastOnce, .retain = true, .subscription_ids = {1, 300}},
      {.queue = 9, .qos = mqtt::Qos::ExactlyOnce, .share = std::make_shared<const std::string>("$share/g/a/+")}};
  const auto row = decode_message(encode_message(*message(), targets, {5, 17}, kThen), kThen);
  ASSERT_TRUE(row);
  EXPECT_EQ(row->message->topic(), "a/b");
  EXPECT_EQ(row->message->properties(), message()->properties());
  EXPECT_EQ(row->message->payload(), "payload");
  EXPECT_EQ(row->message->qos(), mqtt::Qos::ExactlyOnce);
  EXPECT_TRUE(row->message->retain());
  EXPECT_FALSE(row->message->expires());
  EXPECT_EQ(row->origin, (PlainOrigin{5, 17}));
  ASSERT_EQ(row->targets.size(), 2U);
  EXPECT_EQ(row->targets[0].queue, 7U);
  EXPECT_EQ(row->targets[0].subscription_ids, (std::vector<std::uint32_t>{1, 300}));
  EXPECT_TRUE(row->targets[0].retain);
  EXPECT_EQ(row->targets[0].share, nullptr);
  EXPECT_EQ(row->targets[1].qos, mqtt::Qos::ExactlyOnce);
  EXPECT_EQ(*row->targets[1].share, "$share/g/a/+");
}

TEST(PlainRows, GiveBackARetainedMessageWithItsStamp) {
  const routing::RetainStamp stamp{1'234'567, {9}};
  const std::string row = encode_retained(*message(Instant(160s)), stamp, kThen);
  const auto read = decode_retained(row, kThen);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->stamp, stamp);
  EXPECT_EQ(read->message->topic(), "a/b");
  EXPECT_EQ(read->message->payload(), "payload");
  EXPECT_EQ(read->message->expires(), Instant(160s));
  for (std::size_t size = 0; size < row.size(); ++size)
    EXPECT_FALSE(decode_retained(row.substr(0, size), kThen)) << size;
}

TEST(PlainRows, CountTimeOnTheWallWhileNobodyRuns) {
  const std::string row = encode_message(*message(Instant(160s)), {}, {}, kThen);
  const Moment later{Instant(5s), Timestamp{1'020'000}};  // Another start of the machine, 20 seconds on.
  EXPECT_EQ(*decode_message(row, later)->message->expires(), Instant(45s));
  const Moment too_late{Instant(5s), Timestamp{2'000'000}};
  EXPECT_LT(*decode_message(row, too_late)->message->expires(), too_late.now);
}

TEST(PlainRows, RefuseWhatIsCutOrChanged) {
  const std::vector<PlainTarget> targets{{.queue = 7, .subscription_ids = {1}}};
  const std::string row = encode_message(*message(), targets, {}, kThen);
  for (std::size_t size = 0; size < row.size(); ++size)
    EXPECT_FALSE(decode_message(row.substr(0, size), kThen)) << size;
  for (std::size_t at = 0; at < row.size(); ++at) {
    std::string changed = row;
    changed[at] = static_cast<char>(changed[at] ^ 0x10);
    EXPECT_FALSE(decode_message(changed, kThen)) << at;
  }
}

TEST(PlainRows, GiveBackQueuesAndFlows) {
  const auto queue = decode_queue(encode_queue({42, "client"}));
  ASSERT_TRUE(queue);
  EXPECT_EQ(queue->settled, 42U);
  EXPECT_EQ(queue->client_id, "client");
  EXPECT_FALSE(decode_queue(encode_queue({42, ""})));
  for (const bool received : {false, true}) {
    const auto flow = decode_outbound(encode_outbound({9, received}));
    ASSERT_TRUE(flow);
    EXPECT_EQ(flow->number, 9U);
    EXPECT_EQ(flow->received, received);
  }
  EXPECT_EQ(number_of_key(flow_key(77, 513)), 77U);
  EXPECT_EQ(id_of_key(flow_key(77, 513)), 513U);
}

}  // namespace
}  // namespace parley::shard
