#include <gtest/gtest.h>

#include "broker/session/session.hpp"
#include "tests/broker/session/rig.hpp"

namespace parley::session {
namespace {

constexpr Qos Q0 = Qos::AtMostOnce;
constexpr Qos Q1 = Qos::AtLeastOnce;
constexpr Qos Q2 = Qos::ExactlyOnce;

TEST(Cursor, BeginsBehindItsPosition) {
  Rig rig;
  const auto id = rig.session->add_cursor("chat/x/msg", {9}, {5}, Q1, 3);
  const auto state = rig.session->cursor(id);
  EXPECT_EQ(state.topic, "chat/x/msg");
  EXPECT_EQ(state.epoch, Epoch{9});
  EXPECT_EQ(state.next, Seq{6});
  EXPECT_EQ(state.acknowledged, Seq{5});
  EXPECT_EQ(state.qos, Q1);
  EXPECT_EQ(state.subscription_id, 3U);
}

TEST(Cursor, IsFoundByTopicAndItsPlaceUsedAgain) {
  Rig rig;
  const auto a = rig.session->add_cursor("a", {1}, {0}, Q1, 0);
  const auto b = rig.session->add_cursor("b", {1}, {0}, Q1, 0);
  EXPECT_EQ(rig.session->find_cursor("a"), a);
  EXPECT_EQ(rig.session->find_cursor("b"), b);
  EXPECT_EQ(rig.session->find_cursor("c"), std::nullopt);
  EXPECT_EQ(rig.session->cursors(), (std::vector<CursorId>{a, b}));
  rig.session->remove_cursor(a);
  EXPECT_EQ(rig.session->find_cursor("a"), std::nullopt);
  EXPECT_EQ(rig.session->find_cursor(""), std::nullopt);
  EXPECT_EQ(rig.session->cursors(), std::vector<CursorId>{b});
  EXPECT_EQ(rig.session->add_cursor("c", {1}, {0}, Q1, 0), a);
  EXPECT_EQ(rig.session->add_cursor("b", {2}, {7}, Q2, 0), b);
  EXPECT_EQ(rig.session->cursor(b).acknowledged, Seq{7});
  EXPECT_EQ(rig.session->cursor(b).epoch, Epoch{2});
}

TEST(Cursor, AcknowledgedMovesOverADensePrefixOnly) {
  Rig rig;
  rig.connect();
  const auto id = rig.session->add_cursor("c", {1}, {0}, Q1, 0);
  for (std::uint64_t seq = 1; seq <= 4; ++seq) rig.entry(id, seq);
  const auto acknowledged = [&] { return rig.session->cursor(id).acknowledged.value; };
  rig.puback(2);
  EXPECT_EQ(acknowledged(), 0U);
  rig.puback(4);
  EXPECT_EQ(acknowledged(), 0U);
  rig.puback(1);
  EXPECT_EQ(acknowledged(), 2U);
  rig.puback(3);
  EXPECT_EQ(acknowledged(), 4U);
}

TEST(Cursor, Qos2CountsAtPubcomp) {
  Rig rig;
  rig.connect();
  const auto id = rig.session->add_cursor("c", {1}, {0}, Q2, 0);
  rig.entry(id, 1);
  rig.pubrec(1);
  EXPECT_EQ(rig.session->cursor(id).acknowledged, Seq{0});
  rig.pubcomp(1);
  EXPECT_EQ(rig.session->cursor(id).acknowledged, Seq{1});
}

TEST(Cursor, Qos0CountsAtOnce) {
  Rig rig;
  rig.connect();
  const auto id = rig.session->add_cursor("c", {1}, {0}, Q0, 0);
  rig.entry(id, 1);
  EXPECT_EQ(rig.received(), Lines{"PUBLISH c q0 '1'"});
  EXPECT_EQ(rig.session->cursor(id).acknowledged, Seq{1});
  EXPECT_EQ(rig.session->cursor(id).next, Seq{2});
}

TEST(Cursor, AQos0EntryDoesNotOvertakeOnesUnderWay) {
  Rig rig;
  rig.connect();
  const auto id = rig.session->add_cursor("c", {1}, {0}, Q1, 0);
  rig.entry(id, 1);
  rig.session->send_entry(id, {2}, Rig::message("c", "2", Q0), false, rig.now);
  EXPECT_EQ(rig.session->cursor(id).acknowledged, Seq{0});
  EXPECT_EQ(rig.session->cursor(id).next, Seq{3});
  rig.puback(1);
  EXPECT_EQ(rig.session->cursor(id).acknowledged, Seq{2});
}

TEST(Cursor, ReplayedEntriesAreRetainedOnes) {
  Rig rig;
  rig.connect();
  const auto id = rig.session->add_cursor("c", {1}, {0}, Q1, 4);
  rig.session->send_entry(id, {1}, Rig::message("c", "1"), true, rig.now);
  rig.session->send_entry(id, {2}, Rig::message("c", "2"), false, rig.now);
  EXPECT_EQ(rig.received(), (Lines{"PUBLISH 1 c q1 retain sub=4 '1'", "PUBLISH 2 c q1 sub=4 '2'"}));
}

TEST(Cursor, PassesOverWhatIsTooLarge) {
  Rig rig;
  rig.connect({.properties = mqtt::properties("27 00 00 00 14")});
  const auto id = rig.session->add_cursor("c", {1}, {0}, Q1, 0);
  rig.entry(id, 1, 100);
  EXPECT_EQ(rig.session->cursor(id).acknowledged, Seq{1});
  rig.entry(id, 2);
  rig.entry(id, 3, 100);
  rig.entry(id, 4, 100);
  rig.entry(id, 5);
  EXPECT_EQ(rig.session->cursor(id).next, Seq{6});
  EXPECT_EQ(rig.received(), (Lines{"PUBLISH 1 c q1 '2'", "PUBLISH 3 c q1 '5'"}));
  rig.puback(1);
  EXPECT_EQ(rig.session->cursor(id).acknowledged, Seq{4});
  rig.puback(3);
  EXPECT_EQ(rig.session->cursor(id).acknowledged, Seq{5});
}

TEST(Cursor, SkipsWhatIsGone) {
  Rig rig;
  rig.connect();
  const auto id = rig.session->add_cursor("c", {1}, {0}, Q1, 0);
  rig.session->skip_entries(id, {10}, rig.now);
  EXPECT_EQ(rig.session->cursor(id).next, Seq{11});
  EXPECT_EQ(rig.session->cursor(id).acknowledged, Seq{10});
  rig.entry(id, 11);
  rig.session->skip_entries(id, {20}, rig.now);
  rig.session->skip_entries(id, {15}, rig.now);  // Behind already.
  EXPECT_EQ(rig.session->cursor(id).next, Seq{21});
  EXPECT_EQ(rig.session->cursor(id).acknowledged, Seq{10});
  rig.puback(1);
  EXPECT_EQ(rig.session->cursor(id).acknowledged, Seq{20});
}

TEST(Cursor, SkippingForEverNeverFillsThePacketIds) {
  Rig rig;
  rig.connect();
  const auto a = rig.session->add_cursor("a", {1}, {0}, Q1, 0);
  const auto b = rig.session->add_cursor("b", {1}, {0}, Q1, 0);
  rig.entry(a, 1);  // Stays open.
  for (std::uint64_t seq = 2; seq < 200'000; ++seq) {
    rig.session->skip_entries(a, {seq}, rig.now);
    rig.session->skip_entries(b, {seq - 1}, rig.now);
  }
  EXPECT_EQ(rig.session->cursor(a).acknowledged, Seq{0});
  EXPECT_EQ(rig.session->cursor(a).next, Seq{200'000});
  rig.received_bytes();
  rig.puback(1);
  EXPECT_GT(rig.session->cursor(a).acknowledged, Seq{1});
  // Later entries are acknowledged as ever.
  rig.entry(a, 200'000);
  rig.entry(b, 199'999);
  const Lines lines = rig.received();
  ASSERT_EQ(lines.size(), 2U);
  for (const std::string& line : lines) rig.puback(static_cast<mqtt::PacketId>(std::stoi(line.substr(8))));
  EXPECT_EQ(rig.session->cursor(a).acknowledged, Seq{200'000});
  EXPECT_EQ(rig.session->cursor(b).acknowledged, Seq{199'999});
}

TEST(Cursor, LateAcknowledgementsOfAReplacedOneDoNotMoveItsSuccessor) {
  Rig rig;
  rig.connect();
  auto id = rig.session->add_cursor("c", {1}, {0}, Q1, 0);
  rig.entry(id, 1);
  rig.entry(id, 2);
  id = rig.session->add_cursor("c", {1}, {0}, Q1, 0);
  rig.puback(1);
  rig.puback(2);
  EXPECT_EQ(rig.session->cursor(id).acknowledged, Seq{0});
  EXPECT_EQ(rig.session->cursor(id).next, Seq{1});
  rig.session->remove_cursor(id);
  const auto other = rig.session->add_cursor("d", {1}, {0}, Q1, 0);
  EXPECT_EQ(other, id);
  EXPECT_EQ(rig.session->cursor(other).acknowledged, Seq{0});
}

TEST(Cursor, SharesTheWindowWithOrdinaryMessages) {
  Rig rig;
  rig.connect({.properties = mqtt::properties("21 00 02")});
  const auto id = rig.session->add_cursor("c", {1}, {0}, Q1, 0);
  rig.deliver("a", "x", Q1);
  EXPECT_TRUE(rig.session->can_send(Q1));
  rig.entry(id, 1);
  EXPECT_FALSE(rig.session->can_send(Q1));
  EXPECT_EQ(rig.deliver("a", "y", Q1), Delivered::Queued);
  rig.puback(2);
  EXPECT_EQ(rig.received(), (Lines{"PUBLISH 1 a q1 'x'", "PUBLISH 2 c q1 '1'", "PUBLISH 3 a q1 'y'"}));
  EXPECT_EQ(rig.session->cursor(id).acknowledged, Seq{0});  // What stands before it isn't settled.
  rig.puback(1);
  EXPECT_EQ(rig.session->cursor(id).acknowledged, Seq{1});
}

TEST(Cursor, CanSendNothingWithoutAConnection) {
  Rig rig({.output_max = 30});
  EXPECT_FALSE(rig.session->can_send(Q0));
  rig.connect();
  EXPECT_TRUE(rig.session->can_send(Q0));
  rig.deliver("a", std::string(40, 'x'), Q0);
  EXPECT_FALSE(rig.session->can_send(Q0));
  EXPECT_FALSE(rig.session->can_send(Q1));
  rig.received_bytes();
  EXPECT_TRUE(rig.session->can_send(Q1));
  rig.disconnect();
  EXPECT_FALSE(rig.session->can_send(Q0));
  EXPECT_FALSE(rig.session->resend_wanted());
}

}  // namespace
}  // namespace parley::session
