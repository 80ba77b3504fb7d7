#include "broker/shard/session_records.hpp"

#include "tests/broker/shard/scene.hpp"

namespace parley::shard {
namespace {

/// Where the store says that alice's cursor on chat/room/msg stands.
std::uint64_t stored_position(World& world) {
  for (const auto& session : world.store().sessions()) {
    for (const auto& cursor : session.cursors) {
      if (session.client_id == "alice" && cursor.topic == "chat/room/msg") return cursor.acknowledged.value;
    }
  }
  return 999;
}

TEST(SessionRecords, FollowACursorOnceInAWhile) {
  World world(1, dev());
  auto& alice = join(world, "alice", lasting());
  follow(world, alice, "chat/room/msg");
  EXPECT_EQ(stored_position(world), 0U);
  auto& bob = join(world, "bob");
  const auto records = world.store().records();
  for (int i = 0; i < 100; ++i) say(world, bob, "chat/room/msg", "m");
  EXPECT_EQ(stored_position(world), 0U);
  world.advance(2s);
  EXPECT_EQ(stored_position(world), 100U);
  EXPECT_EQ(world.store().records() - records, 101U) << "one record for a hundred acknowledgements";
  world.advance(10s);
  EXPECT_EQ(world.store().records() - records, 101U);
}

TEST(SessionRecords, WriteTheCursorWhenItsClientLeaves) {
  World world(1, dev());
  auto& alice = join(world, "alice", lasting());
  follow(world, alice, "chat/room/msg");
  say(world, join(world, "bob"), "chat/room/msg", "m");
  alice.disconnect();
  world.settle();
  EXPECT_EQ(stored_position(world), 1U);
  EXPECT_NE(world.store().sessions().at(0).disconnected.milliseconds, 0U);
}

TEST(SessionRecords, BringBackWhatWasNotAcknowledgedAfterACrash) {
  World world(1, dev());
  auto& alice = join(world, "alice", lasting());
  follow(world, alice, "chat/room/msg");
  auto& bob = join(world, "bob");
  for (int i = 0; i < 3; ++i) say(world, bob, "chat/room/msg", "m");
  world.advance(2s);
  for (int i = 0; i < 3; ++i) say(world, bob, "chat/room/msg", "m");
  world.crash();
  world.start();
  alice.read();
  join(world, "alice", lasting());
  EXPECT_EQ(alice.seqs("chat/room/msg"), (std::vector<std::uint64_t>{1, 2, 3, 4, 5, 6, 4, 5, 6}));
}

TEST(SessionRecords, CountTheExpiryOnOverARestart) {
  World world(1, dev());
  join(world, "alice", lasting(false, 100)).disconnect();
  join(world, "bob", lasting(false, 100));
  join(world, "carol", lasting(false, 0xFFFF'FFFF)).disconnect();
  world.settle();
  world.advance(60s);
  world.crash();
  world.start();
  world.advance(50s);
  EXPECT_FALSE(join(world, "alice", lasting()).connack()->session_present) << "left 110 s ago";
  EXPECT_TRUE(join(world, "bob", lasting()).connack()->session_present) << "was there when the broker died";
  world.advance(30h);
  EXPECT_TRUE(join(world, "carol", lasting()).connack()->session_present);
}

TEST(SessionRecords, AreTriedAgainAfterAFullDisk) {
  World world(1, dev());
  auto& alice = join(world, "alice", lasting());
  follow(world, alice, "chat/room/msg");
  say(world, join(world, "bob"), "chat/room/msg", "m");
  auto& carol = join(world, "carol", lasting());
  world.store().fail_with(StorageError::DiskFull);
  alice.disconnect();
  carol.disconnect(ReasonCode::Success, 0);  // Ends the session.
  world.advance(5s);
  EXPECT_EQ(world.store().sessions().size(), 2U);
  world.store().heal();
  world.advance(5s);
  ASSERT_EQ(world.store().sessions().size(), 1U);
  EXPECT_EQ(world.store().sessions()[0].client_id, "alice");
  EXPECT_NE(world.store().sessions()[0].disconnected.milliseconds, 0U);
}

TEST(SessionRecords, KeepInboundQosTwoOverARestart) {
  World world(1, dev());
  auto& alice = join(world, "alice", lasting());
  alice.acknowledges = false;
  const auto id = alice.publish("chat/room/msg", "once", {.qos = Qos::ExactlyOnce});
  world.settle();
  ASSERT_NE(alice.answer(PacketType::Pubrec, id), nullptr);
  alice.drop();
  world.settle();
  world.crash();
  world.start();
  join(world, "alice", lasting());
  alice.publish("chat/room/msg", "once", {.qos = Qos::ExactlyOnce, .dup = true, .packet_id = id});
  world.settle();
  EXPECT_EQ(world.store().history("room").size(), 1U);
}

}  // namespace
}  // namespace parley::shard
