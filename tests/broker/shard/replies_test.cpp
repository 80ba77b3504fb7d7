#include <algorithm>

#include "tests/broker/shard/scene.hpp"

/// What the broker says to one client alone, on client/{client id}/reply.
namespace parley::shard {
namespace {

/// MQTT 5 §3.3.4, as for any message that several subscriptions match.
TEST(Replies, ComeOnceAtTheHighestQosOfTheSubscriptionsThatMatch) {
  for (const bool exact_first : {true, false}) {
    World world(1, dev());
    auto& alice = join(world, "alice");
    const auto exact = [&] {
      follow(world, alice, "client/alice/reply", {.qos = Qos::AtMostOnce, .subscription_id = 7});
    };
    if (exact_first) exact();
    follow(world, alice, "client/#", {.qos = Qos::AtLeastOnce, .subscription_id = 8});
    follow(world, alice, "other/#", {.qos = Qos::ExactlyOnce, .subscription_id = 9});
    if (!exact_first) exact();
    say(world, alice, "chat/room/msg", "hello", {.response_topic = "client/alice/reply"});
    ASSERT_EQ(alice.received.size(), 1U);
    EXPECT_EQ(alice.received[0].qos, Qos::AtLeastOnce);
    auto ids = alice.received[0].subscription_ids;
    std::ranges::sort(ids);
    EXPECT_EQ(ids, (std::vector<std::uint32_t>{7, 8}));
  }
}

/// Who takes all ordinary topics gets no receipts between them, and no word of what was refused. MQTT 5 §4.7.2
TEST(Replies, AreNotForFiltersThatBeginWithAWildcard) {
  for (const bool is_v3 : {false, true}) {
    World world(1, dev());
    auto& alice = join(world, "alice", {.version = is_v3 ? ProtocolVersion::V3_1_1 : ProtocolVersion::V5});
    for (const char* filter : {"#", "+/#", "+/alice/reply", "+/+/+"}) follow(world, alice, filter);
    say(world, alice, "$SYS/mine", "no");
    say(world, alice, "chat/room/ctl", R"({"op":"info"})");
    EXPECT_TRUE(alice.received.empty());
    follow(world, alice, "client/+/reply");
    say(world, alice, "chat/room/ctl", R"({"op":"info"})");
    EXPECT_EQ(alice.received.size(), 1U);
  }
}

/// `client/a+b/reply` is no name of a topic: a client that got a PUBLISH with it would close the connection.
TEST(Replies, AreNotThereForAClientIdWithAWildcard) {
  for (const std::string id : {"a+b", "#", "+", "a/#"}) {
    World world(1, dev());
    auto& alice = join(world, id, {.user_name = "alice"});
    EXPECT_EQ(follow(world, alice, "client/#"), ReasonCode::GrantedQos1);
    EXPECT_EQ(follow(world, alice, "answers"), ReasonCode::GrantedQos1);
    EXPECT_EQ(follow(world, alice, "chat/+/msg"), ReasonCode::GrantedQos1) << "whose cursor is told there";
    EXPECT_EQ(say(world, alice, "chat/room/msg", "hello").reason(), ReasonCode::Success);
    EXPECT_EQ(say(world, alice, "chat/room/ctl", R"({"op":"info"})").reason(), ReasonCode::Success);
    EXPECT_EQ(say(world, alice, "chat/room/history", "").reason(), ReasonCode::Success);
    EXPECT_TRUE(alice.received.empty()) << id;
    say(world, alice, "chat/room/ctl", R"({"op":"info"})", {.response_topic = "answers"});
    say(world, alice, "chat/room/history", "", {.response_topic = "answers"});
    ASSERT_EQ(alice.received.size(), 3U) << id;
    for (const Received& one : alice.received) EXPECT_EQ(one.topic, "answers");
  }
}

}  // namespace
}  // namespace parley::shard
