#include "mqtt/types.hpp"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "tests/mqtt/notation.hpp"

namespace parley::mqtt {
namespace {

using enum PacketType;

struct Row {
  PacketType type;
  std::set<unsigned> codes;
};

/// The tables of the packets' own sections, which table 2-6 of MQTT 5 §2.4 gathers.
const Row kRows[] = {
    {Connect, {}},
    {Connack, {0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89,
               0x8A, 0x8C, 0x90, 0x95, 0x97, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F}},  // §3.2.2.2
    {Publish, {}},
    {Puback, {0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99}},  // §3.4.2.1
    {Pubrec, {0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99}},  // §3.5.2.1
    {Pubrel, {0x00, 0x92}},                                            // §3.6.2.1
    {Pubcomp, {0x00, 0x92}},                                           // §3.7.2.1
    {Subscribe, {}},
    {Suback, {0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2}},  // §3.9.3
    {Unsubscribe, {}},
    {Unsuback, {0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91}},  // §3.11.3
    {Pingreq, {}},
    {Pingresp, {}},
    // Table 2-6 has 0x8C here besides, which §3.14.2.1 leaves out: a reauthentication may end so.
    {Disconnect, {0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8C, 0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94,
                  0x95, 0x96, 0x97, 0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2}},  // §3.14.2.1
    {PacketType::Auth, {0x00, 0x18, 0x19}},                                                              // §3.15.2.1
};

TEST(ReasonCodes, StandWhereTheTablesPutThem) {
  std::set<unsigned> all;
  for (const Row& row : kRows) {
    for (unsigned code = 0; code < 256; ++code) {
      EXPECT_EQ(may_carry(row.type, static_cast<ReasonCode>(code)), row.codes.contains(code))
          << name_of(row.type) << " " << code;
    }
    all.insert(row.codes.begin(), row.codes.end());
  }
  EXPECT_EQ(all.size(), 43U);
}

TEST(ReasonCodes, HaveNames) {
  std::set<std::string_view> names;
  for (unsigned code = 0; code < 256; ++code) {
    bool known = false;
    for (const Row& row : kRows) known = known || row.codes.contains(code);
    const auto name = name_of(static_cast<ReasonCode>(code));
    EXPECT_EQ(name != "unknown reason", known) << code;
    if (known) {
      EXPECT_TRUE(names.insert(name).second) << name;
    }
  }
  EXPECT_EQ(name_of(ReasonCode::TopicNameInvalid), "Topic Name invalid");
}

TEST(ReasonCodes, TravelAsErrors) {
  const boost::system::error_code error = ReasonCode::PacketTooLarge;
  EXPECT_TRUE(error);
  EXPECT_EQ(reason_of(error), ReasonCode::PacketTooLarge);
  EXPECT_EQ(error.message(), "Packet too large");
  EXPECT_STREQ(error.category().name(), "mqtt");
}

TEST(ReasonCodes, AreFailuresFrom0x80On) {
  EXPECT_FALSE(is_failure(ReasonCode::Success));
  EXPECT_FALSE(is_failure(ReasonCode::Reauthenticate));
  EXPECT_TRUE(is_failure(ReasonCode::UnspecifiedError));
  EXPECT_TRUE(is_failure(ReasonCode::WildcardSubscriptionsNotSupported));
}

TEST(PacketTypes, HaveTheNamesOfTheSpecification) {
  EXPECT_EQ(name_of(Connect), "CONNECT");
  EXPECT_EQ(name_of(Pubrel), "PUBREL");
  EXPECT_EQ(name_of(PacketType::Auth), "AUTH");
}

}  // namespace
}  // namespace parley::mqtt
