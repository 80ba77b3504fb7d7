#include <algorithm>
#include <functional>

#include "base/metrics.hpp"
#include "broker/shard/rate.hpp"
#include "tests/broker/shard/scene.hpp"

/// What docs/LIMITS.md promises, as far as a shard sees to it.
namespace parley::shard {
namespace {

struct LimitedWorld {
  explicit LimitedWorld(const std::function<void(ShardOptions&)>& set)
      : world(1, [&] {
          WorldOptions options = dev();
          options.shard.metrics = &metrics;
          set(options.shard);
          return options;
        }()) {}

  [[nodiscard]] std::uint64_t reached(Metric limit) const { return metrics.sum()[limit]; }

  Metrics metrics{1};
  World world;
};

TEST(RateBucket, GivesABurstAndThenTheRate) {
  const Rate rate{.a_second = 10, .burst = 1s};
  RateBucket bucket;
  const Instant now{1h};
  int taken = 0;
  for (; bucket.wait(rate, now) <= Duration::zero(); ++taken) bucket.take(rate, now, 1);
  EXPECT_EQ(taken, 11) << "what a second brings, and the one that makes the debt";
  EXPECT_EQ(bucket.wait(rate, now), Duration(100ms));
  EXPECT_LE(bucket.wait(rate, now + 100ms), Duration::zero());
  SharedRateBucket shared;
  shared.take(rate, now, 25);
  EXPECT_EQ(shared.wait(rate, now), Duration(1500ms));
}

TEST(Limits, HoldAClientThatPublishesTooMuchAndLoseNothing) {
  LimitedWorld limited([](ShardOptions& options) { options.rates.messages = {.a_second = 10, .burst = 1s}; });
  World& world = limited.world;
  auto& alice = join(world, "alice");
  auto& bob = join(world, "bob");
  follow(world, bob, "a", {.qos = Qos::AtMostOnce});
  for (int i = 0; i < 50; ++i) alice.publish("a", std::to_string(i), {.qos = Qos::AtMostOnce});
  world.settle();
  EXPECT_EQ(bob.received.size(), 11U);
  EXPECT_EQ(limited.reached(Metric::LimitThrottled), 1U);
  for (int i = 0; i < 50; ++i) world.advance(100ms);
  ASSERT_EQ(bob.received.size(), 50U) << "backpressure, no loss";
  EXPECT_EQ(bob.received.back().payload, "49");
  EXPECT_TRUE(alice.connected());
}

TEST(Limits, CutAClientThatGoesOn) {
  LimitedWorld limited([](ShardOptions& options) {
    options.rates.control = {.a_second = 5, .burst = 1s};
    options.rates.patience = 3s;
  });
  World& world = limited.world;
  auto& alice = join(world, "alice");
  for (int i = 0; i < 100; ++i) alice.send(mqtt::Pingreq{});
  for (int i = 0; i < 50 && alice.connected(); ++i) world.advance(100ms);
  EXPECT_FALSE(alice.connected());
  ASSERT_NE(alice.answer(PacketType::Disconnect), nullptr);
  EXPECT_EQ(alice.answer(PacketType::Disconnect)->reason(), ReasonCode::MessageRateTooHigh);
  EXPECT_EQ(limited.reached(Metric::LimitThrottleTime), 1U);
  EXPECT_EQ(limited.metrics.sum().disconnected[0x96], 1U);
}

TEST(Limits, LetAThrottledClientLiveBeyondItsKeepAlive) {
  LimitedWorld limited([](ShardOptions& options) {
    options.rates.bytes = {.a_second = 1000, .burst = 1s};
    options.rates.patience = Duration::zero();
  });
  World& world = limited.world;
  auto& alice = join(world, "alice", {.keep_alive = 2});
  alice.publish("a", std::string(20'000, 'x'), {.qos = Qos::AtMostOnce});
  alice.send(mqtt::Pingreq{});
  for (int i = 0; i < 10; ++i) world.advance(1s);
  EXPECT_TRUE(alice.connected()) << "it is the broker that doesn't listen";
  for (int i = 0; i < 30; ++i) world.advance(1s);
  EXPECT_FALSE(alice.connected()) << "now it is silent";
  EXPECT_EQ(limited.reached(Metric::LimitKeepAlive), 1U);
}

TEST(Limits, RefuseConnectionsAboveTheRateAndSayWhenToComeAgain) {
  LimitedWorld limited([](ShardOptions& options) { options.connects_a_second = 2; });
  World& world = limited.world;
  int refused = 0;
  for (int i = 0; i < 10; ++i) {
    auto& client = world.client("c" + std::to_string(i));
    client.connect({});
    world.settle();
    ASSERT_NE(client.connack(), nullptr);
    if (client.connack()->reason() == ReasonCode::Success) continue;
    ++refused;
    EXPECT_EQ(client.connack()->reason(), ReasonCode::ConnectionRateExceeded);
    EXPECT_EQ(client.connack()->user("error"), "too-many-connects");
    EXPECT_EQ(client.connack()->user("retry-after"), "1");
  }
  EXPECT_EQ(refused, 7);
  EXPECT_EQ(limited.reached(Metric::LimitConnectRate), 7U);
  world.advance(1s);
  join(world, "later");
}

TEST(Limits, TellConnectionsThatTheyAreTooMany) {
  const struct {
    Admission admission;
    std::string error;
    std::string retry_after;
  } cases[] = {{Admission::TooManyConnections, "too-many-connections", "10"},
               {Admission::TooManyOfAddress, "too-many-of-address", ""}};
  for (const auto& one : cases) {
    LimitedWorld limited([](ShardOptions& options) { options.shards = 1; });
    World& world = limited.world;
    join(world, "alice");
    auto& bob = world.client("bob");
    bob.connect({.admission = one.admission});
    world.settle();
    ASSERT_NE(bob.connack(), nullptr);
    EXPECT_EQ(bob.connack()->reason(), ReasonCode::QuotaExceeded);
    EXPECT_EQ(bob.connack()->user("error"), one.error);
    EXPECT_EQ(bob.connack()->user("retry-after"), one.retry_after);
    EXPECT_FALSE(bob.connected());
    EXPECT_EQ(limited.metrics.sum().refused[0x97], 1U);
    auto& carol = world.client("carol");  // Who takes no long packet still hears the reason.
    carol.connect({.packet_size_max = 10, .admission = one.admission});
    world.settle();
    ASSERT_NE(carol.connack(), nullptr);
    EXPECT_EQ(carol.connack()->reason(), ReasonCode::QuotaExceeded);
    auto& old = world.client("old");  // 3.1.1 §3.2.2.3.
    old.connect({.version = ProtocolVersion::V3_1_1, .admission = one.admission});
    world.settle();
    ASSERT_NE(old.connack(), nullptr);
    EXPECT_EQ(old.connack()->reason(), ReasonCode::ServerUnavailable);
    EXPECT_FALSE(old.connected());
    join(world, "bob");  // Another time there is room.
  }
}

TEST(Limits, RefuseSessionsThatAreTooMany) {
  LimitedWorld limited([](ShardOptions& options) { options.sessions_max = 2; });
  World& world = limited.world;
  auto& alice = join(world, "alice", lasting());
  alice.drop();
  world.settle();
  join(world, "bob");
  auto& carol = world.client("carol");
  carol.connect({});
  world.settle();
  ASSERT_NE(carol.connack(), nullptr);
  EXPECT_EQ(carol.connack()->reason(), ReasonCode::QuotaExceeded);
  EXPECT_EQ(limited.reached(Metric::LimitSessions), 1U);
  alice.connect(lasting());
  world.settle();
  ASSERT_NE(alice.connack(), nullptr);
  EXPECT_EQ(alice.connack()->reason(), ReasonCode::Success) << "it is there already";
}

TEST(Limits, CountRetainedMessagesThatAreTooMany) {
  LimitedWorld limited([](ShardOptions& options) { options.retained_max = 1; });
  World& world = limited.world;
  auto& alice = join(world, "alice");
  EXPECT_FALSE(mqtt::is_failure(say(world, alice, "a", "x", {.retain = true}).reason()));
  say(world, alice, "b", "x", {.retain = true});
  EXPECT_EQ(limited.reached(Metric::LimitRetained), 1U);
}

TEST(Limits, LetThoseWhoWantMuchWaitForTheOthers) {
  LimitedWorld limited([](ShardOptions&) {});
  World& world = limited.world;
  auto& alice = join(world, "alice");
  auto& bob = join(world, "bob");
  world.packets_a_turn(4);
  world.take_large_packets(false);
  const auto large = alice.subscribe(std::string(200, 'x'));
  const auto small = bob.subscribe("a");
  for (int i = 0; i < 10; ++i) world.round();
  EXPECT_EQ(alice.answer(PacketType::Suback, large), nullptr);
  EXPECT_NE(bob.answer(PacketType::Suback, small), nullptr);
  world.take_large_packets(true);
  world.settle();
  EXPECT_NE(alice.answer(PacketType::Suback, large), nullptr);
}

TEST(Limits, RefuseDeepFiltersAndTooManySubscriptions) {
  LimitedWorld limited([](ShardOptions& options) {
    options.filter_levels_max = 3;
    options.subscriptions_max = 2;
  });
  World& world = limited.world;
  auto& alice = join(world, "alice");
  EXPECT_EQ(follow(world, alice, "a/b/c/d"), ReasonCode::QuotaExceeded);
  EXPECT_EQ(follow(world, alice, std::string(65'535, '/')), ReasonCode::QuotaExceeded);
  EXPECT_EQ(follow(world, alice, "$share/g/a/b/c"), ReasonCode::GrantedQos1) << "of the filter that is shared";
  alice.unsubscribe("$share/g/a/b/c");
  world.settle();
  EXPECT_EQ(say(world, alice, "a/b/c/d", "x").reason(), ReasonCode::TopicNameInvalid);
  EXPECT_EQ(limited.reached(Metric::LimitTopicLevels), 3U);
  follow(world, alice, "a");
  follow(world, alice, "b");
  EXPECT_EQ(follow(world, alice, "c"), ReasonCode::QuotaExceeded);
  EXPECT_EQ(follow(world, alice, "a"), ReasonCode::GrantedQos1) << "it is there already";
  EXPECT_EQ(limited.reached(Metric::LimitSubscriptions), 1U);
}

TEST(Limits, GiveEveryConnectionItsShareOfATurn) {
  LimitedWorld limited([](ShardOptions&) {});
  World& world = limited.world;
  world.packets_a_turn(4);
  auto& alice = join(world, "alice");
  auto& bob = join(world, "bob");
  follow(world, bob, "a", {.qos = Qos::AtMostOnce});
  for (int i = 0; i < 50; ++i) alice.publish("a", std::to_string(i), {.qos = Qos::AtMostOnce});
  world.round();
  EXPECT_LE(bob.received.size(), 4U);
  world.settle();
  EXPECT_EQ(bob.received.size(), 50U);
}

TEST(Limits, DontReadFromWhoDoesntTakeItsAnswers) {
  LimitedWorld limited([](ShardOptions& options) { options.limits.output_max = 4'096; });
  World& world = limited.world;
  world.client("alice").room = 1000;
  auto& alice = join(world, "alice");
  alice.reads = false;
  for (int i = 0; i < 20'000; ++i) alice.send(mqtt::Pingreq{});
  world.settle();
  EXPECT_LE(world.output_bytes(), 3U * 4'096);
  EXPECT_GE(limited.reached(Metric::LimitOutput), 1U);
  alice.reads = true;
  world.settle();
  EXPECT_EQ(std::ranges::count(alice.answers, PacketType::Pingresp, &simulation::Answer::type), 20'000);
}

}  // namespace
}  // namespace parley::shard
