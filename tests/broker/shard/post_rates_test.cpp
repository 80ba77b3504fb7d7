#include "broker/shard/post_rates.hpp"

#include "base/metrics.hpp"
#include "tests/broker/shard/group_scene.hpp"

/// [chat] max_message_rate: docs/LIMITS.md.
namespace parley::shard {
namespace {

/// Two messages a second, three at once: what a second brings, and the one that makes the debt.
WorldOptions limited(std::uint32_t shards = 1) {
  WorldOptions options = dev(shards);
  options.shard.post_rate = {.a_second = 2, .burst = 1s};
  return options;
}

ConnectOptions of_user(const std::string& user, ProtocolVersion version = ProtocolVersion::V5) {
  ConnectOptions options;
  options.version = version;
  options.user_name = user;
  return options;
}

/// How many of `times` messages were taken.
int taken(auto& world, simulation::Client& client, const std::string& conversation, int times) {
  int some = 0;
  for (int i = 0; i < times; ++i) {
    const auto answer = say(world, client, "chat/" + conversation + "/msg", "x");
    if (answer.reason() == ReasonCode::Success) {
      ++some;
    } else {
      EXPECT_EQ(answer.reason(), ReasonCode::QuotaExceeded);
      EXPECT_EQ(answer.user("error"), "rate");
      EXPECT_EQ(answer.user("retry-after"), "1");
    }
  }
  return some;
}

TEST(PostRates, CountAllDevicesOfAUserInOneConversation) {
  Metrics metrics(1);
  WorldOptions options = limited();
  options.shard.metrics = &metrics;
  World world(1, options);
  auto& phone = join(world, "phone", of_user("ann"));
  auto& laptop = join(world, "laptop", of_user("ann"));
  auto& bob = join(world, "bob", of_user("bob"));
  EXPECT_EQ(taken(world, phone, "tea", 2), 2);
  EXPECT_EQ(taken(world, laptop, "tea", 3), 1);
  EXPECT_EQ(taken(world, phone, "tea", 2), 0);
  EXPECT_EQ(metrics.sum()[Metric::LimitPosts], 4U);
  EXPECT_EQ(taken(world, phone, "gin", 5), 3) << "another conversation";
  EXPECT_EQ(taken(world, bob, "tea", 5), 3) << "another user";
  EXPECT_EQ(world.store().history("tea").size(), 6U) << "what is refused is in no log";
}

TEST(PostRates, FillAgainInTime) {
  World world(1, limited());
  auto& ann = join(world, "ann");
  EXPECT_EQ(taken(world, ann, "tea", 10), 3);
  world.advance(500ms);
  EXPECT_EQ(taken(world, ann, "tea", 10), 1);
  world.advance(1s);
  EXPECT_EQ(taken(world, ann, "tea", 10), 2);
  world.advance(2min);  // It is swept meanwhile.
  EXPECT_EQ(taken(world, ann, "tea", 10), 3);
}

TEST(PostRates, AreOffAsStandard) {
  World world(1, dev());
  auto& ann = join(world, "ann");
  EXPECT_EQ(taken(world, ann, "tea", 200), 200);
}

TEST(PostRates, CountNoRepeats) {
  World world(1, limited());
  auto& ann = join(world, "ann");
  const auto first = say(world, ann, "chat/tea/msg", "x", {.id = "one"});
  for (int i = 0; i < 20; ++i) {
    const auto again = say(world, ann, "chat/tea/msg", "x", {.id = "one"});
    EXPECT_EQ(again.reason(), ReasonCode::Success);
    EXPECT_EQ(again.user("seq"), first.user("seq"));
    EXPECT_EQ(again.user("dup"), "1");
  }
  EXPECT_EQ(taken(world, ann, "tea", 3), 2) << "the repeats cost nothing";
  EXPECT_EQ(say(world, ann, "chat/tea/msg", "x", {.id = "one"}).reason(), ReasonCode::Success) << "nor do they wait";
  EXPECT_EQ(say(world, ann, "chat/tea/msg", "x", {.id = "two"}).reason(), ReasonCode::QuotaExceeded);
  world.advance(1s);
  EXPECT_EQ(say(world, ann, "chat/tea/msg", "x", {.id = "two"}).user("dup"), "") << "what was refused was never stored";
}

TEST(PostRates, CountEditsAndNoRedactions) {
  World world(1, limited());
  auto& ann = enter(world, "ann");
  auto& bob = enter(world, "bob");
  EXPECT_EQ(taken(world, ann, "tea", 2), 2);
  const auto edit = [&] { return word_of(command(world, ann, "tea", R"({"op":"edit","seq":1,"text":"y"})")); };
  EXPECT_EQ(edit(), "ok");
  EXPECT_EQ(edit(), "rate");
  for (const char* seq : {"1", "2"}) {
    EXPECT_EQ(word_of(command(world, ann, "tea", R"({"op":"redact","seq":)" + std::string(seq) + "}")), "ok");
  }
  EXPECT_EQ(word_of(command(world, ann, "tea", R"({"op":"info"})")), "ok");
  EXPECT_EQ(taken(world, bob, "tea", 1), 1);
}

/// As `v3_refuse` says of what may pass: it is left unacknowledged, so that the client sends it again.
TEST(PostRates, CloseTheConnectionOf3x) {
  World world(1, limited());
  ConnectOptions options = of_user("ann", ProtocolVersion::V3_1_1);
  options.clean_start = false;
  auto& ann = join(world, "ann", options);
  for (int i = 0; i < 3; ++i) say(world, ann, "chat/tea/msg", std::to_string(i));
  const auto id = ann.publish("chat/tea/msg", "late", {});
  world.settle();
  EXPECT_EQ(ann.answer(PacketType::Puback, id), nullptr);
  EXPECT_FALSE(ann.connected());
  world.advance(1s);
  ann.connect(options);
  world.settle();
  ann.publish("chat/tea/msg", "late", {.dup = true, .packet_id = id});
  world.settle();
  EXPECT_NE(ann.answer(PacketType::Puback, id), nullptr);
  EXPECT_EQ(world.store().history("tea").size(), 4U);
}

TEST(PostRates, HoldOverAllNodes) {
  Nodes nodes(3, limited(2), limited(2));
  auto& phone = join(nodes, 1, "phone", of_user("ann"));
  auto& laptop = join(nodes, 2, "laptop", of_user("ann"));
  auto& bob = join(nodes, 2, "bob", of_user("bob"));
  EXPECT_EQ(taken(nodes, phone, "tea", 2), 2);
  EXPECT_EQ(taken(nodes, laptop, "tea", 3), 1);
  EXPECT_EQ(taken(nodes, bob, "tea", 4), 3);
}

TEST(PostRates, AreBusyToNodesThatDoNotKnowThem) {
  Nodes nodes(2, limited(), limited());
  nodes.disconnect(0, 1);
  nodes.speak(1, 2);
  nodes.connect(0, 1);
  nodes.settle();
  auto& ann = join(nodes, 1, "ann");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(say(nodes, ann, "chat/tea/msg", "x").reason(), ReasonCode::Success);
  EXPECT_EQ(say(nodes, ann, "chat/tea/msg", "x").user("error"), "busy");
}

TEST(PostRates, ForgetWhoHasRestedAndCountNobodyBeyondTheirTable) {
  World world(1, limited());
  world.settle();
  PostRates rates(world.shard(0));
  for (std::size_t i = 0; i < PostRates::kPostersMax; ++i) ASSERT_TRUE(rates.take("tea", std::to_string(i)));
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(rates.take("gin", "ann")) << "there is no room to count";
  EXPECT_TRUE(rates.take("tea", "1"));
  EXPECT_TRUE(rates.take("tea", "1"));
  EXPECT_FALSE(rates.take("tea", "1")) << "who is counted goes on being";
  world.advance(5s);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(rates.take("gin", "ann"));
  EXPECT_FALSE(rates.take("gin", "ann")) << "the others have been swept";
}

}  // namespace
}  // namespace parley::shard
