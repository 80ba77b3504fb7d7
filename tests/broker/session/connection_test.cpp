#include <gtest/gtest.h>

#include "broker/session/session.hpp"
#include "tests/broker/session/rig.hpp"

namespace parley::session {
namespace {

using enum ProtocolVersion;

/// CONNACK's properties as notation, for a client that says this in CONNECT.
std::string connack(Limits limits, const mqtt::Connect& connect, bool assigned = false, std::string_view extra = {}) {
  Rig rig(limits);
  rig.session->attach(connect, *rig.output, rig.now);
  if (!rig.session->write_connack(false, assigned, extra)) return "nothing";
  return hex(rig.received_bytes());
}

TEST(Connack, SaysWhatIsGranted) {
  const Limits limits{.packet_size_max = 0x0012'3456, .receive_max = 10, .topic_alias_max = 7};
  EXPECT_EQ(connack(limits, {}), hex(bytes("20 0E 00 00 0B 21 00 0A 27 00 12 34 56 22 00 07")));
  EXPECT_EQ(connack(limits, {.version = V3_1_1}), hex(bytes("20 02 00 00")));
  EXPECT_EQ(connack({.packet_size_max = 1,
                     .receive_max = 1,
                     .topic_alias_max = 0,
                     .qos_max = Qos::AtLeastOnce,
                     .retain_available = false},
                    {}),
            hex(bytes("20 0F 00 00 0C 21 00 01 24 01 25 00 27 00 00 00 01")));
}

TEST(Connack, NamesTheClientIdThatWasAssigned) {
  const Limits limits{.packet_size_max = 1, .receive_max = 1, .topic_alias_max = 0};
  EXPECT_EQ(connack(limits, {}, true), hex(bytes("20 14 00 00 11 21 00 01 27 00 00 00 01 12 00 06 'client'")));
}

TEST(Connack, TellsALoweredKeepAliveAndExpiry) {
  const Limits limits{
      .packet_size_max = 1, .receive_max = 1, .topic_alias_max = 0, .keep_alive_max = 60, .session_expiry_max = 100};
  EXPECT_EQ(connack(limits, {.keep_alive = 61, .properties = mqtt::properties("11 00 00 00 65")}),
            hex(bytes("20 13 00 00 10 11 00 00 00 64 21 00 01 27 00 00 00 01 13 00 3C")));
  EXPECT_EQ(connack(limits, {.keep_alive = 0}), hex(bytes("20 0E 00 00 0B 21 00 01 27 00 00 00 01 13 00 3C")));
  EXPECT_EQ(connack(limits, {.keep_alive = 60, .properties = mqtt::properties("11 00 00 00 64")}),
            hex(bytes("20 0B 00 00 08 21 00 01 27 00 00 00 01")));
}

TEST(Connack, LeavesOutWhatDoesNotFit) {
  const Limits limits{.packet_size_max = 1, .receive_max = 1, .topic_alias_max = 0};
  const std::string extra = bytes("1F 00 02 'hi'");
  const auto with = [&](std::string_view maximum) {
    return connack(limits, {.properties = mqtt::properties(maximum)}, false, extra).size() / 3 + 1;
  };
  EXPECT_EQ(with("27 00 00 00 12"), 18U);
  EXPECT_EQ(with("27 00 00 00 11"), 13U);  // [MQTT-3.2.2-19]
  const auto bare = [&](std::string_view maximum) {
    return connack(limits, {.properties = mqtt::properties(maximum)});
  };
  EXPECT_EQ(bare("27 00 00 00 0D"), hex(bytes("20 0B 00 00 08 21 00 01 27 00 00 00 01")));
  EXPECT_EQ(bare("27 00 00 00 0C"), "nothing");  // [MQTT-3.1.2-24]
}

TEST(KeepAlive, EndsAfterOneAndAHalfTimes) {
  Rig rig;
  EXPECT_EQ(rig.session->keep_alive_deadline(), std::nullopt);
  rig.connect({.keep_alive = 10});
  EXPECT_EQ(rig.session->keep_alive_deadline(), rig.now + 15s);  // [MQTT-3.1.2-22]
  rig.now += 9s;
  rig.send(mqtt::Pingreq{});
  EXPECT_EQ(rig.received(), Lines{"PINGRESP"});
  EXPECT_EQ(rig.session->keep_alive_deadline(), rig.now + 15s);
  rig.connect({.keep_alive = 1});
  EXPECT_EQ(rig.session->keep_alive_deadline(), rig.now + 1500ms);
  rig.connect({.keep_alive = 0});
  EXPECT_EQ(rig.session->keep_alive_deadline(), std::nullopt);
  rig.disconnect();
  EXPECT_EQ(rig.session->keep_alive_deadline(), std::nullopt);
}

TEST(KeepAlive, OfTheServerRulesMqtt5Only) {
  Rig rig({.keep_alive_max = 20});
  rig.connect({.keep_alive = 40});
  EXPECT_EQ(rig.session->keep_alive_deadline(), rig.now + 30s);
  rig.connect({.keep_alive = 10});
  EXPECT_EQ(rig.session->keep_alive_deadline(), rig.now + 15s);
  rig.connect({.version = V3_1_1, .keep_alive = 40});
  EXPECT_EQ(rig.session->keep_alive_deadline(), rig.now + 60s);
}

struct ExpiryCase {
  ProtocolVersion version;
  bool clean;
  std::string_view properties;
  std::uint32_t limit;
  std::uint32_t granted;
};
constexpr ExpiryCase kExpiries[] = {
    {V5, true, "", 0xFFFF'FFFF, 0},
    {V5, false, "", 0xFFFF'FFFF, 0},
    {V5, true, "11 00 00 00 09", 0xFFFF'FFFF, 9},
    {V5, false, "11 FF FF FF FF", 0xFFFF'FFFF, 0xFFFF'FFFF},
    {V5, false, "11 FF FF FF FF", 60, 60},
    {V3_1_1, true, "", 0xFFFF'FFFF, 0},
    {V3_1_1, false, "", 0xFFFF'FFFF, 0xFFFF'FFFF},
    {V3_1, false, "", 60, 60},
};

TEST(SessionExpiry, IsTheClientsWishWithinTheLimit) {
  for (const ExpiryCase& one : kExpiries) {
    Rig rig({.session_expiry_max = one.limit});
    rig.connect({.version = one.version, .clean_start = one.clean, .properties = mqtt::properties(one.properties)});
    EXPECT_EQ(rig.session->expiry_interval(), one.granted) << one.properties << " " << one.limit;
  }
}

TEST(SessionExpiry, ChangesAtDisconnect) {
  Rig rig({.session_expiry_max = 1'000});
  rig.connect({.properties = mqtt::properties("11 00 00 00 09")});
  rig.send("E0 07 00 05 11 00 00 00 63");
  EXPECT_EQ(rig.actions(), Lines{"close 0x00"});
  EXPECT_EQ(rig.session->expiry_interval(), 99U);
  rig.connect({.properties = mqtt::properties("11 00 00 00 09")});
  rig.send("E0 07 00 05 11 00 00 FF FF");
  EXPECT_EQ(rig.session->expiry_interval(), 1'000U);
  rig.connect({.properties = mqtt::properties("11 00 00 00 09")});
  rig.send("E0 07 00 05 11 00 00 00 00");
  EXPECT_EQ(rig.session->expiry_interval(), 0U);
  rig.actions();
}

TEST(SessionExpiry, MayNotBeSetAtDisconnectWhenItWasZero) {
  Rig rig;  // §3.14.2.2.2
  rig.connect();
  rig.send("E0 07 00 05 11 00 00 00 01");
  EXPECT_EQ(rig.actions(), Lines{"close 0x82"});
  EXPECT_EQ(rig.received(), Lines{"DISCONNECT 0x82"});
  EXPECT_EQ(rig.session->expiry_interval(), 0U);
  rig.connect();
  rig.send("E0 07 00 05 11 00 00 00 00");
  EXPECT_EQ(rig.actions(), Lines{"close 0x00"});
}

mqtt::Connect with_will(std::string_view will_properties, std::string_view properties = "11 00 00 00 64") {
  return {.will = mqtt::Will{.qos = Qos::AtLeastOnce,
                             .retain = true,
                             .topic = "w",
                             .payload = "gone",
                             .properties = mqtt::properties(will_properties)},
          .properties = mqtt::properties(properties)};
}

TEST(Will, IsHandedOverWhenTheConnectionGoes) {
  Rig rig;
  rig.connect(with_will("18 00 00 00 05 02 00 00 00 3C 03 00 01 't' 26 00 01 'k' 00 01 'v'"));
  const auto will = rig.disconnect();
  ASSERT_TRUE(will);
  EXPECT_EQ(will->message->topic(), "w");
  EXPECT_EQ(will->message->payload(), "gone");
  EXPECT_EQ(will->message->qos(), Qos::AtLeastOnce);
  EXPECT_TRUE(will->message->retain());
  EXPECT_EQ(hex(will->message->properties()), hex(bytes("03 00 01 't' 26 00 01 'k' 00 01 'v'")));
  EXPECT_EQ(will->delay, 5s);
  EXPECT_EQ(will->expiry_interval, 60U);
  EXPECT_EQ(rig.disconnect().has_value(), false);
  rig.connect();
  EXPECT_FALSE(rig.disconnect());  // It doesn't outlive its connection.
}

TEST(Will, IsDroppedAtANormalDisconnectOnly) {
  struct Case {
    std::string_view disconnect;
    bool published;
  };
  for (const Case& one :
       {Case{"E0 00", false}, Case{"E0 01 00", false}, Case{"E0 01 04", true}, Case{"E0 02 80 00", true}}) {
    Rig rig;
    rig.connect(with_will(""));
    rig.send(one.disconnect);
    EXPECT_EQ(rig.actions(), Lines{"close 0x00"});
    EXPECT_EQ(rig.disconnect().has_value(), one.published) << one.disconnect;  // [MQTT-3.14.4-3]
  }
  Rig old;
  auto connect = with_will("", "");
  connect.version = V3_1_1;
  old.connect(connect);
  old.send("E0 00");
  EXPECT_FALSE(old.disconnect());
}

TEST(Will, WaitsNoLongerThanTheSessionLives) {
  Rig rig;
  rig.connect(with_will("18 00 00 00 FF", "11 00 00 00 0A"));
  EXPECT_EQ(rig.disconnect()->delay, 10s);
  rig.connect(with_will("18 00 00 00 FF", ""));
  EXPECT_EQ(rig.disconnect()->delay, 0s);
  rig.connect(with_will("18 00 00 00 FF", "11 00 00 00 0A"));
  rig.send("E0 07 04 05 11 00 00 00 03");  // Disconnect with will, and a shorter session.
  EXPECT_EQ(rig.disconnect()->delay, 3s);
}

TEST(Disconnect, IsWrittenForMqtt5Only) {
  Rig rig;
  rig.connect();
  rig.session->write_disconnect(ReasonCode::SessionTakenOver);
  EXPECT_EQ(rig.received(), Lines{"DISCONNECT 0x8E"});
  rig.connect({.version = V3_1_1});
  rig.session->write_disconnect(ReasonCode::SessionTakenOver);
  EXPECT_EQ(rig.received(), Lines{});
  rig.disconnect();
  rig.session->write_disconnect(ReasonCode::SessionTakenOver);
}

TEST(Disconnect, LeavesOutWhatDoesNotFit) {
  Rig rig;
  const std::string reason = bytes("1F 00 03 'why'");
  rig.connect({.properties = mqtt::properties("27 00 00 00 0A")});
  rig.session->write_disconnect(ReasonCode::ServerBusy, reason);
  EXPECT_EQ(hex(rig.received_bytes()), hex(bytes("E0 08 89 06 1F 00 03 'why'")));
  rig.connect({.properties = mqtt::properties("27 00 00 00 09")});
  rig.session->write_disconnect(ReasonCode::ServerBusy, reason);
  EXPECT_EQ(hex(rig.received_bytes()), hex(bytes("E0 01 89")));  // [MQTT-3.14.2-3]
}

struct Violation {
  std::string_view what;
  std::string_view packet;
  std::string_view reason;
};
constexpr Violation kViolations[] = {
    {"a second CONNECT", "10 0D 00 04 'MQTT' 05 02 00 00 00 00 00", "0x82"},  // [MQTT-3.1.0-2]
    {"a second CONNECT of no known version", "10 0D 00 04 'MQTT' 09 02 00 00 00 00 00", "0x82"},
    {"AUTH without a method", "F0 00", "0x82"},
    {"AUTH", "F0 06 18 04 15 00 01 'm'", "0x82"},
    {"CONNACK", "20 03 00 00 00", "0x82"},
    {"SUBACK", "90 04 00 01 00 00", "0x82"},
    {"UNSUBACK", "B0 04 00 01 00 00", "0x82"},
    {"PINGRESP", "D0 00", "0x82"},
    {"PUBLISH cut", "30 01 00", "0x81"},
    {"PUBLISH with a subscription identifier", "30 06 00 01 'a' 02 0B 01", "0x82"},  // [MQTT-3.3.4-6]
    {"PUBLISH to a wildcard", "30 04 00 01 '#' 00", "0x90"},
    {"SUBSCRIBE to a bad filter", "82 08 00 01 00 00 02 'a#' 00", "0x8F"},
    {"SUBSCRIBE to nothing", "82 03 00 01 00", "0x82"},
    {"PUBACK cut", "40 01 00", "0x81"},
    {"DISCONNECT with a foreign reason", "E0 01 10", "0x82"},
};

TEST(Violations, AreToldAndEndTheConnection) {
  for (const Violation& one : kViolations) {
    Rig rig;
    rig.connect();
    rig.send(one.packet);
    EXPECT_EQ(rig.received(), Lines{"DISCONNECT " + std::string(one.reason)}) << one.what;
    EXPECT_EQ(rig.actions(), Lines{"close " + std::string(one.reason)}) << one.what;
  }
}

TEST(Violations, EndAnOldClientsConnectionWithoutAWord) {
  Rig rig;
  rig.connect({.version = V3_1_1});
  rig.send("10 0C 00 04 'MQTT' 04 02 00 00 00 00");
  EXPECT_EQ(rig.received_bytes(), "");
  EXPECT_EQ(rig.actions(), Lines{"close 0x82"});
}

TEST(Violations, OfWhatTheServerAnnounced) {
  Rig rig({.topic_alias_max = 0, .qos_max = Qos::AtLeastOnce, .retain_available = false});
  rig.connect();
  rig.publish("a", Qos::ExactlyOnce, 1);
  EXPECT_EQ(rig.actions(), Lines{"close 0x9B"});
  rig.connect();
  rig.send(mqtt::Publish{.retain = true, .topic = "a"});
  EXPECT_EQ(rig.actions(), Lines{"close 0x9A"});
  rig.connect();
  rig.send(mqtt::Publish{.topic = "a", .properties = mqtt::properties("23 00 01")});
  EXPECT_EQ(rig.actions(), Lines{"close 0x94"});
}

TEST(Subscribing, IsTheCallersMatter) {
  Rig rig;
  rig.connect();
  rig.send(mqtt::Subscribe{
      .packet_id = 5, .properties = mqtt::properties("0B 07"), .items = {{"a", {}}, {"$share/g/b", {}}}});
  EXPECT_EQ(rig.actions(), Lines{"subscribe 5 a $share/g/b id=7"});
  rig.send(mqtt::Unsubscribe{.packet_id = 6, .filters = {"a", "b"}});
  EXPECT_EQ(rig.actions(), Lines{"unsubscribe 6 a b"});
  rig.session->write_suback(5, {ReasonCode::GrantedQos1, ReasonCode::NotAuthorized}, bytes("1F 00 03 'why'"));
  rig.session->write_unsuback(6, {ReasonCode::Success, ReasonCode::NoSubscriptionExisted});
  EXPECT_EQ(rig.received(), (Lines{"SUBACK 5 0x01 0x87 +6", "UNSUBACK 6 0x00 0x11"}));
  rig.connect({.properties = mqtt::properties("27 00 00 00 0A")});
  rig.session->write_suback(5, {ReasonCode::Success}, bytes("1F 00 03 'why'"));
  EXPECT_EQ(rig.received(), Lines{"SUBACK 5 0x00"});  // [MQTT-3.9.2-1]
}

TEST(Subscribing, IsBoundedInOnePacket) {
  Rig rig({.filters_max = 2});
  rig.connect();
  rig.send(mqtt::Subscribe{.packet_id = 5, .items = {{"a", {}}, {"b", {}}}});
  EXPECT_EQ(rig.actions(), Lines{"subscribe 5 a b"});
  rig.send(mqtt::Subscribe{.packet_id = 5, .items = {{"a", {}}, {"b", {}}, {"c", {}}}});
  EXPECT_EQ(rig.actions(), Lines{"close 0x97"});
}

TEST(Subscriptions, AreRememberedOnceAFilter) {
  Rig rig;
  EXPECT_TRUE(rig.session->add_subscription({"a", {.qos = Qos::AtLeastOnce}, 1}));
  EXPECT_TRUE(rig.session->add_subscription({"b", {}, 0}));
  EXPECT_FALSE(rig.session->add_subscription({"a", {.qos = Qos::ExactlyOnce}, 2}));
  ASSERT_EQ(rig.session->subscriptions().size(), 2U);
  EXPECT_EQ(rig.session->subscriptions()[0].subscription_id, 2U);
  EXPECT_EQ(rig.session->subscriptions()[0].options.qos, Qos::ExactlyOnce);
  EXPECT_FALSE(rig.session->remove_subscription("c"));
  EXPECT_TRUE(rig.session->remove_subscription("a"));
  EXPECT_EQ(rig.session->subscriptions().size(), 1U);
}

}  // namespace
}  // namespace parley::session
