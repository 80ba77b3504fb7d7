#include "tests/broker/shard/inbox_scene.hpp"

/// Several entries in one message, for clients that take them.
namespace parley::shard {
namespace {

/// A CBOR item as JSON, and what is left.
std::string as_json(std::string_view& bytes) {
  const auto major = static_cast<unsigned char>(bytes[0]) >> 5U;
  std::uint64_t value = static_cast<unsigned char>(bytes[0]) & 31U;
  bytes.remove_prefix(1);
  if (value > 23) {
    std::uint64_t size = 1U << (value - 24);
    value = 0;
    for (; size > 0; --size) {
      value = value << 8U | static_cast<unsigned char>(bytes[0]);
      bytes.remove_prefix(1);
    }
  }
  if (major == 0) return std::to_string(value);
  if (major == 2 || major == 3) {
    const std::string text(bytes.substr(0, value));
    bytes.remove_prefix(value);
    return (major == 2 ? "'" : "\"") + text + (major == 2 ? "'" : "\"");
  }
  std::string out(major == 4 ? "[" : "{");
  for (std::uint64_t i = 0; i < value; ++i) {
    if (i != 0) out.append(",");
    out.append(as_json(bytes));
    if (major == 5) out.append(":").append(as_json(bytes));
  }
  return out.append(major == 4 ? "]" : "}");
}

ConnectOptions with(UserProperties users, ConnectOptions options = {}) {
  options.users = std::move(users);
  return options;
}

TEST(Batches, BringABacklogInOneMessage) {
  World world{1, dev()};
  auto& ann = owner(world, "ann");
  say(world, ann, "chat/tea/msg", "one", {.id = "a-1", .users = {{"thread", "x"}}});
  say(world, ann, "chat/tea/msg", "two");
  say(world, ann, "chat/tea/json", R"({"text":"three"})");
  auto& bob = device(world, "bob", with({{"accept", "batch,something"}, {"meta", "compact"}}));
  EXPECT_EQ(bob.connack()->user("accept"), "batch");
  follow(world, bob, "chat/tea/msg", {.users = since(0)});
  ASSERT_EQ(bob.received.size(), 1U);
  EXPECT_EQ(bob.received[0].user("batch"), "3");
  EXPECT_TRUE(bob.received[0].retain);
  std::string_view bytes = bob.received[0].payload;
  const std::string json = as_json(bytes);
  EXPECT_TRUE(bytes.empty());
  EXPECT_TRUE(json.starts_with("[[1,")) << json;
  EXPECT_NE(json.find(R"(,"ann",'one',{"props":[["thread","x"]]}],[1,)"), std::string::npos) << json;
  EXPECT_NE(json.find(R"(,0,'two'],[1,)"), std::string::npos) << json;
  EXPECT_TRUE(json.ends_with(R"(,0,"three"]])")) << json;
  say(world, ann, "chat/tea/msg", "four");
  ASSERT_EQ(bob.received.size(), 2U);
  EXPECT_EQ(bob.received[1].payload, "four") << "a single one comes as ever";
}

TEST(Batches, AreAcknowledgedAsOne) {
  World world{1, dev()};
  auto& ann = owner(world, "ann");
  auto& bob = device(world, "bob", with({{"accept", "batch"}}, lasting(true)));
  follow(world, bob, "chat/tea/msg");
  bob.disconnect();
  world.settle();
  for (int i = 0; i < 300; ++i) {
    ann.publish("chat/tea/msg", "m");
    if (i % 50 == 49) world.settle();
  }
  bob.acknowledges = false;
  device(world, "bob", with({{"accept", "batch"}}, lasting()));
  ASSERT_EQ(bob.received.size(), 3U);
  EXPECT_EQ(bob.received[0].user("batch"), "128");
  EXPECT_EQ(bob.received[2].user("batch"), "44");
  bob.acknowledges = true;
  bob.acknowledge(bob.received[0]);
  world.settle();
  bob.drop();
  world.advance(2s);
  // What wasn't acknowledged comes again, as it was, also to one that doesn't ask for batches any more.
  device(world, "bob", lasting());
  ASSERT_EQ(bob.received.size(), 5U);
  for (std::size_t i = 3; i < 5; ++i) {
    EXPECT_EQ(bob.received[i].payload, bob.received[i - 2].payload);
    EXPECT_EQ(bob.received[i].packet_id, bob.received[i - 2].packet_id);
    EXPECT_TRUE(bob.received[i].dup);
  }
  bob.disconnect();
  world.settle();
  world.crash();
  world.start();
  device(world, "bob", lasting());
  EXPECT_EQ(bob.received.size(), 5U) << "all of it is acknowledged";
}

TEST(Batches, KeepToWhatTheClientTakes) {
  World world{1, dev()};
  auto& ann = owner(world, "ann");
  for (int i = 0; i < 20; ++i) say(world, ann, "chat/tea/msg", std::string(100, 'x'));
  ConnectOptions small = with({{"accept", "batch,deflate"}});
  small.packet_size_max = 600;
  auto& bob = device(world, "bob", small);
  EXPECT_EQ(bob.connack()->user("accept"), "batch,deflate");
  follow(world, bob, "chat/tea/msg", {.users = since(0)});
  std::size_t entries = 0;
  for (const auto& one : bob.received) {
    EXPECT_LT(one.payload.size(), 500U);
    const auto batch = one.user("batch");
    entries += batch.empty() ? 1 : std::stoul(batch);
  }
  EXPECT_EQ(entries, 20U);
}

}  // namespace
}  // namespace parley::shard
