#include <gtest/gtest.h>

#include "broker/session/session.hpp"
#include "tests/broker/session/rig.hpp"

namespace parley::session {
namespace {

using enum ProtocolVersion;

void complete(Rig& rig, std::size_t index, ReasonCode reason = ReasonCode::Success, std::string_view properties = {}) {
  rig.session->complete_publish(rig.tickets.at(index), reason, properties);
}

TEST(Inbound, Qos0NeedsNoAnswer) {
  Rig rig;
  rig.connect();
  rig.publish("a", Qos::AtMostOnce);
  EXPECT_EQ(rig.actions(), Lines{"publish a q0"});
  complete(rig, 0);
  EXPECT_EQ(rig.received_bytes(), "");
}

TEST(Inbound, Qos1IsAcknowledgedOnceComplete) {
  Rig rig;
  rig.connect();
  rig.publish("a", Qos::AtLeastOnce, 7);
  EXPECT_EQ(rig.received_bytes(), "");
  complete(rig, 0, ReasonCode::NoMatchingSubscribers, bytes("26 00 03 'seq' 00 01 '5'"));
  EXPECT_EQ(hex(rig.received_bytes()), hex(bytes("40 0D 00 07 10 09 26 00 03 'seq' 00 01 '5'")));
  // [MQTT-4.3.2-5]: the same packet id is a new message now.
  rig.publish("b", Qos::AtLeastOnce, 7, true);
  EXPECT_EQ(rig.actions(), (Lines{"publish a q1", "publish b q1"}));
}

TEST(Inbound, Qos2GoesThroughItsFourPackets) {
  Rig rig;
  rig.connect();
  rig.publish("a", Qos::ExactlyOnce, 7);
  complete(rig, 0);
  EXPECT_EQ(rig.received(), Lines{"PUBREC 7"});
  rig.publish("a", Qos::ExactlyOnce, 7, true);  // [MQTT-4.3.3-10]
  EXPECT_EQ(rig.received(), Lines{"PUBREC 7"});
  EXPECT_EQ(rig.actions(), Lines{"publish a q2"});
  rig.pubrel(7);
  EXPECT_EQ(rig.received(), Lines{"PUBCOMP 7"});
  rig.pubrel(7);
  EXPECT_EQ(rig.received(), Lines{"PUBCOMP 7 0x92"});
  rig.publish("b", Qos::ExactlyOnce, 7);  // [MQTT-4.3.3-12]
  EXPECT_EQ(rig.actions(), Lines{"publish b q2"});
}

TEST(Inbound, Qos2StateOutlivesTheConnection) {
  Rig rig;
  rig.connect();
  rig.publish("a", Qos::ExactlyOnce, 7);
  complete(rig, 0);
  rig.disconnect();
  rig.connect();
  rig.publish("a", Qos::ExactlyOnce, 7, true);
  EXPECT_EQ(rig.received(), Lines{"PUBREC 7"});
  EXPECT_EQ(rig.actions(), Lines{"publish a q2"});
  rig.disconnect();
  rig.connect();
  rig.pubrel(7);
  EXPECT_EQ(rig.received(), Lines{"PUBCOMP 7"});
}

TEST(Inbound, AFailedPubrecEndsTheExchange) {
  Rig rig;
  rig.connect();
  rig.publish("a", Qos::ExactlyOnce, 7);
  complete(rig, 0, ReasonCode::QuotaExceeded);
  EXPECT_EQ(rig.received(), Lines{"PUBREC 7 0x97"});
  rig.publish("b", Qos::ExactlyOnce, 7);  // [MQTT-4.3.3-9]
  EXPECT_EQ(rig.actions(), (Lines{"publish a q2", "publish b q2"}));
}

TEST(Inbound, AFailureTowardOldClientsLooksLikeSuccess) {
  Rig rig;
  rig.connect({.version = V3_1_1});
  rig.publish("a", Qos::AtLeastOnce, 6);
  rig.publish("a", Qos::ExactlyOnce, 7);
  complete(rig, 0, ReasonCode::NotAuthorized, bytes("1F 00 00"));
  complete(rig, 1, ReasonCode::NotAuthorized, bytes("1F 00 00"));
  EXPECT_EQ(rig.received(), (Lines{"PUBACK 6", "PUBREC 7"}));
  rig.publish("a", Qos::ExactlyOnce, 7, true);
  EXPECT_EQ(rig.received(), Lines{"PUBREC 7"});
  rig.pubrel(7);
  EXPECT_EQ(rig.received(), Lines{"PUBCOMP 7"});
}

TEST(Inbound, AcknowledgementsKeepTheOrderOfArrival) {
  Rig rig;  // [MQTT-4.6.0-2], [MQTT-4.6.0-3]
  rig.connect();
  rig.publish("a", Qos::AtLeastOnce, 1);
  rig.publish("a", Qos::ExactlyOnce, 2);
  rig.publish("a", Qos::AtMostOnce);
  rig.publish("a", Qos::AtLeastOnce, 3);
  complete(rig, 3);
  EXPECT_EQ(rig.received(), Lines{});
  complete(rig, 1);
  EXPECT_EQ(rig.received(), Lines{});
  complete(rig, 0);
  EXPECT_EQ(rig.received(), (Lines{"PUBACK 1", "PUBREC 2", "PUBACK 3"}));
  complete(rig, 0);
  EXPECT_EQ(rig.received(), Lines{});
}

TEST(Inbound, AcknowledgementsKeepTheirOrderOverThousands) {
  Rig rig({.receive_max = 65'535});
  rig.connect();
  constexpr std::size_t kCount = 5'000;
  for (std::size_t i = 0; i < kCount; ++i) rig.publish("a", Qos::AtLeastOnce, static_cast<mqtt::PacketId>(i + 1));
  Lines expected;
  for (std::size_t i = 0; i < kCount; i += 2) complete(rig, i + 1);
  for (std::size_t i = 0; i < kCount; i += 2) {
    complete(rig, i);
    expected.push_back("PUBACK " + std::to_string(i + 1));
    expected.push_back("PUBACK " + std::to_string(i + 2));
  }
  EXPECT_EQ(rig.received(), expected);
}

TEST(Inbound, ACopyThatComesWhileTheFirstIsPendingIsAnsweredWithIt) {
  Rig rig;
  rig.connect({.version = V3_1});
  rig.publish("a", Qos::ExactlyOnce, 1);
  rig.publish("a", Qos::ExactlyOnce, 1, true);
  rig.publish("b", Qos::AtLeastOnce, 2);
  EXPECT_EQ(rig.actions(), (Lines{"publish a q2", "publish b q1"}));
  complete(rig, 1);
  EXPECT_EQ(rig.received(), Lines{});
  complete(rig, 0);
  EXPECT_EQ(rig.received(), (Lines{"PUBREC 1", "PUBREC 1", "PUBACK 2"}));
}

TEST(Inbound, ACopyOnANewConnectionIsAnsweredByTheOldTicket) {
  Rig rig;
  rig.connect();
  rig.publish("a", Qos::ExactlyOnce, 1);
  const auto ticket = rig.tickets.at(0);
  rig.disconnect();
  rig.connect();
  rig.publish("a", Qos::ExactlyOnce, 1, true);
  EXPECT_EQ(rig.actions(), Lines{"publish a q2"});
  EXPECT_EQ(rig.received(), Lines{});
  rig.session->complete_publish(ticket, ReasonCode::Success, bytes("26 00 00 00 00"));
  EXPECT_EQ(rig.received(), Lines{"PUBREC 1 +5"});
}

TEST(Inbound, ATicketOfAnOldConnectionSettlesStateOnly) {
  Rig rig;
  rig.connect();
  rig.publish("a", Qos::AtLeastOnce, 1);
  rig.publish("a", Qos::ExactlyOnce, 2);
  const auto tickets = rig.tickets;
  rig.disconnect();
  rig.connect();
  for (const auto& ticket : tickets) rig.session->complete_publish(ticket, ReasonCode::Success, {});
  EXPECT_EQ(rig.received(), Lines{});
  rig.publish("a", Qos::ExactlyOnce, 2, true);
  EXPECT_EQ(rig.received(), Lines{"PUBREC 2"});
  EXPECT_EQ(rig.actions().size(), 2U);
}

TEST(Inbound, AnOutcomeWithoutAnyConnectionIsRemembered) {
  Rig rig;
  rig.connect();
  rig.publish("a", Qos::ExactlyOnce, 1);
  rig.publish("a", Qos::ExactlyOnce, 2);
  const auto tickets = rig.tickets;
  rig.disconnect();
  rig.session->complete_publish(tickets[0], ReasonCode::Success, {});
  rig.session->complete_publish(tickets[1], ReasonCode::QuotaExceeded, {});
  rig.connect();
  rig.publish("a", Qos::ExactlyOnce, 1, true);
  rig.publish("a", Qos::ExactlyOnce, 2, true);
  EXPECT_EQ(rig.received(), Lines{"PUBREC 1"});
  EXPECT_EQ(rig.actions(), (Lines{"publish a q2", "publish a q2", "publish a q2"}));
}

TEST(Inbound, ReceiptsStayWithinWhatTheClientTakes) {
  struct Case {
    std::string_view connect;
    std::string_view answer;
  };
  constexpr Case kCases[] = {
      {"", "40 0D 00 07 00 09 26 00 03 'seq' 00 01 '5'"},
      {"17 00", "40 02 00 07"},  // [MQTT-3.1.2-29]
      {"17 01", "40 0D 00 07 00 09 26 00 03 'seq' 00 01 '5'"},
      {"27 00 00 00 0F", "40 0D 00 07 00 09 26 00 03 'seq' 00 01 '5'"},
      {"27 00 00 00 0E", "40 02 00 07"},  // [MQTT-3.4.2-3]
  };
  for (const Case& one : kCases) {
    Rig rig;
    rig.connect({.properties = mqtt::properties(one.connect)});
    rig.publish("a", Qos::AtLeastOnce, 7);
    complete(rig, 0, ReasonCode::Success, bytes("26 00 03 'seq' 00 01 '5'"));
    EXPECT_EQ(hex(rig.received_bytes()), hex(bytes(one.answer))) << one.connect;
  }
}

// -- Receive Maximum --

TEST(InboundReceiveMaximum, IsCountedOverBothQos) {
  Rig rig({.receive_max = 3});
  rig.connect();
  rig.publish("a", Qos::AtLeastOnce, 1);
  rig.publish("a", Qos::ExactlyOnce, 2);
  rig.publish("a", Qos::AtLeastOnce, 3);
  rig.publish("a", Qos::AtMostOnce);
  EXPECT_EQ(rig.received(), Lines{});
  rig.actions();
  rig.publish("a", Qos::AtLeastOnce, 4);
  EXPECT_EQ(rig.received(), Lines{"DISCONNECT 0x93"});  // §3.3.4
  EXPECT_EQ(rig.actions(), Lines{"close 0x93"});
}

TEST(InboundReceiveMaximum, IsGivenBackByPubackAndPubcomp) {
  Rig rig({.receive_max = 1});
  rig.connect();
  rig.publish("a", Qos::AtLeastOnce, 1);
  complete(rig, 0);
  rig.publish("a", Qos::ExactlyOnce, 2);
  complete(rig, 1);
  rig.publish("a", Qos::ExactlyOnce, 2, true);  // A copy takes no place of its own.
  EXPECT_EQ(rig.received(), (Lines{"PUBACK 1", "PUBREC 2", "PUBREC 2"}));
  rig.pubrel(2);
  rig.publish("a", Qos::ExactlyOnce, 3);
  complete(rig, 2, ReasonCode::QuotaExceeded);  // So does a refusal.
  rig.publish("a", Qos::AtLeastOnce, 4);
  complete(rig, 3);
  EXPECT_EQ(rig.received(), (Lines{"PUBCOMP 2", "PUBREC 3 0x97", "PUBACK 4"}));
  rig.publish("a", Qos::ExactlyOnce, 5);
  complete(rig, 4);
  rig.publish("a", Qos::AtLeastOnce, 6);
  EXPECT_EQ(rig.received(), (Lines{"PUBREC 5", "DISCONNECT 0x93"}));
}

TEST(InboundReceiveMaximum, BeginsAnewWithEveryConnection) {
  Rig rig({.receive_max = 2});  // §4.9
  rig.connect();
  rig.publish("a", Qos::ExactlyOnce, 1);
  rig.publish("a", Qos::ExactlyOnce, 2);
  complete(rig, 0);
  complete(rig, 1);
  rig.disconnect();
  rig.connect();
  rig.publish("a", Qos::ExactlyOnce, 3);
  rig.publish("a", Qos::ExactlyOnce, 4);
  EXPECT_EQ(rig.received(), Lines{});
  rig.publish("a", Qos::ExactlyOnce, 5);
  EXPECT_EQ(rig.received(), Lines{"DISCONNECT 0x93"});
}

TEST(InboundReceiveMaximum, IsUnknownToOldClients) {
  Rig rig({.receive_max = 1});
  rig.connect({.version = V3_1_1});
  for (mqtt::PacketId id = 1; id < 100; ++id) rig.publish("a", Qos::AtLeastOnce, id);
  EXPECT_EQ(rig.actions().size(), 99U);
}

// -- Topic aliases --

void publish_alias(Rig& rig, std::string_view topic, std::string_view alias) {
  rig.send(mqtt::Publish{.topic = topic, .properties = mqtt::properties("23 " + std::string(alias))});
}

TEST(InboundAlias, StandsForItsTopicUntilAnotherOneIsSet) {
  Rig rig({.topic_alias_max = 3});
  rig.connect();
  publish_alias(rig, "a", "00 01");
  publish_alias(rig, "b", "00 03");
  publish_alias(rig, "", "00 01");
  publish_alias(rig, "", "00 03");
  publish_alias(rig, "c", "00 01");
  publish_alias(rig, "", "00 01");
  EXPECT_EQ(rig.actions(),
            (Lines{"publish a q0", "publish b q0", "publish a q0", "publish b q0", "publish c q0", "publish c q0"}));
}

TEST(InboundAlias, IsRefusedOutsideItsRange) {
  for (const std::string_view alias : {"00 00", "00 04", "FF FF"}) {
    Rig rig({.topic_alias_max = 3});  // [MQTT-3.3.2-8], [MQTT-3.3.2-9]
    rig.connect();
    publish_alias(rig, "a", alias);
    EXPECT_EQ(rig.received(), Lines{"DISCONNECT 0x94"}) << alias;
    EXPECT_EQ(rig.actions(), Lines{"close 0x94"});
  }
}

TEST(InboundAlias, IsRefusedBeforeItIsSetAndAfterTheConnection) {
  Rig rig;
  rig.connect();
  publish_alias(rig, "", "00 01");
  EXPECT_EQ(rig.actions(), Lines{"close 0x82"});
  rig.connect();
  publish_alias(rig, "a", "00 01");
  publish_alias(rig, "", "00 02");
  EXPECT_EQ(rig.actions(), (Lines{"publish a q0", "close 0x82"}));
  rig.connect();
  publish_alias(rig, "", "00 01");  // [MQTT-3.3.2-7]
  EXPECT_EQ(rig.actions(), Lines{"close 0x82"});
}

}  // namespace
}  // namespace parley::session
