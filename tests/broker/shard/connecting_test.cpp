#include "broker/shard/connecting.hpp"

#include "tests/broker/shard/scene.hpp"

namespace parley::shard {
namespace {

struct RefusedCase {
  const char* what;
  std::string client_id;
  ConnectOptions options;
  ReasonCode reason;
};

TEST(Connecting, RefusesWithTheReasonOfTheSpecification) {
  auto options = dev();
  options.shard.limits.qos_max = Qos::AtLeastOnce;
  options.shard.limits.retain_available = false;
  const std::vector<RefusedCase> cases{
      {"unknown authentication method", "a", {.authentication_method = "X"}, ReasonCode::BadAuthenticationMethod},
      {"no client id for a lasting session",
       "",
       {.version = ProtocolVersion::V3_1_1, .clean_start = false},
       ReasonCode::ClientIdentifierNotValid},
      {"long client id", std::string(257, 'c'), {}, ReasonCode::ClientIdentifierNotValid},
      {"user name that is no name", "a", {.user_name = "a/b"}, ReasonCode::BadUserNameOrPassword},
      {"will above the QoS",
       "a",
       {.will = {{.topic = "w", .payload = "", .qos = Qos::ExactlyOnce}}},
       ReasonCode::QosNotSupported},
      {"retained will", "a", {.will = {{.topic = "w", .payload = "", .retain = true}}}, ReasonCode::RetainNotSupported},
  };
  for (const RefusedCase& one : cases) {
    World world(1, options);
    auto& client = world.client(one.client_id);
    client.connect(one.options);
    world.settle();
    ASSERT_NE(client.connack(), nullptr) << one.what;
    EXPECT_EQ(client.connack()->reason(), one.reason) << one.what;
    EXPECT_FALSE(client.connected()) << one.what;
  }
}

TEST(Connecting, AnswersAnUnknownProtocolLevelAsItsKindExpects) {
  // MQTT 5 §3.1.2.2, 3.1.1 §3.1.2.2: level 6, then level 2 of "MQTT".
  const std::vector<std::pair<std::string, std::string>> cases{
      {std::string("\x10\x0D\x00\x04MQTT\x06\x02\x00\x00\x00\x01"
                   "a",
                   15),
       std::string("\x20", 1)},
      {std::string("\x10\x0D\x00\x04MQTT\x02\x02\x00\x00\x00\x01"
                   "a",
                   15),
       std::string("\x20\x02\x00\x01", 4)},
      // Bridges: a level that isn't theirs, and one that is.
      {std::string("\x10\x0D\x00\x04MQTT\x85\x02\x00\x00\x00\x01"
                   "a",
                   15),
       std::string("\x20\x02\x00\x01", 4)},
      {std::string("\x10\x0D\x00\x04MQTT\x83\x02\x00\x00\x00\x01"
                   "a",
                   15),
       std::string("\x20\x02\x00\x01", 4)},
  };
  for (const auto& [bytes, answer] : cases) {
    World world(1, dev());
    auto wire = std::make_shared<simulation::Wire>();
    world.accept(wire, std::nullopt);
    wire->to_broker = bytes;
    world.settle();
    EXPECT_TRUE(wire->to_client.starts_with(answer));
    EXPECT_TRUE(wire->broker_gone);
  }
}

TEST(Connecting, TakesABridgeOfOldVersions) {
  // 3.1.1 with level 0x84, then 3.1 with 0x83: SUBSCRIBE a, PUBLISH a.
  const std::vector<std::string> connects{std::string("\x10\x0D\x00\x04MQTT\x84\x02\x00\x00\x00\x01"
                                                      "b",
                                                      15),
                                          std::string("\x10\x0F\x00\x06MQIsdp\x83\x02\x00\x00\x00\x01"
                                                      "b",
                                                      17)};
  const std::string connack("\x20\x02\x00\x00", 4);
  for (const std::string& connect : connects) {
    World world(1, dev());
    auto& alice = join(world, "alice");
    say(world, alice, "a", "kept", {.retain = true});
    auto wire = std::make_shared<simulation::Wire>();
    world.accept(wire, std::nullopt);
    wire->to_broker = connect + std::string(
                                    "\x82\x06\x00\x01\x00\x01"
                                    "a\x00",
                                    8);
    world.settle();
    const std::string subscribed = connack + std::string("\x90\x03\x00\x01\x00", 5) +
                                   std::string(
                                       "\x31\x07\x00\x01"
                                       "akept",
                                       9);
    EXPECT_EQ(wire->to_client, subscribed);
    wire->to_client.clear();
    wire->to_broker = std::string(
        "\x30\x04\x00\x01"
        "a!",
        6);
    world.settle();
    EXPECT_EQ(wire->to_client, "") << "its own messages don't come back";
    say(world, alice, "a", "x", {.retain = true});
    EXPECT_EQ(wire->to_client, std::string("\x31\x04\x00\x01"
                                           "ax",
                                           6))
        << "retained as published";
  }
}

TEST(Connecting, ClosesOnWhateverIsNoConnect) {
  for (const std::string& bytes :
       {std::string("GET / HTTP/1.1\r\n"), std::string("\xC0\x00", 2), std::string(16, '\0')}) {
    World world(1, dev());
    auto wire = std::make_shared<simulation::Wire>();
    world.accept(wire, std::nullopt);
    wire->to_broker = bytes;
    world.settle();
    EXPECT_TRUE(wire->broker_gone);
    EXPECT_TRUE(wire->to_client.empty());
  }
}

TEST(Connecting, MakesUpAClientIdThatCanComeBack) {
  World world(1, dev(3));
  for (int i = 0; i < 10; ++i) {
    auto& nameless = join(world, "", lasting(true));
    const std::string id = nameless.connack()->text;
    ASSERT_FALSE(id.empty());
    nameless.drop();
    world.settle();
    auto& again = join(world, id, lasting());
    EXPECT_TRUE(again.connack()->session_present);
    EXPECT_EQ(again.connack()->text, "") << "this time it chose the id itself";
    again.drop();
    world.settle();
  }
}

TEST(Connecting, StoresALastingSessionBeforeItSaysThatItExists) {
  World world(1, dev());
  world.settle();
  world.store().set_latency(1s);
  auto& alice = world.client("alice");
  alice.connect(lasting());
  while (world.store().sessions().empty()) {
    world.step();
    alice.read();
    ASSERT_TRUE(alice.connack() == nullptr || !world.store().sessions().empty());
    world.clock().advance(10ms);
  }
  world.settle();
  ASSERT_NE(alice.connack(), nullptr);
  EXPECT_FALSE(alice.connack()->session_present);
  world.store().set_latency({});
  world.crash();
  world.start();
  join(world, "alice", lasting());
  EXPECT_TRUE(alice.connack()->session_present);
}

TEST(Connecting, KeepsWhatComesBeforeConnack) {
  World world(1, dev());
  world.store().set_latency(1s);
  auto& alice = world.client("alice");
  alice.connect(lasting());
  const auto subscribed = alice.subscribe("chat/room/msg");
  const auto published = alice.publish("chat/room/msg", "early");
  world.settle();
  ASSERT_GE(alice.answers.size(), 3U);
  EXPECT_EQ(alice.answers[0].type, PacketType::Connack);
  EXPECT_NE(alice.answer(PacketType::Suback, subscribed), nullptr);
  EXPECT_NE(alice.answer(PacketType::Puback, published), nullptr);
  EXPECT_EQ(alice.payloads(), std::vector<std::string>{"early"});
}

struct HurriedCase {
  const char* what;
  bool clean;
  bool has_will;
};

TEST(Connecting, HandlesWhatAClientHasSentBeforeItCloses) {
  for (const HurriedCase& one : {HurriedCase{"lasting", false, false}, HurriedCase{"with a will", true, true},
                                 HurriedCase{"without either", true, false}}) {
    World world(1, dev(2));
    auto& watcher = join(world, "watcher");
    follow(world, watcher, "t/+", {.qos = Qos::ExactlyOnce});
    world.store().set_latency(1s);
    auto& hurried = world.client("hurried");
    ConnectOptions options{.clean_start = one.clean, .expiry = one.clean ? 0U : 3600U};
    if (one.has_will) options.will = {{.topic = "t/will", .payload = "no will"}};
    hurried.connect(options);
    for (const Qos qos : {Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce}) {
      hurried.publish("t/x", std::to_string(static_cast<int>(qos)), {.qos = qos});
    }
    hurried.disconnect();
    world.settle();
    EXPECT_EQ(watcher.payloads(), (std::vector<std::string>{"0", "1", "2"})) << one.what;
    world.store().set_latency({});
    join(world, "hurried", lasting());
    EXPECT_EQ(hurried.connack()->session_present, !one.clean) << one.what;
  }
}

TEST(Connecting, HandlesWhatAClientHasSentBeforeItComesAgain) {
  for (const bool ends_in_between : {false, true}) {
    World world(1, dev());
    auto& watcher = join(world, "watcher");
    follow(world, watcher, "t/+");
    world.store().set_latency(1s);
    auto& hurried = world.client("hurried");
    for (int i = 0; i < 5; ++i) {
      hurried.connect(lasting());
      hurried.publish("t/x", std::to_string(i));
      hurried.disconnect(ReasonCode::Success, ends_in_between ? std::optional<std::uint32_t>(0) : std::nullopt);
      for (int turn = 0; turn < 5; ++turn) world.step();
    }
    world.settle();
    EXPECT_EQ(watcher.payloads(), (std::vector<std::string>{"0", "1", "2", "3", "4"}));
    world.store().set_latency({});
    join(world, "hurried", lasting());
    EXPECT_EQ(hurried.connack()->session_present, !ends_in_between);
  }
}

TEST(Connecting, PublishesTheWillOfAClientThatClosesWithoutAWord) {
  World world(1, dev());
  auto& watcher = join(world, "watcher");
  follow(world, watcher, "t/+");
  world.store().set_latency(1s);
  auto& hurried = world.client("hurried");
  hurried.connect({.will = {{.topic = "t/will", .payload = "gone"}}});
  hurried.publish("t/x", "x");
  hurried.drop();
  world.settle();
  EXPECT_EQ(watcher.payloads(), (std::vector<std::string>{"x", "gone"}));
}

TEST(Connecting, RefusesWhoeverHasClosedWhenTheSessionCantBeStored) {
  World world(1, dev());
  auto& watcher = join(world, "watcher");
  follow(world, watcher, "t/+");
  world.store().fail_with(StorageError::DiskFull);
  auto& hurried = world.client("hurried");
  hurried.connect(lasting());
  hurried.publish("t/x", "x");
  hurried.drop();
  world.settle();
  EXPECT_TRUE(watcher.received.empty());
  world.store().heal();
  join(world, "hurried", lasting());
  EXPECT_FALSE(hurried.connack()->session_present);
}

TEST(Connecting, EndsASessionOverACrashOnceItEndsWithItsConnection) {
  for (const std::uint32_t shards : {1U, 3U}) {
    World world(1, dev(shards));
    auto& alice = join(world, "alice", lasting());
    follow(world, alice, "chat/room/msg");
    follow(world, alice, "plain");
    alice.disconnect();
    world.settle();
    join(world, "alice", {.clean_start = false});  // MQTT 5 §3.1.2.11.2: it lasts no longer.
    EXPECT_TRUE(alice.connack()->session_present);
    world.crash();
    world.start();
    world.settle();
    join(world, "alice", lasting());
    EXPECT_FALSE(alice.connack()->session_present);
    say(world, join(world, "bob"), "plain", "not for alice");
    EXPECT_TRUE(alice.received.empty());
  }
}

TEST(Connecting, ClosesOnTooMuchBeforeConnack) {
  World world(1, dev());
  world.store().set_latency(1s);
  auto& alice = world.client("alice");
  alice.connect(lasting());
  for (int i = 0; i < 30; ++i) alice.publish("flood", std::string(64 * 1024, 'x'), {.qos = Qos::AtMostOnce});
  world.settle();
  EXPECT_FALSE(alice.connected());
  EXPECT_EQ(alice.connack(), nullptr);
}

TEST(Connecting, RefusesALastingSessionThatCantBeStored) {
  World world(1, dev());
  world.settle();
  world.store().fail_with(StorageError::DiskFull);
  auto& alice = world.client("alice");
  alice.connect(lasting());
  world.settle();
  EXPECT_EQ(alice.connack()->reason(), ReasonCode::QuotaExceeded);
  world.store().heal();
  join(world, "alice", lasting());
  EXPECT_FALSE(alice.connack()->session_present);
}

TEST(Connecting, RefusesALastingSessionWhenTheDiskIsFullFromTheStart) {
  World world(1, dev());
  world.store().fail_with(StorageError::DiskFull);
  auto& alice = world.client("alice");
  alice.connect(lasting());
  world.settle();
  EXPECT_EQ(alice.connack(), nullptr) << "it may pass";
  world.advance(3s);
  ASSERT_NE(alice.connack(), nullptr);
  EXPECT_EQ(alice.connack()->reason(), ReasonCode::QuotaExceeded);
  world.store().heal();
  world.advance(1s);
  join(world, "alice", lasting());
  EXPECT_FALSE(alice.connack()->session_present);
}

TEST(Connecting, ForgetsAClientThatGoesBeforeItsSessionIsStored) {
  World world(1, dev());
  world.settle();
  world.store().set_latency(1s);
  auto& alice = world.client("alice");
  alice.connect(lasting());
  world.step();
  alice.drop();
  world.settle();
  join(world, "alice", lasting());
  EXPECT_TRUE(alice.connack()->session_present);
}

TEST(Connecting, TakesASessionOverFromAnEarlierConnection) {
  for (const std::uint32_t shards : {1U, 3U}) {
    World world(1, dev(shards));
    auto& alice = join(world, "alice", lasting());
    follow(world, alice, "chat/room/msg");
    follow(world, alice, "plain");
    // A second device by mistake: same client id, another connection.
    simulation::Client twin(world, "alice");
    twin.connect(lasting());
    world.settle();
    twin.read();
    world.settle();
    twin.read();
    ASSERT_NE(twin.connack(), nullptr);
    EXPECT_TRUE(twin.connack()->session_present);
    EXPECT_FALSE(alice.connected());
    ASSERT_NE(alice.answer(PacketType::Disconnect), nullptr);
    EXPECT_EQ(alice.answer(PacketType::Disconnect)->reason(), ReasonCode::SessionTakenOver);
    auto& bob = join(world, "bob");
    say(world, bob, "chat/room/msg", "to the twin");
    say(world, bob, "plain", "to the twin, too");
    twin.read();
    EXPECT_EQ(twin.received.size(), 2U);
    EXPECT_TRUE(alice.received.empty());
  }
}

TEST(Connecting, EndsTheSessionOnACleanStart) {
  World world(1, dev());
  auto& alice = join(world, "alice", lasting());
  follow(world, alice, "chat/room/msg");
  alice.drop();
  join(world, "alice", lasting(true));
  EXPECT_FALSE(alice.connack()->session_present);
  say(world, join(world, "bob"), "chat/room/msg", "not for alice");
  EXPECT_TRUE(alice.received.empty());
  world.crash();
  world.start();
  join(world, "alice", lasting());
  EXPECT_TRUE(alice.connack()->session_present);
  say(world, join(world, "bob"), "chat/room/msg", "not for alice");
  EXPECT_TRUE(alice.received.empty());
}

TEST(Connecting, EndsASessionWithItsConnectionWhenItsExpiryIsZero) {
  World world(1, dev());
  auto& alice = join(world, "alice");
  follow(world, alice, "chat/room/msg");
  alice.drop();
  world.settle();
  join(world, "alice", lasting());
  EXPECT_FALSE(alice.connack()->session_present);
}

TEST(Connecting, NeverGivesAwayAnotherUsersSession) {
  World world(1, dev());
  auto options = lasting();
  options.user_name = "alice";
  join(world, "phone", options).drop();
  world.settle();
  auto& thief = world.client("phone");
  options.user_name = "mallory";
  thief.connect(options);
  world.settle();
  EXPECT_EQ(thief.connack()->reason(), ReasonCode::ClientIdentifierNotValid);
}

TEST(Connecting, ClosesOnSilence) {
  World world(1, dev());
  auto& alice = join(world, "alice", {.keep_alive = 10});  // §3.1.2.10: 1.5 times.
  world.advance(14s);
  EXPECT_TRUE(alice.connected());
  alice.send(mqtt::Pingreq{});
  world.advance(14s);
  EXPECT_TRUE(alice.connected());
  world.advance(2s);
  EXPECT_FALSE(alice.connected());
  EXPECT_EQ(alice.answer(PacketType::Disconnect)->reason(), ReasonCode::KeepAliveTimeout);
}

TEST(Connecting, KeepsOneTimerForAClientThatComesAndGoes) {
  World world(1, dev());
  for (int i = 0; i < 200; ++i) {
    auto options = lasting();
    options.keep_alive = 60;
    join(world, "alice", options).drop();
    world.advance(1s);
  }
  int turns = 0;
  for (const auto until = world.clock().now + 100s; world.clock().now < until; ++turns) world.advance(1s);
  EXPECT_LE(turns, 101);
  EXPECT_TRUE(join(world, "alice", lasting()).connack()->session_present);
}

TEST(Connecting, LetsASessionExpire) {
  World world(1, dev());
  auto& alice = join(world, "alice", lasting(false, 60));
  follow(world, alice, "plain");
  alice.drop();
  world.advance(50s);
  join(world, "alice", lasting(false, 60));
  EXPECT_TRUE(alice.connack()->session_present);
  alice.drop();
  world.advance(70s);
  EXPECT_TRUE(world.store().sessions().empty());
  join(world, "alice", lasting(false, 60));
  EXPECT_FALSE(alice.connack()->session_present);
}

TEST(Connecting, TakesTheExpiryOfDisconnect) {
  World world(1, dev());
  auto& alice = join(world, "alice", lasting(false, 60));
  alice.disconnect(ReasonCode::Success, 0);
  world.settle();
  EXPECT_TRUE(world.store().sessions().empty());
  join(world, "alice", lasting());
  EXPECT_FALSE(alice.connack()->session_present);
}

TEST(Connecting, TellsClientsThatItGoesAway) {
  World world(1, dev());
  auto& alice = join(world, "alice", lasting());
  auto& bob = join(world, "bob", {.version = ProtocolVersion::V3_1_1});
  world.shut_down();
  alice.read();
  EXPECT_EQ(alice.answer(PacketType::Disconnect)->reason(), ReasonCode::ServerShuttingDown);
  bob.read();
  EXPECT_FALSE(bob.connected());
  world.start();
  join(world, "alice", lasting());
  EXPECT_TRUE(alice.connack()->session_present);
}

}  // namespace
}  // namespace parley::shard
