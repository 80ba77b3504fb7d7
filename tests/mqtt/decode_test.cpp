#include "mqtt/decode.hpp"

#include <gtest/gtest.h>

#include <string>

#include "tests/mqtt/notation.hpp"

namespace parley::mqtt {
namespace {

using enum ProtocolVersion;
using enum ReasonCode;

// -- Frames --

/// Flags that a type may have in some version; bit n is flags n. MQTT 5 §2.1.3, table 2-2; 3.1 allows DUP besides.
constexpr unsigned kFlags[16] = {0, 1, 1, 0x3C3F, 1, 1, 0x0404, 1, 0x0404, 1, 0x0404, 1, 1, 1, 1, 1};

TEST(FrameCutter, AllowsJustTheFirstBytesOfTheTable) {
  for (unsigned first = 0; first < 256; ++first) {
    const std::string wire{static_cast<char>(first), 0};
    const auto frame = next_frame(wire, {});
    const bool allowed = (kFlags[first >> 4] >> (first & 15) & 1) != 0;
    EXPECT_EQ(frame.has_value(), allowed) << std::hex << first;
    if (!frame) {
      EXPECT_EQ(reason_of(frame.error()), MalformedPacket);
    } else {
      EXPECT_EQ((*frame)->type, static_cast<PacketType>(first >> 4));
      EXPECT_EQ((*frame)->flags, first & 15);
    }
  }
}

TEST(FrameCutter, RefusesABadFirstByteBeforeAnythingElseHasCome) {
  EXPECT_EQ(refusal(bytes("00"), V5), MalformedPacket);
  EXPECT_EQ(refusal(bytes("36"), V5), MalformedPacket);
  EXPECT_EQ(refusal(bytes("80"), V5), MalformedPacket);
}

struct LengthCase {
  std::string_view length;
  std::size_t body;
};
/// MQTT 5 §1.5.5, table 1-1.
constexpr LengthCase kLengths[] = {{"00", 0},
                                   {"7F", 127},
                                   {"80 01", 128},
                                   {"FF 7F", 16'383},
                                   {"80 80 01", 16'384},
                                   {"FF FF 7F", 2'097'151},
                                   {"80 80 80 01", 2'097'152},
                                   {"FF FF FF 7F", 268'435'455}};

TEST(FrameCutter, ReadsTheRemainingLengthsOfTheTable) {
  for (const LengthCase& one : kLengths) {
    const std::string header = bytes("30") + bytes(one.length);
    std::size_t needed = 0;
    const auto frame = next_frame(header, {}, &needed);
    ASSERT_TRUE(frame) << one.length;
    EXPECT_EQ(needed, header.size() + one.body) << one.length;
    EXPECT_EQ(frame->has_value(), one.body == 0) << one.length;
  }
}

TEST(FrameCutter, RefusesRemainingLengthsThatAreTooLongOrLongerThanNeeded) {
  for (const std::string_view length : {"80 00", "FF 00", "80 80 00", "80 80 80 00", "80 80 80 80", "FF FF FF FF",
                                        "80 80 80 80 01", "FF FF FF FF 7F"}) {
    EXPECT_EQ(refusal(bytes("30") + bytes(length), V5), MalformedPacket) << length;
  }
}

TEST(FrameCutter, RefusesALargePacketAsSoonAsItsLengthIsKnown) {
  for (std::size_t limit = 2; limit < 300; ++limit) {
    for (const LengthCase& one : kLengths) {
      const std::string header = bytes("30") + bytes(one.length);
      const auto frame = next_frame(header, {.packet_size_max = limit});
      EXPECT_EQ(frame.has_value(), header.size() + one.body <= limit) << one.length << " of at most " << limit;
      if (!frame) {
        EXPECT_EQ(reason_of(frame.error()), PacketTooLarge);
      }
    }
  }
}

TEST(FrameCutter, LeavesTheBodyWhereItIs) {
  const std::string wire = bytes("30 07 00 01 'a' 00 'hey' C0 00");
  const auto frame = next_frame(wire, {});
  ASSERT_TRUE(frame && *frame);
  EXPECT_EQ((*frame)->body.data(), wire.data() + 2);
  EXPECT_EQ((*frame)->size, 9U);
}

// -- Packets that are wrong in one way --

struct BadCase {
  std::string_view what;
  ProtocolVersion version;
  std::string_view bytes;
  ReasonCode reason;
};

constexpr BadCase kBad[] = {
    // §3.3
    {"PUBLISH, no topic length", V5, "30 01 00", MalformedPacket},
    {"PUBLISH, topic cut", V5, "30 03 00 02 'a'", MalformedPacket},
    {"PUBLISH, no packet id", V5, "32 03 00 01 'a'", MalformedPacket},
    {"PUBLISH, packet id zero", V5, "32 06 00 01 'a' 00 00 00", MalformedPacket},
    {"PUBLISH, packet id zero", V3_1_1, "34 05 00 01 'a' 00 00", MalformedPacket},
    {"PUBLISH, no property length", V5, "30 03 00 01 'a'", MalformedPacket},
    {"PUBLISH, properties cut", V5, "30 05 00 01 'a' 02 01", MalformedPacket},
    {"PUBLISH, property length longer than needed", V5, "30 05 00 01 'a' 80 00", MalformedPacket},
    {"PUBLISH, no topic and no alias", V5, "30 03 00 00 00", ProtocolError},
    {"PUBLISH, no topic", V3_1_1, "30 02 00 00", TopicNameInvalid},
    {"PUBLISH, no topic", V3_1, "30 02 00 00", TopicNameInvalid},
    {"PUBLISH, topic with +", V5, "30 06 00 03 'a/+' 00", TopicNameInvalid},
    {"PUBLISH, topic with #", V3_1_1, "30 03 00 01 '#'", TopicNameInvalid},
    {"PUBLISH, topic with NUL", V5, "30 06 00 03 'a' 00 'b' 00", MalformedPacket},
    {"PUBLISH, topic with a surrogate", V5, "30 06 00 03 ED A0 80 00", MalformedPacket},
    {"PUBLISH, topic with a wildcard and no UTF-8", V5, "30 05 00 02 '#' FF 00", MalformedPacket},
    // §3.4 to §3.7
    {"PUBACK, no packet id", V5, "40 01 00", MalformedPacket},
    {"PUBACK, empty", V5, "40 00", MalformedPacket},
    {"PUBACK, packet id zero", V5, "40 02 00 00", MalformedPacket},
    {"PUBREC, packet id zero", V3_1_1, "50 02 00 00", MalformedPacket},
    {"PUBREL, packet id zero", V3_1, "62 02 00 00", MalformedPacket},
    {"PUBCOMP, packet id zero", V5, "70 02 00 00", MalformedPacket},
    {"PUBACK with a reason", V3_1_1, "40 03 00 01 00", MalformedPacket},
    {"PUBACK with a foreign reason", V5, "40 03 00 01 92", ProtocolError},
    {"PUBREL with a foreign reason", V5, "62 03 00 01 10", ProtocolError},
    {"PUBCOMP with an unknown reason", V5, "70 03 00 01 42", ProtocolError},
    {"PUBACK, something after the properties", V5, "40 05 00 01 00 00 00", MalformedPacket},
    {"PUBACK, properties cut", V5, "40 04 00 01 00 01", MalformedPacket},
    {"PUBREL with DUP", V5, "6A 02 00 01", MalformedPacket},
    {"PUBREL with DUP", V3_1_1, "6A 02 00 01", MalformedPacket},
    // §3.8 to §3.11
    {"SUBSCRIBE, empty", V5, "82 00", MalformedPacket},
    {"SUBSCRIBE, no filter", V5, "82 03 00 01 00", ProtocolError},
    {"SUBSCRIBE, no filter", V3_1_1, "82 02 00 01", ProtocolError},
    {"SUBSCRIBE, packet id zero", V5, "82 07 00 00 00 00 01 'a' 00", MalformedPacket},
    {"SUBSCRIBE, no options", V5, "82 06 00 01 00 00 01 'a'", MalformedPacket},
    {"SUBSCRIBE, QoS 3", V5, "82 07 00 01 00 00 01 'a' 03", ProtocolError},
    {"SUBSCRIBE, QoS 3", V3_1_1, "82 06 00 01 00 01 'a' 03", MalformedPacket},
    {"SUBSCRIBE, reserved option 6", V5, "82 07 00 01 00 00 01 'a' 40", MalformedPacket},
    {"SUBSCRIBE, reserved option 7", V5, "82 07 00 01 00 00 01 'a' 80", MalformedPacket},
    {"SUBSCRIBE, reserved option 2", V3_1_1, "82 06 00 01 00 01 'a' 04", MalformedPacket},
    {"SUBSCRIBE, Retain Handling 3", V5, "82 07 00 01 00 00 01 'a' 30", ProtocolError},
    {"SUBSCRIBE, empty filter", V5, "82 06 00 01 00 00 00 00", TopicFilterInvalid},
    {"SUBSCRIBE, filter a/#/b", V5, "82 0B 00 01 00 00 05 'a/#/b' 00", TopicFilterInvalid},
    {"SUBSCRIBE, filter with NUL", V5, "82 07 00 01 00 00 01 00 00", MalformedPacket},
    {"SUBSCRIBE, second filter cut", V5, "82 09 00 01 00 00 01 'a' 00 00 01", MalformedPacket},
    {"SUBSCRIBE with DUP", V5, "8A 07 00 01 00 00 01 'a' 00", MalformedPacket},
    {"SUBACK, no reasons", V5, "90 03 00 01 00", ProtocolError},
    {"SUBACK, foreign reason", V5, "90 04 00 01 00 11", ProtocolError},
    {"SUBACK, foreign reason", V3_1_1, "90 03 00 01 87", ProtocolError},
    {"UNSUBSCRIBE, no filter", V5, "A2 03 00 01 00", ProtocolError},
    {"UNSUBSCRIBE, filter cut", V5, "A2 06 00 01 00 00 02 'a'", MalformedPacket},
    {"UNSUBSCRIBE, empty filter", V3_1_1, "A2 04 00 01 00 00", TopicFilterInvalid},
    {"UNSUBSCRIBE with DUP", V3_1_1, "AA 05 00 01 00 01 'a'", MalformedPacket},
    {"UNSUBACK with reasons", V3_1_1, "B0 03 00 01 00", MalformedPacket},
    {"UNSUBACK, no reasons", V5, "B0 03 00 01 00", ProtocolError},
    // §3.12 to §3.15
    {"PINGREQ with a body", V5, "C0 01 00", MalformedPacket},
    {"PINGRESP with a body", V3_1_1, "D0 01 00", MalformedPacket},
    {"DISCONNECT with a body", V3_1_1, "E0 01 00", MalformedPacket},
    {"DISCONNECT, foreign reason", V5, "E0 01 10", ProtocolError},
    {"DISCONNECT, something after the properties", V5, "E0 03 00 00 00", MalformedPacket},
    {"AUTH", V3_1_1, "F0 00", MalformedPacket},
    {"AUTH", V3_1, "F0 00", MalformedPacket},
    {"AUTH, reason alone", V5, "F0 01 18", MalformedPacket},
    {"AUTH, foreign reason", V5, "F0 02 04 00", ProtocolError},
    {"AUTH without a method", V5, "F0 02 18 00", ProtocolError},
};

TEST(Decoder, GivesEveryViolationItsReason) {
  for (const BadCase& one : kBad) {
    EXPECT_EQ(refusal(bytes(one.bytes), one.version), one.reason) << one.what;
  }
}

TEST(Decoder, TakesDupOnRequestsOfVersion31) {
  EXPECT_EQ(refusal(bytes("6A 02 00 01"), V3_1), Success);
  EXPECT_EQ(refusal(bytes("8A 06 00 01 00 01 'a' 00"), V3_1), Success);
  EXPECT_EQ(refusal(bytes("AA 05 00 01 00 01 'a'"), V3_1), Success);
}

TEST(Decoder, TakesAcknowledgementsWithoutPropertyLength) {
  // §3.4.2.2.1: the length may be left out when the reason is there.
  const auto packet = decoded(bytes("40 03 00 07 00"), V5);
  ASSERT_TRUE(packet);
  EXPECT_EQ(describe(*packet), describe(Ack{.type = PacketType::Puback, .packet_id = 7}));
}

TEST(Decoder, ReadsOnlyTheReasonsOfTheTable) {
  using enum PacketType;
  struct Form {
    PacketType type;
    std::string_view before;  // What stands before the reason, with two bytes of header to be filled in.
    std::string_view after;
  };
  constexpr Form kForms[] = {
      {Puback, "40 04 00 01", "00"},  {Pubrec, "50 04 00 01", "00"},  {Pubrel, "62 04 00 01", "00"},
      {Pubcomp, "70 04 00 01", "00"}, {Suback, "90 04 00 01 00", ""}, {Unsuback, "B0 04 00 01 00", ""},
      {Connack, "20 03 00", "00"},    {Disconnect, "E0 02", "00"},    {PacketType::Auth, "F0 06", "04 15 00 01 'm'"}};
  for (const Form& form : kForms) {
    for (unsigned code = 0; code < 256; ++code) {
      const auto reason = static_cast<ReasonCode>(code);
      const std::string wire = bytes(form.before) + static_cast<char>(code) + bytes(form.after);
      EXPECT_EQ(refusal(wire, V5), may_carry(form.type, reason) ? Success : ProtocolError)
          << name_of(form.type) << " " << code;
    }
  }
}

TEST(Decoder, SaysNothingOfSessionsThatAConnackRefuses) {
  EXPECT_EQ(refusal(bytes("20 03 01 87 00"), V5), ProtocolError);  // §3.2.2.1.1
  EXPECT_EQ(refusal(bytes("20 02 01 05"), V3_1_1), ProtocolError);
  EXPECT_EQ(refusal(bytes("20 03 02 00 00"), V5), MalformedPacket);
  EXPECT_EQ(refusal(bytes("20 02 00 06"), V3_1_1), ProtocolError);
  EXPECT_EQ(refusal(bytes("20 02 FF 00"), V3_1), Success);  // Reserved there.
}

}  // namespace
}  // namespace parley::mqtt
