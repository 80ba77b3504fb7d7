#include "broker/shard/typing.hpp"

#include <algorithm>

#include "tests/broker/shard/group_scene.hpp"

namespace parley::shard {
namespace {

std::vector<std::string> on(const simulation::Client& client, std::string_view topic) {
  std::vector<std::string> payloads;
  for (const Received& one : client.received) {
    if (one.topic == topic) payloads.push_back(one.payload);
  }
  return payloads;
}

class TypingVersions : public BothVersions {};
INSTANTIATE_TEST_SUITE_P(Typing, TypingVersions, testing::Values(ProtocolVersion::V5, ProtocolVersion::V3_1_1));

TEST_P(TypingVersions, IsSeenByWhoMayReadAndSaidByWhoMayPost) {
  World world(1, closed(2));
  auto& ann = enter(world, "ann", as());
  auto& bob = enter(world, "bob", as());
  auto& cat = enter(world, "cat", as());
  command(world, ann, "tea", R"({"op":"create"})");
  command(world, ann, "tea", R"({"op":"add","user":"bob"})");
  EXPECT_EQ(follow(world, bob, "chat/tea/typing"), ReasonCode::GrantedQos1);
  EXPECT_EQ(follow(world, cat, "chat/tea/typing"), five() ? ReasonCode::NotAuthorized : ReasonCode::UnspecifiedError);
  for (const Qos qos : {Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce}) {
    ann.publish("chat/tea/typing", "", {.qos = qos});
    world.advance(1s);
  }
  const std::string said = R"({"from":"ann"})";
  EXPECT_EQ(on(bob, "chat/tea/typing"), (std::vector{said, said, said}));
  ASSERT_NE(bob.answer(PacketType::Suback), nullptr);
  const auto last = std::ranges::find(bob.received, "chat/tea/typing", &Received::topic);
  EXPECT_EQ(last->qos, Qos::AtMostOnce);
  EXPECT_FALSE(last->retain);
  EXPECT_EQ(last->user("from"), five() ? "ann" : "");
  const auto refused = say(world, cat, "chat/tea/typing", "");
  EXPECT_EQ(refused.reason(), five() ? ReasonCode::NotAuthorized : ReasonCode::Success);
  EXPECT_EQ(on(cat, "client/cat/reply").size(), five() ? 0U : 1U) << "where there is no reason code";
  world.advance(2s);
  EXPECT_EQ(on(bob, "chat/tea/typing").size(), 3U);
  EXPECT_EQ(world.store().history("tea").size(), 2U) << "nothing is stored";
}

TEST(Typing, IsPassedOnOnceASecondOfEachUserAndConversation) {
  World world(1, dev(2));
  auto& ann = enter(world, "ann");
  auto& bob = enter(world, "bob");
  auto& cat = enter(world, "cat");
  follow(world, cat, "chat/tea/typing");
  follow(world, cat, "chat/gin/typing");
  for (int i = 0; i < 30; ++i) {
    EXPECT_EQ(say(world, ann, "chat/tea/typing", "x").reason(), ReasonCode::Success);
    say(world, ann, "chat/gin/typing", "x");
    say(world, bob, "chat/tea/typing", "x");
    world.advance(100ms);
  }
  EXPECT_EQ(std::ranges::count(on(cat, "chat/tea/typing"), R"({"from":"ann"})"), 3);
  EXPECT_EQ(std::ranges::count(on(cat, "chat/tea/typing"), R"({"from":"bob"})"), 3);
  EXPECT_EQ(on(cat, "chat/gin/typing").size(), 3U);
}

TEST(Typing, OfTwoWhoTalkDirectlyComesWithTheTopicAsSubscribed) {
  World world(1, closed(2));
  auto& ann = enter(world, "ann");
  auto& bob = enter(world, "bob");
  auto& cat = enter(world, "cat");
  EXPECT_EQ(say(world, ann, "chat/dm:bob/typing", "").reason(), ReasonCode::Success) << "before there is any";
  EXPECT_EQ(follow(world, bob, "chat/dm:ann/typing"), ReasonCode::GrantedQos1);
  EXPECT_EQ(follow(world, cat, "chat/dm:ann:bob/typing"), ReasonCode::NotAuthorized);
  EXPECT_EQ(say(world, cat, "chat/dm:ann:bob/typing", "").reason(), ReasonCode::NotAuthorized);
  say(world, ann, "chat/dm:bob/typing", "");
  EXPECT_EQ(on(bob, "chat/dm:ann/typing").size(), 1U);
}

TEST(Typing, BadTopicsAreRefused) {
  World world(1, closed());
  auto& ann = enter(world, "ann");
  EXPECT_EQ(follow(world, ann, "$since/3/chat/tea/typing"), ReasonCode::TopicFilterInvalid);
  EXPECT_EQ(follow(world, ann, "chat/tea/typing"), ReasonCode::NotAuthorized) << "there is none";
  EXPECT_EQ(say(world, ann, "chat/tea/typing", "").reason(), ReasonCode::NotAuthorized);
  EXPECT_EQ(say(world, ann, "chat/dm:x:y:z/typing", "").reason(), ReasonCode::TopicNameInvalid);
}

TEST(Typing, ASubscriptionOutlivesItsConnectionAndABrokersDeath) {
  World world(1, dev(2));
  auto& ann = enter(world, "ann");
  auto& bob = join(world, "bob", lasting());
  EXPECT_EQ(follow(world, bob, "chat/tea/typing"), ReasonCode::GrantedQos1);
  bob.drop();
  world.settle();
  say(world, ann, "chat/tea/typing", "");
  bob.connect(lasting());
  world.settle();
  EXPECT_TRUE(on(bob, "chat/tea/typing").empty()) << "it isn't kept";
  world.advance(1s);
  say(world, ann, "chat/tea/typing", "");
  EXPECT_EQ(on(bob, "chat/tea/typing").size(), 1U);
  world.crash();
  world.start();
  ann.connect();
  bob.connect(lasting());
  world.settle();
  say(world, ann, "chat/tea/typing", "");
  EXPECT_EQ(on(bob, "chat/tea/typing").size(), 2U);
  bob.unsubscribe("chat/tea/typing");
  world.settle();
  EXPECT_EQ(bob.answer(PacketType::Unsuback)->reason(), ReasonCode::Success);
  world.advance(1s);
  say(world, ann, "chat/tea/typing", "");
  EXPECT_EQ(on(bob, "chat/tea/typing").size(), 2U);
}

TEST(Typing, EndsForWhoIsRemoved) {
  World world(1, closed(2));
  auto& ann = enter(world, "ann");
  auto& bob = enter(world, "bob");
  command(world, ann, "tea", R"({"op":"create"})");
  command(world, ann, "tea", R"({"op":"add","user":"bob"})");
  follow(world, bob, "chat/tea/typing");
  command(world, ann, "tea", R"({"op":"remove","user":"bob"})");
  say(world, ann, "chat/tea/typing", "");
  EXPECT_TRUE(on(bob, "chat/tea/typing").empty());
  bob.unsubscribe("chat/tea/typing");
  world.settle();
  EXPECT_EQ(bob.answer(PacketType::Unsuback)->reason(), ReasonCode::NoSubscriptionExisted);
}

TEST(Typing, IsHeardOnEveryNode) {
  Nodes nodes(3, dev(2), dev(3));
  auto& ann = join(nodes, 1, "ann");
  auto& bob = join(nodes, 2, "bob");
  auto& cat = join(nodes, 0, "cat");
  follow(nodes, bob, "chat/tea/typing");
  follow(nodes, cat, "chat/tea/typing");
  EXPECT_EQ(say(nodes, ann, "chat/tea/typing", "").reason(), ReasonCode::Success);
  nodes.settle();
  EXPECT_EQ(on(bob, "chat/tea/typing"), (std::vector<std::string>{R"({"from":"ann"})"}));
  EXPECT_EQ(on(cat, "chat/tea/typing").size(), 1U);
}

TEST(Typing, IsAcknowledgedWhereNobodyLeads) {
  Nodes nodes(2, dev(), dev());
  auto& ann = join(nodes, 1, "ann");
  nodes.disconnect(0, 1);
  const auto id = ann.publish("chat/tea/typing", "");
  nodes.advance(5s);
  ASSERT_NE(ann.answer(PacketType::Puback, id), nullptr);
  EXPECT_EQ(ann.answer(PacketType::Puback, id)->reason(), ReasonCode::Success) << "nothing is lost with it";
}

}  // namespace
}  // namespace parley::shard
