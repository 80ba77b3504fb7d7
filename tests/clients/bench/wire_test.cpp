#include "clients/bench/wire.hpp"

#include <gtest/gtest.h>

#include <set>

#include "clients/bench/failure.hpp"
#include "mqtt/decode.hpp"

namespace parley::bench {
namespace {

constexpr mqtt::ProtocolVersion kVersions[] = {mqtt::ProtocolVersion::V3_1_1, mqtt::ProtocolVersion::V5};
constexpr mqtt::Qos kQualities[] = {mqtt::Qos::AtMostOnce, mqtt::Qos::AtLeastOnce, mqtt::Qos::ExactlyOnce};

std::string written(PublishTemplate& shape, mqtt::PacketId packet_id, const Stamp& stamp) {
  Output output;
  shape.append(output, packet_id, stamp);
  std::array<iovec, 64> pieces;
  std::string bytes;
  const std::size_t count = output.gather(pieces);
  for (std::size_t i = 0; i < count; ++i) bytes.append(static_cast<const char*>(pieces[i].iov_base), pieces[i].iov_len);
  return bytes;
}

mqtt::Frame frame_of(std::string_view bytes) {
  const auto frame = mqtt::next_frame(bytes, {});
  EXPECT_TRUE(frame && frame->has_value());
  return **frame;
}

Stamp stamp_of(std::uint32_t stream, std::uint64_t sequence) {
  return {.stream = stream, .sequence = sequence, .intended = Instant(Duration(123'456'789))};
}

TEST(PublishTemplate, WritesWhatTheStrictCodecReads) {
  for (const auto version : kVersions) {
    for (const auto qos : kQualities) {
      for (const std::size_t payload : {kStampSize, std::size_t{200}, std::size_t{20'000}}) {
        for (const bool message_id : {false, true}) {
          PublishTemplate shape({.topic = "chat/bench-7/msg",
                                 .qos = qos,
                                 .version = version,
                                 .payload_size = payload,
                                 .message_id = message_id});
          const std::string bytes = written(shape, 513, stamp_of(7, 42));
          ASSERT_EQ(bytes.size(), shape.size());
          const auto packet = mqtt::decode_publish(frame_of(bytes), version);
          ASSERT_TRUE(packet) << packet.error().message();
          EXPECT_EQ(packet->topic, "chat/bench-7/msg");
          EXPECT_EQ(packet->qos, qos);
          EXPECT_EQ(packet->payload.size(), payload);
          EXPECT_EQ(packet->packet_id, qos == mqtt::Qos::AtMostOnce ? 0 : 513);
          const auto stamp = read_stamp(packet->payload);
          ASSERT_TRUE(stamp);
          EXPECT_EQ(stamp->stream, 7U);
          EXPECT_EQ(stamp->sequence, 42U);
          EXPECT_EQ(stamp->intended, Instant(Duration(123'456'789)));
        }
      }
    }
  }
}

TEST(PublishTemplate, GivesEveryMessageItsOwnId) {
  PublishTemplate shape({.topic = "t", .qos = mqtt::Qos::AtLeastOnce, .message_id = true});
  std::set<std::string> ids;
  for (const auto& stamp : {stamp_of(0, 0), stamp_of(0, 1), stamp_of(1, 0), stamp_of(0, 1ULL << 40)}) {
    const std::string bytes = written(shape, 1, stamp);
    const auto packet = mqtt::decode_publish(frame_of(bytes), mqtt::ProtocolVersion::V5);
    ASSERT_TRUE(packet);
    const auto id = packet->properties.user("id");
    ASSERT_TRUE(id);
    ids.insert(std::string(*id));
  }
  EXPECT_EQ(ids.size(), 4U);
}

TEST(PublishTemplate, WritesRunStreamAndSequenceIntoTheId) {
  PublishTemplate shape({.topic = "t", .message_id = true, .run = 0xDEAD'BEEF});
  const std::string bytes = written(shape, 1, stamp_of(0x12, 0xABC));
  const auto packet = mqtt::decode_publish(frame_of(bytes), mqtt::ProtocolVersion::V5);
  ASSERT_TRUE(packet);
  EXPECT_EQ(packet->properties.user("id"),
            "deadbeef"
            "00000012"
            "0000000000000abc");
}

TEST(PublishTemplate, RefusesAPayloadWithoutRoomForItsStamp) {
  EXPECT_THROW(PublishTemplate({.topic = "t", .payload_size = kStampSize - 1}), Failure);
}

TEST(ReadDelivery, ReadsWhatTheTemplateWrites) {
  for (const auto version : kVersions) {
    for (const auto qos : kQualities) {
      PublishTemplate shape({.topic = "a/b", .qos = qos, .version = version, .message_id = true});
      const std::string bytes = written(shape, 9, stamp_of(1, 2));
      const auto delivery = read_delivery(frame_of(bytes), version);
      ASSERT_TRUE(delivery);
      EXPECT_EQ(delivery->qos, qos);
      EXPECT_EQ(delivery->payload.size(), 200U);
      EXPECT_FALSE(delivery->dup);
      EXPECT_EQ(delivery->packet_id, qos == mqtt::Qos::AtMostOnce ? 0 : 9);
    }
  }
}

TEST(ReadDelivery, FindsNothingInABodyThatEndsTooEarly) {
  PublishTemplate shape({.topic = "a/b", .qos = mqtt::Qos::AtLeastOnce, .message_id = true});
  const std::string bytes = written(shape, 9, stamp_of(1, 2));
  mqtt::Frame frame = frame_of(bytes);
  const std::string_view whole = frame.body;
  const std::size_t before_payload = whole.size() - 200;
  for (std::size_t size = 0; size < before_payload; ++size) {
    frame.body = whole.substr(0, size);
    EXPECT_FALSE(read_delivery(frame, mqtt::ProtocolVersion::V5)) << size;
  }
}

TEST(Stamp, IsNotFoundInForeignPayloads) {
  EXPECT_FALSE(read_stamp(""));
  EXPECT_FALSE(read_stamp("hello"));
  EXPECT_FALSE(read_stamp(std::string(200, 'x')));
}

}  // namespace
}  // namespace parley::bench
