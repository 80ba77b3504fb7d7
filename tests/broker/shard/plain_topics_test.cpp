#include "broker/shard/plain_topics.hpp"

#include <map>

#include "tests/broker/shard/scene.hpp"

namespace parley::shard {
namespace {

/// Everything here holds whatever number of shards the node has.
class PlainTopicsTest : public testing::TestWithParam<std::uint32_t> {
 protected:
  World world{1, dev(GetParam())};
};
INSTANTIATE_TEST_SUITE_P(Shards, PlainTopicsTest, testing::Values(1U, 2U, 5U), testing::PrintToStringParamName());

TEST_P(PlainTopicsTest, DeliverToWhoeverSubscribed) {
  auto& alice = join(world, "alice");
  auto& bob = join(world, "bob");
  auto& carol = join(world, "carol");
  follow(world, alice, "a/+/c", {.qos = Qos::ExactlyOnce});
  follow(world, bob, "a/b/c", {.qos = Qos::AtMostOnce});
  follow(world, carol, "#", {.subscription_id = 3});
  const auto ack = say(world, carol, "a/b/c", "hello", {.users = {{"k", "v"}}});
  EXPECT_EQ(ack.reason(), ReasonCode::Success);
  ASSERT_EQ(alice.received.size(), 1U);
  EXPECT_EQ(alice.received[0].qos, Qos::AtLeastOnce);
  EXPECT_EQ(alice.received[0].user("k"), "v");
  ASSERT_EQ(bob.received.size(), 1U);
  EXPECT_EQ(bob.received[0].qos, Qos::AtMostOnce);
  ASSERT_EQ(carol.received.size(), 1U);
  EXPECT_EQ(carol.received[0].subscription_ids, std::vector<std::uint32_t>{3});
}

TEST_P(PlainTopicsTest, SayWhenNobodyListens) {
  auto& alice = join(world, "alice");
  EXPECT_EQ(say(world, alice, "a", "x").reason(), ReasonCode::NoMatchingSubscribers);
}

TEST_P(PlainTopicsTest, AreKnownEverywhereOnceSubackIsThere) {
  for (int i = 0; i < 10; ++i) {
    auto& alice = world.client("alice" + std::to_string(i));
    join(world, alice.id());
    const std::string topic = "t/" + std::to_string(i);
    const auto id = alice.subscribe(topic);
    for (int steps = 0; alice.answer(PacketType::Suback, id) == nullptr && steps < 1000; ++steps) {
      world.step();
      alice.read();
    }
    say(world, join(world, "bob" + std::to_string(i)), topic, "x");
    EXPECT_EQ(alice.received.size(), 1U) << i;
  }
}

TEST_P(PlainTopicsTest, StopWithUnsubscribeAndWithTheSession) {
  auto& alice = join(world, "alice");
  auto& bob = join(world, "bob");
  follow(world, alice, "a");
  follow(world, bob, "a");
  alice.unsubscribe("a");
  bob.drop();
  world.settle();
  EXPECT_EQ(say(world, join(world, "carol"), "a", "x").reason(), ReasonCode::NoMatchingSubscribers);
  EXPECT_TRUE(alice.received.empty());
}

TEST_P(PlainTopicsTest, KeepTheLastRetainedMessageOfATopic) {
  auto& bob = join(world, "bob");
  say(world, bob, "r/1", "old", {.retain = true});
  say(world, bob, "r/1", "new", {.retain = true});
  say(world, bob, "r/2", "gone", {.retain = true});
  say(world, bob, "r/2", "", {.retain = true});
  auto& alice = join(world, "alice");
  follow(world, alice, "r/+");
  EXPECT_EQ(alice.payloads(), std::vector<std::string>{"new"});
  EXPECT_TRUE(alice.received[0].retain);
  follow(world, alice, "r/+");
  EXPECT_EQ(alice.received.size(), 2U) << "Retain Handling 0";
  follow(world, alice, "r/+", {.retain_handling = 1});
  follow(world, alice, "r/+", {.retain_handling = 2});
  EXPECT_EQ(alice.received.size(), 2U);
  say(world, bob, "r/1", "live", {.retain = true});
  EXPECT_FALSE(alice.received.back().retain);
  follow(world, alice, "r/+", {.retain_as_published = true, .retain_handling = 2});
  say(world, bob, "r/1", "live", {.retain = true});
  EXPECT_TRUE(alice.received.back().retain);
}

TEST_P(PlainTopicsTest, LetRetainedMessagesExpire) {
  say(world, join(world, "bob"), "r", "x", {.retain = true, .expiry = 10});
  world.advance(11s);
  auto& alice = join(world, "alice");
  follow(world, alice, "r");
  EXPECT_TRUE(alice.received.empty());
}

TEST_P(PlainTopicsTest, SpareThePublisherThatWantsNoLocal) {
  auto& alice = join(world, "alice");
  follow(world, alice, "a", {.no_local = true});
  say(world, alice, "a", "mine");
  EXPECT_TRUE(alice.received.empty());
  say(world, join(world, "bob"), "a", "his");
  EXPECT_EQ(alice.received.size(), 1U);
}

/// It is the client id that counts, not the session. [MQTT-3.8.3-3]
TEST_P(PlainTopicsTest, SpareAPublisherThatHasAnotherSessionByNow) {
  say(world, join(world, "alice"), "r", "mine", {.retain = true});
  world.client("alice").disconnect();
  world.settle();
  auto& alice = join(world, "alice");
  follow(world, alice, "r", {.no_local = true});
  EXPECT_TRUE(alice.received.empty());
  follow(world, alice, "r");
  EXPECT_EQ(alice.payloads(), std::vector<std::string>{"mine"});
  auto& bob = join(world, "bob");
  follow(world, bob, "r", {.no_local = true});
  EXPECT_EQ(bob.payloads(), std::vector<std::string>{"mine"});
}

TEST_P(PlainTopicsTest, SpareAPublisherAfterARestart) {
  auto& alice = join(world, "alice", lasting());
  say(world, alice, "r", "mine", {.retain = true});
  for (int i = 0; i < 2; ++i) {
    world.crash();
    world.start();
    join(world, "alice", lasting(i == 0));
    follow(world, alice, "r", {.no_local = true});
    EXPECT_TRUE(alice.received.empty());
  }
  auto& bob = join(world, "bob");
  follow(world, bob, "r", {.no_local = true});
  EXPECT_EQ(bob.payloads(), std::vector<std::string>{"mine"});
}

/// A Message Expiry Interval of 0. [MQTT-3.3.2-5], [MQTT-3.3.2-6]
TEST_P(PlainTopicsTest, DeliverWhatExpiresAtOnceToThoseThatAreThere) {
  auto& here = join(world, "here", lasting());
  auto& away = join(world, "away", lasting());
  for (auto* client : {&here, &away}) follow(world, *client, "a", {.qos = Qos::ExactlyOnce});
  away.drop();
  world.settle();
  auto& bob = join(world, "bob");
  for (const Qos qos : {Qos::AtLeastOnce, Qos::ExactlyOnce}) {
    EXPECT_EQ(say(world, bob, "a", "now", {.qos = qos, .expiry = 0}).reason(), ReasonCode::Success);
  }
  bob.publish("a", "now", {.qos = Qos::AtMostOnce, .expiry = 0});
  say(world, bob, "a", "later", {.expiry = 60});
  EXPECT_EQ(here.payloads(), (std::vector<std::string>{"now", "now", "now", "later"}));
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(here.received[i].expiry, 0U);
  join(world, "away", lasting());
  EXPECT_EQ(away.payloads(), std::vector<std::string>{"later"});
}

/// It replaces the topic's message, and has expired then. MQTT 5 §3.3.1.3.
TEST_P(PlainTopicsTest, KeepNothingRetainedThatExpiresAtOnce) {
  auto& bob = join(world, "bob");
  say(world, bob, "r/1", "old", {.retain = true});
  say(world, bob, "r/1", "now", {.retain = true, .expiry = 0});
  say(world, bob, "r/2", "now", {.retain = true, .expiry = 0});
  for (int i = 0; i < 2; ++i) {
    auto& alice = join(world, "alice");
    follow(world, alice, "r/+");
    EXPECT_TRUE(alice.received.empty());
    world.crash();
    world.start();
  }
}

TEST_P(PlainTopicsTest, GiveNobodyElseASharedMessageThatHasExpiredAtOnce) {
  auto& first = join(world, "first");
  follow(world, first, "$share/crew/jobs");
  first.acknowledges = false;
  say(world, join(world, "boss"), "jobs", "now", {.expiry = 0});
  EXPECT_EQ(first.payloads(), std::vector<std::string>{"now"});
  auto& second = join(world, "second");
  follow(world, second, "$share/crew/jobs");
  first.drop();
  world.settle();
  EXPECT_TRUE(second.received.empty());
}

TEST_P(PlainTopicsTest, GiveASharedGroupEachMessageOnce) {
  std::map<std::string, int> got;
  for (int i = 0; i < 4; ++i) {
    auto& worker = join(world, "worker" + std::to_string(i));
    EXPECT_EQ(follow(world, worker, "$share/crew/jobs/+"), ReasonCode::GrantedQos1);
  }
  auto& watcher = join(world, "watcher");
  follow(world, watcher, "jobs/#");
  auto& boss = join(world, "boss");
  for (int i = 0; i < 40; ++i) say(world, boss, "jobs/x", "job" + std::to_string(i));
  for (int i = 0; i < 4; ++i) {
    auto& worker = world.client("worker" + std::to_string(i));
    EXPECT_EQ(worker.received.size(), 10U);
    for (const auto& job : worker.payloads()) ++got[job];
  }
  EXPECT_EQ(got.size(), 40U);
  EXPECT_EQ(watcher.received.size(), 40U);
  world.client("worker0").unsubscribe("$share/crew/jobs/+");
  world.client("worker1").drop();
  world.settle();
  for (int i = 0; i < 10; ++i) say(world, boss, "jobs/x", "late");
  EXPECT_EQ(world.client("worker0").received.size(), 10U);
  EXPECT_EQ(world.client("worker2").received.size() + world.client("worker3").received.size(), 30U);
}

TEST_P(PlainTopicsTest, SendNoRetainedMessagesToASharedGroup) {
  say(world, join(world, "bob"), "jobs/x", "retained", {.retain = true});
  auto& worker = join(world, "worker");
  follow(world, worker, "$share/crew/jobs/+");
  EXPECT_TRUE(worker.received.empty());  // MQTT 5 §4.8.2
}

TEST_P(PlainTopicsTest, QueueForAnAbsentSession) {
  auto& alice = join(world, "alice", lasting());
  follow(world, alice, "a");
  alice.drop();
  world.settle();
  auto& bob = join(world, "bob");
  say(world, bob, "a", "1");
  bob.publish("a", "lost", {.qos = Qos::AtMostOnce});
  say(world, bob, "a", "2");
  say(world, bob, "a", "stale", {.expiry = 5});
  world.advance(6s);
  join(world, "alice", lasting());
  EXPECT_EQ(alice.payloads(), (std::vector<std::string>{"1", "2"}));
}

TEST_P(PlainTopicsTest, ComeBackWithTheirSessionAfterARestart) {
  auto& alice = join(world, "alice", lasting());
  follow(world, alice, "a");
  follow(world, alice, "$share/crew/b");
  world.crash();
  world.start();
  auto& bob = join(world, "bob");
  say(world, bob, "a", "1");
  say(world, bob, "b", "2");
  alice.read();
  join(world, "alice", lasting());
  EXPECT_EQ(alice.payloads(), (std::vector<std::string>{"1", "2"}));
}

TEST_P(PlainTopicsTest, NeverSeeConversations) {
  auto& alice = join(world, "alice");
  follow(world, alice, "#");
  follow(world, alice, "+/room/msg");
  say(world, join(world, "bob"), "chat/room/msg", "x");
  EXPECT_TRUE(alice.received.empty());
}

}  // namespace
}  // namespace parley::shard
