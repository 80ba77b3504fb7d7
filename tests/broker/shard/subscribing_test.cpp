#include "broker/shard/subscribing.hpp"

#include "tests/broker/shard/scene.hpp"

namespace parley::shard {
namespace {

/// A conversation `room` of `count` entries, by bob.
void fill(World& world, int count) {
  auto& bob = join(world, "bob");
  for (int i = 1; i <= count; ++i) bob.publish("chat/room/msg", "m" + std::to_string(i), {.qos = Qos::AtMostOnce});
  world.settle();
}

struct StartCase {
  const char* what;
  std::string filter;
  SubscribeOptions options;
  std::vector<std::uint64_t> seqs;
};

TEST(Subscribing, BeginsWhereItIsAskedTo) {
  const std::vector<StartCase> cases{
      {"live", "chat/room/msg", {}, {}},
      {"since", "chat/room/msg", {.users = since(7)}, range(8, 10)},
      {"since 0", "chat/room/msg", {.users = since(0)}, range(1, 10)},
      {"since the head", "chat/room/msg", {.users = since(10)}, {}},
      {"last", "chat/room/msg", {.users = {{"last", "3"}}}, range(8, 10)},
      {"last of more than there are", "chat/room/msg", {.users = {{"last", "99"}}}, range(1, 10)},
      {"last 0", "chat/room/msg", {.users = {{"last", "0"}}}, {}},
      {"since last, nothing acknowledged yet", "chat/room/msg", {.users = {{"since", "last"}}}, range(1, 10)},
      {"prefix", "$since/4/chat/room/msg", {}, range(5, 10)},
      {"prefix beats property", "$last/1/chat/room/msg", {.users = since(2)}, range(10, 10)},
      {"no replay", "chat/room/msg", {.retain_handling = 2, .users = since(2)}, {}},
      {"replay for a new subscription", "chat/room/msg", {.retain_handling = 1, .users = since(8)}, range(9, 10)},
  };
  for (const StartCase& one : cases) {
    World world(1, dev());
    fill(world, 10);
    auto& alice = join(world, "alice");
    EXPECT_EQ(follow(world, alice, one.filter, one.options), ReasonCode::GrantedQos1) << one.what;
    EXPECT_EQ(alice.seqs("chat/room/msg"), one.seqs) << one.what;
    for (const Received& received : alice.received) EXPECT_TRUE(received.retain) << one.what;
    say(world, world.client("bob"), "chat/room/msg", "live");
    ASSERT_FALSE(alice.received.empty()) << one.what;
    EXPECT_EQ(alice.received.back().seq(), 11U) << one.what;
    EXPECT_FALSE(alice.received.back().retain) << one.what;
  }
}

TEST(Subscribing, SaysHowTheConversationStands) {
  World world(1, dev());
  fill(world, 5);
  world.store().cut("room", {3});
  world.advance(2min);
  world.client("bob").drop();
  world.crash();
  world.start();
  auto& alice = join(world, "alice");
  follow(world, alice, "chat/room/msg");
  const auto* suback = alice.answer(PacketType::Suback);
  EXPECT_EQ(suback->user("head"), "5");
  EXPECT_EQ(suback->user("oldest"), "3");
  EXPECT_EQ(suback->user("epoch"), std::to_string(world.store().conversation("room")->epoch.value));
  EXPECT_EQ(suback->user("topic"), "");
}

TEST(Subscribing, AnswersForSeveralFiltersInTheirOrder) {
  World world(1, dev());
  fill(world, 2);
  auto& alice = join(world, "alice");
  alice.subscribe({"plain/+", "chat/room/msg", "chat/room/ctl", "chat/other/json", "chat/#"});
  world.settle();
  const auto* suback = alice.answer(PacketType::Suback);
  ASSERT_NE(suback, nullptr);
  EXPECT_EQ(suback->reasons,
            (std::vector{ReasonCode::GrantedQos1, ReasonCode::GrantedQos1, ReasonCode::ImplementationSpecificError,
                         ReasonCode::GrantedQos1, ReasonCode::ImplementationSpecificError}));
  std::vector<std::string> names;
  for (const auto& [name, value] : suback->users) names.push_back(name == "topic" ? value : name);
  EXPECT_EQ(names, (std::vector<std::string>{"chat/room/msg", "head", "oldest", "epoch", "chat/room/ctl", "error",
                                             "chat/other/json", "head", "oldest", "epoch", "chat/#", "error"}));
}

struct RefusedCase {
  std::string filter;
  UserProperties users;
  ReasonCode reason;
  std::string word;
};

TEST(Subscribing, RefusesWhatItCantServe) {
  const std::vector<RefusedCase> cases{
      {"chat/room/msg", since(11), ReasonCode::ImplementationSpecificError, "beyond-head"},
      {"$since/11/chat/room/msg", {}, ReasonCode::ImplementationSpecificError, "beyond-head"},
      {"chat/room/msg", {{"since", "1"}, {"epoch", "12"}}, ReasonCode::ImplementationSpecificError, "other-epoch"},
      {"chat/room/msg", {{"since", "x"}}, ReasonCode::ImplementationSpecificError, "invalid-argument"},
      {"chat/room/msg", {{"last", "-1"}}, ReasonCode::ImplementationSpecificError, "invalid-argument"},
      {"$since/12/chat/+/msg", {}, ReasonCode::TopicFilterInvalid, "invalid-topic"},
      {"chat/room", {}, ReasonCode::TopicFilterInvalid, "invalid-topic"},
      {"$since/x/chat/room/msg", {}, ReasonCode::TopicFilterInvalid, "invalid-topic"},
      {"$last/1/plain", {}, ReasonCode::TopicFilterInvalid, "invalid-topic"},
      {"chat/+/ctl", {}, ReasonCode::ImplementationSpecificError, "unsupported"},
      {"chat/room/history", {}, ReasonCode::ImplementationSpecificError, "unsupported"},
      {"chat/#", {}, ReasonCode::ImplementationSpecificError, "unsupported"},
      {"$share/g/chat/+/msg", {}, ReasonCode::ImplementationSpecificError, "unsupported"},
      {"$share/g/presence/bob", {}, ReasonCode::ImplementationSpecificError, "unsupported"},
      {"$share/g/presence/+", {}, ReasonCode::ImplementationSpecificError, "unsupported"},
  };
  for (const RefusedCase& one : cases) {
    World world(1, dev());
    fill(world, 10);
    auto& alice = join(world, "alice");
    EXPECT_EQ(follow(world, alice, one.filter, {.users = one.users}), one.reason) << one.filter;
    EXPECT_EQ(alice.answer(PacketType::Suback)->user("error"), one.word) << one.filter;
    say(world, world.client("bob"), "chat/room/msg", "nobody gets it");
    EXPECT_TRUE(alice.received.empty()) << one.filter;
  }
}

TEST(Subscribing, RefusesWithEightyInThreeOneOne) {
  World world(1, dev());
  auto& alice = join(world, "alice", {.version = ProtocolVersion::V3_1_1});
  EXPECT_EQ(follow(world, alice, "chat/room/history"), ReasonCode::UnspecifiedError);
}

TEST(Subscribing, KeepsToItsLimits) {
  auto options = dev();
  options.shard.subscriptions_max = 3;
  options.shard.filter_levels_max = 5;
  World world(1, options);
  auto& alice = join(world, "alice");
  EXPECT_EQ(follow(world, alice, "a/b/c/d/e/f"), ReasonCode::QuotaExceeded);
  EXPECT_EQ(alice.answer(PacketType::Suback)->user("error"), "too-many");
  alice.subscribe({"a", "chat/x/msg", "chat/y/msg", "b"});
  world.settle();
  EXPECT_EQ(alice.answer(PacketType::Suback)->reasons.back(), ReasonCode::QuotaExceeded);
  EXPECT_EQ(alice.answer(PacketType::Suback)->user("error"), "too-many");
  EXPECT_EQ(alice.answer(PacketType::Suback)->users.at(alice.answer(PacketType::Suback)->users.size() - 2),
            (std::pair<std::string, std::string>{"topic", "b"}));
  EXPECT_EQ(follow(world, alice, "c"), ReasonCode::QuotaExceeded);
  EXPECT_EQ(follow(world, alice, "a"), ReasonCode::GrantedQos1) << "it has that one";
  EXPECT_EQ(follow(world, alice, "$since/0/chat/x/msg"), ReasonCode::GrantedQos1) << "and that, without the prefix";
  EXPECT_EQ(follow(world, alice, "$since/0/chat/z/msg"), ReasonCode::QuotaExceeded);
  EXPECT_EQ(follow(world, alice, "$last/1/chat/+/msg"), ReasonCode::QuotaExceeded);
  EXPECT_EQ(alice.answer(PacketType::Suback)->user("error"), "too-many");
}

TEST(Subscribing, AnswersOnlyWhenALastingSessionKnowsOfIt) {
  World world(1, dev());
  auto& alice = join(world, "alice", lasting());
  for (const char* filter : {"plain", "chat/room/msg"}) {
    world.store().set_latency(1s);
    const auto id = alice.subscribe(filter);
    for (int i = 0; i < 30; ++i) {
      world.step();
      alice.read();
      if (alice.answer(PacketType::Suback, id) != nullptr) break;
      world.clock().advance(200ms);
    }
    ASSERT_NE(alice.answer(PacketType::Suback, id), nullptr);
    world.store().set_latency({});
    world.crash();
    world.store().set_latency(0s);  // Longer than a slot's first two commits nobody waits for a leader.
    world.start();
    join(world, "alice", lasting());
    const auto again = say(world, alice, filter, "to myself");
    EXPECT_EQ(again.reason(), ReasonCode::Success) << filter;
    EXPECT_EQ(alice.received.back().payload, "to myself") << filter;
  }
}

TEST(Subscribing, LeavesEverythingAsItWasWhenItCantBeStored) {
  World world(1, dev());
  fill(world, 5);
  auto& alice = join(world, "alice", lasting());
  follow(world, alice, "chat/room/msg");
  world.store().fail_with(StorageError::DiskFull);
  EXPECT_EQ(follow(world, alice, "chat/room/msg", {.users = since(0)}), ReasonCode::QuotaExceeded);
  EXPECT_EQ(follow(world, alice, "plain"), ReasonCode::QuotaExceeded);
  EXPECT_EQ(follow(world, alice, "chat/room/json"), ReasonCode::QuotaExceeded);
  world.store().heal();
  auto& bob = world.client("bob");
  say(world, bob, "chat/room/msg", "m6");
  say(world, bob, "plain", "nobody");
  EXPECT_EQ(alice.payloads(), std::vector<std::string>{"m6"});
}

TEST(Subscribing, GoesOnAtTheHeadOfASessionWhateverSinceSays) {
  World world(1, dev());
  fill(world, 5);
  auto& alice = join(world, "alice", lasting());
  follow(world, alice, "chat/room/msg", {.users = since(3)});
  alice.drop();
  fill(world, 3);
  join(world, "alice", lasting());
  follow(world, alice, "chat/room/msg", {.users = since(3)});
  EXPECT_EQ(alice.seqs("chat/room/msg"), range(4, 8));
  // A second one on the same connection means it.
  follow(world, alice, "chat/room/msg", {.users = since(6)});
  EXPECT_EQ(alice.received.size(), 7U);
  EXPECT_EQ(alice.received.back().seq(), 8U);
}

TEST(Subscribing, ChangesOptionsWithoutLosingItsPlace) {
  World world(1, dev());
  fill(world, 2);
  auto& alice = join(world, "alice");
  follow(world, alice, "chat/room/msg", {.subscription_id = 7, .users = since(0)});
  follow(world, alice, "chat/room/msg", {.qos = Qos::AtMostOnce, .subscription_id = 8});
  say(world, world.client("bob"), "chat/room/msg", "m3");
  EXPECT_EQ(alice.seqs("chat/room/msg"), range(1, 3));
  EXPECT_EQ(alice.received[0].subscription_ids, std::vector<std::uint32_t>{7});
  EXPECT_EQ(alice.received[2].subscription_ids, std::vector<std::uint32_t>{8});
  EXPECT_EQ(alice.received[2].qos, Qos::AtMostOnce);
}

TEST(Subscribing, EndsWithEitherFormOfUnsubscribe) {
  for (const char* filter : {"chat/room/msg", "$since/0/chat/room/msg"}) {
    World world(1, dev());
    fill(world, 1);
    auto& alice = join(world, "alice", lasting());
    follow(world, alice, "$since/0/chat/room/msg");
    const auto id = alice.unsubscribe(filter);
    world.settle();
    EXPECT_EQ(alice.answer(PacketType::Unsuback, id)->reason(), ReasonCode::Success) << filter;
    say(world, world.client("bob"), "chat/room/msg", "m2");
    EXPECT_EQ(alice.seqs("chat/room/msg"), range(1, 1));
    const auto again = alice.unsubscribe(filter);
    world.settle();
    EXPECT_EQ(alice.answer(PacketType::Unsuback, again)->reason(), ReasonCode::NoSubscriptionExisted);
    world.crash();
    world.start();
    join(world, "alice", lasting());
    say(world, join(world, "bob"), "chat/room/msg", "m3");
    EXPECT_EQ(alice.received.size(), 1U);
  }
}

TEST(Subscribing, TakesSubscribeAndUnsubscribeInTheirOrder) {
  World world(1, dev());
  world.store().set_latency(100ms);
  auto& alice = join(world, "alice");
  alice.subscribe("chat/room/msg");
  alice.unsubscribe("chat/room/msg");
  world.settle();
  EXPECT_EQ(alice.answer(PacketType::Unsuback)->reason(), ReasonCode::Success);
  say(world, join(world, "bob"), "chat/room/msg", "nobody");
  EXPECT_TRUE(alice.received.empty());
}

TEST(Subscribing, DeliversAPublishSentRightBehindTheSubscribe) {
  World world(1, dev(2));
  auto& alice = join(world, "alice");
  alice.subscribe("chat/room/msg");
  alice.publish("chat/room/msg", "right behind");
  world.settle();
  EXPECT_EQ(alice.payloads(), std::vector<std::string>{"right behind"});
}

}  // namespace
}  // namespace parley::shard
