#include <gtest/gtest.h>

#include "broker/session/session.hpp"
#include "tests/broker/session/rig.hpp"

namespace parley::session {
namespace {

constexpr Qos Q1 = Qos::AtLeastOnce;
constexpr Qos Q2 = Qos::ExactlyOnce;

TEST(Resend, RepeatsWhatWasNotAcknowledgedInItsOldOrder) {
  Rig rig;  // [MQTT-4.4.0-1], [MQTT-4.6.0-1], [MQTT-3.3.1-1]
  rig.connect();
  rig.deliver("a", "1", Q1);
  rig.deliver("a", "2", Q2);
  rig.deliver("a", "3", Q1);
  rig.deliver("a", "4", Q2);
  rig.deliver("a", "5", Q1);
  rig.puback(3);
  rig.pubrec(2);
  for (int round = 0; round < 3; ++round) {
    rig.disconnect();
    rig.connect();
    EXPECT_EQ(rig.received(),
              (Lines{"PUBREL 2", "PUBLISH 1 a dup q1 '1'", "PUBLISH 4 a dup q2 '4'", "PUBLISH 5 a dup q1 '5'"}));
  }
  rig.puback(1);
  rig.pubcomp(2);
  rig.pubrec(4);
  rig.puback(5);
  rig.disconnect();
  rig.connect();
  EXPECT_EQ(rig.received(), Lines{"PUBREL 4"});  // [MQTT-4.3.3-6]
  rig.pubcomp(4);
  rig.disconnect();
  rig.connect();
  EXPECT_EQ(rig.received(), Lines{});
}

TEST(Resend, KeepsTheRetainFlagAndSubscriptionIds) {
  Rig rig;
  rig.connect();
  const std::uint32_t ids[] = {3, 4};
  rig.session->deliver(Rig::message("a", "x"), Q1, true, ids, rig.now);
  EXPECT_EQ(rig.received(), Lines{"PUBLISH 1 a q1 retain sub=3 sub=4 'x'"});
  rig.disconnect();
  rig.connect();
  EXPECT_EQ(rig.received(), Lines{"PUBLISH 1 a dup q1 retain sub=3 sub=4 'x'"});
}

TEST(Resend, KeepsToTheNewReceiveMaximum) {
  Rig rig;
  rig.connect();
  for (int i = 1; i <= 5; ++i) rig.deliver("a", std::to_string(i), i == 2 ? Q2 : Q1);
  rig.pubrec(2);
  rig.disconnect();
  rig.connect({.properties = mqtt::properties("21 00 02")});
  // PUBREL takes no place.
  EXPECT_EQ(rig.received(), (Lines{"PUBREL 2", "PUBLISH 1 a dup q1 '1'", "PUBLISH 3 a dup q1 '3'"}));
  EXPECT_FALSE(rig.session->can_send(Q1));
  EXPECT_EQ(rig.deliver("a", "6", Q1), Delivered::Queued);
  rig.pubcomp(2);
  EXPECT_EQ(rig.received(), Lines{});
  rig.puback(3);
  EXPECT_EQ(rig.received(), Lines{"PUBLISH 4 a dup q1 '4'"});
  rig.puback(1);
  EXPECT_EQ(rig.received(), Lines{"PUBLISH 5 a dup q1 '5'"});
  rig.puback(4);
  EXPECT_EQ(rig.received(), Lines{"PUBLISH 6 a q1 '6'"});
  EXPECT_FALSE(rig.session->can_send(Q1));
  rig.puback(5);
  EXPECT_TRUE(rig.session->can_send(Q1));
}

TEST(Resend, GoesOnWhenTheOutputDrains) {
  Rig rig({.output_max = 40});
  rig.connect();
  for (int i = 1; i <= 4; ++i) {
    rig.deliver("a", std::string(20, static_cast<char>('0' + i)), Q1);
    rig.received_bytes();
  }
  rig.disconnect();
  rig.connect();
  EXPECT_EQ(rig.received().size(), 2U);
  rig.session->drained(rig.now);
  EXPECT_EQ(rig.received(),
            (Lines{"PUBLISH 3 a dup q1 '33333333333333333333'", "PUBLISH 4 a dup q1 '44444444444444444444'"}));
  EXPECT_TRUE(rig.session->can_send(Q1));
}

TEST(Resend, PassesOverWhatTheClientNoLongerTakes) {
  Rig rig;
  rig.connect();
  rig.deliver("a", std::string(100, 'x'), Q1);
  rig.deliver("a", "y", Q1);
  rig.disconnect();
  rig.connect({.properties = mqtt::properties("27 00 00 00 20")});
  EXPECT_EQ(rig.received(), Lines{"PUBLISH 2 a dup q1 'y'"});
  rig.puback(2);
  rig.disconnect();
  rig.connect();
  EXPECT_EQ(rig.received(), Lines{});
}

TEST(Resend, TakesAcknowledgementsThatComeBeforeIt) {
  Rig rig;
  rig.connect();
  for (int i = 1; i <= 4; ++i) rig.deliver("a", std::to_string(i), i == 3 ? Q2 : Q1);
  rig.disconnect();
  rig.connect({.properties = mqtt::properties("21 00 01")});
  EXPECT_EQ(rig.received(), Lines{"PUBLISH 1 a dup q1 '1'"});
  rig.puback(2);  // Sent before the connection was lost, on its way until now.
  rig.pubrec(3);
  EXPECT_EQ(rig.received(), Lines{"PUBREL 3"});
  rig.puback(1);
  EXPECT_EQ(rig.received(), Lines{"PUBLISH 4 a dup q1 '4'"});
  rig.pubcomp(3);
  rig.puback(4);
  EXPECT_TRUE(rig.session->can_send(Q1));
  EXPECT_EQ(rig.deliver("a", "5", Q1), Delivered::Sent);
  EXPECT_EQ(rig.received(), Lines{"PUBLISH 5 a q1 '5'"});
}

// -- Entries --

TEST(ResendOfEntries, AsksForEachInItsTurn) {
  Rig rig;
  rig.connect();
  const auto cursor = rig.session->add_cursor("c", {1}, {0}, Q1, 0);
  rig.entry(cursor, 1);
  rig.deliver("a", "x", Q1);
  rig.entry(cursor, 2);
  rig.entry(cursor, 3);
  rig.puback(3);
  rig.disconnect();
  rig.connect();
  EXPECT_EQ(rig.received(), Lines{});
  auto wanted = rig.session->resend_wanted();
  ASSERT_TRUE(wanted);
  EXPECT_EQ(wanted->cursor, cursor);
  EXPECT_EQ(wanted->seq, Seq{1});
  EXPECT_FALSE(rig.session->can_send(Q1));
  EXPECT_EQ(rig.deliver("a", "y", Q1), Delivered::Queued);
  rig.entry(cursor, 1);
  EXPECT_EQ(rig.received(), (Lines{"PUBLISH 1 c dup q1 '1'", "PUBLISH 2 a dup q1 'x'"}));
  wanted = rig.session->resend_wanted();
  ASSERT_TRUE(wanted);
  EXPECT_EQ(wanted->seq, Seq{3});  // 2 was acknowledged.
  rig.entry(cursor, 3);
  // What was queued follows by itself.
  EXPECT_EQ(rig.received(), (Lines{"PUBLISH 4 c dup q1 '3'", "PUBLISH 5 a q1 'y'"}));
  EXPECT_FALSE(rig.session->resend_wanted());
  EXPECT_TRUE(rig.session->can_send(Q1));
  EXPECT_EQ(rig.session->cursor(cursor).next, Seq{4});
}

TEST(ResendOfEntries, KeepsQosAndPacketId) {
  Rig rig;
  rig.connect();
  const auto cursor = rig.session->add_cursor("c", {1}, {0}, Q2, 5);
  rig.entry(cursor, 1);
  rig.entry(cursor, 2);
  rig.pubrec(1);
  rig.disconnect();
  rig.connect();
  EXPECT_EQ(rig.received(), Lines{"PUBREL 1"});
  rig.entry(cursor, 2);
  EXPECT_EQ(rig.received(), Lines{"PUBLISH 2 c dup q2 sub=5 '2'"});
  rig.pubcomp(1);
  EXPECT_EQ(rig.session->cursor(cursor).acknowledged, Seq{1});
}

TEST(ResendOfEntries, MayBePassedOver) {
  Rig rig;
  rig.connect();
  const auto cursor = rig.session->add_cursor("c", {1}, {0}, Q1, 0);
  for (std::uint64_t seq = 1; seq <= 3; ++seq) rig.entry(cursor, seq);
  rig.disconnect();
  rig.connect();
  rig.session->skip_entries(cursor, {1}, rig.now);
  EXPECT_EQ(rig.session->cursor(cursor).acknowledged, Seq{1});
  EXPECT_EQ(rig.session->resend_wanted()->seq, Seq{2});
  rig.session->skip_entries(cursor, {9}, rig.now);  // All of them are gone.
  EXPECT_EQ(rig.session->resend_wanted()->seq, Seq{3});
  rig.session->skip_entries(cursor, {9}, rig.now);
  EXPECT_FALSE(rig.session->resend_wanted());
  EXPECT_EQ(rig.session->cursor(cursor).acknowledged, Seq{3});
  EXPECT_TRUE(rig.session->can_send(Q1));
  EXPECT_EQ(rig.received(), Lines{});
}

TEST(ResendOfEntries, EndsWithTheSubscription) {
  Rig rig;
  rig.connect();
  const auto cursor = rig.session->add_cursor("c", {1}, {0}, Q1, 0);
  rig.entry(cursor, 1);
  rig.deliver("a", "x", Q1);
  rig.entry(cursor, 2);
  rig.session->remove_cursor(cursor);
  rig.disconnect();
  rig.connect();
  EXPECT_FALSE(rig.session->resend_wanted());
  EXPECT_EQ(rig.received(), Lines{"PUBLISH 2 a dup q1 'x'"});
  rig.puback(2);
  rig.disconnect();
  rig.connect();
  EXPECT_EQ(rig.received(), Lines{});
}

TEST(ResendOfEntries, WaitsForTheWindow) {
  Rig rig;
  rig.connect();
  const auto cursor = rig.session->add_cursor("c", {1}, {0}, Q1, 0);
  for (std::uint64_t seq = 1; seq <= 3; ++seq) rig.entry(cursor, seq);
  rig.disconnect();
  rig.connect({.properties = mqtt::properties("21 00 01")});
  rig.entry(cursor, 1);
  EXPECT_FALSE(rig.session->resend_wanted());
  EXPECT_FALSE(rig.session->can_send(Q1));
  rig.received_bytes();
  rig.puback(1);
  EXPECT_EQ(rig.actions(), Lines{"window"});
  EXPECT_EQ(rig.session->resend_wanted()->seq, Seq{2});
}

}  // namespace
}  // namespace parley::session
