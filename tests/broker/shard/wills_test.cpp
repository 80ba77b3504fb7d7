#include "tests/broker/shard/scene.hpp"

/// Wills and their delay. MQTT 5 §3.1.2.5, §3.1.3.2.2.
namespace parley::shard {
namespace {

ConnectOptions with_will(std::uint32_t delay, std::uint32_t expiry, const std::string& topic = "wills") {
  ConnectOptions options;
  options.clean_start = false;
  options.expiry = expiry;
  options.will = {.topic = topic, .payload = "gone", .qos = Qos::AtLeastOnce, .delay = delay};
  return options;
}

struct WillsTest : testing::Test {
  World world{1, dev(2)};
  simulation::Client& watcher = join(world, "watcher");
  WillsTest() {
    follow(world, watcher, "wills");
    follow(world, watcher, "chat/room/msg");
  }
};

TEST_F(WillsTest, ArePublishedWhenTheConnectionBreaks) {
  join(world, "alice", with_will(0, 0)).drop();
  world.settle();
  EXPECT_EQ(watcher.payloads(), std::vector<std::string>{"gone"});
}

TEST_F(WillsTest, AreDroppedByDisconnect) {
  join(world, "alice", with_will(0, 0)).disconnect();
  world.settle();
  EXPECT_TRUE(watcher.received.empty());
  join(world, "alice", with_will(0, 0)).disconnect(ReasonCode::DisconnectWithWill);
  world.settle();
  EXPECT_EQ(watcher.received.size(), 1U);
}

TEST_F(WillsTest, WaitForTheirDelay) {
  join(world, "alice", with_will(10, 100)).drop();
  world.advance(9s);
  EXPECT_TRUE(watcher.received.empty());
  world.advance(2s);
  EXPECT_EQ(watcher.received.size(), 1U);
  world.advance(200s);
  EXPECT_EQ(watcher.received.size(), 1U);
}

TEST_F(WillsTest, AreCancelledWhenTheClientComesBack) {
  auto& alice = join(world, "alice", with_will(10, 100));
  alice.drop();
  world.advance(5s);
  join(world, "alice", lasting());
  world.advance(60s);
  EXPECT_TRUE(watcher.received.empty());
}

TEST_F(WillsTest, AreDueWhenTheSessionEndsBeforeTheDelay) {
  join(world, "alice", with_will(100, 5)).drop();
  world.advance(6s);
  EXPECT_EQ(watcher.received.size(), 1U);
  join(world, "bob", with_will(100, 200)).drop();
  world.settle();
  join(world, "bob", lasting(true));
  EXPECT_EQ(watcher.received.size(), 2U) << "Clean Start ends the session";
}

TEST_F(WillsTest, ArePublishedOnTakeOverOnlyWithoutDelay) {
  join(world, "alice", with_will(0, 100));
  join(world, "bob", with_will(10, 100));
  for (const char* id : {"alice", "bob"}) {
    simulation::Client twin(world, id);
    twin.connect(lasting());
    world.settle();
    twin.read();
    world.settle();
  }
  EXPECT_EQ(watcher.received.size(), 1U);
}

TEST_F(WillsTest, ArePublishedOnSilenceAndOnNonsense) {
  auto options = with_will(0, 0);
  options.keep_alive = 2;
  join(world, "alice", options);
  join(world, "bob", with_will(0, 0)).send_bytes(std::string("\xF7\x00", 2));
  world.advance(4s);
  EXPECT_EQ(watcher.received.size(), 2U);
}

TEST_F(WillsTest, MaySpeakInAConversation) {
  join(world, "alice", with_will(0, 0, "chat/room/msg")).drop();
  world.settle();
  ASSERT_EQ(watcher.received.size(), 1U);
  EXPECT_EQ(watcher.received[0].user("from"), "alice");
}

TEST_F(WillsTest, AreNotPublishedWhenTheServerGoesAway) {
  join(world, "alice", with_will(0, 0, "chat/room/msg"));
  world.shut_down();
  EXPECT_TRUE(world.store().history("room").empty());
}

}  // namespace
}  // namespace parley::shard
