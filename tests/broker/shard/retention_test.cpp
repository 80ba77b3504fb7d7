#include "broker/shard/retention.hpp"

#include "tests/broker/shard/nodes.hpp"

/// What conversations needn't keep any longer is gone for everybody. docs/PROTOCOL.md "Retention".
namespace parley::shard {
namespace {

std::vector<std::string> kinds(const simulation::Client& client, const std::string& topic) {
  std::vector<std::string> list;
  for (const Received& one : client.received) {
    if (one.topic == topic)
      list.push_back(one.user("kind") == "gap" ? "gap " + one.user("first") + "-" + one.user("last") : one.user("seq"));
  }
  return list;
}

WorldOptions keeping(Duration retention, std::uint32_t shards = 1) {
  WorldOptions options = dev(shards);
  options.shard.retention = retention;
  return options;
}

TEST(RetentionJob, TakesAwayWhatIsOld) {
  World world(1, keeping(1min, 3));
  auto& ann = join(world, "ann");
  for (int i = 0; i < 5; ++i) say(world, ann, "chat/tea/msg", "old");
  world.advance(50s);
  for (int i = 0; i < 3; ++i) say(world, ann, "chat/tea/msg", "new");
  world.advance(20s);
  EXPECT_EQ(world.store().conversation("tea")->oldest, Seq{6});
  auto& bob = join(world, "bob");
  const auto id = bob.subscribe("chat/tea/msg", {.users = since(2)});
  world.settle();
  EXPECT_EQ(bob.answer(PacketType::Suback, id)->user("oldest"), "6");
  EXPECT_EQ(kinds(bob, "chat/tea/msg"), (std::vector<std::string>{"gap 3-5", "6", "7", "8"}));
  EXPECT_TRUE(world.store().violations().empty());
}

TEST(RetentionJob, IsKnownAtEveryNode) {
  Nodes nodes(2, keeping(1min), keeping(1min));
  auto& ann = join(nodes, 0, "ann");
  auto& bob = join(nodes, 1, "bob");
  follow(nodes, bob, "chat/tea/msg");
  for (int i = 0; i < 5; ++i) say(nodes, ann, "chat/tea/msg", "old");
  nodes.advance(50s);
  say(nodes, ann, "chat/tea/msg", "new");
  nodes.advance(20s);
  auto& cat = join(nodes, 1, "cat");
  const auto id = cat.subscribe("chat/tea/msg");
  nodes.settle();
  EXPECT_EQ(cat.answer(PacketType::Suback, id)->user("oldest"), "6");
  EXPECT_EQ(bob.seqs("chat/tea/msg"), range(1, 6));
}

TEST(RetentionJob, TellsReadersInTheMiddleOfAGap) {
  World world(1, keeping(1min, 2));
  auto& ann = join(world, "ann");
  auto& bob = join(world, "bob", lasting());
  auto& cat = join(world, "cat");
  follow(world, bob, "chat/tea/msg");
  follow(world, cat, "chat/tea/msg");
  say(world, ann, "chat/tea/msg", "one");
  bob.drop();
  for (int i = 0; i < 4; ++i) say(world, ann, "chat/tea/msg", "old");
  world.advance(2min);
  say(world, ann, "chat/tea/msg", "new");
  join(world, "bob", lasting());
  EXPECT_EQ(kinds(bob, "chat/tea/msg"), (std::vector<std::string>{"1", "gap 2-5", "6"}));
  EXPECT_EQ(cat.seqs("chat/tea/msg"), range(1, 6)) << "who was there has lost nothing";
}

TEST(RetentionJob, FollowsWhatOwnersSay) {
  World world(1, keeping(0s));
  auto& ann = join(world, "ann");
  EXPECT_EQ(say(world, ann, "chat/tea/ctl", R"({"op":"create","retention_count":3})").user("error"), "");
  for (int i = 0; i < 5; ++i) say(world, ann, "chat/tea/msg", "text");
  world.advance(3s);
  EXPECT_EQ(world.store().conversation("tea")->oldest, Seq{5});
  EXPECT_EQ(
      say(world, ann, "chat/tea/ctl", R"({"op":"settings","retention_count":0,"retention_age":60})").user("error"), "");
  for (int i = 0; i < 5; ++i) say(world, ann, "chat/tea/msg", "text");
  world.advance(3s);
  EXPECT_EQ(world.store().conversation("tea")->oldest, Seq{5});
  world.advance(60s);
  EXPECT_EQ(world.store().conversation("tea")->oldest, Seq{14}) << "nothing is left";
  for (const char* wrong :
       {R"({"op":"settings","retention_age":"1d"})", R"({"op":"settings","retention_age":9999999999})",
        R"({"op":"settings","retention_count":true})"}) {
    EXPECT_EQ(say(world, ann, "chat/tea/ctl", wrong).user("error"), "invalid-argument") << wrong;
  }
  EXPECT_TRUE(world.store().violations().empty());
}

TEST(RetentionJob, KeepsEverythingWhereNothingElseIsSaid) {
  World world(1, keeping(0s));
  auto& ann = join(world, "ann");
  say(world, ann, "chat/tea/msg", "text");
  const auto records = world.store().records();
  world.advance(1h);
  EXPECT_EQ(world.store().conversation("tea")->oldest, Seq{1});
  EXPECT_EQ(world.store().records(), records);
}

}  // namespace
}  // namespace parley::shard
