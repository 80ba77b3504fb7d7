#include <algorithm>

#include "tests/broker/shard/nodes.hpp"

/// Members and commands of conversations that another node leads.
namespace parley::shard {
namespace {

simulation::Client& enter(Nodes& nodes, std::size_t at, const std::string& id) {
  auto& client = join(nodes, at, id);
  follow(nodes, client, "client/" + id + "/reply");
  return client;
}

/// Gives a command and returns the answer.
std::string command(Nodes& nodes, simulation::Client& client, const std::string& conversation,
                    const std::string& json) {
  const std::size_t before = client.received.size();
  client.publish("chat/" + conversation + "/ctl", json);
  nodes.settle();
  for (std::size_t i = client.received.size(); i-- > before;) {
    if (client.received[i].topic.starts_with("client/")) return client.received[i].payload;
  }
  return "";
}

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

constexpr const char* kInfo = R"({"op":"info"})";

TEST(GroupsAcrossNodes, CommandsAreAnsweredFromAnyNode) {
  Nodes nodes(3, dev(2), dev(3));
  auto& ann = enter(nodes, 1, "ann");
  auto& bob = enter(nodes, 2, "bob");
  EXPECT_TRUE(command(nodes, ann, "tea", R"({"op":"create","title":"Tea"})").starts_with("{\"ok\":true,\"seq\":"));
  EXPECT_TRUE(command(nodes, ann, "tea", R"({"op":"add","user":"bob"})").starts_with("{\"ok\":true"));
  EXPECT_TRUE(has(command(nodes, ann, "tea", R"({"op":"add","user":"bob"})"), "\"changed\":false"));
  const std::string info = command(nodes, bob, "tea", kInfo);
  EXPECT_TRUE(has(info, R"("title":"Tea")")) << info;
  EXPECT_TRUE(has(info, R"({"user":"ann","role":"owner","joined":1,)")) << info;
  EXPECT_TRUE(has(info, R"({"user":"bob","role":"member","joined":3,)")) << info;
  EXPECT_TRUE(has(command(nodes, bob, "tea", R"({"op":"add","user":"cat"})"), "not-authorized"));
  nodes.advance(31s);
  EXPECT_EQ(nodes.at(0).store().user_conversations("bob").size(), 1U) << "the user's slot knows";
  EXPECT_TRUE(nodes.at(0).store().violations().empty());
}

TEST(GroupsAcrossNodes, MembersOnlyReadAndWrite) {
  Nodes nodes(3, dev(2), dev(2));
  auto& ann = enter(nodes, 1, "ann");
  auto& bob = enter(nodes, 2, "bob");
  auto& cat = enter(nodes, 2, "cat");
  command(nodes, ann, "tea", R"({"op":"create"})");
  EXPECT_EQ(say(nodes, ann, "chat/tea/msg", "before").reason(), ReasonCode::Success);
  command(nodes, ann, "tea", R"({"op":"add","user":"bob"})");
  EXPECT_EQ(follow(nodes, bob, "chat/tea/msg", {.users = since(0)}), ReasonCode::GrantedQos1);
  EXPECT_EQ(follow(nodes, cat, "chat/tea/msg"), ReasonCode::NotAuthorized);
  EXPECT_EQ(say(nodes, cat, "chat/tea/msg", "let me in").reason(), ReasonCode::NotAuthorized);
  say(nodes, bob, "chat/tea/msg", "hi");
  EXPECT_EQ(bob.seqs("chat/tea/msg"), range(3, 4)) << "from its joining on";
  command(nodes, ann, "tea", R"({"op":"remove","user":"bob"})");
  say(nodes, ann, "chat/tea/msg", "he is gone");
  EXPECT_EQ(bob.seqs("chat/tea/msg"), range(3, 5)) << "the removal is the last";
  EXPECT_EQ(say(nodes, bob, "chat/tea/msg", "let me back").reason(), ReasonCode::NotAuthorized);
  EXPECT_EQ(follow(nodes, bob, "chat/tea/msg"), ReasonCode::NotAuthorized);
}

TEST(GroupsAcrossNodes, MessagesAreEditedAndRedactedFromAnyNode) {
  Nodes nodes(3, dev(2), dev(2));
  auto& ann = enter(nodes, 1, "ann");
  auto& bob = enter(nodes, 2, "bob");
  follow(nodes, bob, "chat/tea/json");
  say(nodes, ann, "chat/tea/msg", "helo");
  say(nodes, ann, "chat/tea/msg", "secret");
  EXPECT_TRUE(has(command(nodes, ann, "tea", R"({"op":"edit","seq":1,"text":"hello"})"), R"({"ok":true,"seq":3,)"));
  EXPECT_TRUE(has(command(nodes, bob, "tea", R"({"op":"edit","seq":1,"text":"bye"})"), "not-authorized"));
  EXPECT_TRUE(has(command(nodes, ann, "tea", R"({"op":"redact","seq":2})"), R"({"ok":true,"seq":4,)"));
  EXPECT_TRUE(has(command(nodes, ann, "tea", R"({"op":"redact","seq":2})"), R"("changed":false)"));
  EXPECT_EQ(bob.received.size(), 5U) << "two messages, what became of them, and a refusal";
  for (const std::size_t at : {0U, 1U, 2U}) {
    auto& late = enter(nodes, at, "late" + std::to_string(at));
    follow(nodes, late, "chat/tea/json", {.users = since(0)});
    ASSERT_EQ(late.received.size(), 4U);
    EXPECT_TRUE(has(late.received[0].payload, R"("text":"hello","edited":true})")) << late.received[0].payload;
    EXPECT_TRUE(has(late.received[1].payload, R"("kind":"message","redacted":true})")) << late.received[1].payload;
  }
}

TEST(GroupsAcrossNodes, ASubscriptionWaitsForTheLeadersWord) {
  Nodes nodes(2);
  auto& ann = enter(nodes, 0, "ann");
  auto& bob = enter(nodes, 1, "bob");
  command(nodes, ann, "tea", R"({"op":"create"})");
  command(nodes, ann, "tea", R"({"op":"add","user":"bob"})");
  nodes.disconnect(0, 1);
  nodes.settle();
  const auto asked = bob.subscribe("chat/tea/msg");
  nodes.settle();
  EXPECT_EQ(bob.answer(PacketType::Suback, asked), nullptr);
  nodes.connect(0, 1);
  nodes.advance(1s);
  ASSERT_NE(bob.answer(PacketType::Suback, asked), nullptr);
  EXPECT_EQ(bob.answer(PacketType::Suback, asked)->reason(), ReasonCode::GrantedQos1);
}

TEST(GroupsAcrossNodes, WhatBecomesPrivateEndsForOthers) {
  Nodes nodes(2, dev(2), dev(2));
  auto& ann = enter(nodes, 0, "ann");
  auto& bob = enter(nodes, 1, "bob");
  command(nodes, ann, "tea", R"({"op":"create","visibility":"public"})");
  EXPECT_EQ(follow(nodes, bob, "chat/tea/msg"), ReasonCode::GrantedQos1);
  command(nodes, ann, "tea", R"({"op":"settings","visibility":"private"})");
  say(nodes, ann, "chat/tea/msg", "among us");
  EXPECT_EQ(std::ranges::count(bob.payloads(), "among us"), 0);
  EXPECT_EQ(follow(nodes, bob, "chat/tea/msg"), ReasonCode::NotAuthorized);
}

TEST(GroupsAcrossNodes, DirectConversations) {
  Nodes nodes(3, dev(), dev(2));
  auto& ann = enter(nodes, 1, "ann");
  auto& bob = enter(nodes, 2, "bob");
  auto& cat = enter(nodes, 2, "cat");
  EXPECT_EQ(follow(nodes, bob, "chat/dm:ann/msg"), ReasonCode::GrantedQos1);
  EXPECT_EQ(say(nodes, ann, "chat/dm:bob/msg", "hello").user("seq"), "1");
  EXPECT_EQ(bob.payloads(), (std::vector<std::string>{"hello"}));
  EXPECT_EQ(follow(nodes, cat, "chat/dm:ann:bob/msg"), ReasonCode::NotAuthorized);
  EXPECT_EQ(say(nodes, cat, "chat/dm:ann:bob/msg", "me too").reason(), ReasonCode::NotAuthorized);
  nodes.advance(31s);
  EXPECT_EQ(nodes.at(0).store().user_conversations("ann").size(), 1U);
}

}  // namespace
}  // namespace parley::shard
