#include "broker/shard/plain_rows.hpp"

#include <gtest/gtest.h>

#include "storage/format/error.hpp"
#include "storage/format/sealed.hpp"

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

std::string hex(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    out.push_back(kDigits[static_cast<std::uint8_t>(c) >> 4]);
    out.push_back(kDigits[static_cast<std::uint8_t>(c) & 15]);
  }
  return out;
}

mqtt::MessagePtr published_by(std::uint64_t publisher) {
  return mqtt::Message::make({.topic = "a",
                              .properties = {},
                              .payload = "x",
                              .qos = mqtt::Qos::AtLeastOnce,
                              .retain = true,
                              .publisher = publisher});
}

/// docs/formats/plain.md. What stands behind the checksum.
TEST(PlainRows, GiveBackWhoHasPublishedARetainedMessage) {
  const routing::RetainStamp stamp{1, {9}};
  const std::string known = encode_retained(*published_by(0x1122'3344'5566'7788), stamp, kThen);
  EXPECT_EQ(hex(known.substr(4)),
            "02"
            "0000000000000001"
            "0000000000000009"
            "1122334455667788"
            "05"
            "0000000000000000"
            "0001"
            "61"
            "00000000"
            "0000000000000000"
            "0000"
            "00000000"
            "78");
  const auto read = decode_retained(known, kThen);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->message->publisher(), 0x1122'3344'5566'7788U);
  EXPECT_EQ(read->stamp, stamp);
  EXPECT_EQ(encode_retained(*read->message, read->stamp, kThen), known);
  for (std::size_t size = 0; size < known.size(); ++size) EXPECT_FALSE(decode_retained(known.substr(0, size), kThen));
}

/// As they were written before publishers were.
TEST(PlainRows, ReadOnRetainedMessagesWithoutAPublisher) {
  const std::string row = encode_retained(*published_by(0), {1, {9}}, kThen);
  EXPECT_EQ(hex(row.substr(4)),
            "01"
            "0000000000000001"
            "0000000000000009"
            "05"
            "0000000000000000"
            "0001"
            "61"
            "00000000"
            "0000000000000000"
            "0000"
            "00000000"
            "78");
  const auto read = decode_retained(row, kThen);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->message->publisher(), 0U);
  EXPECT_EQ(encode_retained(*read->message, read->stamp, kThen), row);
}

TEST(PlainRows, RefuseWhatIsNeverWritten) {
  const auto resealed = [](std::string row, std::size_t at, char value) {
    row[at] = value;
    format::seal(row.data(), row.size());
    return row;
  };
  const std::string retained = encode_retained(*published_by(1), {1, {9}}, kThen);
  EXPECT_FALSE(decode_retained(resealed(retained, 28, 0), kThen)) << "a publisher of 0";
  EXPECT_FALSE(decode_retained(resealed(retained, 4, 3), kThen)) << "another version";
  EXPECT_FALSE(decode_retained(resealed(retained, 29, 3), kThen)) << "QoS 3";
  EXPECT_FALSE(decode_retained(resealed(retained, 29, 9), kThen)) << "unknown bits";
  EXPECT_FALSE(decode_retained(resealed(retained, 30, 1), kThen)) << "an expiry beyond all intervals";
  const std::vector<PlainTarget> targets{{.queue = 7}};
  const std::string owed = encode_message(*published_by(1), targets, {}, kThen);
  EXPECT_TRUE(decode_message(owed, kThen));
  EXPECT_FALSE(decode_message(resealed(owed, 4, 2), kThen)) << "a version of retained messages only";
  const std::size_t bits = owed.size() - 1 - 2 - 1;
  EXPECT_FALSE(decode_message(resealed(owed, bits, 3), kThen)) << "a target with QoS 3";
  EXPECT_FALSE(decode_message(resealed(owed, bits, 0x11), kThen)) << "a target with unknown bits";
  EXPECT_FALSE(decode_outbound(resealed(encode_outbound({9, true}), 13, 2)));
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
