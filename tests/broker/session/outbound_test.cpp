#include <gtest/gtest.h>

#include "broker/session/session.hpp"
#include "tests/broker/session/rig.hpp"

namespace parley::session {
namespace {

using enum ProtocolVersion;
constexpr Qos Q0 = Qos::AtMostOnce;
constexpr Qos Q1 = Qos::AtLeastOnce;
constexpr Qos Q2 = Qos::ExactlyOnce;

TEST(Outbound, DeliversAtTheLowerQos) {
  for (const Qos published : {Q0, Q1, Q2}) {
    for (const Qos granted : {Q0, Q1, Q2}) {
      Rig rig;
      rig.connect();
      EXPECT_EQ(rig.session->deliver(Rig::message("a", "x", published), granted, false, {}, rig.now), Delivered::Sent);
      const Qos lower = std::min(published, granted);
      const std::string id = lower == Q0 ? "" : "1 ";
      EXPECT_EQ(rig.received(), Lines{"PUBLISH " + id + "a q" + std::to_string(static_cast<int>(lower)) + " 'x'"});
    }
  }
}

TEST(Outbound, Qos1IsSettledByPuback) {
  Rig rig;
  rig.connect();
  rig.deliver("a", "x", Q1);
  rig.puback(1);
  EXPECT_EQ(rig.actions(), Lines{"window"});
  rig.puback(1);  // Late or repeated: nothing happens.
  EXPECT_EQ(rig.actions(), Lines{});
  rig.deliver("a", "y", Q1);
  rig.puback(2, ReasonCode::UnspecifiedError);  // [MQTT-4.4.0-2]
  EXPECT_EQ(rig.actions(), Lines{"window"});
  EXPECT_EQ(rig.received(), (Lines{"PUBLISH 1 a q1 'x'", "PUBLISH 2 a q1 'y'"}));
  rig.disconnect();
  rig.connect();
  EXPECT_EQ(rig.received(), Lines{});
}

TEST(Outbound, Qos2GoesThroughItsFourPackets) {
  Rig rig;
  rig.connect();
  rig.deliver("a", "x", Q2);
  EXPECT_EQ(rig.received(), Lines{"PUBLISH 1 a q2 'x'"});
  rig.pubrec(1);
  EXPECT_EQ(rig.received(), Lines{"PUBREL 1"});
  EXPECT_EQ(rig.actions(), Lines{});
  rig.pubrec(1);
  EXPECT_EQ(rig.received(), Lines{"PUBREL 1"});
  rig.pubcomp(1);
  EXPECT_EQ(rig.actions(), Lines{"window"});
  rig.pubcomp(1);
  EXPECT_EQ(rig.received(), Lines{});
  rig.pubrec(1);
  EXPECT_EQ(rig.received(), Lines{"PUBREL 1 0x92"});
}

TEST(Outbound, AFailedPubrecSettlesAtOnce) {
  Rig rig;
  rig.connect();
  rig.deliver("a", "x", Q2);
  rig.received();
  rig.pubrec(1, ReasonCode::QuotaExceeded);
  EXPECT_EQ(rig.received(), Lines{});  // No PUBREL.
  EXPECT_EQ(rig.actions(), Lines{"window"});
  rig.pubrec(9, ReasonCode::QuotaExceeded);
  EXPECT_EQ(rig.received(), Lines{});
  EXPECT_EQ(rig.actions(), Lines{});
}

TEST(Outbound, AcknowledgementsOfAnotherQosAreViolations) {
  struct Case {
    Qos qos;
    bool after_pubrec;
    mqtt::PacketType type;
  };
  using enum mqtt::PacketType;
  for (const Case& one : {Case{Q1, false, Pubrec}, Case{Q1, false, Pubcomp}, Case{Q2, false, Puback},
                          Case{Q2, false, Pubcomp}, Case{Q2, true, Puback}}) {
    Rig rig;
    rig.connect();
    rig.deliver("a", "x", one.qos);
    if (one.after_pubrec) rig.pubrec(1);
    rig.received();
    rig.send(mqtt::Ack{.type = one.type, .packet_id = 1});
    EXPECT_EQ(rig.received(), Lines{"DISCONNECT 0x82"}) << name_of(one.type);
    EXPECT_EQ(rig.actions(), Lines{"close 0x82"});
  }
}

TEST(Outbound, WritesEachVersionAsItReads) {
  for (const ProtocolVersion version : mqtt::kVersions) {
    Rig rig;
    rig.connect({.version = version});
    rig.deliver("a", "x", Q1, {7, 300});
    EXPECT_EQ(hex(rig.received_bytes()), version == V5 ? hex(bytes("32 0C 00 01 'a' 00 01 05 0B 07 0B AC 02 'x'"))
                                                       : hex(bytes("32 06 00 01 'a' 00 01 'x'")));
  }
}

TEST(Outbound, DropsQos0ThatNobodyTakes) {
  Rig rig({.output_max = 100});
  EXPECT_EQ(rig.deliver("a", "x", Q0), Delivered::Dropped);
  rig.connect();
  EXPECT_EQ(rig.deliver("a", std::string(100, 'x'), Q0), Delivered::Sent);
  EXPECT_EQ(rig.deliver("a", "x", Q0), Delivered::Dropped);
  rig.received();
  EXPECT_EQ(rig.deliver("a", "x", Q0), Delivered::Sent);
}

// -- Receive Maximum and the queue --

TEST(OutboundReceiveMaximum, HoldsPublishesBack) {
  Rig rig;  // [MQTT-3.3.4-9]
  rig.connect({.properties = mqtt::properties("21 00 02")});
  EXPECT_TRUE(rig.session->can_send(Q1));
  EXPECT_EQ(rig.deliver("a", "1", Q1), Delivered::Sent);
  EXPECT_EQ(rig.deliver("a", "2", Q2), Delivered::Sent);
  EXPECT_FALSE(rig.session->can_send(Q1));
  EXPECT_FALSE(rig.session->can_send(Q2));
  EXPECT_TRUE(rig.session->can_send(Q0));
  EXPECT_EQ(rig.deliver("a", "3", Q1), Delivered::Queued);
  EXPECT_EQ(rig.deliver("a", "4", Q2), Delivered::Queued);
  EXPECT_EQ(rig.deliver("a", "0", Q0), Delivered::Sent);
  EXPECT_EQ(rig.session->queued(), 2U);
  EXPECT_EQ(rig.received(), (Lines{"PUBLISH 1 a q1 '1'", "PUBLISH 2 a q2 '2'", "PUBLISH a q0 '0'"}));
  rig.pubrec(2);  // Gives nothing back yet.
  EXPECT_EQ(rig.received(), Lines{"PUBREL 2"});
  rig.puback(1);
  EXPECT_EQ(rig.received(), Lines{"PUBLISH 3 a q1 '3'"});
  rig.pubcomp(2);
  EXPECT_EQ(rig.received(), Lines{"PUBLISH 4 a q2 '4'"});
  rig.pubrec(4, ReasonCode::UnspecifiedError);
  EXPECT_TRUE(rig.session->can_send(Q1));
  EXPECT_EQ(rig.session->queued(), 0U);
}

TEST(OutboundReceiveMaximum, IsTheLowerOfBothSides) {
  for (const std::uint16_t ours : {std::uint16_t{1}, std::uint16_t{5}}) {
    Rig rig({.inflight_max = ours});
    rig.connect({.properties = mqtt::properties("21 00 03")});
    int sent = 0;
    while (rig.session->can_send(Q1)) {
      ASSERT_EQ(rig.deliver("a", "x", Q1), Delivered::Sent);
      ++sent;
    }
    EXPECT_EQ(sent, std::min<int>(ours, 3));
  }
}

TEST(OutboundQueue, KeepsToItsLimits) {
  Rig rig({.queued_messages_max = 3, .queued_bytes_max = 100});
  EXPECT_EQ(rig.deliver("a", "1", Q1), Delivered::Queued);
  EXPECT_EQ(rig.deliver("a", std::string(98, '2'), Q1), Delivered::QueueFull);
  EXPECT_EQ(rig.deliver("a", std::string(97, '2'), Q1), Delivered::Queued);
  EXPECT_EQ(rig.deliver("a", "", Q1), Delivered::QueueFull);
  Rig other({.queued_messages_max = 3});
  for (int i = 0; i < 3; ++i) EXPECT_EQ(other.deliver("a", "x", Q1), Delivered::Queued);
  EXPECT_EQ(other.deliver("a", "x", Q1), Delivered::QueueFull);
  other.connect();
  EXPECT_EQ(other.received().size(), 3U);
  EXPECT_EQ(other.session->queued(), 0U);
}

TEST(OutboundQueue, IsSentInOrderWhenTheClientComes) {
  Rig rig;
  for (int i = 0; i < 5; ++i) rig.deliver("a", std::to_string(i), Q1, {9});
  rig.connect({.properties = mqtt::properties("21 00 02")});
  EXPECT_EQ(rig.received(), (Lines{"PUBLISH 1 a q1 sub=9 '0'", "PUBLISH 2 a q1 sub=9 '1'"}));
  EXPECT_EQ(rig.deliver("a", "5", Q1), Delivered::Queued);
  rig.puback(2);
  rig.puback(1);
  EXPECT_EQ(rig.received(), (Lines{"PUBLISH 3 a q1 sub=9 '2'", "PUBLISH 4 a q1 sub=9 '3'"}));
  rig.puback(4);
  rig.puback(3);
  EXPECT_EQ(rig.received(), (Lines{"PUBLISH 5 a q1 sub=9 '4'", "PUBLISH 6 a q1 '5'"}));
}

TEST(OutboundQueue, WaitsForTheOutputToDrain) {
  Rig rig({.output_max = 50});
  rig.connect();
  EXPECT_EQ(rig.deliver("a", std::string(60, 'x'), Q1), Delivered::Sent);
  EXPECT_EQ(rig.deliver("a", "y", Q1), Delivered::Queued);
  rig.session->drained(rig.now);
  EXPECT_EQ(rig.session->queued(), 1U);
  rig.received();
  rig.session->drained(rig.now);
  EXPECT_EQ(rig.received(), Lines{"PUBLISH 2 a q1 'y'"});
}

TEST(OutboundQueue, HoldsThousandsInOrder) {
  Rig rig({.queued_messages_max = 10'000});
  for (int i = 0; i < 5'000; ++i) ASSERT_EQ(rig.deliver("a", std::to_string(i), Q1), Delivered::Queued);
  rig.connect({.properties = mqtt::properties("21 00 01")});
  for (int i = 0; i < 5'000; ++i) {
    ASSERT_EQ(rig.received(), Lines{"PUBLISH " + std::to_string(i + 1) + " a q1 '" + std::to_string(i) + "'"});
    rig.puback(static_cast<mqtt::PacketId>(i + 1));
    if (i % 3 == 0) rig.deliver("a", "later", Q0);
    if (i % 3 == 0) rig.received_bytes();
    if (i % 3 == 0 && i + 1 < 5'000) {
      // What came with the acknowledgement went out before the QoS 0 message; take it up again.
      rig.disconnect();
      rig.connect({.properties = mqtt::properties("21 00 01")});
      ASSERT_EQ(rig.received(),
                Lines{"PUBLISH " + std::to_string(i + 2) + " a dup q1 '" + std::to_string(i + 1) + "'"});
      rig.puback(static_cast<mqtt::PacketId>(i + 2));
      ++i;
    }
  }
}

// -- Packet ids --

TEST(OutboundPacketIds, GoRoundAndAreNeverZero) {
  Rig rig;
  rig.connect();
  for (std::uint32_t i = 0; i < 140'000; ++i) {
    rig.deliver("a", "x", Q1);
    const auto id = static_cast<mqtt::PacketId>(i % 65'535 + 1);
    rig.received_bytes();
    rig.puback(id);
    ASSERT_EQ(rig.actions(), Lines{"window"}) << i;
  }
}

TEST(OutboundPacketIds, OfMessagesUnderWayAreNotGivenAgain) {
  Rig rig({.inflight_max = 100, .queued_messages_max = 0});
  rig.connect();
  rig.deliver("stuck", "x", Q1);  // Packet id 1 stays open.
  rig.received_bytes();
  std::uint32_t delivered = 0;
  for (std::uint32_t i = 2; i < 70'000; ++i) {
    if (rig.deliver("a", "x", Q1) != Delivered::Sent) break;
    ++delivered;
    rig.received_bytes();
    rig.puback(static_cast<mqtt::PacketId>(i));
  }
  EXPECT_GT(delivered, 10'000U);
  EXPECT_LT(delivered, 65'535U);
  rig.actions();
  rig.puback(1);
  EXPECT_EQ(rig.actions(), Lines{"window"});
  EXPECT_EQ(rig.deliver("a", "x", Q1), Delivered::Sent);
}

// -- Expiry, size, aliases --

TEST(OutboundExpiry, IsCountedDown) {
  Rig rig;
  rig.connect();
  const auto deliver = [&](Duration left, Qos qos) {
    const auto message = mqtt::Message::make({.topic = "a", .payload = "x", .qos = Q2, .expires = rig.now + left});
    return rig.session->deliver(message, qos, false, {}, rig.now);
  };
  EXPECT_EQ(deliver(60s, Q0), Delivered::Sent);
  EXPECT_EQ(deliver(1ms, Q0), Delivered::Sent);
  EXPECT_EQ(deliver(0s, Q0), Delivered::Dropped);  // [MQTT-3.3.2-5]
  EXPECT_EQ(deliver(-5s, Q1), Delivered::Dropped);
  EXPECT_EQ(rig.received(), (Lines{"PUBLISH a q0 expiry=60 'x'", "PUBLISH a q0 expiry=1 'x'"}));  // [MQTT-3.3.2-6]
  rig.disconnect();
  EXPECT_EQ(deliver(10s, Q1), Delivered::Queued);
  EXPECT_EQ(deliver(30s, Q1), Delivered::Queued);
  rig.now += 12s;
  rig.connect();
  EXPECT_EQ(rig.received(), Lines{"PUBLISH 1 a q1 expiry=18 'x'"});
  // Once sent, it doesn't expire any more. [MQTT-4.3.3-7]
  rig.disconnect();
  rig.now += 60s;
  rig.connect();
  EXPECT_EQ(rig.received(), Lines{"PUBLISH 1 a dup q1 expiry=0 'x'"});
}

TEST(OutboundExpiry, OfZeroIsForNowOnly) {
  Rig rig;
  rig.connect();
  const auto message =
      mqtt::Message::make({.topic = "a", .payload = "x", .qos = Q2, .expires = rig.now, .at_once = true});
  const auto deliver = [&](Qos qos) { return rig.session->deliver(message, qos, false, {}, rig.now + 1ms); };
  EXPECT_EQ(deliver(Q0), Delivered::Sent);
  EXPECT_EQ(hex(rig.received_bytes()), hex(bytes("30 0A 00 01 'a' 05 02 00 00 00 00 'x'")));  // [MQTT-3.3.2-6]
  EXPECT_EQ(deliver(Q1), Delivered::Sent);
  EXPECT_EQ(rig.received(), Lines{"PUBLISH 1 a q1 expiry=0 'x'"});
  rig.disconnect();
  EXPECT_EQ(deliver(Q0), Delivered::Dropped);
  EXPECT_EQ(deliver(Q1), Delivered::Dropped);  // [MQTT-3.3.2-5]
  // Once sent, it doesn't expire any more.
  rig.connect();
  EXPECT_EQ(rig.received(), Lines{"PUBLISH 1 a dup q1 expiry=0 'x'"});
}

TEST(OutboundExpiry, OfZeroDoesntWaitForTheWindow) {
  Rig rig;
  rig.connect({.properties = mqtt::properties("21 00 01")});
  rig.deliver("a", "first", Q1);
  const auto message =
      mqtt::Message::make({.topic = "a", .payload = "x", .qos = Q2, .expires = rig.now, .at_once = true});
  EXPECT_EQ(rig.session->deliver(message, Q1, false, {}, rig.now), Delivered::Dropped);
  EXPECT_EQ(rig.session->queued(), 0U);
}

TEST(OutboundPacketSize, IsKeptToTheByte) {
  // 32 LL 00 01 'a' 00 01 00 payload: nine bytes and the payload at QoS 1, seven at QoS 0.
  for (const std::size_t maximum : {20U, 50U, 100U}) {
    Rig rig;
    rig.connect({.properties = mqtt::properties("27 00 00 00 " + hex(std::string(1, static_cast<char>(maximum))))});
    EXPECT_EQ(rig.deliver("a", std::string(maximum - 6, 'x'), Q0), Delivered::Sent);
    EXPECT_EQ(rig.deliver("a", std::string(maximum - 5, 'x'), Q0), Delivered::Dropped);  // [MQTT-3.1.2-24]
    EXPECT_EQ(rig.deliver("a", std::string(maximum - 8, 'x'), Q1), Delivered::Sent);
    EXPECT_EQ(rig.deliver("a", std::string(maximum - 7, 'x'), Q1), Delivered::Dropped);  // [MQTT-3.1.2-25]
    EXPECT_EQ(rig.received_bytes().size(), 2 * maximum);
    EXPECT_EQ(rig.deliver("a", "y", Q1), Delivered::Sent);
    EXPECT_EQ(rig.received(), Lines{"PUBLISH 2 a q1 'y'"});
  }
}

TEST(OutboundPacketSize, PassesOverWhatGrewTooLargeInTheQueue) {
  Rig rig;
  rig.deliver("a", std::string(100, 'x'), Q1);
  rig.deliver("a", "y", Q1);
  rig.connect({.properties = mqtt::properties("27 00 00 00 14")});
  EXPECT_EQ(rig.received(), Lines{"PUBLISH 1 a q1 'y'"});
}

TEST(OutboundAlias, IsUsedOnceTheClientKnowsIt) {
  Rig rig({.topic_alias_out_max = 10});
  rig.connect({.properties = mqtt::properties("22 00 01")});
  rig.deliver("a", "1", Q0);
  rig.deliver("a", "2", Q1);
  rig.deliver("b", "3", Q0);
  rig.deliver("b", "4", Q0);
  rig.deliver("a", "5", Q0);
  EXPECT_EQ(rig.received(), (Lines{"PUBLISH a q0 alias=1 '1'", "PUBLISH 1 - q1 alias=1 '2'", "PUBLISH b q0 alias=1 '3'",
                                   "PUBLISH - q0 alias=1 '4'", "PUBLISH a q0 alias=1 '5'"}));
  rig.disconnect();
  rig.connect({.properties = mqtt::properties("22 00 01")});
  EXPECT_EQ(rig.received(), Lines{"PUBLISH 1 a dup q1 alias=1 '2'"});  // [MQTT-3.3.2-7]
}

TEST(OutboundAlias, StaysWithinBothMaxima) {
  struct Case {
    std::uint16_t ours;
    std::string_view theirs;
    std::uint32_t largest;
  };
  for (const Case& one : {Case{16, "22 00 05", 5}, Case{5, "22 00 64", 5}, Case{16, "22 00 00", 0}, Case{16, "", 0},
                          Case{0, "22 00 05", 0}}) {
    Rig rig({.topic_alias_out_max = one.ours});  // [MQTT-3.1.2-26], [MQTT-3.1.2-27]
    rig.connect({.properties = mqtt::properties(one.theirs)});
    std::uint32_t largest = 0;
    for (int i = 0; i < 200; ++i) {
      rig.deliver("topic/" + std::to_string(i % 50), "x", Q0);
      const std::string wire = rig.received_bytes();
      const auto packet = mqtt::decoded(wire, V5);
      ASSERT_TRUE(packet);
      largest = std::max(largest,
                         std::get<mqtt::Publish>(*packet).properties.integer(mqtt::PropertyId::TopicAlias).value_or(0));
    }
    EXPECT_EQ(largest, one.largest) << one.theirs;
  }
}

TEST(OutboundAlias, GivesWayWhereItTakesTheLastBytes) {
  Rig rig;
  rig.connect({.properties = mqtt::properties("22 00 01 27 00 00 00 14")});
  rig.deliver("abc", std::string(12, 'x'), Q0);  // 20 bytes without an alias, 23 with one.
  rig.deliver("abc", std::string(9, 'y'), Q0);   // 20 with one.
  rig.deliver("abc", std::string(13, 'z'), Q0);  // 21 without, 21 with the alias alone.
  rig.deliver("abc", std::string(12, 'z'), Q0);  // 20 with the alias alone.
  EXPECT_EQ(rig.received(), (Lines{"PUBLISH abc q0 'xxxxxxxxxxxx'", "PUBLISH abc q0 alias=1 'yyyyyyyyy'",
                                   "PUBLISH - q0 alias=1 'zzzzzzzzzzzz'"}));
}

/// Answers when the test says so.
class SlowJournal : public Journal {
 public:
  void sending(Session& /*session*/, mqtt::PacketId id, std::uint64_t number) override {
    waiting.emplace_back(id, number);
  }
  void received(Session& /*session*/, mqtt::PacketId /*id*/, std::uint64_t /*number*/) override {}
  void released(Session& /*session*/, mqtt::PacketId /*id*/, std::uint32_t /*connection*/) override {}
  void settled(Session& /*session*/, std::uint64_t number) override { done = number; }
  bool may_send(const Session& /*session*/, const mqtt::Message& /*message*/) const override { return true; }

  std::vector<std::pair<mqtt::PacketId, std::uint64_t>> waiting;
  std::uint64_t done = 0;
};

/// A session whose QoS 2 messages are stored, and wait for the journal.
struct JournalledRig : Rig {
  SlowJournal journal;
  std::uint64_t number = 0;

  explicit JournalledRig(const Limits& given = {}) : Rig(given) {
    session->set_journal(&journal);
    connect({.clean_start = false, .properties = mqtt::Properties::trusted(kLasting)});
  }
  Delivered store(std::string_view payload, Qos qos) {
    const auto stored = std::make_shared<const StoredMessage>(++number, nullptr);
    return session->deliver(message("a", payload), qos, false, {}, now, {}, stored);
  }
  /// The first that waits is durable.
  void answer() {
    const auto [id, of] = journal.waiting.front();
    journal.waiting.erase(journal.waiting.begin());
    session->go_on_sending(id, of, now);
  }
  static constexpr std::string_view kLasting{"\x11\0\0\1\0", 5};
};

TEST(Outbound, Qos1WaitsForQos2BeforeIt) {
  JournalledRig rig;
  rig.store("1", Q1);
  EXPECT_EQ(rig.received(), Lines{"PUBLISH 1 a q1 '1'"});
  rig.store("2", Q2);
  EXPECT_EQ(rig.store("3", Q1), Delivered::Queued);
  rig.store("4", Q1);
  rig.store("5", Q2);
  rig.store("6", Q1);
  EXPECT_EQ(rig.received(), Lines{});
  rig.answer();
  EXPECT_EQ(rig.received(), (Lines{"PUBLISH 2 a q2 '2'", "PUBLISH 3 a q1 '3'", "PUBLISH 4 a q1 '4'"}));
  rig.store("7", Q1);
  EXPECT_EQ(rig.received(), Lines{});
  rig.answer();
  EXPECT_EQ(rig.received(), (Lines{"PUBLISH 5 a q2 '5'", "PUBLISH 6 a q1 '6'", "PUBLISH 7 a q1 '7'"}));
  rig.store("8", Q1);
  EXPECT_EQ(rig.received(), Lines{"PUBLISH 8 a q1 '8'"});
}

TEST(Outbound, Qos1FromTheQueueWaitsForQos2BeforeIt) {
  Limits limits;
  limits.inflight_max = 3;
  JournalledRig rig(limits);
  for (const char* payload : {"1", "2", "3"}) rig.store(payload, Q1);
  rig.store("4", Q2);
  rig.store("5", Q1);
  rig.received();
  for (mqtt::PacketId id = 1; id <= 3; ++id) rig.puback(id);
  EXPECT_EQ(rig.received(), Lines{});
  rig.answer();
  EXPECT_EQ(rig.received(), (Lines{"PUBLISH 4 a q2 '4'", "PUBLISH 5 a q1 '5'"}));
}

TEST(Outbound, WhatWaitedIsSentInOrderOnTheNextConnection) {
  for (const bool answered_between : {false, true}) {
    JournalledRig rig;
    rig.store("1", Q2);
    rig.store("2", Q1);
    rig.disconnect();
    if (answered_between) rig.answer();
    rig.connect({.clean_start = false, .properties = mqtt::Properties::trusted(JournalledRig::kLasting)});
    if (!answered_between) {
      EXPECT_EQ(rig.received(), Lines{});
      rig.answer();
    }
    EXPECT_EQ(rig.received(), (Lines{"PUBLISH 1 a q2 '1'", "PUBLISH 2 a q1 '2'"}));
    rig.store("3", Q1);
    EXPECT_EQ(rig.received(), Lines{"PUBLISH 3 a q1 '3'"});
  }
}

/// Of a client that says that it has what was never sent.
TEST(Outbound, NothingWaitsForWhatIsAcknowledgedBeforeItWasSent) {
  for (const ReasonCode reason : {ReasonCode::Success, ReasonCode::UnspecifiedError}) {
    JournalledRig rig;
    rig.store("1", Q2);
    rig.store("2", Q1);
    rig.store("3", Q2);
    rig.store("4", Q1);
    rig.pubrec(1, reason);
    EXPECT_EQ(rig.received(), Lines{"PUBLISH 2 a q1 '2'"});
    rig.answer();
    EXPECT_EQ(rig.received(), Lines{});
    rig.puback(4);
    rig.answer();
    EXPECT_EQ(rig.received(), Lines{"PUBLISH 3 a q2 '3'"});
    rig.store("5", Q1);
    EXPECT_EQ(rig.received(), Lines{"PUBLISH 5 a q1 '5'"});
  }
}

TEST(Outbound, WhatIsTooLargeLetsGoWhatWaitedForIt) {
  JournalledRig rig;
  rig.disconnect();
  rig.connect({.clean_start = false,
               .properties = mqtt::Properties::trusted(std::string_view("\x11\0\0\1\0\x27\0\0\0\x40", 10))});
  rig.store(std::string(100, 'x'), Q2);
  rig.store("2", Q1);
  rig.store(std::string(100, 'y'), Q1);
  rig.store("4", Q1);
  rig.answer();
  EXPECT_EQ(rig.received(), (Lines{"PUBLISH 2 a q1 '2'", "PUBLISH 4 a q1 '4'"}));
  rig.puback(2);
  rig.puback(4);
  EXPECT_EQ(rig.journal.done, 4U);
}

}  // namespace
}  // namespace parley::session
