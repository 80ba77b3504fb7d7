#include <algorithm>

#include "tests/broker/shard/inbox_scene.hpp"

/// Subscriptions to all conversations of a user: chat/+/msg.
namespace parley::shard {
namespace {

class Inbox : public testing::TestWithParam<std::uint32_t> {
 protected:
  World world_{1, dev(GetParam())};
};
INSTANTIATE_TEST_SUITE_P(Shards, Inbox, testing::Values(1U, 3U));

TEST_P(Inbox, HasEveryConversationOfItsUser) {
  auto& ann = owner(world_, "ann");
  create(world_, ann, "tea", {"bob"});
  create(world_, ann, "milk", {"bob", "cat"});
  create(world_, ann, "secret", {});
  auto& bob = device(world_, "bob.1");
  EXPECT_EQ(follow(world_, bob, kInbox), ReasonCode::GrantedQos1);
  EXPECT_EQ(bob.answer(PacketType::Suback)->user("conversations"), "2");
  say(world_, ann, "chat/tea/msg", "one");
  say(world_, ann, "chat/milk/msg", "two");
  say(world_, ann, "chat/secret/msg", "three");
  say(world_, ann, "chat/dm:ann:bob/msg", "hi");
  EXPECT_EQ(got(bob), (Strings{"tea:3", "milk:4", "dm:ann:bob:1"}));
}

TEST_P(Inbox, FollowsTheMembership) {
  auto& ann = owner(world_, "ann");
  auto& bob = device(world_, "bob.1");
  EXPECT_EQ(follow(world_, bob, kInbox), ReasonCode::GrantedQos1);
  create(world_, ann, "tea", {"cat"});
  say(world_, ann, "chat/tea/msg", "before");
  command(world_, ann, "tea", R"({"op":"add","user":"bob"})");
  say(world_, ann, "chat/tea/msg", "hello bob");
  EXPECT_EQ(got(bob), (Strings{"tea:4", "tea:5"})) << "from the entry that made him a member";
  command(world_, ann, "tea", R"({"op":"remove","user":"bob"})");
  say(world_, ann, "chat/tea/msg", "he is gone");
  EXPECT_EQ(got(bob), (Strings{"tea:4", "tea:5", "tea:6"})) << "his removal is the last";
  command(world_, ann, "tea", R"({"op":"add","user":"bob"})");
  say(world_, ann, "chat/tea/msg", "again");
  EXPECT_EQ(got(bob), (Strings{"tea:4", "tea:5", "tea:6", "tea:8", "tea:9"}));
}

TEST_P(Inbox, LeavesWhatIsPublic) {
  auto& ann = owner(world_, "ann");
  command(world_, ann, "square", R"({"op":"create","visibility":"public"})");
  auto& bob = owner(world_, "bob");
  follow(world_, bob, kInbox);
  say(world_, ann, "chat/square/msg", "not for those who aren't there");
  command(world_, bob, "square", R"({"op":"join"})");
  say(world_, ann, "chat/square/msg", "welcome");
  command(world_, bob, "square", R"({"op":"leave"})");
  say(world_, ann, "chat/square/msg", "bye");
  EXPECT_EQ(got(bob), (Strings{"square:3", "square:4", "square:5"}));
}

TEST_P(Inbox, GoesOnInALastingSession) {
  auto& ann = owner(world_, "ann");
  create(world_, ann, "tea", {"bob"});
  create(world_, ann, "milk", {"bob"});
  create(world_, ann, "beer", {"bob"});
  auto& bob = device(world_, "bob.1", lasting(true));
  follow(world_, bob, kInbox);
  say(world_, ann, "chat/tea/msg", "one");
  bob.disconnect();
  world_.settle();
  say(world_, ann, "chat/tea/msg", "two");
  say(world_, ann, "chat/milk/msg", "three");
  command(world_, ann, "beer", R"({"op":"remove","user":"bob"})");
  say(world_, ann, "chat/beer/msg", "not for bob");
  create(world_, ann, "wine", {"bob"});
  say(world_, ann, "chat/wine/msg", "four");
  const std::size_t before = bob.received.size();
  device(world_, "bob.1", lasting());
  auto list = got(bob, before);
  std::ranges::sort(list);
  EXPECT_EQ(list, (Strings{"milk:3", "tea:4", "wine:2", "wine:3"}));
}

TEST_P(Inbox, SurvivesARestart) {
  auto& ann = owner(world_, "ann");
  create(world_, ann, "tea", {"bob"});
  create(world_, ann, "milk", {"bob"});
  auto& bob = device(world_, "bob.1", lasting(true));
  follow(world_, bob, kInbox);
  say(world_, ann, "chat/tea/msg", "one");
  say(world_, ann, "chat/milk/msg", "two");
  world_.advance(2s);
  world_.crash();
  world_.start();
  auto& again = owner(world_, "ann");
  say(world_, again, "chat/tea/msg", "three");
  command(world_, again, "milk", R"({"op":"remove","user":"bob"})");
  command(world_, again, "milk", R"({"op":"add","user":"bob"})");
  const std::size_t before = bob.received.size();
  device(world_, "bob.1", lasting());
  auto list = got(bob, before);
  std::ranges::sort(list);
  EXPECT_EQ(list, (Strings{"milk:5", "tea:4"}));
}

TEST_P(Inbox, WhoeverLeftAPublicConversationIsNotBroughtBack) {
  auto& ann = owner(world_, "ann");
  command(world_, ann, "square", R"({"op":"create","visibility":"public"})");
  auto& bob = device(world_, "bob.1", lasting(true));
  follow(world_, bob, "client/bob.1/reply");
  follow(world_, bob, kInbox);
  command(world_, bob, "square", R"({"op":"join"})");
  command(world_, bob, "square", R"({"op":"leave"})");
  bob.disconnect();
  world_.settle();
  say(world_, ann, "chat/square/msg", "nobody here");
  world_.crash();
  world_.start();
  const std::size_t before = bob.received.size();
  device(world_, "bob.1", lasting());
  EXPECT_EQ(got(bob, before), Strings{});
}

TEST_P(Inbox, SharesACursorWithASubscriptionToOneConversation) {
  auto& ann = owner(world_, "ann");
  create(world_, ann, "tea", {"bob"});
  auto& bob = device(world_, "bob.1");
  follow(world_, bob, "chat/tea/msg", {.qos = Qos::AtMostOnce, .subscription_id = 1});
  follow(world_, bob, kInbox, {.qos = Qos::AtLeastOnce, .subscription_id = 2});
  say(world_, ann, "chat/tea/msg", "once");
  ASSERT_EQ(bob.received.size(), 1U);
  EXPECT_EQ(bob.received[0].qos, Qos::AtLeastOnce);
  EXPECT_EQ(bob.received[0].subscription_ids, (std::vector<std::uint32_t>{1, 2}));
  bob.unsubscribe("chat/tea/msg");
  world_.settle();
  say(world_, ann, "chat/tea/msg", "twice");
  ASSERT_EQ(bob.received.size(), 2U);
  EXPECT_EQ(bob.received[1].subscription_ids, (std::vector<std::uint32_t>{2}));
  follow(world_, bob, "chat/tea/msg", {.subscription_id = 1});
  bob.unsubscribe(kInbox);
  world_.settle();
  say(world_, ann, "chat/tea/msg", "thrice");
  ASSERT_EQ(bob.received.size(), 3U);
  EXPECT_EQ(bob.received[2].subscription_ids, (std::vector<std::uint32_t>{1}));
}

TEST_P(Inbox, EndsWithUnsubscribe) {
  auto& ann = owner(world_, "ann");
  create(world_, ann, "tea", {"bob"});
  auto& bob = device(world_, "bob.1");
  const auto id = bob.subscribe(kInbox);
  const auto ends = bob.unsubscribe(kInbox);
  world_.settle();
  EXPECT_EQ(bob.answer(PacketType::Suback, id)->reason(), ReasonCode::GrantedQos1);
  EXPECT_EQ(bob.answer(PacketType::Unsuback, ends)->reason(), ReasonCode::Success);
  say(world_, ann, "chat/tea/msg", "unheard");
  create(world_, ann, "milk", {"bob"});
  EXPECT_EQ(got(bob), Strings{});
}

TEST_P(Inbox, BeginsWhereItIsAskedTo) {
  auto& ann = owner(world_, "ann");
  create(world_, ann, "tea", {"bob"});
  create(world_, ann, "milk", {"bob"});
  for (int i = 0; i < 3; ++i) say(world_, ann, "chat/tea/msg", "t");
  for (int i = 0; i < 3; ++i) say(world_, ann, "chat/milk/msg", "m");
  const auto begin = [&](const std::string& id, const UserProperties& users) {
    auto& bob = device(world_, "bob." + id);
    EXPECT_EQ(follow(world_, bob, kInbox, {.users = users}), ReasonCode::GrantedQos1);
    auto list = got(bob);
    std::ranges::sort(list);
    return list;
  };
  EXPECT_EQ(begin("1", {{"since", "tea:4"}, {"since", "milk:5"}}), Strings{"tea:5"});
  EXPECT_EQ(begin("2", {{"since", "tea:4"}, {"last", "1"}}), (Strings{"milk:5", "tea:5"}));
  EXPECT_EQ(begin("3", {{"last", "2"}}), (Strings{"milk:4", "milk:5", "tea:4", "tea:5"}));
  EXPECT_EQ(begin("4", {{"since", "last"}, {"since", "tea:5"}}), (Strings{"milk:2", "milk:3", "milk:4", "milk:5"}));
  EXPECT_EQ(begin("5", {{"since", "nowhere:77"}}), Strings{});
  for (int i = 0; i < 3; ++i) say(world_, ann, "chat/dm:bob/msg", "d");
  EXPECT_EQ(begin("7", {{"since", "dm:ann:2"}}), Strings{"dm:ann:bob:3"});
  auto& bob = device(world_, "bob.6");
  const auto refused = [&](const UserProperties& users) {
    EXPECT_GE(follow(world_, bob, kInbox, {.users = users}), ReasonCode::UnspecifiedError);
    return bob.answer(PacketType::Suback)->user("error");
  };
  EXPECT_EQ(refused({{"since", "tea:6"}}), "beyond-head");
  EXPECT_EQ(bob.answer(PacketType::Suback)->user("conversation"), "tea");
  EXPECT_EQ(refused({{"since", "tea:5"}, {"epoch", "tea:1"}}), "other-epoch");
  EXPECT_EQ(refused({{"since", "12"}}), "invalid-argument");
  EXPECT_EQ(refused({{"cursor", "garbage"}}), "invalid-cursor");
  say(world_, ann, "chat/tea/msg", "unheard");
  EXPECT_EQ(got(bob), Strings{}) << "nothing of a refused subscription stays";
  EXPECT_EQ(follow(world_, bob, "$last/1/chat/+/msg"), ReasonCode::GrantedQos1);
  EXPECT_EQ(got(bob).size(), 3U);
  EXPECT_EQ(follow(world_, bob, "$cursor/garbage/chat/+/msg"), ReasonCode::ImplementationSpecificError);
}

TEST_P(Inbox, TheNewestConversationComesFirst) {
  auto& ann = owner(world_, "ann");
  constexpr int kConversations = 20;
  constexpr int kMessages = 200;
  for (int c = 0; c < kConversations; ++c) create(world_, ann, "c" + std::to_string(c), {"bob"});
  auto& bob = device(world_, "bob.1", lasting(true));
  follow(world_, bob, kInbox);
  bob.disconnect();
  world_.settle();
  // The order of their last messages is another one than that of their names and of their creation.
  for (int c = 0; c < kConversations; ++c) {
    const std::string topic = "chat/c" + std::to_string(c * 7 % kConversations) + "/msg";
    for (int i = 0; i < kMessages; ++i) ann.publish(topic, "m");
    world_.settle();
    world_.advance(10ms);
  }
  const std::size_t before = bob.received.size();
  ConnectOptions back = lasting();
  back.receive_maximum = 50;
  device(world_, "bob.1", back);
  const auto list = got(bob, before);
  ASSERT_EQ(list.size(), static_cast<std::size_t>(kConversations * kMessages));
  for (int c = 0; c < kConversations; ++c) {
    const std::string name = "c" + std::to_string((kConversations - 1 - c) * 7 % kConversations);
    for (int i = 0; i < kMessages; ++i) {
      EXPECT_EQ(list[static_cast<std::size_t>(c * kMessages + i)], name + ":" + std::to_string(i + 3));
    }
  }
}

TEST_P(Inbox, WaitsForWhatCantBeRead) {
  auto& ann = owner(world_, "ann");
  create(world_, ann, "tea", {"bob"});
  create(world_, ann, "milk", {"bob"});
  auto& bob = device(world_, "bob.1", lasting(true));
  follow(world_, bob, kInbox);
  bob.disconnect();
  world_.settle();
  say(world_, ann, "chat/tea/msg", "one");
  say(world_, ann, "chat/milk/msg", "two");
  world_.crash();
  world_.start();
  world_.store().fail_reads(true);
  device(world_, "bob.1", lasting());
  auto& cat = device(world_, "cat");
  EXPECT_EQ(follow(world_, cat, kInbox), ReasonCode::ImplementationSpecificError);
  EXPECT_EQ(cat.answer(PacketType::Suback)->user("error"), "storage-failed");
  world_.advance(3s);
  EXPECT_TRUE(bob.connected());
  EXPECT_EQ(got(bob), Strings{});
  world_.store().fail_reads(false);
  world_.advance(3s);
  auto list = got(bob);
  std::ranges::sort(list);
  EXPECT_EQ(list, (Strings{"milk:3", "tea:3"}));
  EXPECT_EQ(follow(world_, cat, kInbox), ReasonCode::GrantedQos1);
}

TEST_P(Inbox, AnAbsentMemberCostsNothing) {
  auto& ann = owner(world_, "ann");
  create(world_, ann, "tea", {"bob"});
  auto& bob = device(world_, "bob.1", lasting(true));
  follow(world_, bob, kInbox);
  bob.disconnect();
  world_.settle();
  const auto records = world_.store().records();
  for (int i = 0; i < 10; ++i) say(world_, ann, "chat/tea/msg", "m");
  EXPECT_EQ(world_.store().records(), records + 10) << "the messages, and nothing for bob";
}

TEST_P(Inbox, HasALimitOfItsOwnThatOthersDoNotFillSoon) {
  WorldOptions options = dev(GetParam());
  options.shard.subscriptions_max = 1;
  options.shard.inbox_conversations_max = 2;
  World world{1, options};
  auto& ann = owner(world, "ann");
  create(world, ann, "tea", {"bob"});
  create(world, ann, "milk", {"bob"});
  auto& bob = device(world, "bob.1");
  EXPECT_EQ(follow(world, bob, kInbox), ReasonCode::GrantedQos1);
  create(world, ann, "beer", {"bob"});
  auto& late = device(world, "bob.2");
  EXPECT_EQ(follow(world, late, kInbox), ReasonCode::QuotaExceeded);
  EXPECT_EQ(late.answer(PacketType::Suback)->user("error"), "too-many");
}

TEST_P(Inbox, WhoComesBackBeginsAnew) {
  auto& ann = owner(world_, "ann");
  command(world_, ann, "square", R"({"op":"create","visibility":"public"})");
  auto& bob = device(world_, "bob.1", lasting(true));
  follow(world_, bob, "client/bob.1/reply");
  follow(world_, bob, kInbox);
  command(world_, bob, "square", R"({"op":"join"})");
  command(world_, bob, "square", R"({"op":"leave"})");
  world_.advance(2s);
  bob.disconnect();
  world_.settle();
  say(world_, ann, "chat/square/msg", "nobody here");
  auto& other = device(world_, "bob.2");
  follow(world_, other, "client/bob.2/reply");
  command(world_, other, "square", R"({"op":"join"})");
  world_.crash();
  world_.start();
  const std::size_t before = bob.received.size();
  device(world_, "bob.1", lasting());
  EXPECT_EQ(got(bob, before), Strings{"square:5"});
}

TEST(InboxShards, AnEntryThatEndsASubscriptionOnOneShardReachesTheOthers) {
  World world{1, dev(3)};
  auto& ann = owner(world, "ann");
  const auto home = [&](const std::string& name) { return home_of_name(name, world.options().shard); };
  auto& bob = device(world, "bob.1");
  follow(world, bob, "client/bob.1/reply");
  follow(world, bob, kInbox);
  std::string watcher = "w";
  while (home(watcher) == home("bob.1")) watcher += "w";
  auto& other = device(world, watcher);
  for (int i = 0; i < 9; ++i) {
    const std::string name = "square" + std::to_string(i);
    command(world, ann, name, R"({"op":"create","visibility":"public"})");
    command(world, bob, name, R"({"op":"join"})");
    follow(world, other, "chat/" + name + "/msg");
    command(world, bob, name, R"({"op":"leave"})");
    EXPECT_EQ(other.seqs("chat/" + name + "/msg"), range(3, 3)) << name << " at home on " << home(name);
  }
}

TEST(InboxVersions, ThreeOneOneHasItToo) {
  World world{1, dev()};
  auto& ann = owner(world, "ann");
  create(world, ann, "tea", {"bob"});
  ConnectOptions old;
  old.version = ProtocolVersion::V3_1_1;
  old.clean_start = false;
  auto& bob = device(world, "bob.1", old);
  EXPECT_EQ(follow(world, bob, "chat/+/json"), ReasonCode::GrantedQos1);
  say(world, ann, "chat/tea/msg", "one");
  bob.disconnect();
  world.settle();
  say(world, ann, "chat/tea/msg", "two");
  device(world, "bob.1", old);
  ASSERT_EQ(bob.received.size(), 2U);
  EXPECT_EQ(bob.received[1].topic, "chat/tea/json");
  EXPECT_NE(bob.received[1].payload.find("\"text\":\"two\""), std::string::npos);
}

}  // namespace
}  // namespace parley::shard
