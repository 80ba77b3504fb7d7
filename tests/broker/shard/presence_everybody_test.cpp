#include <algorithm>

#include "tests/broker/shard/presence_scene.hpp"

/// Subscriptions to everybody with whom one shares a conversation: presence/+.
namespace parley::shard {
namespace {

class PresenceOfEverybodyVersions : public BothVersions {};
INSTANTIATE_TEST_SUITE_P(Presence, PresenceOfEverybodyVersions,
                         testing::Values(ProtocolVersion::V5, ProtocolVersion::V3_1_1));

TEST_P(PresenceOfEverybodyVersions, ComesAsMembershipChanges) {
  World world(1, closed(3));
  auto& ann = enter(world, "ann", as());
  auto& bob = enter(world, "bob", as());
  auto& dan = enter(world, "dan", as());
  create(world, ann, {"bob", "cat"});
  auto& eve = enter(world, "eve", as());
  say(world, eve, "chat/dm:ann/msg", "hello");
  eve.disconnect();
  world.advance(11s);
  EXPECT_EQ(follow(world, ann, "presence/+"), ReasonCode::GrantedQos1);
  if (five()) {
    EXPECT_EQ(ann.answer(PacketType::Suback)->user("conversations"), "2");
  }
  world.advance(1s);
  EXPECT_EQ(seen(ann, "bob"), (List{"online/1"}));
  EXPECT_EQ(seen(ann, "cat"), (List{"offline/0"}));
  EXPECT_EQ(seen(ann, "eve"), (List{"offline/0"}));
  EXPECT_EQ(seen(ann, "ann"), (List{"online/1"}));
  EXPECT_TRUE(seen(ann, "dan").empty());
  EXPECT_TRUE(ann.received.back().retain);
  EXPECT_TRUE(has(ann.received.back().payload, "offline")) << "those online come first";
  enter(world, "eve", as());
  world.advance(1s);
  EXPECT_EQ(seen(ann, "eve").back(), "online/1");
  EXPECT_FALSE(ann.received.back().retain);
  command(world, ann, "tea", R"({"op":"add","user":"dan"})");
  world.advance(1s);
  EXPECT_EQ(seen(ann, "dan"), (List{"online/1"}));
  command(world, ann, "tea", R"({"op":"remove","user":"bob"})");
  say(world, bob, "presence/bob", "secret");
  world.advance(2s);
  EXPECT_EQ(seen(ann, "bob"), (List{"online/1"}));
  EXPECT_EQ(follow(world, bob, "presence/+"), ReasonCode::GrantedQos1);
  EXPECT_EQ(follow(world, dan, "presence/+"), ReasonCode::GrantedQos1);
  world.advance(1s);
  EXPECT_TRUE(seen(bob, "ann").empty());
  EXPECT_EQ(seen(dan, "ann"), (List{"online/1"}));
  command(world, ann, "tea", R"({"op":"remove","user":"dan"})");
  say(world, ann, "presence/ann", "secret");
  world.advance(2s);
  EXPECT_EQ(seen(dan, "ann"), (List{"online/1"})) << "at once";
  ann.unsubscribe("presence/+");
  world.settle();
  if (five()) {
    EXPECT_EQ(ann.answer(PacketType::Unsuback)->reason(), ReasonCode::Success);
  }
  dan.disconnect();
  bob.disconnect();
  world.advance(12s);
  EXPECT_EQ(seen(ann, "dan"), (List{"online/1"}));
}

TEST(PresenceOfEverybody, LeavesLargeGroupsOut) {
  WorldOptions options = closed(2);
  options.shard.marks_fanout = 3;
  World world(1, options);
  auto& ann = enter(world, "ann");
  for (const char* user : {"bob", "cat", "dan"}) enter(world, user);
  create(world, ann, {"bob", "cat"});
  follow(world, ann, "presence/+");
  world.advance(1s);
  EXPECT_EQ(seen(ann, "bob"), (List{"online/1"}));
  command(world, ann, "tea", R"({"op":"add","user":"dan"})");
  world.advance(1s);
  EXPECT_TRUE(seen(ann, "dan").empty());
  world.client("bob").disconnect();
  world.advance(12s);
  EXPECT_EQ(seen(ann, "bob"), (List{"online/1"}));
  EXPECT_EQ(follow(world, ann, "presence/dan"), ReasonCode::GrantedQos1) << "one by one as ever";
  command(world, ann, "tea", R"({"op":"remove","user":"dan"})");
  world.advance(70s);
  EXPECT_EQ(seen(ann, "bob").back(), "offline/0") << "small enough again";
}

TEST(PresenceOfEverybody, IsPartOfTheSession) {
  World world(1, closed(2));
  auto& ann = join(world, "ann", lasting());
  follow(world, ann, "client/ann/reply");
  auto& bob = enter(world, "bob");
  create(world, ann, {"bob"});
  follow(world, ann, "presence/+");
  world.advance(1s);
  ann.drop();
  bob.disconnect();
  world.advance(15s);
  ann.connect(lasting());
  world.advance(1s);
  EXPECT_EQ(seen(ann, "bob"), (List{"online/1", "offline/0"}));
}

TEST(PresenceOfEverybody, OfThousandsComesAtAMeasuredPace) {
  constexpr int kUsers = 500;
  WorldOptions options = closed(2);
  options.shard.marks_fanout = 1'000;
  World world(1, options);
  auto& ann = enter(world, "ann");
  command(world, ann, "tea", R"({"op":"create"})");
  for (int i = 0; i < kUsers; ++i) {
    const std::string user = "u" + std::to_string(i);
    if (i % 10 == 9) enter(world, user);
    command(world, ann, "tea", R"({"op":"add","user":")" + user + "\"}");
  }
  world.advance(11s);
  ann.received.clear();
  follow(world, ann, "presence/+");
  world.advance(250ms);
  const auto shown = [&] {
    return std::ranges::count_if(ann.received, [](const Received& one) { return one.topic.starts_with("presence/"); });
  };
  EXPECT_GT(shown(), 50);
  EXPECT_LE(shown(), 400) << "about 100 each 100 ms";
  const auto online =
      std::ranges::count_if(ann.received, [](const Received& one) { return has(one.payload, "online"); });
  EXPECT_EQ(online, kUsers / 10 + 1) << "first";
  world.advance(1s);
  EXPECT_EQ(shown(), kUsers + 1);
}

}  // namespace
}  // namespace parley::shard
