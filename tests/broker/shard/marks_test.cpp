#include "broker/shard/marks.hpp"

#include <algorithm>

#include "tests/broker/shard/group_scene.hpp"

namespace parley::shard {
namespace {

std::vector<std::string> on(const simulation::Client& client, std::string_view topic, bool retained) {
  std::vector<std::string> payloads;
  for (const Received& one : client.received) {
    if (one.topic == topic && one.retain == retained) payloads.push_back(one.payload);
  }
  return payloads;
}

std::string marks(const std::string& user, int read, int delivered) {
  return R"({"user":")" + user + R"(","read":)" + std::to_string(read) + R"(,"delivered":)" +
         std::to_string(delivered) + "}";
}

/// `"read":R,"delivered":D,"unread":U` of the asker.
std::string mine(int read, int delivered, int unread) {
  return R"("read":)" + std::to_string(read) + R"(,"delivered":)" + std::to_string(delivered) + R"(,"unread":)" +
         std::to_string(unread) + ",";
}

constexpr const char* kInfo = R"({"op":"info"})";

class MarksVersions : public BothVersions {};
INSTANTIATE_TEST_SUITE_P(Marks, MarksVersions, testing::Values(ProtocolVersion::V5, ProtocolVersion::V3_1_1));

TEST_P(MarksVersions, MoveForwardAndAreSeenByMembers) {
  World world(1, closed(2));
  auto& ann = enter(world, "ann", as());
  auto& bob = enter(world, "bob", as());
  create(world, ann, {"bob"});
  for (int i = 0; i < 3; ++i) say(world, ann, "chat/tea/msg", "hello");
  world.advance(2s);
  follow(world, ann, "chat/tea/read");
  EXPECT_EQ(on(ann, "chat/tea/read", true), (std::vector{marks("ann", 5, 5), marks("bob", 2, 2)}));
  EXPECT_TRUE(has(command(world, bob, "tea", kInfo), mine(2, 2, 3)));
  EXPECT_EQ(say(world, bob, "chat/tea/read", "4").reason(), ReasonCode::Success);
  EXPECT_EQ(on(ann, "chat/tea/read", false), (std::vector{marks("bob", 4, 4)}));
  EXPECT_EQ(world.store().mark("tea", "bob"), (format::Mark{Seq{4}, Seq{4}})) << "acknowledged is durable";
  EXPECT_EQ(say(world, bob, "chat/tea/read", "3").reason(), ReasonCode::Success) << "backwards means nothing";
  EXPECT_EQ(say(world, bob, "chat/tea/read", "4").reason(), ReasonCode::Success);
  world.advance(3s);
  EXPECT_EQ(on(ann, "chat/tea/read", false).size(), 1U);
  const std::string info = command(world, bob, "tea", kInfo);
  EXPECT_TRUE(has(info, mine(4, 4, 1))) << info;
  EXPECT_TRUE(has(info, R"({"user":"ann","role":"owner","joined":1,"read":5,"delivered":5,)")) << info;
  EXPECT_EQ(ann.received.back().user("from"), GetParam() == ProtocolVersion::V5 ? "bob" : "");
}

TEST_P(MarksVersions, AreRefusedWithAWord) {
  World world(1, closed(2));
  auto& ann = enter(world, "ann", as());
  auto& cat = enter(world, "cat", as());
  create(world, ann, {});
  command(world, ann, "open", R"({"op":"create","visibility":"public"})");
  const auto word = [&](simulation::Client& who, const std::string& topic, const std::string& payload) {
    const std::size_t before = who.received.size();
    who.publish(topic, payload,
                {.response_topic = GetParam() == ProtocolVersion::V5 ? "client/" + who.id() + "/reply" : ""});
    world.settle();
    if (who.received.size() == before) return std::string("ok");
    const std::string answer = who.received.back().payload;
    if (has(answer, "\"ok\":true")) return std::string("ok");
    const auto at = answer.find("\"error\":\"") + 9;
    return answer.substr(at, answer.find('"', at) - at);
  };
  EXPECT_EQ(word(ann, "chat/tea/read", "1"), "ok");
  EXPECT_EQ(word(ann, "chat/tea/read", "2"), "beyond-head");
  for (const char* bad : {"", "-1", "1.5", "x", " 1", "99999999999999999999"}) {
    EXPECT_EQ(word(ann, "chat/tea/read", bad), "invalid-payload") << bad;
  }
  EXPECT_EQ(word(cat, "chat/tea/read", "1"), "not-authorized");
  EXPECT_EQ(word(cat, "chat/nowhere/read", "1"), "not-authorized");
  EXPECT_EQ(word(cat, "chat/open/read", "1"), "not-a-member");
  EXPECT_EQ(word(cat, "chat/dm:a:b:c/read", "1"), "invalid-topic");
}

TEST(Marks, SendingMovesOnesOwn) {
  World world(1, closed(2));
  auto& ann = enter(world, "ann");
  auto& bob = enter(world, "bob");
  create(world, ann, {"bob"});
  follow(world, ann, "chat/tea/read");
  say(world, ann, "chat/tea/msg", "one");
  say(world, bob, "chat/tea/msg", "two");
  say(world, ann, "chat/tea/msg", "three");
  world.advance(2s);
  EXPECT_TRUE(has(command(world, bob, "tea", kInfo), mine(4, 4, 1)));
  EXPECT_TRUE(has(command(world, ann, "tea", kInfo), mine(5, 5, 0)));
  EXPECT_EQ(std::ranges::count(on(ann, "chat/tea/read", false), marks("bob", 4, 4)), 1);
  EXPECT_EQ(world.store().mark_records(), 0U) << "the entry says it";
}

TEST(Marks, WhatIsAcknowledgedIsDelivered) {
  World world(1, closed(2));
  auto& ann = enter(world, "ann");
  auto& bob = enter(world, "bob");
  auto& tab = join(world, "tab", {.user_name = "bob"});
  auto& cat = enter(world, "cat");
  create(world, ann, {"bob", "cat"});
  follow(world, ann, "chat/tea/read");
  follow(world, bob, "chat/tea/msg");
  follow(world, tab, "chat/tea/json", {.qos = Qos::ExactlyOnce});
  follow(world, cat, "chat/tea/msg", {.qos = Qos::AtMostOnce});
  bob.acknowledges = false;
  for (int i = 0; i < 50; ++i) say(world, ann, "chat/tea/msg", "hello");
  world.advance(2s);
  EXPECT_TRUE(has(command(world, bob, "tea", kInfo), mine(2, 53, 50))) << "one device is enough";
  EXPECT_TRUE(has(command(world, cat, "tea", kInfo), mine(3, 3, 50))) << "QoS 0 acknowledges nothing";
  EXPECT_LE(world.store().mark_records(), 3U) << "conflated";
  EXPECT_LE(on(ann, "chat/tea/read", false).size(), 8U);
  EXPECT_EQ(std::ranges::count(on(ann, "chat/tea/read", false), marks("bob", 2, 53)), 1);
}

TEST(Marks, ASubscriptionAtTheHeadHasDeliveredNothing) {
  World world(1, closed());
  auto& ann = enter(world, "ann");
  auto& bob = enter(world, "bob");
  create(world, ann, {"bob"});
  for (int i = 0; i < 5; ++i) say(world, ann, "chat/tea/msg", "hello");
  follow(world, bob, "chat/tea/msg");
  world.advance(2s);
  EXPECT_TRUE(has(command(world, bob, "tea", kInfo), mine(2, 2, 5)));
}

TEST(Marks, OnlyMessagesCountAsUnread) {
  World world(1, closed(2));
  auto& ann = enter(world, "ann");
  auto& bob = enter(world, "bob");
  create(world, ann, {"bob"});
  say(world, ann, "chat/tea/msg", "three");
  command(world, ann, "tea", R"({"op":"add","user":"cat"})");
  command(world, ann, "tea", R"({"op":"settings","title":"Tea"})");
  say(world, ann, "chat/tea/msg", "six");
  command(world, ann, "tea", R"({"op":"remove","user":"cat"})");
  EXPECT_TRUE(has(command(world, bob, "tea", kInfo), mine(2, 2, 2)));
  say(world, bob, "chat/tea/read", "5");
  EXPECT_TRUE(has(command(world, bob, "tea", kInfo), mine(5, 5, 1)));
  say(world, bob, "chat/tea/read", "7");
  EXPECT_TRUE(has(command(world, bob, "tea", kInfo), mine(7, 7, 0)));
}

TEST(Marks, OfManyMembersAreToldOnRequestOnly) {
  WorldOptions options = closed(2);
  options.shard.marks_fanout = 3;
  World world(1, options);
  auto& ann = enter(world, "ann");
  auto& bob = enter(world, "bob");
  create(world, ann, {"bob", "cat"});
  follow(world, ann, "chat/tea/read");
  EXPECT_EQ(on(ann, "chat/tea/read", true).size(), 3U);
  say(world, bob, "chat/tea/read", "2");
  world.advance(2s);
  say(world, bob, "chat/tea/read", "3");
  EXPECT_EQ(on(ann, "chat/tea/read", false), (std::vector{marks("bob", 3, 3)})) << "it joined with entry 2";
  command(world, ann, "tea", R"({"op":"add","user":"dan"})");
  say(world, bob, "chat/tea/read", "4");
  world.advance(2s);
  EXPECT_EQ(on(ann, "chat/tea/read", false).size(), 1U);
  EXPECT_TRUE(has(command(world, ann, "tea", R"({"op":"info","user":"bob"})"), R"("read":4,"delivered":4)"));
  auto& tab = join(world, "tab", {.user_name = "ann"});
  follow(world, tab, "chat/tea/read");
  EXPECT_TRUE(on(tab, "chat/tea/read", true).empty());
}

TEST(Marks, BelongToTheMembershipThatMovedThem) {
  World world(1, closed(2));
  auto& ann = enter(world, "ann");
  auto& bob = enter(world, "bob");
  create(world, ann, {"bob"});
  say(world, ann, "chat/tea/msg", "three");
  say(world, bob, "chat/tea/read", "3");
  command(world, ann, "tea", R"({"op":"remove","user":"bob"})");
  say(world, ann, "chat/tea/msg", "five");
  EXPECT_EQ(say(world, bob, "chat/tea/read", "4").reason(), ReasonCode::NotAuthorized);
  command(world, ann, "tea", R"({"op":"add","user":"bob"})");
  say(world, ann, "chat/tea/msg", "seven");
  EXPECT_TRUE(has(command(world, bob, "tea", kInfo), mine(6, 6, 1)));
}

TEST(Marks, OfTwoWhoTalkDirectly) {
  World world(1, closed(2));
  auto& ann = enter(world, "ann");
  auto& bob = enter(world, "bob");
  auto& cat = enter(world, "cat");
  follow(world, bob, "chat/dm:ann/read");
  say(world, ann, "chat/dm:bob/msg", "hello");
  say(world, ann, "chat/dm:bob/msg", "there");
  EXPECT_TRUE(has(command(world, bob, "dm:ann", kInfo), mine(0, 0, 2)));
  say(world, bob, "chat/dm:ann/read", "1");
  EXPECT_TRUE(has(command(world, bob, "dm:ann", kInfo), mine(1, 1, 1)));
  world.advance(2s);
  EXPECT_EQ(std::ranges::count(on(bob, "chat/dm:ann/read", false), marks("ann", 2, 2)), 1);
  EXPECT_EQ(say(world, cat, "chat/dm:ann:bob/read", "1").reason(), ReasonCode::NotAuthorized);
}

TEST(Marks, SurviveTheBrokersDeath) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    WorldOptions options = closed(2);
    options.store_latency = 20ms;
    World world(seed, options);
    if (seed % 2 == 0) world.store().materialise_only_when_told();
    auto& ann = enter(world, "ann");
    auto& bob = enter(world, "bob");
    create(world, ann, {"bob"});
    for (int i = 0; i < 10; ++i) say(world, ann, "chat/tea/msg", "hello");
    EXPECT_EQ(say(world, bob, "chat/tea/read", "7").reason(), ReasonCode::Success);
    if (seed % 3 == 0) world.store().materialise();
    say(world, bob, "chat/tea/msg", "mine");
    say(world, ann, "chat/tea/msg", "last");
    world.crash();
    world.start();
    ann.connect();
    bob.connect();
    world.settle();
    follow(world, bob, "client/bob/reply");
    EXPECT_TRUE(has(command(world, bob, "tea", kInfo), mine(13, 13, 1))) << seed;
    follow(world, ann, "client/ann/reply");
    EXPECT_TRUE(has(command(world, ann, "tea", kInfo), mine(14, 14, 0))) << seed;
    EXPECT_TRUE(world.store().violations().empty());
  }
}

TEST(Marks, ManyAtOnceShareRecords) {
  WorldOptions options = closed(2);
  options.store_latency = 50ms;
  World world(1, options);
  auto& ann = enter(world, "ann");
  std::vector<std::string> users;
  for (int i = 0; i < 20; ++i) users.push_back("u" + std::to_string(i));
  create(world, ann, users);
  std::vector<std::pair<simulation::Client*, mqtt::PacketId>> asked;
  for (const std::string& user : users) join(world, user);
  for (const std::string& user : users) {
    auto& client = world.client(user);
    for (const char* seq : {"21", "21", "21"}) asked.emplace_back(&client, client.publish("chat/tea/read", seq));
  }
  world.advance(1s);
  for (const auto& [client, id] : asked) {
    ASSERT_NE(client->answer(PacketType::Puback, id), nullptr);
    EXPECT_EQ(client->answer(PacketType::Puback, id)->reason(), ReasonCode::Success);
  }
  EXPECT_LE(world.store().mark_records(), 3U);
}

TEST(Marks, AreRefusedWhenTheDiskIsFullAndWrittenOnceItIsnt) {
  World world(1, closed());
  auto& ann = enter(world, "ann");
  auto& bob = enter(world, "bob");
  create(world, ann, {"bob"});
  world.store().fail_with(StorageError::DiskFull);
  EXPECT_EQ(say(world, bob, "chat/tea/read", "2").reason(), ReasonCode::Success) << "it has it by joining";
  command(world, ann, "tea", R"({"op":"add","user":"cat"})");
  world.store().heal();
  say(world, ann, "chat/tea/msg", "hello");
  world.store().fail_with(StorageError::DiskFull);
  const auto refused = say(world, bob, "chat/tea/read", "3");
  EXPECT_EQ(refused.reason(), ReasonCode::QuotaExceeded);
  EXPECT_EQ(refused.user("error"), "disk-full");
  world.store().heal();
  world.advance(5s);
  EXPECT_EQ(say(world, bob, "chat/tea/read", "3").reason(), ReasonCode::Success);
  EXPECT_EQ(world.store().mark("tea", "bob").read, Seq{3});
}

TEST(MarksAcrossNodes, MoveAndAreSeenOnEveryNode) {
  Nodes nodes(3, dev(2), dev(3));
  auto& ann = enter(nodes, 1, "ann");
  auto& bob = enter(nodes, 2, "bob");
  create(nodes, ann, {"bob"});
  say(nodes, ann, "chat/tea/msg", "hello");
  follow(nodes, ann, "chat/tea/read");
  EXPECT_EQ(on(ann, "chat/tea/read", true), (std::vector{marks("ann", 3, 3), marks("bob", 2, 2)}));
  follow(nodes, bob, "chat/tea/msg", {.users = since(0)});
  nodes.advance(3s);
  EXPECT_EQ(on(ann, "chat/tea/read", false).back(), marks("bob", 2, 3)) << "delivered";
  EXPECT_EQ(say(nodes, bob, "chat/tea/read", "3").reason(), ReasonCode::Success);
  nodes.settle();
  EXPECT_EQ(on(ann, "chat/tea/read", false).back(), marks("bob", 3, 3));
  EXPECT_EQ(say(nodes, bob, "chat/tea/read", "9").user("error"), "beyond-head");
  EXPECT_TRUE(has(command(nodes, bob, "tea", kInfo), mine(3, 3, 0)));
  EXPECT_EQ(nodes.at(0).store().mark("tea", "bob").read, Seq{3});
}

TEST(MarksAcrossNodes, WaitForALeaderAndAreToldAgain) {
  Nodes nodes(2, dev(), dev());
  auto& ann = enter(nodes, 0, "ann");
  auto& bob = enter(nodes, 1, "bob");
  create(nodes, ann, {"bob"});
  follow(nodes, bob, "chat/tea/msg");
  follow(nodes, bob, "chat/tea/read");
  nodes.disconnect(0, 1);
  say(nodes, ann, "chat/tea/msg", "hello");
  const auto id = bob.publish("chat/tea/read", "2");
  nodes.settle();
  EXPECT_EQ(bob.answer(PacketType::Puback, id), nullptr);
  nodes.connect(0, 1);
  nodes.advance(3s);
  ASSERT_NE(bob.answer(PacketType::Puback, id), nullptr);
  EXPECT_EQ(bob.answer(PacketType::Puback, id)->reason(), ReasonCode::Success);
  EXPECT_EQ(on(bob, "chat/tea/read", true).back(), marks("bob", 2, 2)) << "shown again: something may have been missed";
  EXPECT_EQ(nodes.at(0).store().mark("tea", "bob").delivered, Seq{3});
}

}  // namespace
}  // namespace parley::shard
