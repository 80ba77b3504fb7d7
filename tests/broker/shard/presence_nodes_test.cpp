#include <algorithm>

#include "tests/broker/shard/presence_scene.hpp"

/// Presence in a cluster.
namespace parley::shard {
namespace {

TEST(PresenceAcrossNodes, IsSeenFromEveryNode) {
  Nodes nodes(3, dev(2), dev(3));
  auto& ann = enter(nodes, 1, "ann");
  auto& bob = enter(nodes, 2, "bob");
  create(nodes, ann, {"bob"});
  nodes.advance(11s);
  EXPECT_EQ(follow(nodes, ann, "presence/bob"), ReasonCode::GrantedQos1);
  EXPECT_EQ(follow(nodes, ann, "presence/cat"), ReasonCode::NotAuthorized);
  EXPECT_EQ(seen(ann, "bob"), (List{"online/1"}));
  EXPECT_EQ(say(nodes, bob, "presence/bob", "here").reason(), ReasonCode::Success);
  nodes.advance(2s);
  EXPECT_EQ(seen(ann, "bob").back(), "online/1 here");
  EXPECT_TRUE(has(command(nodes, ann, "tea", R"({"op":"info"})"),
                  R"("user":"bob","role":"member","joined":2,"read":2,"delivered":2,"online":true)"));
  bob.disconnect();
  nodes.advance(12s);
  EXPECT_EQ(seen(ann, "bob").back(), "offline/0 here");
}

TEST(PresenceAcrossNodes, ADirectConversationNeedsThatBothTakePart) {
  Nodes nodes(3, closed(2), closed(3));
  auto& ann = enter(nodes, 1, "ann");
  auto& bob = enter(nodes, 2, "bob");
  say(nodes, ann, "chat/dm:bob/msg", "hello");
  follow(nodes, ann, "presence/+");
  nodes.advance(2s);
  EXPECT_EQ(follow(nodes, ann, "presence/bob"), ReasonCode::NotAuthorized);
  EXPECT_EQ(follow(nodes, bob, "presence/ann"), ReasonCode::GrantedQos1);
  EXPECT_TRUE(seen(ann, "bob").empty());
  say(nodes, bob, "chat/dm:ann/msg", "hi");
  nodes.advance(2s);
  EXPECT_EQ(seen(ann, "bob"), (List{"online/1"}));
  EXPECT_EQ(follow(nodes, ann, "presence/bob"), ReasonCode::GrantedQos1);
}

/// As conversations and inboxes do.
TEST(PresenceAcrossNodes, ASubscriptionWaitsForALeader) {
  Nodes nodes(3, dev(2), dev(2));
  auto& ann = enter(nodes, 1, "ann");
  enter(nodes, 1, "bob");
  create(nodes, ann, {"bob"});
  for (std::size_t i = 0; i < 3; ++i) nodes.crash(i);
  for (std::size_t i = 0; i < 3; ++i) nodes.start(i);
  ann.connect();
  const auto id = ann.subscribe("presence/bob");
  nodes.advance(3s);
  ASSERT_NE(ann.answer(PacketType::Suback, id), nullptr);
  EXPECT_EQ(ann.answer(PacketType::Suback, id)->reason(), ReasonCode::GrantedQos1);
}

TEST(PresenceAcrossNodes, ATakeOverByAnotherNodeDoesntFlicker) {
  Nodes nodes(3, dev(2), dev(2));
  auto& ann = enter(nodes, 1, "ann");
  auto& bob = enter(nodes, 2, "bob");
  create(nodes, ann, {"bob"});
  follow(nodes, ann, "presence/bob");
  auto& again = nodes.at(0).client("bob");
  again.connect();
  nodes.settle();
  bob.drop();
  nodes.advance(30s);
  for (const std::string& one : seen(ann, "bob")) EXPECT_TRUE(one.starts_with("online/")) << one;
}

TEST(PresenceAcrossNodes, SinceWhenAndTheStatusOutliveTheLeader) {
  Nodes nodes(3, closed(2), closed(2));
  auto& ann = enter(nodes, 1, "ann");
  enter(nodes, 2, "bob");
  auto& cat = enter(nodes, 2, "cat");
  create(nodes, ann, {"bob", "cat"});
  say(nodes, cat, "presence/cat", "gone fishing");
  cat.disconnect();
  nodes.advance(12s);
  follow(nodes, ann, "presence/bob");
  follow(nodes, ann, "presence/cat");
  nodes.advance(1s);
  const auto last = [&ann](const std::string& topic) {
    const auto found = std::ranges::find(ann.received.rbegin(), ann.received.rend(), topic, &Received::topic);
    return found == ann.received.rend() ? "" : found->payload;
  };
  const std::string of_bob = last("presence/bob");
  const std::string of_cat = last("presence/cat");
  EXPECT_TRUE(has(of_bob, "online")) << of_bob;
  EXPECT_TRUE(has(of_cat, "gone fishing")) << of_cat;
  nodes.disconnect(0, 1);
  nodes.disconnect(0, 2);
  nodes.settle();
  nodes.at(0).crash();
  nodes.at(0).start();
  nodes.connect(0, 1);
  nodes.connect(0, 2);
  nodes.advance(15s);
  // What is the same isn't said again: whoever looks now is told what the new leader knows.
  auto& dan = enter(nodes, 1, "dan");
  command(nodes, ann, "tea", R"({"op":"add","user":"dan"})");
  nodes.advance(1s);
  follow(nodes, dan, "presence/bob");
  follow(nodes, dan, "presence/cat");
  nodes.advance(1s);
  EXPECT_EQ(last("presence/bob"), of_bob);
  EXPECT_EQ(last("presence/cat"), of_cat);
  ASSERT_FALSE(dan.received.empty());
  const auto has_got = [&dan](const std::string& payload) {
    return std::ranges::find(dan.received, payload, &Received::payload) != dan.received.end();
  };
  EXPECT_TRUE(has_got(of_bob));
  EXPECT_TRUE(has_got(of_cat));
}

TEST(PresenceAcrossNodes, WhoWatchesManyAsksOnceForEach) {
  constexpr std::size_t kUsers = 300;
  Nodes nodes(2, closed(2), closed(2));
  auto& ann = enter(nodes, 1, "ann");
  command(nodes, ann, "tea", R"({"op":"create"})");
  for (std::size_t i = 0; i < kUsers; ++i) {
    const std::string user = "u" + std::to_string(i);
    command(nodes, ann, "tea", R"({"op":"add","user":")" + user + "\"}");
    EXPECT_EQ(follow(nodes, ann, "presence/" + user), ReasonCode::GrantedQos1);
  }
  nodes.advance(15s);
  const std::size_t before = nodes.delivered(NodeChannel::Sessions);
  nodes.advance(660s);
  EXPECT_LE(nodes.delivered(NodeChannel::Sessions) - before, 6 * kUsers)
      << "there and back for both steps, at the most";
}

TEST(PresenceAcrossNodes, ANodesDeathTakesItsDevicesAfterTheGraceTime) {
  Nodes nodes(3, dev(2), dev(2));
  auto& ann = enter(nodes, 1, "ann");
  auto& bob = enter(nodes, 2, "bob");
  create(nodes, ann, {"bob"});
  follow(nodes, ann, "presence/bob");
  nodes.disconnect(0, 2);
  nodes.disconnect(1, 2);
  nodes.advance(9s);
  EXPECT_EQ(seen(ann, "bob"), (List{"online/1"}));
  nodes.connect(0, 2);
  nodes.connect(1, 2);
  nodes.advance(20s);
  EXPECT_EQ(seen(ann, "bob"), (List{"online/1"})) << "it was the connection only";
  nodes.disconnect(0, 2);
  nodes.disconnect(1, 2);
  nodes.advance(12s);
  EXPECT_EQ(seen(ann, "bob"), (List{"online/1", "offline/0"}));
  EXPECT_TRUE(bob.connected());
}

}  // namespace
}  // namespace parley::shard
