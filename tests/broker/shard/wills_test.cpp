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

/// As a PUBLISH to that topic would be.
TEST_F(WillsTest, AreRefusedWithTheirConnectWhereNobodyMayPublish) {
  struct Case {
    std::string topic;
    std::string payload;
    ReasonCode reason;
    std::string error;
  };
  const std::string deep(201, '/');
  for (const Case& one : {Case{"$SYS/x", "gone", ReasonCode::NotAuthorized, "not-authorized"},
                          Case{"$share/group/x", "gone", ReasonCode::NotAuthorized, "not-authorized"},
                          Case{"client/bob/reply", "gone", ReasonCode::NotAuthorized, "not-authorized"},
                          Case{"client/alice/mode", "quiet", ReasonCode::NotAuthorized, "not-authorized"},
                          Case{"presence/bob", "gone", ReasonCode::NotAuthorized, "not-authorized"},
                          Case{"presence/a/b", "gone", ReasonCode::TopicNameInvalid, "invalid-topic"},
                          Case{"presence/alice", "\xFF", ReasonCode::PayloadFormatInvalid, "invalid-payload"},
                          Case{"presence/alice", std::string(257, 'x'), ReasonCode::QuotaExceeded, "too-large"},
                          Case{"chat/room/nonsense", "gone", ReasonCode::TopicNameInvalid, "invalid-topic"},
                          Case{"chat/dm:bob:cat:dog/msg", "gone", ReasonCode::TopicNameInvalid, "invalid-topic"},
                          Case{deep, "gone", ReasonCode::TopicNameInvalid, "invalid-topic"}}) {
    auto& alice = world.client("alice");
    ConnectOptions options;
    options.will = {.topic = one.topic, .payload = one.payload};
    alice.connect(options);
    world.settle();
    ASSERT_NE(alice.connack(), nullptr) << one.topic;
    EXPECT_EQ(alice.connack()->reason(), one.reason) << one.topic;
    EXPECT_EQ(alice.connack()->user("error"), one.error) << one.topic;
    EXPECT_FALSE(alice.connected()) << one.topic;
    options.version = ProtocolVersion::V3_1_1;
    alice.connect(options);
    world.settle();
    ASSERT_NE(alice.connack(), nullptr) << one.topic;
    EXPECT_EQ(alice.connack()->reason(), ReasonCode::NotAuthorized) << one.topic;
  }
  for (const char* topic : {"presence/alice", "chat/room/msg", "chat/dm:bob/msg", "wills"}) {
    ConnectOptions options;
    options.will = {.topic = topic, .payload = "gone"};
    join(world, "alice", options);
  }
}

TEST_F(WillsTest, AreDroppedByDisconnect) {
  join(world, "alice", with_will(0, 0)).disconnect();
  world.settle();
  EXPECT_TRUE(watcher.received.empty());
  join(world, "alice", with_will(0, 0)).disconnect(ReasonCode::DisconnectWithWill);
  world.settle();
  EXPECT_EQ(watcher.received.size(), 1U);
}

TEST_F(WillsTest, CountTheirExpiryFromTheirPublication) {
  struct Case {
    std::optional<std::uint32_t> interval;
    bool kept;
  };
  for (const Case& one : {Case{std::nullopt, true}, Case{0, false}, Case{60, true}}) {
    ConnectOptions options = with_will(10, 100);
    options.will->message_expiry = one.interval;
    options.will->retain = true;
    join(world, "alice", options).drop();
    world.advance(11s);
    ASSERT_EQ(watcher.received.size(), 1U);
    EXPECT_EQ(watcher.received[0].expiry, one.interval);
    watcher.received.clear();
    auto& late = join(world, "late");
    late.received.clear();
    follow(world, late, "wills");
    EXPECT_EQ(late.received.size(), one.kept ? 1U : 0U);
  }
}

/// [MQTT-3.8.3-3]
TEST_F(WillsTest, AreNotForTheirOwnClientIfItWantsNoLocal) {
  ConnectOptions options = with_will(0, 0);
  options.will->retain = true;
  join(world, "alice", options).drop();
  world.settle();
  auto& alice = join(world, "alice");
  follow(world, alice, "wills", {.no_local = true});
  EXPECT_TRUE(alice.received.empty());
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

// -- After a death of the broker --

struct WillsAfterADeathTest : testing::Test {
  World world{1, dev(2)};
  void die() {
    world.crash();
    world.start();
    world.advance(1s);
  }
  simulation::Client& watch(const std::string& topic) {
    auto& watcher = join(world, "watcher", lasting());
    follow(world, watcher, topic);
    return watcher;
  }
  std::vector<std::string> heard(simulation::Client& watcher) {
    watcher.connect(lasting());
    world.settle();
    return watcher.payloads();
  }
};

TEST_F(WillsAfterADeathTest, ArePublishedAtTheStart) {
  auto& watcher = watch("chat/room/msg");
  join(world, "alice", with_will(0, 0, "chat/room/msg"));
  join(world, "bob", with_will(0, 3600, "chat/room/msg"));
  die();
  EXPECT_EQ(heard(watcher), (std::vector<std::string>{"gone", "gone"}));
  EXPECT_EQ(world.store().sessions().size(), 2U) << "one of them ended with its connection";
  die();
  EXPECT_EQ(world.store().history("room").size(), 2U) << "once";
}

TEST_F(WillsAfterADeathTest, ArePublishedOnOrdinaryTopics) {
  auto& watcher = watch("wills");
  auto options = with_will(0, 0);
  options.will->retain = true;
  join(world, "alice", options);
  die();
  follow(world, join(world, "late"), "wills");
  EXPECT_EQ(world.client("late").payloads(), std::vector<std::string>{"gone"});
  EXPECT_EQ(heard(watcher), std::vector<std::string>{"gone"});
}

TEST_F(WillsAfterADeathTest, WaitForTheirDelayFromTheStartOn) {
  auto& watcher = watch("chat/room/msg");
  join(world, "alice", with_will(10, 3600, "chat/room/msg"));
  join(world, "bob", with_will(10, 3600, "chat/room/msg"));
  world.advance(60s);
  die();
  world.advance(4s);
  join(world, "bob", lasting());  // Back in time.
  EXPECT_TRUE(heard(watcher).empty());
  world.advance(6s);
  EXPECT_EQ(heard(watcher).size(), 1U);
  world.advance(3600s);
  EXPECT_EQ(heard(watcher).size(), 1U);
}

TEST_F(WillsAfterADeathTest, GoOnWithADelayThatHadBegun) {
  auto& watcher = watch("chat/room/msg");
  join(world, "alice", with_will(10, 3600, "chat/room/msg")).drop();
  world.advance(8s);
  die();
  world.advance(3s);
  EXPECT_EQ(heard(watcher).size(), 1U);
}

TEST_F(WillsAfterADeathTest, AreGoneAfterDisconnectAndReplacedByTheNextConnect) {
  auto& watcher = watch("chat/room/msg");
  join(world, "alice", with_will(0, 3600, "chat/room/msg")).disconnect();
  join(world, "bob", with_will(0, 0, "chat/room/msg")).disconnect();
  join(world, "carol", with_will(0, 3600, "chat/room/msg")).disconnect();
  auto options = with_will(0, 3600, "chat/room/msg");
  options.will->payload = "the second";
  join(world, "carol", options);
  world.settle();
  die();
  EXPECT_EQ(heard(watcher), std::vector<std::string>{"the second"});
}

TEST_F(WillsAfterADeathTest, AreNotPublishedAfterAnOrderlyEnd) {
  auto& watcher = watch("chat/room/msg");
  join(world, "alice", with_will(0, 0, "chat/room/msg"));
  join(world, "bob", with_will(10, 3600, "chat/room/msg"));
  world.shut_down();
  world.start();
  world.advance(60s);
  EXPECT_TRUE(heard(watcher).empty());
}

/// The connection breaks, and the broker dies somewhere on the way.
TEST_F(WillsAfterADeathTest, AreInAConversationOnceWhereverItDies) {
  for (int steps = 0; steps < 40; ++steps) {
    for (const std::uint32_t expiry : {0U, 3600U}) {
      World one(static_cast<std::uint64_t>(steps) + 1, dev(2));
      auto& alice = join(one, "alice", with_will(0, expiry, "chat/room/msg"));
      alice.drop();
      for (int i = 0; i < steps; ++i) one.step();
      one.crash();
      one.start();
      one.advance(1s);
      EXPECT_EQ(one.store().history("room").size(), 1U) << steps << " steps, expiry " << expiry;
    }
  }
}

}  // namespace
}  // namespace parley::shard
