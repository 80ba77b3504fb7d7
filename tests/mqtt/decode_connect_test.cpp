#include <gtest/gtest.h>

#include <string>

#include "tests/mqtt/notation.hpp"

namespace parley::mqtt {
namespace {

using enum ProtocolVersion;
using enum ReasonCode;

/// A CONNECT from its body.
std::string connect(std::string_view body) {
  std::string inside = bytes(body);
  return bytes("10") + static_cast<char>(inside.size()) + inside;
}

struct Case {
  std::string_view what;
  std::string_view body;
  ReasonCode reason;
};

constexpr Case kCases[] = {
    // §3.1.2.1, §3.1.2.2
    {"nothing", "", MalformedPacket},
    {"protocol name cut", "00 04 'MQT'", MalformedPacket},
    {"protocol name with NUL", "00 04 'MQT' 00 05 02 00 00 00 00 00", MalformedPacket},
    {"no level", "00 04 'MQTT'", MalformedPacket},
    {"level 0", "00 04 'MQTT' 00 02 00 00 00 00", UnsupportedProtocolVersion},
    {"level 3 of MQTT", "00 04 'MQTT' 03 02 00 00 00 01 'a'", UnsupportedProtocolVersion},
    {"level 6", "00 04 'MQTT' 06 02 00 00 00 00 00", UnsupportedProtocolVersion},
    {"level 131 of MQTT", "00 04 'MQTT' 83 02 00 00 00 01 'a'", UnsupportedProtocolVersion},
    {"level 132 of MQIsdp", "00 06 'MQIsdp' 84 02 00 00 00 01 'a'", UnsupportedProtocolVersion},
    {"level 133, a bridge of MQTT 5", "00 04 'MQTT' 85 02 00 00 00 00 00", UnsupportedProtocolVersion},
    {"level 4 of MQIsdp", "00 06 'MQIsdp' 04 02 00 00 00 01 'a'", UnsupportedProtocolVersion},
    {"lower case", "00 04 'mqtt' 05 02 00 00 00 00 00", UnsupportedProtocolVersion},
    {"no name", "00 00 05 02 00 00 00 00 00", UnsupportedProtocolVersion},
    // §3.1.2.3 to §3.1.2.9
    {"no flags", "00 04 'MQTT' 05", MalformedPacket},
    {"no keep alive", "00 04 'MQTT' 05 02 00", MalformedPacket},
    {"no property length", "00 04 'MQTT' 05 02 00 00", MalformedPacket},
    {"properties cut", "00 04 'MQTT' 05 02 00 00 05 11 00", MalformedPacket},
    {"no client id", "00 04 'MQTT' 05 02 00 00 00", MalformedPacket},
    {"client id cut", "00 04 'MQTT' 05 02 00 00 00 00 02 'a'", MalformedPacket},
    {"client id with NUL", "00 04 'MQTT' 05 02 00 00 00 00 01 00", MalformedPacket},
    {"client id no UTF-8", "00 04 'MQTT' 05 02 00 00 00 00 01 FF", MalformedPacket},
    {"something behind", "00 04 'MQTT' 05 02 00 00 00 00 00 00", MalformedPacket},
    // §3.1.3.1 and 3.1.1 §3.1.3.1
    {"5: a kept session without client id", "00 04 'MQTT' 05 00 00 00 00 00 00", Success},
    {"3.1.1: a clean session without client id", "00 04 'MQTT' 04 02 00 00 00 00", Success},
    {"3.1.1: a kept session without client id", "00 04 'MQTT' 04 00 00 00 00 00", ClientIdentifierNotValid},
    {"3.1: no client id", "00 06 'MQIsdp' 03 02 00 00 00 00", ClientIdentifierNotValid},
    // §3.1.2.11.10: data belongs to a method.
    {"authentication data alone", "00 04 'MQTT' 05 02 00 00 03 16 00 00 00 00", ProtocolError},
    {"authentication method alone", "00 04 'MQTT' 05 02 00 00 04 15 00 01 'm' 00 00", Success},
    {"Receive Maximum 0", "00 04 'MQTT' 05 02 00 00 03 21 00 00 00 00", ProtocolError},
    {"Maximum Packet Size 0", "00 04 'MQTT' 05 02 00 00 05 27 00 00 00 00 00 00", ProtocolError},
    {"Request Problem Information 2", "00 04 'MQTT' 05 02 00 00 02 17 02 00 00", ProtocolError},
    {"a property of PUBLISH", "00 04 'MQTT' 05 02 00 00 02 01 00 00 00", MalformedPacket},
    // §3.1.3.2 to §3.1.3.6
    {"will topic empty", "00 04 'MQTT' 05 06 00 00 00 00 00 00 00 00 00 00", TopicNameInvalid},
    {"will topic with +", "00 04 'MQTT' 05 06 00 00 00 00 00 00 00 01 '+' 00 00", TopicNameInvalid},
    {"will topic no UTF-8", "00 04 'MQTT' 05 06 00 00 00 00 00 00 00 01 FF 00 00", MalformedPacket},
    {"no will payload", "00 04 'MQTT' 05 06 00 00 00 00 00 00 00 01 'w'", MalformedPacket},
    {"will property of CONNECT", "00 04 'MQTT' 05 06 00 00 00 00 00 05 11 00 00 00 01 00 01 'w' 00 00",
     MalformedPacket},
    {"will twice delayed", "00 04 'MQTT' 05 06 00 00 00 00 00 0A 18 00 00 00 01 18 00 00 00 01 00 01 'w' 00 00",
     ProtocolError},
    {"will payload any bytes", "00 04 'MQTT' 05 06 00 00 00 00 00 00 00 01 'w' 00 02 00 FF", Success},
    {"user name no UTF-8", "00 04 'MQTT' 05 82 00 00 00 00 00 00 01 FF", MalformedPacket},
    {"user name missing", "00 04 'MQTT' 05 82 00 00 00 00 00", MalformedPacket},
    {"user name missing", "00 04 'MQTT' 04 82 00 00 00 00", MalformedPacket},
    {"password missing", "00 04 'MQTT' 05 C2 00 00 00 00 00 00 01 'u'", MalformedPacket},
    {"password any bytes", "00 04 'MQTT' 05 C2 00 00 00 00 00 00 01 'u' 00 02 00 FF", Success},
    // MQTT 3.1 "CONNECT": the packet's length decides.
    {"3.1: user name flag without user name", "00 06 'MQIsdp' 03 82 00 00 00 01 'a'", Success},
    {"3.1: password flag without password", "00 06 'MQIsdp' 03 C2 00 00 00 01 'a' 00 01 'u'", Success},
    {"3.1: user name cut", "00 06 'MQIsdp' 03 82 00 00 00 01 'a' 00", MalformedPacket},
};

TEST(ConnectDecoder, GivesEveryCaseItsReason) {
  for (const Case& one : kCases) EXPECT_EQ(refusal(connect(one.body), V5), one.reason) << one.what;
}

/// What the flags announce, in the right order.
std::string body_for(unsigned flags, ProtocolVersion version) {
  std::string body = version == V3_1 ? "00 06 'MQIsdp' 03" : version == V3_1_1 ? "00 04 'MQTT' 04" : "00 04 'MQTT' 05";
  body += " " + hex(std::string(1, static_cast<char>(flags))) + " 00 00";
  if (version == V5) body += " 00";
  body += " 00 01 'c'";
  if ((flags & 4) != 0) body += version == V5 ? " 00 00 01 'w' 00 00" : " 00 01 'w' 00 00";
  if ((flags & 128) != 0) body += " 00 01 'u'";
  if ((flags & 64) != 0) body += " 00 01 'p'";
  return body;
}

TEST(ConnectDecoder, AllowsJustTheCombinationsOfFlagsThatMakeSense) {
  for (const ProtocolVersion version : kVersions) {
    for (unsigned flags = 0; flags < 256; ++flags) {
      const bool will = (flags & 4) != 0;
      const unsigned will_qos = flags >> 3 & 3;
      const bool will_retain = (flags & 32) != 0;
      const bool password = (flags & 64) != 0;
      const bool user_name = (flags & 128) != 0;
      const bool reserved = (flags & 1) != 0 && version != V3_1;  // 3.1 doesn't ask for 0.
      const bool bad = reserved || will_qos == 3 || (!will && (will_qos != 0 || will_retain)) ||
                       (version != V5 && password && !user_name);  // 3.1.1 [MQTT-3.1.2-22]
      const std::string wire = connect(body_for(flags, version));
      ASSERT_EQ(refusal(wire, version), bad ? MalformedPacket : Success) << flags;
      if (bad) continue;
      const auto packet = decoded(wire, version);
      const auto& decoded_connect = std::get<Connect>(*packet);
      EXPECT_EQ(decoded_connect.version, version);
      EXPECT_EQ(decoded_connect.clean_start, (flags & 2) != 0);
      EXPECT_EQ(decoded_connect.will.has_value(), will);
      EXPECT_EQ(decoded_connect.user_name.has_value(), user_name);
      EXPECT_EQ(decoded_connect.password.has_value(), password);
    }
  }
}

TEST(ConnectDecoder, IgnoresTheVersionOfTheConnection) {
  const std::string wire = connect("00 04 'MQTT' 05 02 00 00 00 00 00");
  for (const ProtocolVersion version : kVersions) EXPECT_EQ(refusal(wire, version), Success);
}

}  // namespace
}  // namespace parley::mqtt
