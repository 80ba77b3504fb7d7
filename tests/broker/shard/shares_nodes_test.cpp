#include "tests/broker/shard/share_scene.hpp"

/// Shared subscriptions whose members are at several nodes; the first one leads.
namespace parley::shard {
namespace {

TEST(SharesAcrossNodes, MembersAreAnywhere) {
  Nodes nodes(3, dev(2), dev(2));
  auto& a = join(nodes, 0, "a");
  auto& b = join(nodes, 1, "b");
  auto& c = join(nodes, 2, "c");
  for (auto* one : {&a, &b, &c}) EXPECT_EQ(follow(nodes, *one, kShare), ReasonCode::GrantedQos1);
  post(nodes, 1, 300);
  EXPECT_EQ(together({&a, &b, &c}), range(1, 300));
  EXPECT_EQ(a.received.size() + b.received.size() + c.received.size(), 300U);
  for (auto* one : {&a, &b, &c}) EXPECT_GT(one->received.size(), 50U) << one->id();
  nodes.advance(1s);
  EXPECT_EQ(stored_cursor(nodes.at(0)), 300U);
  for (auto* one : {&a, &b, &c}) one->unsubscribe(kShare);
  nodes.settle();
  EXPECT_EQ(stored_cursor(nodes.at(0)), std::nullopt);
}

TEST(SharesAcrossNodes, ADeadNodesPartGoesToOthers) {
  Nodes nodes(3, dev(2), dev(2));
  auto& a = join(nodes, 1, "a");
  auto& b = join(nodes, 2, "b", lasting());
  follow(nodes, a, kShare);
  follow(nodes, b, kShare);
  b.acknowledges = false;
  post(nodes, 0, 40);
  EXPECT_EQ(a.received.size(), 20U);
  nodes.crash(2);
  nodes.settle();
  EXPECT_EQ(together({&a}), range(1, 40));
  nodes.advance(1s);
  EXPECT_EQ(stored_cursor(nodes.at(0)), 40U);
  EXPECT_TRUE(nodes.at(0).store().violations().empty());
}

TEST(SharesAcrossNodes, GoesOnWhenLinksBreakAndTheLeaderRestarts) {
  Nodes nodes(3, dev(2), dev(2));
  auto& a = join(nodes, 1, "a");
  auto& b = join(nodes, 2, "b");
  follow(nodes, a, kShare);
  follow(nodes, b, kShare);
  post(nodes, 0, 10);
  a.acknowledges = false;
  post(nodes, 0, 10);
  nodes.disconnect(0, 1);
  nodes.settle();
  EXPECT_EQ(together({&b}).size(), 15U) << "what a had and didn't acknowledge";
  post(nodes, 0, 10);
  nodes.connect(0, 1);
  nodes.advance(1s);
  a.acknowledges = true;
  for (const auto& message : std::vector(a.received)) a.acknowledge(message);
  nodes.settle();
  post(nodes, 0, 10);
  EXPECT_EQ(together({&a, &b}), range(1, 40));
  EXPECT_GE(a.seqs(kTopic).back(), 31U) << "it has its part again";
  nodes.advance(2s);
  nodes.crash(0);
  nodes.start(0);
  nodes.advance(2s);
  nodes.at(0).client("boss").drop();
  post(nodes, 0, 20);
  nodes.advance(2s);
  EXPECT_EQ(together({&a, &b}), range(1, 60));
  EXPECT_GE(a.seqs(kTopic).back(), 51U);
  EXPECT_GE(b.seqs(kTopic).back(), 51U);
  EXPECT_EQ(stored_cursor(nodes.at(0)), 60U);
  EXPECT_EQ(a.received.size() + b.received.size(), 60U + 5U) << "only what was taken from a came twice";
}

TEST(SharesAcrossNodes, FullChannelsLoseNothing) {
  Nodes nodes(2, dev(2), dev(2));
  auto& a = join(nodes, 1, "a");
  auto& b = join(nodes, 1, "b");
  follow(nodes, a, kShare);
  follow(nodes, b, kShare);
  nodes.block(0, NodeChannel::Entries);
  post(nodes, 0, 50);
  nodes.open(0, NodeChannel::Entries);
  nodes.settle();
  nodes.block(1, NodeChannel::Entries);
  post(nodes, 0, 500);
  nodes.open(1, NodeChannel::Entries);
  nodes.advance(2s);
  EXPECT_EQ(together({&a, &b}), range(1, 550));
  EXPECT_EQ(stored_cursor(nodes.at(0)), 550U);
}

/// Its node goes, or is cut off, however far its joining has come.
TEST(SharesAcrossNodes, WhoCanNotBeReachedAnyMoreHoldsUpNobody) {
  for (const bool restarts : {false, true}) {
    for (int moment = 0; moment < 14; ++moment) {
      SCOPED_TRACE("restarts " + std::to_string(restarts) + ", moment " + std::to_string(moment));
      Nodes nodes(2, dev(1), dev(1));
      post(nodes, 0, 1);
      auto& a = join(nodes, 1, "a");
      if (moment % 2 != 0) follow(nodes, join(nodes, 1, "watcher"), kTopic);
      a.subscribe(kShare);
      for (int i = 0; i < moment / 2; ++i) nodes.step();
      if (restarts) {
        nodes.crash(1);
        nodes.start(1);
      } else {
        nodes.disconnect(0, 1);
      }
      nodes.settle();
      auto& b = join(nodes, 0, "b");
      EXPECT_EQ(follow(nodes, b, kShare), ReasonCode::GrantedQos1);
      post(nodes, 0, 20);
      EXPECT_EQ(b.seqs(kTopic), range(2, 21));
      nodes.advance(1s);
      EXPECT_EQ(stored_cursor(nodes.at(0)), 21U);
    }
  }
}

TEST(SharesAcrossNodes, WhoHasGoneIsToldUntilTheLeaderKnows) {
  auto options = dev();
  options.shard.pending_bytes_max = 4000;
  Nodes nodes(2, dev(), options);
  auto& a = join(nodes, 1, "a");
  auto& c = join(nodes, 1, "c");
  auto& filler = join(nodes, 1, "filler");
  auto& b = join(nodes, 0, "b");
  for (auto* one : {&a, &b, &c}) follow(nodes, *one, kShare);
  nodes.block(1, NodeChannel::Proposals);
  for (int i = 0; i < 10; ++i) filler.publish("chat/room/msg", std::string(800, 'x'));
  for (int i = 0; i < 10; ++i) filler.publish("chat/room/msg", "");
  nodes.settle();
  a.drop();
  c.unsubscribe(kShare);
  nodes.settle();
  nodes.open(1, NodeChannel::Proposals);
  nodes.advance(2s);
  b.received.clear();
  post(nodes, 0, 40);
  EXPECT_EQ(b.received.size(), 40U);
  nodes.advance(1s);
  const auto cursor = stored_cursor(nodes.at(0));
  ASSERT_TRUE(cursor);
  EXPECT_GE(*cursor, 40U);
  b.unsubscribe(kShare);
  nodes.advance(1s);
  EXPECT_EQ(stored_cursor(nodes.at(0)), std::nullopt) << "nobody is away either";
}

/// While the leader doesn't answer, and leaderships change.
TEST(SharesAcrossNodes, WhatWasAcknowledgedMeanwhileDoesNotComeAgain) {
  Nodes nodes(2, dev(), dev());
  auto& a = join(nodes, 1, "a");
  follow(nodes, a, kShare);
  a.acknowledges = false;
  post(nodes, 0, 4);
  EXPECT_EQ(a.seqs(kTopic), range(1, 4));
  const auto again = [&] {
    nodes.disconnect(0, 1);
    nodes.settle();
    nodes.connect(0, 1);
    nodes.settle();
  };
  nodes.block(1, NodeChannel::Proposals);
  again();
  for (const auto& message : std::vector(a.received)) a.acknowledge(message);
  nodes.settle();
  again();
  a.acknowledges = true;
  nodes.open(1, NodeChannel::Proposals);
  nodes.settle();
  auto& b = join(nodes, 0, "b");
  follow(nodes, b, kShare);
  EXPECT_TRUE(b.received.empty());
  EXPECT_EQ(a.received.size(), 4U);
  nodes.advance(1s);
  EXPECT_EQ(stored_cursor(nodes.at(0)), 4U);
}

/// Another time of its membership, which is older, comes later; and the word of that before the answer.
TEST(SharesAcrossNodes, WhoHasLostItsPlaceTakesItAgain) {
  Nodes nodes(3, dev(), dev());
  follow(nodes, join(nodes, 2, "watcher"), kTopic);
  auto& before = join(nodes, 1, "a");
  nodes.block(1, NodeChannel::Proposals);
  before.subscribe(kShare);
  nodes.settle();
  auto& a = join(nodes, 2, "a");
  nodes.block(0, NodeChannel::Proposals);
  const auto subscribed = a.subscribe(kShare);
  nodes.settle();
  EXPECT_EQ(a.answer(PacketType::Suback, subscribed), nullptr);
  nodes.open(1, NodeChannel::Proposals);
  nodes.settle();
  nodes.open(0, NodeChannel::Proposals);
  nodes.advance(2s);
  ASSERT_NE(a.answer(PacketType::Suback, subscribed), nullptr);
  EXPECT_EQ(a.answer(PacketType::Suback, subscribed)->reason(), ReasonCode::GrantedQos1);
  post(nodes, 0, 20);
  EXPECT_EQ(a.seqs(kTopic), range(1, 20));
}

/// One member ends when the leader hasn't heard of the other one yet.
TEST(SharesAcrossNodes, ANewLeaderWaitsForMembersBeforeAGroupEnds) {
  Nodes nodes(3, dev(), dev());
  auto& a = join(nodes, 1, "a");
  auto& b = join(nodes, 2, "b");
  follow(nodes, a, kShare);
  follow(nodes, b, kShare);
  post(nodes, 0, 10);
  nodes.advance(2s);
  nodes.block(1, NodeChannel::Proposals);
  nodes.crash(0);
  nodes.start(0);
  nodes.advance(1s);
  b.unsubscribe(kShare);
  nodes.settle();
  nodes.at(0).client("boss").drop();
  post(nodes, 0, 10);
  EXPECT_EQ(stored_cursor(nodes.at(0)), 10U);
  nodes.open(1, NodeChannel::Proposals);
  nodes.advance(2s);
  EXPECT_EQ(together({&a, &b}), range(1, 20));
  EXPECT_EQ(stored_cursor(nodes.at(0)), 20U);
  nodes.advance(20s);
  EXPECT_EQ(stored_cursor(nodes.at(0)), 20U);
  // The last one does end it, after a while.
  nodes.crash(0);
  nodes.start(0);
  nodes.advance(1s);
  a.unsubscribe(kShare);
  nodes.advance(5s);
  EXPECT_EQ(stored_cursor(nodes.at(0)), 20U);
  nodes.advance(6s);
  EXPECT_EQ(stored_cursor(nodes.at(0)), std::nullopt);
  EXPECT_TRUE(nodes.at(0).store().violations().empty());
}

TEST(SharesAcrossNodes, NotBeforeEveryNodeKnowsThem) {
  Nodes nodes(2, dev(2), dev(2));
  nodes.speak(0, kWillsVersion);
  nodes.connect(0, 1);
  nodes.settle();
  auto& a = join(nodes, 1, "a");
  EXPECT_TRUE(mqtt::is_failure(follow(nodes, a, kShare)));
  EXPECT_EQ(a.answer(PacketType::Suback)->user("error"), "unsupported");
  nodes.speak(0, kSharesVersion);
  nodes.connect(0, 1);
  nodes.settle();
  EXPECT_EQ(follow(nodes, a, kShare), ReasonCode::GrantedQos1);
  post(nodes, 0, 3);
  EXPECT_EQ(a.seqs(kTopic), range(1, 3));
}

}  // namespace
}  // namespace parley::shard
