#include <algorithm>
#include <set>

#include "tests/broker/shard/share_scene.hpp"

/// Shared subscriptions on conversations: competing consumers of one cursor. MQTT 5 §4.8.2.
namespace parley::shard {
namespace {

using simulation::Client;

std::vector<std::uint64_t> sorted(std::vector<std::uint64_t> list) {
  std::ranges::sort(list);
  return list;
}

class Shares : public testing::TestWithParam<std::uint32_t> {
 protected:
  World world_{1, dev(GetParam())};
};
INSTANTIATE_TEST_SUITE_P(Shards, Shares, testing::Values(1U, 3U));

TEST_P(Shares, EachEntryGoesToOneMember) {
  post(world_, 3);
  auto& a = join(world_, "a");
  auto& b = join(world_, "b");
  auto& c = join(world_, "c");
  auto& all = join(world_, "all");
  for (auto* one : {&a, &b, &c}) EXPECT_EQ(follow(world_, *one, kShare), ReasonCode::GrantedQos1);
  const auto* suback = a.answer(PacketType::Suback);
  EXPECT_EQ(suback->user("head"), "3");
  EXPECT_EQ(suback->user("oldest"), "1");
  EXPECT_FALSE(suback->user("epoch").empty());
  follow(world_, all, kTopic);
  post(world_, 30);
  EXPECT_EQ(all.seqs(kTopic), range(4, 33));
  EXPECT_EQ(together({&a, &b, &c}), range(4, 33));
  for (auto* one : {&a, &b, &c}) {
    EXPECT_EQ(one->received.size(), 10U) << one->id();
    EXPECT_EQ(one->seqs(kTopic), sorted(one->seqs(kTopic))) << one->id();
  }
  EXPECT_EQ(a.received[0].retain, false);
  EXPECT_EQ(a.received[0].qos, Qos::AtLeastOnce);
  EXPECT_TRUE(world_.store().violations().empty());
}

TEST_P(Shares, TheCursorIsWrittenOnceASecondAndGoesOn) {
  auto& a = join(world_, "a", lasting());
  follow(world_, a, kShare);
  EXPECT_EQ(stored_cursor(world_), 0U);
  post(world_, 5);
  EXPECT_EQ(stored_cursor(world_), 0U);
  world_.advance(1s);
  EXPECT_EQ(stored_cursor(world_), 5U);
  a.acknowledges = false;
  post(world_, 5);
  world_.advance(2s);
  EXPECT_EQ(stored_cursor(world_), 5U);
  EXPECT_EQ(a.seqs(kTopic), range(1, 10));
  world_.crash();
  world_.start();
  auto& b = join(world_, "b");
  follow(world_, b, kShare);
  EXPECT_EQ(b.seqs(kTopic), range(6, 10));
  world_.advance(1s);
  EXPECT_EQ(stored_cursor(world_), 10U);
  EXPECT_TRUE(world_.store().violations().empty());
}

TEST_P(Shares, BeginsWhereTheFirstMemberWants) {
  post(world_, 10);
  auto& a = join(world_, "a");
  follow(world_, a, kShare, {.users = since(4)});
  EXPECT_EQ(a.seqs(kTopic), range(5, 10));
  for (const auto& message : a.received) EXPECT_FALSE(message.retain);
  auto& b = join(world_, "b");
  follow(world_, b, kShare, {.users = since(0)});
  EXPECT_TRUE(b.received.empty()) << "there is a group already";
  auto& c = join(world_, "c");
  follow(world_, c, "$share/h/chat/jobs/msg", {.users = {{"last", "3"}}});
  EXPECT_EQ(c.seqs(kTopic), range(8, 10));
  auto& d = join(world_, "d");
  follow(world_, d, "$share/i/$since/8/chat/jobs/msg");
  EXPECT_EQ(d.seqs(kTopic), range(9, 10));
  auto& e = join(world_, "e");
  follow(world_, e, "$share/j/chat/jobs/msg", {.users = {{"since", "last"}}});
  EXPECT_EQ(e.seqs(kTopic), range(1, 10));
}

TEST_P(Shares, WhatCanNotBeShared) {
  post(world_, 3);
  auto& a = join(world_, "a");
  struct Case {
    std::string filter;
    UserProperties users;
    std::string error;
  };
  for (const Case& one :
       {Case{"$share/g/chat/+/msg", {}, "unsupported"}, Case{"$share/g/chat/#", {}, "unsupported"},
        Case{"$share/g/chat/jobs/read", {}, "unsupported"}, Case{"$share/g/chat/jobs/typing", {}, "unsupported"},
        Case{"$share/g/chat/jobs/ctl", {}, "unsupported"}, Case{"$share/g/chat/jobs/history", {}, "unsupported"},
        Case{"$share/g/chat/jobs/nonsense", {}, "invalid-topic"},
        Case{"$share/" + std::string(129, 'g') + "/chat/jobs/msg", {}, "invalid-topic"},
        Case{kShare, since(4), "beyond-head"}, Case{kShare, {{"since", "1"}, {"epoch", "12"}}, "other-epoch"}}) {
    EXPECT_TRUE(mqtt::is_failure(follow(world_, a, one.filter, {.users = one.users}))) << one.filter;
    EXPECT_EQ(a.answer(PacketType::Suback)->user("error"), one.error) << one.filter;
  }
  post(world_, 3);
  EXPECT_TRUE(a.received.empty());
  EXPECT_EQ(stored_cursor(world_), std::nullopt);
  EXPECT_EQ(follow(world_, a, kShare), ReasonCode::GrantedQos1) << "what was refused left nothing behind";
}

TEST_P(Shares, QosTwoBecomesOneAndZeroNeedsNoAcknowledgement) {
  auto& a = join(world_, "a");
  EXPECT_EQ(follow(world_, a, kShare, {.qos = Qos::ExactlyOnce}), ReasonCode::GrantedQos1);
  auto& b = join(world_, "b");
  EXPECT_EQ(follow(world_, b, "$share/h/chat/jobs/msg", {.qos = Qos::AtMostOnce}), ReasonCode::Success);
  post(world_, 300);
  EXPECT_EQ(a.seqs(kTopic), range(1, 300));
  EXPECT_EQ(b.seqs(kTopic), range(1, 300));
  EXPECT_EQ(b.received[0].qos, Qos::AtMostOnce);
}

TEST_P(Shares, WhatAMemberLeavesGoesToOthers) {
  auto& a = join(world_, "a");
  auto& b = join(world_, "b");
  auto& c = join(world_, "c", lasting());
  for (auto* one : {&a, &b, &c}) follow(world_, *one, kShare);
  for (auto* one : {&a, &c}) one->acknowledges = false;
  post(world_, 12);
  EXPECT_EQ(b.received.size(), 4U);
  a.drop();
  world_.settle();
  c.unsubscribe(kShare);
  world_.settle();
  EXPECT_EQ(together({&b}), range(1, 12));
  world_.advance(1s);
  EXPECT_EQ(stored_cursor(world_), 12U);
}

TEST_P(Shares, ASlowMemberDoesNotHoldUpOthers) {
  auto slow = ConnectOptions{};
  slow.receive_maximum = 2;
  auto& a = join(world_, "a", slow);
  auto& b = join(world_, "b");
  follow(world_, a, kShare);
  follow(world_, b, kShare);
  a.acknowledges = false;
  post(world_, 1000);
  EXPECT_EQ(a.received.size(), 2U);
  EXPECT_EQ(b.received.size(), 998U);
  world_.advance(1s);
  EXPECT_EQ(stored_cursor(world_), a.received[0].seq() - 1);
  for (const auto& message : std::vector(a.received)) a.acknowledge(message);
  world_.settle();
  world_.advance(1s);
  EXPECT_EQ(stored_cursor(world_), 1000U);
}

TEST_P(Shares, WaitsWhileAllAreAway) {
  auto& a = join(world_, "a", lasting());
  auto& b = join(world_, "b", lasting());
  follow(world_, a, kShare);
  follow(world_, b, kShare);
  post(world_, 4);
  a.drop();
  b.drop();
  world_.settle();
  post(world_, 400);
  world_.advance(60s);
  a.connect(lasting());
  world_.settle();
  EXPECT_EQ(together({&a, &b}), range(1, 404));
  b.connect(lasting());
  world_.settle();
  post(world_, 10);
  EXPECT_EQ(together({&a, &b}), range(1, 414));
  EXPECT_EQ(a.received.size() + b.received.size(), 414U) << "and each once";
}

TEST_P(Shares, AMemberComesBackAfterARestart) {
  auto& a = join(world_, "a", lasting());
  follow(world_, a, kShare);
  world_.crash();
  world_.start();
  post(world_, 5);
  a.connect(lasting());
  world_.settle();
  EXPECT_EQ(a.seqs(kTopic), range(1, 5));
  a.unsubscribe(kShare);
  world_.settle();
  EXPECT_TRUE(stored_cursor(world_)) << "others may come again, too";
  world_.advance(11s);
  EXPECT_EQ(stored_cursor(world_), std::nullopt);
}

/// However far its joining has come: nothing is handed to who isn't there, and what it began ends.
TEST_P(Shares, WhoGoesWhileTheGroupBeginsOrEndsIsNoMember) {
  follow(world_, join(world_, "watcher"), kTopic);
  std::uint64_t head = 0;
  int n = 0;
  for (const bool ends : {false, true}) {
    for (int moment = -2; moment < 8; ++moment) {
      SCOPED_TRACE("ends " + std::to_string(ends) + ", moment " + std::to_string(moment));
      auto& x = join(world_, "x" + std::to_string(++n));
      if (ends) {
        follow(world_, x, kShare);
        x.unsubscribe(kShare);
      }
      x.subscribe(kShare);
      if (moment == -2) x.disconnect();
      if (moment == -1) x.unsubscribe(kShare);
      for (int i = 0; i < moment; ++i) world_.round();
      if (moment >= 0) x.drop();
      world_.settle();
      EXPECT_EQ(stored_cursor(world_), std::nullopt);
      auto& worker = join(world_, "worker" + std::to_string(n));
      follow(world_, worker, kShare);
      post(world_, 20);
      EXPECT_EQ(worker.seqs(kTopic), range(head + 1, head + 20));
      head += 20;
      world_.advance(1s);
      EXPECT_EQ(stored_cursor(world_), head);
      worker.disconnect();
      world_.settle();
    }
  }
  world_.advance(3s);
  EXPECT_TRUE(world_.store().violations().empty());
}

TEST_P(Shares, WhoGoesMeanwhileDoesNotTakeTheGroupFromOthers) {
  follow(world_, join(world_, "watcher"), kTopic);
  auto& x = join(world_, "x");
  auto& y = join(world_, "y");
  x.subscribe(kShare);
  x.unsubscribe(kShare);
  EXPECT_EQ(follow(world_, y, kShare), ReasonCode::GrantedQos1);
  post(world_, 20);
  EXPECT_EQ(y.seqs(kTopic), range(1, 20));
  world_.advance(1s);
  EXPECT_EQ(stored_cursor(world_), 20U);
}

TEST_P(Shares, WhereItStandsIsReadAgainWhenThatFails) {
  auto& a = join(world_, "a", lasting());
  follow(world_, a, kShare);
  post(world_, 5);
  world_.advance(2s);
  world_.store().materialise();
  world_.crash();
  world_.start();
  world_.settle();
  post(world_, 5);
  follow(world_, join(world_, "watcher"), kTopic);
  world_.advance(5s);
  world_.store().fail_reads(true);
  auto& b = join(world_, "b");
  EXPECT_TRUE(mqtt::is_failure(follow(world_, b, kShare)));
  EXPECT_EQ(b.answer(PacketType::Suback)->user("error"), "storage-failed");
  a.connect(lasting());
  world_.settle();
  EXPECT_EQ(a.seqs(kTopic), range(1, 5));
  world_.store().fail_reads(false);
  world_.advance(1s);
  EXPECT_EQ(a.seqs(kTopic), range(1, 10));
  world_.advance(1s);
  EXPECT_EQ(stored_cursor(world_), 10U);
}

TEST_P(Shares, IsForgottenWithItsLastMember) {
  auto& a = join(world_, "a");
  auto& b = join(world_, "b", lasting(false, 30));
  follow(world_, a, kShare);
  follow(world_, b, kShare);
  EXPECT_EQ(stored_cursor(world_), 0U);
  b.drop();
  world_.settle();
  const auto left = a.unsubscribe(kShare);
  world_.settle();
  EXPECT_EQ(a.answer(PacketType::Unsuback, left)->reason(), ReasonCode::Success);
  EXPECT_EQ(a.answer(PacketType::Unsuback, a.unsubscribe(kShare)), nullptr);
  world_.settle();
  EXPECT_EQ(a.answer(PacketType::Unsuback)->reason(), ReasonCode::NoSubscriptionExisted);
  EXPECT_EQ(stored_cursor(world_), 0U) << "one is away";
  world_.advance(31s);
  EXPECT_EQ(stored_cursor(world_), std::nullopt) << "its session has ended";
  post(world_, 3);
  follow(world_, a, kShare);
  post(world_, 1);
  EXPECT_EQ(a.seqs(kTopic), range(4, 4)) << "a new one begins at the head";
  a.disconnect();
  world_.settle();
  EXPECT_EQ(stored_cursor(world_), std::nullopt);
  // Begun anew while the end is being written.
  auto& c = join(world_, "c");
  for (int i = 0; i < 5; ++i) {
    c.subscribe(kShare, {.users = since(1)});
    c.unsubscribe(kShare);
  }
  follow(world_, c, kShare, {.users = since(2)});
  world_.settle();
  c.received.clear();
  post(world_, 1);
  EXPECT_EQ(c.seqs(kTopic), range(5, 5));
  world_.advance(120s);
  EXPECT_EQ(stored_cursor(world_), 5U);
  EXPECT_TRUE(world_.store().violations().empty());
}

TEST_P(Shares, OnlyReadersAreMembers) {
  auto& ann = join(world_, "ann");
  follow(world_, ann, "client/ann/reply");
  const auto command = [&](const std::string& text) {
    ann.publish("chat/jobs/ctl", text);
    world_.settle();
  };
  command(R"({"op":"create"})");
  command(R"({"op":"add","user":"bob"})");
  auto& bob = join(world_, "bob");
  auto& cat = join(world_, "cat");
  EXPECT_EQ(follow(world_, cat, kShare), ReasonCode::NotAuthorized);
  follow(world_, ann, kShare);
  follow(world_, bob, kShare);
  bob.acknowledges = false;
  for (int i = 0; i < 6; ++i) ann.publish(kTopic, "job");
  world_.settle();
  const auto had = bob.seqs(kTopic);
  EXPECT_EQ(had.size(), 3U);
  command(R"({"op":"remove","user":"bob"})");
  for (int i = 0; i < 4; ++i) ann.publish(kTopic, "job");
  world_.settle();
  EXPECT_EQ(bob.seqs(kTopic), had) << "nothing more for who isn't a member";
  EXPECT_EQ(together({&ann}), range(3, 13)) << "and what he had is done by others";
  EXPECT_EQ(bob.answer(PacketType::Unsuback, bob.unsubscribe(kShare)), nullptr);
  world_.settle();
  EXPECT_EQ(bob.answer(PacketType::Unsuback)->reason(), ReasonCode::NoSubscriptionExisted);
}

TEST_P(Shares, FormsAndOptionsAreEachMembersOwn) {
  auto& a = join(world_, "a");
  auto& b = join(world_, "b");
  follow(world_, a, kShare, {.subscription_id = 7});
  follow(world_, b, "$share/g/chat/jobs/json", {.subscription_id = 8});
  post(world_, 4);
  ASSERT_EQ(a.received.size(), 2U);
  ASSERT_EQ(b.received.size(), 2U);
  EXPECT_EQ(a.received[0].subscription_ids, std::vector<std::uint32_t>{7});
  EXPECT_EQ(b.received[0].topic, "chat/jobs/json");
  EXPECT_EQ(b.received[0].subscription_ids, std::vector<std::uint32_t>{8});
  follow(world_, a, kShare, {.qos = Qos::AtMostOnce, .subscription_id = 9});
  post(world_, 2);
  EXPECT_EQ(a.received.back().qos, Qos::AtMostOnce);
  EXPECT_EQ(a.received.back().subscription_ids, std::vector<std::uint32_t>{9});
  // Besides a subscription of its own.
  follow(world_, a, kTopic);
  post(world_, 2);
  EXPECT_EQ(a.received.size() + b.received.size(), 6U + 2U + 2U);
}

TEST_P(Shares, Version3MayDoSo) {
  ConnectOptions v3;
  v3.version = ProtocolVersion::V3_1_1;
  auto& a = join(world_, "a", v3);
  auto& b = join(world_, "b", v3);
  EXPECT_EQ(follow(world_, a, kShare), ReasonCode::GrantedQos1);
  EXPECT_EQ(follow(world_, b, kShare), ReasonCode::GrantedQos1);
  post(world_, 10);
  EXPECT_EQ(a.received.size(), 5U);
  EXPECT_EQ(b.received.size(), 5U);
  a.unsubscribe(kShare);
  world_.settle();
  post(world_, 5);
  EXPECT_EQ(b.received.size(), 10U);
}

TEST_P(Shares, DirectConversationsByEitherName) {
  auto& ann = join(world_, "ann");
  auto& bob = join(world_, "bob");
  EXPECT_EQ(follow(world_, ann, "$share/g/chat/dm:bob/msg"), ReasonCode::GrantedQos1);
  bob.publish("chat/dm:ann/msg", "hi");
  world_.settle();
  ASSERT_EQ(ann.received.size(), 1U);
  EXPECT_EQ(ann.received[0].topic, "chat/dm:bob/msg");
}

/// Members come and go, the broker dies: every entry is acknowledged by somebody.
TEST(SharesModel, NothingIsLost) {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    auto options = dev(3);
    options.orderly = seed % 2 == 0;
    World world(seed, options);
    std::vector<Client*> members;
    for (int i = 0; i < 4; ++i) members.push_back(&world.client("member" + std::to_string(i)));
    const auto come = [&](Client& member) {
      member.connect(lasting());
      member.subscribe(kShare);
      world.settle();
    };
    come(*members[0]);
    std::uint64_t posted = 0;
    auto& dice = world.dice();
    for (int step = 0; step < 60; ++step) {
      Client& one = *members[dice.below(4)];
      switch (dice.below(6)) {
        case 0: one.connected() ? one.drop() : come(one); break;
        case 1: one.acknowledges = !one.acknowledges; break;
        case 2:
          if (dice.below(5) == 0) {
            world.crash();
            world.start();
          }
          break;
        case 3: world.advance(500ms); break;
        default: post(world, dice.below(20)); break;
      }
      world.settle();
    }
    for (Client* member : members) {
      member->acknowledges = true;
      if (member->connected()) member->drop();
      come(*member);
    }
    world.settle();
    world.advance(2s);
    posted = std::stoull(members[0]->answer(PacketType::Suback)->user("head"));
    std::set<std::uint64_t> all;
    for (const Client* member : members) {
      for (const std::uint64_t seq : member->seqs(kTopic)) all.insert(seq);
    }
    EXPECT_EQ(all.size(), posted);
    EXPECT_EQ(stored_cursor(world), posted);
    EXPECT_TRUE(world.store().violations().empty());
  }
}

}  // namespace
}  // namespace parley::shard
