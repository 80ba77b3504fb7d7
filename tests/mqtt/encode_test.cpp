#include "mqtt/encode.hpp"

#include <gtest/gtest.h>

#include <deque>
#include <random>
#include <string>
#include <vector>

#include "tests/mqtt/notation.hpp"

namespace parley::mqtt {
namespace {

using enum ProtocolVersion;
using enum ReasonCode;

// -- Toward 3.x --

TEST(Encoder, GivesOldClientsTheNearestReturnCode) {
  // 3.1.1 §3.2.2.3, table 3.1.
  for (unsigned value = 0; value < 256; ++value) {
    const auto reason = static_cast<ReasonCode>(value);
    if (!may_carry(PacketType::Connack, reason)) continue;
    int expected = 3;
    if (reason == Success) expected = 0;
    if (reason == UnsupportedProtocolVersion) expected = 1;
    if (reason == ClientIdentifierNotValid) expected = 2;
    if (reason == BadUserNameOrPassword || reason == BadAuthenticationMethod) expected = 4;
    if (reason == NotAuthorized || reason == Banned) expected = 5;
    for (const ProtocolVersion version : {V3_1, V3_1_1}) {
      EXPECT_EQ(encoded(Connack{.reason = reason}, version), (std::string{0x20, 2, 0, static_cast<char>(expected)}));
    }
  }
}

TEST(Encoder, TellsVersion31NothingOfSessions) {
  EXPECT_EQ(encoded(Connack{.session_present = true}, V3_1), bytes("20 02 00 00"));
}

TEST(Encoder, GivesOldClientsNoReasonsAndProperties) {
  const auto list = properties("1F 00 01 'x'");
  for (const ProtocolVersion version : {V3_1, V3_1_1}) {
    EXPECT_EQ(
        encoded(Ack{.type = PacketType::Puback, .packet_id = 1, .reason = QuotaExceeded, .properties = list}, version),
        bytes("40 02 00 01"));
    EXPECT_EQ(encoded(Suback{.packet_id = 1, .properties = list, .reasons = {GrantedQos1, NotAuthorized}}, version),
              bytes("90 04 00 01 01 80"));
    EXPECT_EQ(encoded(Unsuback{.packet_id = 1, .properties = list, .reasons = {Success}}, version),
              bytes("B0 02 00 01"));
    EXPECT_EQ(encoded(Disconnect{.reason = ServerBusy, .properties = list}, version), bytes("E0 00"));
    EXPECT_EQ(encoded(Publish{.topic = "a", .properties = list, .payload = "p"}, version), bytes("30 04 00 01 'ap'"));
    EXPECT_EQ(encoded(Auth{}, version), "");
    EXPECT_EQ(encoded_size(Auth{}, version), 0U);
  }
}

// -- Sizes --

TEST(Encoder, WritesEveryWidthOfRemainingLength) {
  for (const std::size_t payload :
       {0U, 100U, 123U, 124U, 125U, 16'378U, 16'379U, 16'380U, 16'381U, 2'097'146U, 2'097'148U, 2'097'149U}) {
    const std::string text(payload, 'x');
    const Publish packet{.topic = "a", .payload = text};
    const std::string wire = encoded(packet, V5);
    EXPECT_EQ(wire.size(), encoded_size(packet, V5));
    const auto back = decoded(wire, V5);
    ASSERT_TRUE(back) << payload;
    EXPECT_EQ(std::get<Publish>(*back).payload, text);
  }
}

TEST(Encoder, CutsStringsThatNoPacketCanHold) {
  const std::string text(70'000, 'x');
  const Connect packet{.version = V5, .user_name = text};
  const std::string wire = encoded(packet, V5);
  EXPECT_EQ(wire.size(), encoded_size(packet, V5));
  const auto back = decoded(wire, V5);
  ASSERT_TRUE(back);
  EXPECT_EQ(std::get<Connect>(*back).user_name, std::string(65'535, 'x'));
}

// -- Deliveries --

std::string delivered(const Message& message, const Delivery& delivery) {
  Output output;
  encode_delivery(output, message, delivery);
  const std::string wire = content(output);
  EXPECT_EQ(wire.size(), delivery_size(message, delivery));
  return wire;
}

TEST(Delivery, IsAPublishWithTheReceiversOwnProperties) {
  const auto list = bytes("26 00 01 'k' 00 01 'v'");
  const auto message = Message::make({.topic = "a/b", .properties = list, .payload = "hey"});
  const std::uint32_t ids[] = {5, 128};
  EXPECT_EQ(hex(delivered(*message, {})), hex(bytes("30 10 00 03 'a/b' 07 26 00 01 'k' 00 01 'v' 'hey'")));
  EXPECT_EQ(hex(delivered(*message, {.version = V3_1_1})), hex(bytes("30 08 00 03 'a/bhey'")));
  EXPECT_EQ(
      hex(delivered(*message, {.version = V3_1, .dup = true, .qos = Qos::AtLeastOnce, .retain = true, .packet_id = 9})),
      hex(bytes("3B 0A 00 03 'a/b' 00 09 'hey'")));
  EXPECT_EQ(hex(delivered(*message, {.dup = true,
                                     .qos = Qos::ExactlyOnce,
                                     .packet_id = 258,
                                     .topic_alias = 3,
                                     .topic_in_full = false,
                                     .expiry_left = 60,
                                     .subscription_ids = ids})),
            hex(bytes("3C 1C 00 00 01 02 14 23 00 03 02 00 00 00 3C 0B 05 0B 80 01 26 00 01 'k' 00 01 'v' 'hey'")));
  EXPECT_EQ(hex(delivered(*message, {.topic_alias = 3})),
            hex(bytes("30 13 00 03 'a/b' 0A 23 00 03 26 00 01 'k' 00 01 'v' 'hey'")));
}

TEST(Delivery, ReadsBackWhateverItsSize) {
  for (const std::size_t size : {0U, 1U, 120U, 8'000U, 8'180U, 8'192U, 20'000U, 3'000'000U}) {
    const std::string payload(size, 'p');
    const auto message = Message::make({.topic = "topic", .payload = payload});
    const std::string wire = delivered(*message, {.qos = Qos::AtLeastOnce, .packet_id = 1});
    const auto back = decoded(wire, V5);
    ASSERT_TRUE(back) << size;
    EXPECT_EQ(std::get<Publish>(*back).payload, payload);
  }
}

TEST(Delivery, FollowsOthersInOneOutput) {
  Output output;
  std::string expected;
  for (std::size_t i = 0; i < 2'000; ++i) {
    const std::string payload(i % 97 * 13, static_cast<char>('a' + i % 26));
    const auto message = Message::make({.topic = "t", .payload = payload});
    encode_delivery(output, *message, {.version = V3_1_1});
    expected += encoded(Publish{.topic = "t", .payload = payload}, V3_1_1);
  }
  EXPECT_EQ(output.size(), expected.size());
  EXPECT_EQ(content(output), expected);
}

// -- Round trips of made-up packets --

/// Packets from a seed; what they view lives as long as this.
class Maker {
 public:
  explicit Maker(std::uint64_t seed) : random_(seed) {}

  Packet packet(ProtocolVersion version) {
    switch (below(version == V5 ? 12 : 11)) {
      case 0: return connect(version);
      case 1:
        return Connack{.session_present = version != V3_1 && below(2) == 0,
                       .properties = list(version, PropertyPlace::Connack)};
      case 2: return publish(version);
      case 3: return ack(version);
      case 4: return subscribe(version);
      case 5:
        return Suback{.packet_id = id(),
                      .properties = list(version, PropertyPlace::Suback),
                      .reasons = {GrantedQos2, UnspecifiedError}};
      case 6:
        return Unsubscribe{.packet_id = id(),
                           .properties = list(version, PropertyPlace::Unsubscribe),
                           .filters = {text(8, true), "#"}};
      case 7:
        return version == V5 ? Unsuback{.packet_id = id(),
                                        .properties = list(version, PropertyPlace::Unsuback),
                                        .reasons = {NoSubscriptionExisted}}
                             : Unsuback{.packet_id = id()};
      case 8: return Pingreq{};
      case 9: return Pingresp{};
      case 10:
        return version == V5 ? Disconnect{.reason = ServerBusy, .properties = list(version, PropertyPlace::Disconnect)}
                             : Disconnect{};
      default: {
        PropertyWriter writer;
        writer.text(PropertyId::AuthenticationMethod, "m").text(PropertyId::AuthenticationData, text(20, false));
        return Auth{.reason = ContinueAuthentication,
                    .properties = Properties::trusted(keep(std::move(writer).take()))};
      }
    }
  }

 private:
  std::uint64_t below(std::uint64_t bound) { return random_() % bound; }
  PacketId id() { return static_cast<PacketId>(1 + below(65'535)); }
  Qos qos() { return static_cast<Qos>(below(3)); }
  std::string_view keep(std::string text) { return kept_.emplace_back(std::move(text)); }
  std::string_view text(std::size_t size_max, bool filled) {
    std::string made;
    for (std::uint64_t left = below(size_max) + (filled ? 1 : 0); left > 0; --left) {
      made += below(9) == 0 ? "\xC3\xA9" : std::string(1, static_cast<char>('a' + below(26)));
    }
    return keep(std::move(made));
  }

  Properties list(ProtocolVersion version, PropertyPlace place) {
    if (version != V5) return {};
    PropertyWriter writer;
    for (std::uint64_t left = below(3); left > 0; --left) writer.user(text(9, false), text(200, false));
    if (place == PropertyPlace::Publish || place == PropertyPlace::Will) {
      if (below(2) == 0) writer.integer(PropertyId::MessageExpiryInterval, static_cast<std::uint32_t>(random_()));
      if (below(2) == 0) writer.text(PropertyId::CorrelationData, std::string(below(9), '\xFF'));
    } else if (place != PropertyPlace::Connect && place != PropertyPlace::Subscribe &&
               place != PropertyPlace::Unsubscribe) {
      if (below(2) == 0) writer.text(PropertyId::ReasonString, text(30, false));
    }
    return Properties::trusted(keep(std::move(writer).take()));
  }

  Packet connect(ProtocolVersion version) {
    Connect packet{.version = version, .clean_start = below(2) == 0, .keep_alive = id(), .client_id = text(30, true)};
    packet.properties = list(version, PropertyPlace::Connect);
    if (below(2) == 0) {
      packet.will = Will{.qos = qos(),
                         .retain = below(2) == 0,
                         .topic = text(30, true),
                         .payload = text(30, false),
                         .properties = list(version, PropertyPlace::Will)};
    }
    if (below(2) == 0) packet.user_name = text(9, false);
    if ((version == V5 || packet.user_name) && below(2) == 0) packet.password = text(9, false);
    return packet;
  }
  Packet publish(ProtocolVersion version) {
    Publish packet{.qos = qos(),
                   .retain = below(2) == 0,
                   .topic = text(30, true),
                   .properties = list(version, PropertyPlace::Publish)};
    if (packet.qos != Qos::AtMostOnce) {
      packet.packet_id = id();
      packet.dup = below(2) == 0;
    }
    packet.payload = keep(std::string(below(below(20) == 0 ? 30'000 : 300), 'p'));
    return packet;
  }
  Packet ack(ProtocolVersion version) {
    const auto type = static_cast<PacketType>(4 + below(4));
    Ack packet{.type = type,
               .packet_id = id(),
               .properties = list(version, static_cast<PropertyPlace>(1U << static_cast<unsigned>(type)))};
    if (version == V5 && type < PacketType::Pubrel && below(2) == 0) packet.reason = QuotaExceeded;
    return packet;
  }
  Packet subscribe(ProtocolVersion version) {
    Subscribe packet{.packet_id = id(), .properties = list(version, PropertyPlace::Subscribe)};
    for (std::uint64_t left = 1 + below(4); left > 0; --left) {
      SubscriptionOptions options{.qos = qos()};
      if (version == V5) options = {qos(), below(2) == 0, below(2) == 0, static_cast<std::uint8_t>(below(3))};
      packet.items.push_back({text(9, true), options});
    }
    return packet;
  }

  std::mt19937_64 random_;
  std::deque<std::string> kept_;
};

TEST(RoundTrip, BringsEveryPacketBackAsItWas) {
  for (std::uint64_t seed = 0; seed < 20'000; ++seed) {
    Maker maker(seed);
    for (const ProtocolVersion version : kVersions) {
      const Packet packet = maker.packet(version);
      const std::string wire = encoded(packet, version);
      ASSERT_EQ(wire.size(), encoded_size(packet, version)) << "seed " << seed;
      const auto back = decoded(wire, version);
      ASSERT_TRUE(back) << "seed " << seed << ": " << back.error().message() << "\n" << describe(packet);
      ASSERT_EQ(describe(*back), describe(packet)) << "seed " << seed;
      ASSERT_EQ(hex(encoded(*back, version)), hex(wire)) << "seed " << seed;
    }
  }
}

}  // namespace
}  // namespace parley::mqtt
