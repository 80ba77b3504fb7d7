#include "broker/shard/feeds.hpp"

#include "tests/broker/shard/scene.hpp"

namespace parley::shard {
namespace {

void fill(World& world, int count, std::size_t size = 20) {
  auto& bob = join(world, "bob");
  for (int i = 1; i <= count; ++i) {
    bob.publish("chat/room/msg", std::string(size, 'm'), {.qos = Qos::AtMostOnce});
    if (i % 50 == 0) world.settle();
  }
  world.settle();
}

TEST(Feeds, ReplayFromTheLogAndGoOnLiveWithoutASeam) {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    auto options = dev(1 + seed % 2);
    options.store_latency = 20ms;
    options.orderly = false;
    World world(seed, options);
    fill(world, 300);
    auto& alice = join(world, "alice");
    alice.subscribe("chat/room/msg", {.users = since(seed * 7)});
    auto& bob = world.client("bob");
    for (int i = 0; i < 300; ++i) {
      bob.publish("chat/room/msg", "live", {.qos = Qos::AtMostOnce});
      world.step();
      world.clock().advance(1ms);
      alice.read();
    }
    world.settle();
    ASSERT_EQ(alice.seqs("chat/room/msg"), range(seed * 7 + 1, 600)) << "seed " << seed;
  }
}

TEST(Feeds, HoldNoMemoryForAReaderThatDoesntRead) {
  auto options = dev();
  World world(1, options);
  auto& slow = world.client("slow");
  slow.room = 16 * 1024;
  join(world, "slow");
  follow(world, slow, "chat/room/msg");
  follow(world, slow, "plain", {.qos = Qos::AtMostOnce});
  auto& quick = join(world, "quick");
  follow(world, quick, "chat/room/msg");
  slow.reads = false;
  fill(world, 5000, 1000);
  auto& bob = world.client("bob");
  for (int i = 0; i < 2000; ++i) bob.publish("plain", std::string(1000, 'p'), {.qos = Qos::AtMostOnce});
  world.settle();
  EXPECT_LE(world.output_bytes(), options.shard.limits.output_max + 2000);
  EXPECT_EQ(quick.seqs("chat/room/msg"), range(1, 5000)) << "others aren't slowed";
  slow.reads = true;
  world.settle();
  EXPECT_EQ(slow.seqs("chat/room/msg"), range(1, 5000));
}

TEST(Feeds, KeepToTheClientsReceiveMaximum) {
  World world(1, dev());
  fill(world, 50);
  auto& alice = join(world, "alice", {.receive_maximum = 5});
  alice.acknowledges = false;
  follow(world, alice, "chat/room/msg", {.users = since(0)});
  EXPECT_EQ(alice.received.size(), 5U);
  alice.acknowledge(alice.received[0]);
  world.settle();
  EXPECT_EQ(alice.received.size(), 6U);
  alice.acknowledges = true;
  for (std::size_t i = 1; i < 6; ++i) alice.acknowledge(alice.received[i]);
  world.settle();
  EXPECT_EQ(alice.seqs("chat/room/msg"), range(1, 50));
}

TEST(Feeds, GiveEachOfManyCursorsItsTurn) {
  World world(1, dev());
  auto& bob = join(world, "bob");
  for (int room = 0; room < 40; ++room) {
    for (int i = 0; i < 10; ++i) {
      bob.publish("chat/r" + std::to_string(room) + "/msg", "m", {.qos = Qos::AtMostOnce});
    }
  }
  world.settle();
  world.advance(2min);
  auto& alice = join(world, "alice", {.receive_maximum = 2});
  for (int room = 0; room < 40; ++room) {
    alice.subscribe("chat/r" + std::to_string(room) + "/msg", {.users = since(0)});
  }
  world.settle();
  for (int room = 0; room < 40; ++room) {
    EXPECT_EQ(alice.seqs("chat/r" + std::to_string(room) + "/msg"), range(1, 10)) << room;
  }
}

TEST(Feeds, SendAgainWhatWasNotAcknowledgedInItsOldOrder) {
  World world(1, dev());
  auto& alice = join(world, "alice", lasting());
  follow(world, alice, "chat/room/msg");
  follow(world, alice, "plain");
  alice.acknowledges = false;
  auto& bob = join(world, "bob");
  say(world, bob, "chat/room/msg", "1");
  say(world, bob, "plain", "2");
  say(world, bob, "chat/room/msg", "3");
  alice.drop();
  say(world, bob, "chat/room/msg", "4");
  alice.received.clear();
  alice.acknowledges = true;
  join(world, "alice", lasting());
  EXPECT_EQ(alice.payloads(), (std::vector<std::string>{"1", "2", "3", "4"}));
  EXPECT_TRUE(alice.received[0].dup);
  EXPECT_TRUE(alice.received[2].dup);
  EXPECT_FALSE(alice.received[3].dup);
}

TEST(Feeds, CompleteQosTwoOverReconnects) {
  World world(1, dev());
  auto& alice = join(world, "alice", lasting());
  follow(world, alice, "chat/room/msg", {.qos = Qos::ExactlyOnce});
  alice.acknowledges = false;
  auto& bob = join(world, "bob");
  say(world, bob, "chat/room/msg", "1");
  ASSERT_EQ(alice.received.size(), 1U);
  alice.acknowledge(alice.received[0]);  // PUBREC
  world.settle();
  ASSERT_NE(alice.answer(PacketType::Pubrel), nullptr);
  alice.drop();
  world.settle();
  alice.answers.clear();
  alice.acknowledges = true;
  join(world, "alice", lasting());
  EXPECT_NE(alice.answer(PacketType::Pubrel), nullptr) << "the exchange goes on with PUBREL";
  EXPECT_EQ(alice.received.size(), 1U);
  say(world, bob, "chat/room/msg", "2");
  EXPECT_EQ(alice.received.size(), 2U);
}

TEST(Feeds, TellOfWhatRetentionHasRemoved) {
  World world(1, dev());
  fill(world, 400);
  world.client("bob").drop();
  world.store().cut("room", {200});
  world.crash();
  world.start();
  auto& alice = join(world, "alice");
  follow(world, alice, "chat/room/msg", {.users = since(100)});
  ASSERT_FALSE(alice.received.empty());
  EXPECT_EQ(alice.received[0].user("kind"), "gap");
  EXPECT_EQ(alice.received[0].user("first"), "101");
  EXPECT_EQ(alice.received[0].user("last"), "199");
  EXPECT_EQ(alice.received[0].payload, R"({"kind":"gap","first":101,"last":199})");
  EXPECT_EQ(alice.seqs("chat/room/msg"), range(200, 400));
}

TEST(Feeds, PassOverCorruptEntriesWithANotice) {
  World world(1, dev());
  fill(world, 400);
  world.store().corrupt("room", {5});
  world.store().corrupt("room", {6});
  auto& alice = join(world, "alice");
  follow(world, alice, "chat/room/msg", {.users = since(0)});
  EXPECT_EQ(alice.received.size(), 399U);
  EXPECT_EQ(alice.received[4].user("kind"), "gap");
  EXPECT_EQ(alice.received[4].user("last"), "6");
  EXPECT_EQ(alice.received.back().seq(), 400U);
}

TEST(Feeds, CloseAReaderWhoseHistoryCantBeRead) {
  World world(1, dev());
  fill(world, 400);
  auto& alice = join(world, "alice", lasting());
  follow(world, alice, "chat/room/msg", {.users = since(399)});
  alice.drop();
  world.settle();
  world.store().fail_reads(true);
  fill(world, 400);
  alice.connect(lasting());
  world.settle();
  EXPECT_FALSE(alice.connected());
  world.store().fail_reads(false);
  join(world, "alice", lasting());
  EXPECT_EQ(alice.seqs("chat/room/msg"), range(400, 800));
}

TEST(Feeds, BeginAnewInAnotherEpochAndSaySo) {
  World world(1, dev());
  fill(world, 10);
  auto& alice = join(world, "alice", lasting());
  follow(world, alice, "chat/room/msg", {.users = since(0)});
  ASSERT_EQ(alice.received.size(), 10U);
  alice.drop();
  world.settle();
  world.crash();
  world.store().renew("room", {77});
  world.start();
  alice.received.clear();
  join(world, "alice", lasting());
  ASSERT_EQ(alice.received.size(), 11U);
  EXPECT_EQ(alice.received[0].user("kind"), "gap");
  EXPECT_EQ(alice.received[0].user("epoch"), "77");
  EXPECT_EQ(alice.seqs("chat/room/msg"), range(1, 10));
}

TEST(Feeds, PassOverWhatIsLargerThanTheClientTakes) {
  World world(1, dev());
  auto& bob = join(world, "bob");
  say(world, bob, "chat/room/msg", "small");
  say(world, bob, "chat/room/msg", std::string(5000, 'x'));
  say(world, bob, "chat/room/msg", "small, too");
  auto& alice = join(world, "alice", {.packet_size_max = 1000});
  follow(world, alice, "chat/room/msg", {.users = since(0)});
  ASSERT_EQ(alice.received.size(), 3U);
  EXPECT_EQ(alice.seqs("chat/room/msg"), (std::vector<std::uint64_t>{1, 3}));
  EXPECT_EQ(alice.received[1].user("kind"), "gap");
  EXPECT_EQ(alice.received[1].payload, R"({"kind":"gap","first":2,"last":2})");
  EXPECT_FALSE(alice.received[1].retain);
  // And live, by each way there is.
  auto& cat = join(world, "cat", {.packet_size_max = 1000, .users = {{"meta", "compact"}}});
  follow(world, cat, "chat/room/msg", {.qos = Qos::AtMostOnce});
  auto& dan = join(world, "dan", {.packet_size_max = 1000});
  follow(world, dan, "$share/g/chat/room/json");
  say(world, bob, "chat/room/msg", std::string(5000, 'x'));
  say(world, bob, "chat/room/msg", "last");
  EXPECT_EQ(alice.received[3].payload, R"({"kind":"gap","first":4,"last":4})");
  ASSERT_EQ(cat.received.size(), 2U);
  EXPECT_EQ(cat.received[0].payload, R"({"kind":"gap","first":4,"last":4})");
  EXPECT_EQ(cat.received[1].payload, "last");
  ASSERT_EQ(dan.received.size(), 2U);
  EXPECT_EQ(dan.received[0].payload, R"({"kind":"gap","first":4,"last":4})");
}

TEST(Feeds, TellOfWhatIsTooLargeForTheNextConnection) {
  World world(1, dev());
  auto& alice = join(world, "alice", lasting());
  follow(world, alice, "chat/room/msg");
  alice.acknowledges = false;
  auto& bob = join(world, "bob");
  say(world, bob, "chat/room/msg", "small");
  say(world, bob, "chat/room/msg", std::string(5000, 'x'));
  ASSERT_EQ(alice.received.size(), 2U);
  const auto id = alice.received[1].packet_id;
  alice.drop();
  alice.acknowledges = true;
  alice.received.clear();
  auto options = lasting();
  options.packet_size_max = 1000;
  join(world, "alice", options);
  ASSERT_EQ(alice.received.size(), 2U);
  EXPECT_EQ(alice.received[1].payload, R"({"kind":"gap","first":2,"last":2})");
  EXPECT_EQ(alice.received[1].packet_id, id);
}

TEST(Feeds, CostNothingForAbsentMembers) {
  World world(1, dev());
  for (int i = 0; i < 300; ++i) {
    auto& member = join(world, "member" + std::to_string(i), lasting());
    follow(world, member, "chat/room/msg");
    member.drop();
  }
  world.settle();
  const auto records = world.store().records();
  const auto reads = world.store().reads();
  auto& bob = join(world, "bob");
  for (int i = 0; i < 10; ++i) say(world, bob, "chat/room/msg", "m");
  EXPECT_LE(world.store().records() - records, 10U) << "one record a message, none for a member";
  EXPECT_LE(world.store().reads() - reads, 1U);
  auto& one = join(world, "member7", lasting());
  EXPECT_EQ(one.seqs("chat/room/msg"), range(1, 10));
}

}  // namespace
}  // namespace parley::shard
