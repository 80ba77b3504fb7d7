#include "broker/shard/inbox_listeners.hpp"

#include <algorithm>

#include "tests/broker/shard/group_scene.hpp"

/// Subscriptions to chat/+/typing, chat/+/read and presence/+.
namespace parley::shard {
namespace {

using Strings = std::vector<std::string>;

constexpr const char* kTyping = "chat/+/typing";
constexpr const char* kRead = "chat/+/read";

/// "tea ann": who typed where, in order.
Strings typed(const simulation::Client& client) {
  Strings list;
  for (const Received& one : client.received) {
    if (!one.topic.ends_with("/typing")) continue;
    const auto end = one.topic.find('/', 5);
    const auto from = one.payload.find("\"from\":\"") + 8;
    list.push_back(one.topic.substr(5, end - 5) + " " + one.payload.substr(from, one.payload.find('"', from) - from));
  }
  return list;
}

/// What came on chat/{conversation}/read.
Strings marks(const simulation::Client& client, const std::string& conversation) {
  Strings list;
  for (const Received& one : client.received) {
    if (one.topic == "chat/" + conversation + "/read") list.push_back(one.payload);
  }
  return list;
}

void make(auto& world, simulation::Client& owner, const std::string& conversation, const Strings& others,
          const std::string& more = "") {
  command(world, owner, conversation, R"({"op":"create")" + more + "}");
  for (const std::string& user : others) {
    command(world, owner, conversation, R"({"op":"add","user":")" + user + "\"}");
  }
}

void type(auto& world, simulation::Client& client, const std::string& conversation) {
  say(world, client, "chat/" + conversation + "/typing", "");
  world.advance(1100ms);
}

class InboxListenersVersions : public BothVersions {};
INSTANTIATE_TEST_SUITE_P(InboxListeners, InboxListenersVersions,
                         testing::Values(ProtocolVersion::V5, ProtocolVersion::V3_1_1));

TEST_P(InboxListenersVersions, TypingComesOfAllConversationsAsMembershipChanges) {
  World world(1, closed(3));
  auto& ann = enter(world, "ann", as());
  auto& bob = enter(world, "bob", as());
  make(world, ann, "tea", {"bob"});
  make(world, ann, "secret", {});
  say(world, ann, "chat/dm:bob/msg", "hello");
  EXPECT_EQ(follow(world, bob, kTyping), ReasonCode::GrantedQos1);
  if (five()) {
    EXPECT_EQ(bob.answer(PacketType::Suback)->user("conversations"), "2");
  }
  type(world, ann, "tea");
  type(world, ann, "secret");
  type(world, ann, "dm:bob");
  EXPECT_EQ(typed(bob), (Strings{"tea ann", "dm:ann:bob ann"}));
  EXPECT_EQ(bob.received.back().qos, Qos::AtMostOnce);
  EXPECT_EQ(bob.received.back().user("from"), five() ? "ann" : "");
  bob.received.clear();
  command(world, ann, "secret", R"({"op":"add","user":"bob"})");
  type(world, ann, "secret");
  EXPECT_EQ(typed(bob), (Strings{"secret ann"})) << "added";
  command(world, ann, "tea", R"({"op":"remove","user":"bob"})");
  type(world, ann, "tea");
  type(world, ann, "secret");
  EXPECT_EQ(typed(bob), (Strings{"secret ann", "secret ann"})) << "removed";
  command(world, ann, "tea", R"({"op":"add","user":"bob"})");
  type(world, ann, "tea");
  EXPECT_EQ(typed(bob).back(), "tea ann") << "and added again";
  bob.unsubscribe(kTyping);
  world.settle();
  if (five()) {
    EXPECT_EQ(bob.answer(PacketType::Unsuback)->reason(), ReasonCode::Success);
  }
  bob.received.clear();
  type(world, ann, "tea");
  EXPECT_TRUE(typed(bob).empty());
}

TEST_P(InboxListenersVersions, MarksComeFirstAsTheyAreAndThenAsTheyMove) {
  World world(1, closed(3));
  auto& ann = enter(world, "ann", as());
  auto& bob = enter(world, "bob", as());
  make(world, ann, "tea", {"bob"});
  make(world, ann, "gin", {"bob", "cat"});
  say(world, ann, "chat/tea/msg", "one");
  world.advance(2s);
  EXPECT_EQ(follow(world, bob, kRead), ReasonCode::GrantedQos1);
  world.advance(1s);
  EXPECT_EQ(marks(bob, "tea").size(), 2U) << "all members'";
  EXPECT_EQ(marks(bob, "gin").size(), 3U);
  EXPECT_TRUE(bob.received.back().retain);
  bob.received.clear();
  say(world, ann, "chat/gin/read", "3");
  world.advance(2s);
  ASSERT_EQ(marks(bob, "gin").size(), 1U);
  EXPECT_TRUE(has(marks(bob, "gin")[0], R"("user":"ann","read":3)")) << marks(bob, "gin")[0];
  EXPECT_FALSE(bob.received.back().retain);
  bob.received.clear();
  make(world, ann, "rum", {"bob"});
  world.advance(1s);
  EXPECT_EQ(marks(bob, "rum").size(), 2U) << "of a conversation that it enters";
  bob.received.clear();
  command(world, ann, "rum", R"({"op":"remove","user":"bob"})");
  say(world, ann, "chat/rum/msg", "he is gone");
  world.advance(3s);
  EXPECT_TRUE(marks(bob, "rum").empty()) << "at once";
}

TEST(InboxListeners, RetainHandlingSaysWhetherMarksComeAtOnce) {
  World world(1, closed(2));
  auto& ann = enter(world, "ann");
  auto& bob = enter(world, "bob");
  make(world, ann, "tea", {"bob"});
  world.advance(2s);
  for (const std::string& filter : {std::string(kRead), std::string("chat/tea/read")}) {
    bob.received.clear();
    follow(world, bob, filter, {.qos = Qos::AtMostOnce, .retain_handling = 2});
    world.advance(1s);
    EXPECT_TRUE(marks(bob, "tea").empty()) << filter;
    follow(world, bob, filter, {.qos = Qos::AtMostOnce, .retain_handling = 1});
    world.advance(1s);
    EXPECT_TRUE(marks(bob, "tea").empty()) << filter << " is there already";
    say(world, ann, "chat/tea/msg", "moves");
    world.advance(2s);
    EXPECT_FALSE(marks(bob, "tea").empty()) << filter;
    bob.unsubscribe(filter);
    world.settle();
    bob.received.clear();
    follow(world, bob, filter, {.qos = Qos::AtMostOnce, .retain_handling = 1});
    world.advance(1s);
    EXPECT_EQ(marks(bob, "tea").size(), 2U) << filter << " is new";
    bob.unsubscribe(filter);
    world.settle();
  }
}

TEST(InboxListeners, ArePartOfTheSession) {
  World world(1, closed(3));
  auto& ann = enter(world, "ann");
  auto& bob = join(world, "bob", lasting());
  make(world, ann, "tea", {"bob"});
  EXPECT_EQ(follow(world, bob, kTyping), ReasonCode::GrantedQos1);
  EXPECT_EQ(follow(world, bob, kRead), ReasonCode::GrantedQos1);
  bob.drop();
  world.settle();
  make(world, ann, "gin", {"bob"});
  type(world, ann, "gin");
  bob.received.clear();
  bob.connect(lasting());
  world.advance(1s);
  EXPECT_TRUE(typed(bob).empty()) << "it isn't kept";
  EXPECT_EQ(marks(bob, "tea").size(), 2U) << "as they are now";
  EXPECT_EQ(marks(bob, "gin").size(), 2U);
  type(world, ann, "gin");
  EXPECT_EQ(typed(bob), (Strings{"gin ann"}));
  world.crash();
  world.start();
  ann.connect();
  bob.connect(lasting());
  world.advance(1s);
  bob.received.clear();
  type(world, ann, "tea");
  type(world, ann, "gin");
  EXPECT_EQ(typed(bob), (Strings{"tea ann", "gin ann"}));
}

TEST(InboxListeners, QuietMeansNothingAndActiveTheLatestState) {
  World world(1, closed(2));
  auto& ann = enter(world, "ann");
  auto& bob = enter(world, "bob");
  make(world, ann, "tea", {"bob"});
  follow(world, bob, kTyping);
  follow(world, bob, kRead);
  follow(world, bob, "presence/+");
  world.advance(1s);
  say(world, bob, "client/bob/mode", "quiet");
  bob.received.clear();
  type(world, ann, "tea");
  say(world, ann, "chat/tea/read", "2");
  say(world, ann, "presence/ann", "busy");
  world.advance(3s);
  EXPECT_TRUE(bob.received.empty());
  say(world, bob, "client/bob/mode", "active");
  world.advance(1s);
  EXPECT_TRUE(typed(bob).empty());
  EXPECT_EQ(marks(bob, "tea").size(), 2U);
  const auto shown = std::ranges::find(bob.received, "presence/ann", &Received::topic);
  ASSERT_NE(shown, bob.received.end());
  EXPECT_TRUE(has(shown->payload, "busy"));
  EXPECT_TRUE(shown->retain);
}

TEST(InboxListeners, OfLargeGroupsNoMarksComeByThemselves) {
  WorldOptions options = closed(2);
  options.shard.marks_fanout = 3;
  World world(1, options);
  auto& ann = enter(world, "ann");
  auto& bob = enter(world, "bob");
  make(world, ann, "tea", {"bob", "cat", "dan"});
  make(world, ann, "gin", {"bob", "cat"});
  follow(world, bob, kRead);
  follow(world, bob, kTyping);
  world.advance(1s);
  EXPECT_TRUE(marks(bob, "tea").empty());
  EXPECT_EQ(marks(bob, "gin").size(), 3U);
  say(world, ann, "chat/tea/read", "3");
  world.advance(2s);
  EXPECT_TRUE(marks(bob, "tea").empty());
  type(world, ann, "tea");
  EXPECT_EQ(typed(bob), (Strings{"tea ann"}));
}

TEST(InboxListeners, APublicConversationIsHeardOnByItsNameWhenAMemberLeaves) {
  World world(1, closed(2));
  auto& ann = enter(world, "ann");
  auto& bob = enter(world, "bob");
  make(world, ann, "tea", {"bob"}, R"(,"visibility":"public")");
  follow(world, bob, kTyping);
  follow(world, bob, "chat/tea/typing");
  type(world, ann, "tea");
  EXPECT_EQ(typed(bob), (Strings{"tea ann", "tea ann"})) << "one of each subscription";
  command(world, bob, "tea", R"({"op":"leave"})");
  bob.received.clear();
  type(world, ann, "tea");
  EXPECT_EQ(typed(bob), (Strings{"tea ann"})) << "by its name";
}

TEST(InboxListeners, WhatCantBeMeantIsRefused) {
  World world(1, closed(2));
  auto& ann = enter(world, "ann");
  for (const char* filter : {"$since/3/chat/+/typing", "$last/1/chat/+/read", "$cursor/x/chat/+/typing"}) {
    EXPECT_EQ(follow(world, ann, filter), ReasonCode::TopicFilterInvalid) << filter;
  }
  for (const char* filter : {"$share/g/chat/+/typing", "$share/g/chat/+/read", "chat/#", "chat/+/ctl", "presence/#"}) {
    EXPECT_EQ(follow(world, ann, filter), ReasonCode::ImplementationSpecificError) << filter;
  }
  ann.unsubscribe(kTyping);
  world.settle();
  EXPECT_EQ(ann.answer(PacketType::Unsuback)->reason(), ReasonCode::NoSubscriptionExisted);
  EXPECT_EQ(follow(world, ann, kTyping), ReasonCode::GrantedQos1) << "of no conversation as yet";
}

TEST(InboxListeners, HaveALimitOfConversations) {
  WorldOptions options = closed(2);
  options.shard.subscriptions_max = 2;
  options.shard.inbox_conversations_max = 3;
  World world(1, options);
  auto& ann = enter(world, "ann");
  for (const char* name : {"a", "b", "c"}) make(world, ann, name, {});
  EXPECT_EQ(follow(world, ann, kTyping), ReasonCode::GrantedQos1);
  ann.unsubscribe(kTyping);
  make(world, ann, "d", {});
  EXPECT_EQ(follow(world, ann, kTyping), ReasonCode::QuotaExceeded);
  EXPECT_EQ(ann.answer(PacketType::Suback)->user("error"), "too-many");
  EXPECT_EQ(ann.answer(PacketType::Suback)->user("conversations"), "");
  ann.unsubscribe(kTyping);
  world.settle();
  EXPECT_EQ(ann.answer(PacketType::Unsuback)->reason(), ReasonCode::NoSubscriptionExisted);
}

TEST(InboxListeners, AreThereOnEveryNode) {
  Nodes nodes(3, closed(2), closed(3));
  auto& ann = enter(nodes, 0, "ann");
  auto& bob = enter(nodes, 1, "bob");
  auto& cat = enter(nodes, 2, "cat");
  make(nodes, ann, "tea", {"bob", "cat"});
  nodes.advance(1s);
  for (auto* client : {&bob, &cat}) {
    EXPECT_EQ(follow(nodes, *client, kTyping), ReasonCode::GrantedQos1);
    EXPECT_EQ(follow(nodes, *client, kRead), ReasonCode::GrantedQos1);
    EXPECT_EQ(follow(nodes, *client, "presence/+"), ReasonCode::GrantedQos1);
  }
  nodes.advance(1s);
  say(nodes, ann, "chat/tea/typing", "");
  say(nodes, ann, "chat/tea/read", "3");
  nodes.advance(2s);
  for (auto* client : {&bob, &cat}) {
    EXPECT_EQ(typed(*client), (Strings{"tea ann"}));
    EXPECT_TRUE(has(marks(*client, "tea").back(), R"("user":"ann","read":3)"));
    EXPECT_TRUE(std::ranges::any_of(client->received, [](const Received& one) { return one.topic == "presence/ann"; }));
  }
  command(nodes, ann, "tea", R"({"op":"remove","user":"bob"})");
  nodes.advance(1s);
  bob.received.clear();
  say(nodes, ann, "chat/tea/typing", "");
  say(nodes, ann, "presence/ann", "busy");
  nodes.advance(2s);
  EXPECT_TRUE(typed(bob).empty());
  EXPECT_TRUE(std::ranges::none_of(bob.received, [](const Received& one) { return one.topic == "presence/ann"; }));
  EXPECT_EQ(typed(cat).size(), 2U);
}

}  // namespace
}  // namespace parley::shard
