#include "broker/shard/node_topics.hpp"

#include <algorithm>

#include "tests/broker/shard/nodes.hpp"

namespace parley::shard {
namespace {

using Texts = std::vector<std::string>;

TEST(NodeTopics, CarryAMessageToEverySubscriberOnce) {
  for (const std::uint32_t threads : {1U, 3U}) {
    for (const Qos qos : {Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce}) {
      Nodes nodes(3, dev(2), dev(threads));
      std::vector<simulation::Client*> all;
      for (std::size_t i = 0; i < 9; ++i) {
        all.push_back(&join(nodes, i % 3, "c" + std::to_string(i)));
        follow(nodes, *all.back(), i % 2 == 0 ? "news/#" : "news/today", {.qos = qos});
      }
      auto& writer = join(nodes, 1, "writer");
      for (int i = 0; i < 5; ++i) writer.publish("news/today", std::to_string(i), {.qos = qos});
      nodes.settle();
      for (const auto* client : all) EXPECT_EQ(client->payloads(), (Texts{"0", "1", "2", "3", "4"}));
    }
  }
}

TEST(NodeTopics, SendNothingWhereNobodyWantsIt) {
  Nodes nodes(3);
  auto& alice = join(nodes, 1, "alice");
  auto& bob = join(nodes, 0, "bob");
  follow(nodes, bob, "a/b");
  const auto before = nodes.delivered(NodeChannel::Messages);
  EXPECT_EQ(say(nodes, alice, "x/y", "1").reason(), ReasonCode::NoMatchingSubscribers);
  EXPECT_EQ(nodes.delivered(NodeChannel::Messages), before);
  EXPECT_EQ(say(nodes, alice, "a/b", "2").reason(), ReasonCode::Success);
  EXPECT_EQ(nodes.delivered(NodeChannel::Messages), before + 2) << "the message, and that it is taken";
  bob.unsubscribe("a/b");
  nodes.settle();
  EXPECT_EQ(say(nodes, alice, "a/b", "3").reason(), ReasonCode::NoMatchingSubscribers);
}

TEST(NodeTopics, AnswerASubscribeWhenTheOthersKnow) {
  Nodes nodes(2);
  auto& bob = join(nodes, 1, "bob");
  nodes.block(1, NodeChannel::Messages);
  const auto id = bob.subscribe("a/b");
  nodes.settle();
  EXPECT_EQ(bob.answer(PacketType::Suback, id), nullptr);
  nodes.open(1, NodeChannel::Messages);
  nodes.settle();
  EXPECT_NE(bob.answer(PacketType::Suback, id), nullptr);
  // But not for ever.
  nodes.block(1, NodeChannel::Messages);
  const auto late = bob.subscribe("c/d");
  nodes.advance(3s);
  EXPECT_NE(bob.answer(PacketType::Suback, late), nullptr);
}

TEST(NodeTopics, AcknowledgeWhenTheOthersHaveTakenIt) {
  Nodes nodes(2);
  auto& alice = join(nodes, 0, "alice");
  auto& bob = join(nodes, 1, "bob");
  follow(nodes, bob, "a/b");
  nodes.block(1, NodeChannel::Messages);
  const auto id = alice.publish("a/b", "1");
  nodes.settle();
  EXPECT_EQ(bob.payloads(), Texts{"1"});
  EXPECT_EQ(alice.answer(PacketType::Puback, id), nullptr);
  nodes.open(1, NodeChannel::Messages);
  nodes.settle();
  EXPECT_NE(alice.answer(PacketType::Puback, id), nullptr);
  nodes.block(1, NodeChannel::Messages);
  const auto late = alice.publish("a/b", "2");
  nodes.advance(3s);
  EXPECT_NE(alice.answer(PacketType::Puback, late), nullptr) << "it waits for a while only";
}

/// Wherever the connection breaks, what is published at QoS 2 arrives once.
TEST(NodeTopics, SendAgainWhatAConnectionHasLost) {
  for (int broken_at = 0; broken_at < 10; ++broken_at) {
    Nodes nodes(2);
    auto& alice = join(nodes, 0, "alice");
    auto& bob = join(nodes, 1, "bob");
    follow(nodes, bob, "a/b", {.qos = Qos::ExactlyOnce});
    Texts sent;
    for (int i = 0; i < 10; ++i) {
      sent.push_back(std::to_string(i));
      alice.publish("a/b", sent.back(), {.qos = Qos::ExactlyOnce});
      nodes.step();
      if (i == broken_at) nodes.disconnect(0, 1);
    }
    nodes.connect(0, 1);
    nodes.settle();
    EXPECT_EQ(bob.payloads(), sent) << broken_at;
  }
}

TEST(NodeTopics, KeepRetainedMessagesOnEveryNode) {
  Nodes nodes(3, dev(2), dev(3));
  auto& alice = join(nodes, 0, "alice");
  auto& bob = join(nodes, 1, "bob");
  say(nodes, alice, "state/a", "1", {.retain = true});
  say(nodes, bob, "state/b", "2", {.retain = true});
  say(nodes, bob, "state/a", "3", {.retain = true});
  for (std::size_t i = 0; i < 3; ++i) {
    auto& reader = join(nodes, i, "reader" + std::to_string(i));
    follow(nodes, reader, "state/#");
    auto payloads = reader.payloads();
    std::ranges::sort(payloads);
    EXPECT_EQ(payloads, (Texts{"2", "3"})) << i;
  }
  say(nodes, alice, "state/a", "", {.retain = true});
  auto& late = join(nodes, 2, "late");
  follow(nodes, late, "state/a");
  EXPECT_TRUE(late.payloads().empty());
}

TEST(NodeTopics, AgreeOnRetainedMessagesAfterASeparation) {
  Nodes nodes(2, dev(2), dev(2));
  auto& alice = join(nodes, 0, "alice");
  auto& bob = join(nodes, 1, "bob");
  say(nodes, alice, "state/gone", "x", {.retain = true});
  nodes.disconnect(0, 1);
  nodes.advance(5s);
  say(nodes, alice, "state/a", "older", {.retain = true});
  say(nodes, bob, "state/gone", "", {.retain = true});
  nodes.advance(1s);
  say(nodes, bob, "state/a", "newer", {.retain = true});
  say(nodes, bob, "state/b", "only here", {.retain = true});
  nodes.connect(0, 1);
  nodes.settle();
  for (std::size_t i = 0; i < 2; ++i) {
    auto& reader = join(nodes, i, "reader" + std::to_string(i));
    follow(nodes, reader, "state/#");
    auto payloads = reader.payloads();
    std::ranges::sort(payloads);
    EXPECT_EQ(payloads, (Texts{"newer", "only here"})) << i;
  }
}

void restart(Nodes& nodes, std::size_t which, std::size_t others) {
  for (std::size_t i = 0; i < others; ++i) {
    if (i != which) nodes.disconnect(which, i);
  }
  nodes.settle();
  nodes.at(which).crash();
  nodes.at(which).start();
  nodes.settle();
  for (std::size_t i = 0; i < others; ++i) {
    if (i != which) nodes.connect(which, i);
  }
  nodes.settle();
}

std::string retained(Nodes& nodes, std::size_t node, const std::string& name) {
  auto& reader = join(nodes, node, name);
  follow(nodes, reader, "state/#");
  auto payloads = reader.payloads();
  std::ranges::sort(payloads);
  std::string all;
  for (const auto& payload : payloads) all += payload + " ";
  return all;
}

TEST(NodeTopics, KeepWhatIsAcknowledgedForAnAbsentSessionOfAnotherNode) {
  for (const Qos qos : {Qos::AtLeastOnce, Qos::ExactlyOnce}) {
    for (const std::uint32_t threads : {1U, 3U}) {
      Nodes nodes(2, dev(threads), dev(2));
      auto& bob = nodes.at(0).client("bob");
      bob.connect(lasting());
      nodes.settle();
      follow(nodes, bob, "a/b", {.qos = qos});
      follow(nodes, bob, "$share/g/c", {.qos = qos});
      bob.disconnect();
      nodes.settle();
      auto& alice = join(nodes, 1, "alice");
      Texts sent;
      for (int i = 0; i < 20; ++i) {
        sent.push_back(std::to_string(i));
        say(nodes, alice, i % 2 == 0 ? "a/b" : "c", sent.back(), {.qos = qos});
      }
      restart(nodes, 0, 2);
      bob.connect(lasting());
      nodes.settle();
      EXPECT_EQ(bob.payloads(), sent);
    }
  }
}

TEST(NodeTopics, AcknowledgeOnlyWhatTheOtherNodeHasStored) {
  Nodes nodes(2);
  auto& bob = nodes.at(0).client("bob");
  bob.connect(lasting());
  nodes.settle();
  follow(nodes, bob, "a/b");
  bob.disconnect();
  nodes.settle();
  auto& alice = join(nodes, 1, "alice");
  nodes.at(0).store().fail_with(StorageError::DiskFull);
  const auto refused = say(nodes, alice, "a/b", "1");
  EXPECT_EQ(refused.reason(), ReasonCode::QuotaExceeded);
  nodes.at(0).store().heal();
  EXPECT_EQ(say(nodes, alice, "a/b", "2").reason(), ReasonCode::Success);
}

TEST(NodeTopics, KeepRetainedMessagesOverRestarts) {
  for (const std::uint32_t threads : {1U, 3U}) {
    Nodes nodes(2, dev(2), dev(threads));
    auto& alice = join(nodes, 0, "alice");
    say(nodes, alice, "state/a", "old", {.retain = true});
    say(nodes, alice, "state/b", "gone", {.retain = true});
    say(nodes, alice, "state/c", "kept", {.retain = true});
    nodes.disconnect(0, 1);
    nodes.advance(3s);
    say(nodes, alice, "state/a", "new", {.retain = true});
    say(nodes, alice, "state/b", "", {.retain = true});
    // Node 1 hasn't heard of that; node 0 starts anew and tells it, with the stamps that were stored.
    restart(nodes, 0, 2);
    for (std::size_t i = 0; i < 2; ++i) EXPECT_EQ(retained(nodes, i, "first" + std::to_string(i)), "kept new ") << i;
    restart(nodes, 1, 2);
    for (std::size_t i = 0; i < 2; ++i) EXPECT_EQ(retained(nodes, i, "second" + std::to_string(i)), "kept new ") << i;
    nodes.advance(2h);
    std::size_t rows = 0;
    for (const auto& [key, value] : nodes.at(0).store().plain()) rows += key.first == PlainTable::Retained ? 1 : 0;
    EXPECT_EQ(rows, 2U) << "a removal is remembered for an hour";
  }
}

TEST(NodeTopics, TellANewNodeWhatIsWantedAndRetained) {
  Nodes nodes(2, dev(3), dev(1));
  auto& alice = join(nodes, 0, "alice");
  auto& bob = join(nodes, 1, "bob");
  nodes.disconnect(0, 1);
  nodes.advance(3s);
  follow(nodes, bob, "a/#");
  say(nodes, alice, "r/x", "kept", {.retain = true});
  nodes.connect(0, 1);
  nodes.settle();
  EXPECT_EQ(say(nodes, alice, "a/b", "1").reason(), ReasonCode::Success);
  EXPECT_EQ(bob.payloads(), Texts{"1"});
  follow(nodes, bob, "r/#");
  EXPECT_EQ(bob.payloads(), (Texts{"1", "kept"}));
}

TEST(NodeTopics, GiveASharedMessageToOneMemberOfAllNodes) {
  for (const std::uint32_t threads : {1U, 3U}) {
    Nodes nodes(3, dev(2), dev(threads));
    std::vector<simulation::Client*> workers;
    for (std::size_t i = 0; i < 3; ++i) {
      workers.push_back(&join(nodes, i, "w" + std::to_string(i)));
      follow(nodes, *workers.back(), "$share/g/jobs/+");
    }
    auto& plain = join(nodes, 2, "plain");
    follow(nodes, plain, "jobs/#");
    for (std::size_t i = 0; i < 3; ++i) {
      auto& writer = join(nodes, i, "writer" + std::to_string(i));
      for (int j = 0; j < 30; ++j) {
        const int number = static_cast<int>(i) * 30 + j;
        writer.publish("jobs/x", std::to_string(number), {.qos = j % 2 == 0 ? Qos::AtLeastOnce : Qos::AtMostOnce});
      }
      nodes.settle();
    }
    std::set<std::string> seen;
    std::size_t count = 0;
    for (const auto* worker : workers) {
      EXPECT_GT(worker->received.size(), 10U);
      count += worker->received.size();
      for (const auto& payload : worker->payloads()) seen.insert(payload);
    }
    EXPECT_EQ(count, 90U);
    EXPECT_EQ(seen.size(), 90U);
    EXPECT_EQ(plain.received.size(), 90U);
  }
}

TEST(NodeTopics, ShareAmongThoseThatAreThere) {
  Nodes nodes(2);
  auto& near = join(nodes, 0, "near");
  auto& far = join(nodes, 1, "far");
  auto& writer = join(nodes, 0, "writer");
  follow(nodes, near, "$share/g/jobs");
  follow(nodes, far, "$share/g/jobs");
  nodes.disconnect(0, 1);
  nodes.settle();
  for (int i = 0; i < 4; ++i) say(nodes, writer, "jobs", std::to_string(i));
  EXPECT_EQ(near.received.size(), 4U);
  nodes.connect(0, 1);
  nodes.settle();
  near.unsubscribe("$share/g/jobs");
  nodes.settle();
  for (int i = 0; i < 4; ++i) say(nodes, writer, "jobs", std::to_string(i));
  EXPECT_EQ(far.received.size(), 4U);
}

/// No Local goes by the client id, which may have moved to another node. [MQTT-3.8.3-3]
TEST(NodeTopics, SpareAPublisherThatIsAtAnotherNodeByNow) {
  for (const std::uint16_t version : {std::uint16_t{1}, std::uint16_t{2}, kPublisherVersion}) {
    for (const bool separated : {false, true}) {
      Nodes nodes(2, dev(2), dev(2));
      nodes.disconnect(0, 1);
      nodes.advance(3s);
      nodes.speak(1, version);
      if (!separated) nodes.connect(0, 1);
      nodes.settle();
      say(nodes, join(nodes, 0, "alice"), "state/a", "mine", {.retain = true});
      nodes.at(0).client("alice").disconnect();
      if (separated) nodes.connect(0, 1);
      nodes.settle();
      auto& alice = join(nodes, 1, "alice");
      follow(nodes, alice, "state/a", {.no_local = true});
      // An older node isn't told who it was.
      EXPECT_EQ(alice.payloads(), version < kPublisherVersion ? Texts{"mine"} : Texts{}) << version;
      auto& bob = join(nodes, 1, "bob");
      follow(nodes, bob, "state/a", {.no_local = true});
      EXPECT_EQ(bob.payloads(), Texts{"mine"});
      // And after a start of that node, from its own rows.
      restart(nodes, 1, 2);
      alice.received.clear();
      join(nodes, 1, "alice");
      follow(nodes, alice, "state/a", {.no_local = true});
      EXPECT_EQ(alice.payloads(), version < kPublisherVersion ? Texts{"mine"} : Texts{}) << version;
    }
  }
}

/// On each connection nodes tell one another all that is retained.
TEST(NodeTopics, ForgetNoPublisherThatAnotherNodeDoesntKnow) {
  for (const bool known_first : {false, true}) {
    Nodes nodes(2, dev(2), dev(2));
    const auto meet = [&](std::uint16_t version) {
      nodes.disconnect(0, 1);
      nodes.advance(3s);
      nodes.speak(1, version);
      nodes.connect(0, 1);
      nodes.settle();
    };
    meet(known_first ? kPublisherVersion : std::uint16_t{2});
    say(nodes, join(nodes, 0, "alice"), "state/a", "mine", {.retain = true});
    nodes.at(0).client("alice").disconnect();
    meet(known_first ? std::uint16_t{2} : kPublisherVersion);
    for (std::size_t i = 0; i < 2; ++i) {
      auto& alice = join(nodes, i, "alice");
      follow(nodes, alice, "state/a", {.no_local = true});
      EXPECT_TRUE(alice.received.empty()) << i;
      alice.disconnect();
      nodes.settle();
    }
  }
}

/// What waits for a connection is sent as the next one's node understands it.
TEST(NodeTopics, TellAPublisherByTheConnectionThatThereIs) {
  for (const std::uint16_t version : {std::uint16_t{2}, kPublisherVersion}) {
    Nodes nodes(2);
    nodes.disconnect(0, 1);
    nodes.speak(1, version == 2 ? kPublisherVersion : std::uint16_t{2});
    nodes.connect(0, 1);
    auto& alice = join(nodes, 0, "alice");
    nodes.block(0, NodeChannel::Messages);
    alice.publish("state/a", "mine", {.retain = true});
    nodes.settle();
    nodes.disconnect(0, 1);
    nodes.speak(1, version);
    nodes.connect(0, 1);
    nodes.open(0, NodeChannel::Messages);
    nodes.settle();
    alice.disconnect();
    nodes.settle();
    auto& again = join(nodes, 1, "alice");
    follow(nodes, again, "state/a", {.no_local = true});
    EXPECT_EQ(again.payloads(), version < kPublisherVersion ? Texts{"mine"} : Texts{}) << version;
  }
}

/// A Message Expiry Interval of 0.
TEST(NodeTopics, CarryWhatExpiresAtOnceToThoseThatAreThere) {
  for (const std::uint16_t version : {std::uint16_t{2}, kPublisherVersion}) {
    Nodes nodes(2, dev(2), dev(2));
    nodes.disconnect(0, 1);
    nodes.speak(1, version);
    nodes.connect(0, 1);
    auto& here = join(nodes, 1, "here");
    auto& away = join(nodes, 1, "away", lasting());
    follow(nodes, here, "state/#");
    follow(nodes, away, "state/#");
    away.drop();
    nodes.settle();
    auto& alice = join(nodes, 0, "alice");
    say(nodes, alice, "state/a", "old", {.retain = true});
    EXPECT_EQ(say(nodes, alice, "state/a", "now", {.retain = true, .expiry = 0}).reason(), ReasonCode::Success);
    say(nodes, alice, "state/b", "now", {.expiry = 0});
    EXPECT_EQ(here.payloads(), (Texts{"old", "now", "now"}));
    EXPECT_EQ(here.received[1].expiry, 0U);
    EXPECT_EQ(here.received[2].expiry, 0U);
    join(nodes, 1, "away", lasting());
    EXPECT_EQ(away.payloads(), Texts{"old"});
    for (std::size_t i = 0; i < 2; ++i) EXPECT_EQ(retained(nodes, i, "late" + std::to_string(i)), "") << i;
  }
}

/// A node that was away doesn't bring back what it replaced.
TEST(NodeTopics, RememberThatARetainedMessageHasExpiredAtOnce) {
  Nodes nodes(2);
  auto& alice = join(nodes, 0, "alice");
  say(nodes, alice, "state/a", "old", {.retain = true});
  nodes.disconnect(0, 1);
  nodes.advance(3s);
  say(nodes, alice, "state/a", "now", {.retain = true, .expiry = 0});
  restart(nodes, 0, 2);
  for (std::size_t i = 0; i < 2; ++i) EXPECT_EQ(retained(nodes, i, "late" + std::to_string(i)), "") << i;
}

TEST(NodeTopics, TellNoRetainedMessageThatExpiresMeanwhileAsOneThatNeverDoes) {
  Nodes nodes(2);
  auto& alice = join(nodes, 0, "alice");
  nodes.disconnect(0, 1);
  nodes.advance(3s);
  say(nodes, alice, "state/a", "short", {.retain = true, .expiry = 5});
  nodes.block(0, NodeChannel::Messages);
  nodes.connect(0, 1);
  nodes.settle();
  nodes.advance(6s);
  nodes.open(0, NodeChannel::Messages);
  nodes.settle();
  for (std::size_t i = 0; i < 2; ++i) EXPECT_EQ(retained(nodes, i, "late" + std::to_string(i)), "") << i;
}

TEST(NodeTopics, CarryWills) {
  Nodes nodes(2);
  auto& bob = join(nodes, 1, "bob");
  follow(nodes, bob, "wills/#");
  ConnectOptions options;
  options.will = simulation::WillOptions{.topic = "wills/alice", .payload = "gone", .qos = Qos::AtLeastOnce};
  auto& alice = join(nodes, 0, "alice", options);
  alice.drop();
  nodes.settle();
  EXPECT_EQ(bob.payloads(), Texts{"gone"});
}

}  // namespace
}  // namespace parley::shard
