#include "broker/shard/groups.hpp"

#include <algorithm>

#include "tests/broker/shard/group_scene.hpp"

namespace parley::shard {
namespace {

/// The word of a command's answer.
std::string outcome(World& world, simulation::Client& client, const std::string& conversation,
                    const std::string& json) {
  return word_of(command(world, client, conversation, json));
}

std::string add(const std::string& user) { return R"({"op":"add","user":")" + user + "\"}"; }
std::string remove(const std::string& user) { return R"({"op":"remove","user":")" + user + "\"}"; }

constexpr const char* kCreate = R"({"op":"create"})";

class Versions : public BothVersions {};
INSTANTIATE_TEST_SUITE_P(Groups, Versions, testing::Values(ProtocolVersion::V5, ProtocolVersion::V3_1_1));

TEST_P(Versions, MembersOnlyReadAndWriteWhatIsPrivate) {
  World world(1, closed(2));
  auto& ann = enter(world, "ann", as());
  auto& bob = enter(world, "bob", as());
  auto& cat = enter(world, "cat", as());
  EXPECT_EQ(outcome(world, ann, "tea", kCreate), "ok");
  EXPECT_EQ(outcome(world, ann, "tea", add("bob")), "ok");
  const bool five = GetParam() == ProtocolVersion::V5;
  EXPECT_EQ(follow(world, ann, "chat/tea/msg"), ReasonCode::GrantedQos1);
  EXPECT_EQ(follow(world, bob, "chat/tea/msg"), ReasonCode::GrantedQos1);
  EXPECT_EQ(follow(world, cat, "chat/tea/msg"),
            five ? ReasonCode::NotAuthorized : ReasonCode::UnspecifiedError);  // 3.1.1 §3.9.3: 0x80.
  say(world, ann, "chat/tea/msg", "hello");
  say(world, bob, "chat/tea/msg", "hi");
  cat.publish("chat/tea/msg", "let me in");
  world.settle();
  EXPECT_EQ(ann.seqs("chat/tea/msg").size(), five ? 2U : 0U);  // 3.1.1 shows no properties.
  std::vector<std::string> said;
  for (const Received& one : bob.received) {
    if (one.topic == "chat/tea/msg") said.push_back(one.payload);
  }
  EXPECT_EQ(said, (std::vector<std::string>{"hello", "hi"}));
  EXPECT_EQ(world.store().history("tea").size(), 4U);
  EXPECT_TRUE(world.store().violations().empty());
}

TEST_P(Versions, CommandsAreRefusedWithAWord) {
  World world(1, closed());
  auto& ann = enter(world, "ann", as());
  auto& bob = enter(world, "bob", as());
  ASSERT_EQ(outcome(world, ann, "tea", kCreate), "ok");
  const std::vector<std::pair<std::string, std::string>> cases{
      {"", "invalid-payload"},
      {"{", "invalid-payload"},
      {"[]", "invalid-payload"},
      {R"({"op":"add","user":["bob"]})", "invalid-argument"},
      {R"({"op":"add","user":{"name":{}}})", "invalid-argument"},
      {R"({"op":"add","user":null})", "invalid-argument"},
      {R"({"op":"info","limit":-1})", "invalid-argument"},
      {R"({"op":"info","limit":1.0})", "invalid-argument"},
      {R"({"op":"info","limit":1e2})", "invalid-argument"},
      {R"({"op":"info","limit":"5"})", "invalid-argument"},
      {R"({"op":"info","limit":true})", "invalid-argument"},
      {R"({"op":"info","limit":null})", "invalid-argument"},
      {R"({"op":"info","limit":5,"limit":0})", "invalid-argument"},
      {R"({"op":"explode","limit":0,"op":"info","limit":5})", "ok"},
      {"{}", "unknown-command"},
      {R"({"op":"explode"})", "unknown-command"},
      {R"({"op":"add"})", "invalid-argument"},
      {R"({"op":"add","user":")" + std::string(129, 'x') + "\"}", "invalid-argument"},
      {R"({"op":"add","user":"a/b"})", "invalid-argument"},
      {R"({"op":"join","id":""})", "invalid-id"},
      {R"({"op":"settings","title":")" + std::string(5000, 'x') + "\"}", "too-large"},
      {kCreate, "exists"},
      {R"({"op":"remove","user":"bob"})", "not-a-member"},
      {R"({"op":"remove","user":"ann"})", "invalid-argument"},
      {R"({"op":"role","user":"ann","role":"member"})", "last-owner"},
  };
  for (const auto& [json, word] : cases) EXPECT_EQ(outcome(world, ann, "tea", json), word) << json;
  for (const std::string& json : {std::string(kCreate), add("cat"), std::string(R"({"op":"join"})"),
                                  std::string(R"({"op":"info"})"), std::string(R"({"op":"leave"})")}) {
    EXPECT_EQ(outcome(world, bob, "tea", json), "not-authorized") << json << ": a private one is hidden";
    if (json != kCreate) {
      EXPECT_EQ(outcome(world, bob, "nowhere", json), "not-authorized") << json;
    }
  }
  EXPECT_EQ(world.store().history("tea").size(), 1U);
}

TEST(Groups, ChangesAreEntriesThatMembersSee) {
  World world(1, closed());
  auto& ann = enter(world, "ann");
  ASSERT_EQ(outcome(world, ann, "tea", R"({"op":"create","title":"Tea","announce":true})"), "ok");
  follow(world, ann, "chat/tea/msg", {.users = since(0)});
  follow(world, ann, "chat/tea/json", {.users = since(0)});
  EXPECT_EQ(outcome(world, ann, "tea", R"({"op":"add","user":"bob","role":"moderator"})"), "ok");
  EXPECT_EQ(outcome(world, ann, "tea", R"({"op":"role","user":"bob","role":"member"})"), "ok");
  EXPECT_EQ(outcome(world, ann, "tea", R"({"op":"settings","visibility":"public"})"), "ok");
  EXPECT_EQ(outcome(world, ann, "tea", remove("bob")), "ok");
  std::vector<std::string> seen;
  std::vector<std::string> json;
  for (const Received& one : ann.received) {
    if (one.topic == "chat/tea/msg") seen.push_back(one.user("kind") + one.payload);
    if (one.topic == "chat/tea/json") json.push_back(one.payload);
  }
  EXPECT_EQ(seen, (std::vector<std::string>{
                      R"(member{"op":"join","user":"ann","role":"owner"})",
                      R"(settings{"visibility":"private","announce":true,"history":"joined","title":"Tea"})",
                      R"(member{"op":"add","user":"bob","role":"moderator"})",
                      R"(member{"op":"role","user":"bob","role":"member"})",
                      R"(settings{"visibility":"public","announce":true,"history":"joined","title":"Tea"})",
                      R"(member{"op":"remove","user":"bob","role":"member"})"}));
  ASSERT_EQ(json.size(), 6U);
  EXPECT_NE(json[2].find(R"("kind":"member","member":{"op":"add","user":"bob","role":"moderator"})"), std::string::npos)
      << json[2];
}

TEST(Groups, RemovalStopsDeliveryAtTheNextEntry) {
  for (const std::uint32_t shards : {1U, 3U}) {
    World world(shards, closed(shards));
    auto& ann = enter(world, "ann");
    auto& bob = enter(world, "bob", lasting());
    outcome(world, ann, "tea", kCreate);
    outcome(world, ann, "tea", add("bob"));
    follow(world, bob, "chat/tea/msg");
    say(world, ann, "chat/tea/msg", "one");
    EXPECT_EQ(outcome(world, ann, "tea", remove("bob")), "ok");
    say(world, ann, "chat/tea/msg", "two");
    EXPECT_EQ(bob.seqs("chat/tea/msg"), range(3, 4)) << "the last one is the removal";
    EXPECT_EQ(follow(world, bob, "chat/tea/msg"), ReasonCode::NotAuthorized);
    // Nothing of it comes back with the session.
    bob.drop();
    world.settle();
    join(world, "bob", lasting());
    say(world, ann, "chat/tea/msg", "three");
    EXPECT_EQ(bob.seqs("chat/tea/msg"), range(3, 4));
    // Who is added again doesn't get what was said in between.
    outcome(world, ann, "tea", add("bob"));
    say(world, ann, "chat/tea/msg", "four");
    EXPECT_EQ(follow(world, bob, "chat/tea/msg", {.users = since(0)}), ReasonCode::GrantedQos1);
    EXPECT_EQ(bob.seqs("chat/tea/msg"), (std::vector<std::uint64_t>{3, 4, 7, 8}));
  }
}

TEST(Groups, SessionsOfThoseRemovedWhileAwayEnd) {
  World world(1, closed());
  auto& ann = enter(world, "ann");
  auto& bob = enter(world, "bob", lasting());
  outcome(world, ann, "tea", kCreate);
  outcome(world, ann, "tea", add("bob"));
  follow(world, bob, "chat/tea/msg");
  bob.drop();
  world.settle();
  say(world, ann, "chat/tea/msg", "before");
  outcome(world, ann, "tea", remove("bob"));
  outcome(world, ann, "tea", add("bob"));
  say(world, ann, "chat/tea/msg", "after");
  join(world, "bob", lasting());
  world.settle();
  EXPECT_EQ(bob.seqs("chat/tea/msg"), range(5, 6)) << "from the second joining on";
}

TEST(Groups, HistoryIsFromTheJoiningOrFromTheStart) {
  for (const std::string history : {"joined", "all"}) {
    World world(1, closed());
    auto& ann = enter(world, "ann");
    auto& bob = enter(world, "bob");
    outcome(world, ann, "tea", R"({"op":"create","history":")" + history + "\"}");
    for (int i = 0; i < 3; ++i) say(world, ann, "chat/tea/msg", "old");
    outcome(world, ann, "tea", add("bob"));
    follow(world, bob, "chat/tea/msg", {.users = since(0)});
    const auto seqs = bob.seqs("chat/tea/msg");
    ASSERT_FALSE(seqs.empty()) << history;
    const std::uint64_t joined = world.store().members("tea").at("bob").joined.value;
    EXPECT_EQ(seqs.front(), history == "all" ? 1U : joined) << history;
    EXPECT_EQ(bob.answer(PacketType::Suback)->user("oldest"), std::to_string(seqs.front())) << history;
  }
}

TEST(Groups, TurningPrivateEndsWhatStrangersFollow) {
  World world(1, closed(2));
  auto& ann = enter(world, "ann");
  auto& bob = enter(world, "bob");
  auto& cat = enter(world, "cat");
  outcome(world, ann, "tea", R"({"op":"create","visibility":"public"})");
  EXPECT_EQ(outcome(world, bob, "tea", R"({"op":"join"})"), "ok");
  follow(world, bob, "chat/tea/msg");
  follow(world, cat, "chat/tea/msg");
  say(world, cat, "chat/tea/msg", "strangers may post here");
  EXPECT_EQ(outcome(world, ann, "tea", R"({"op":"settings","visibility":"private"})"), "ok");
  say(world, ann, "chat/tea/msg", "among us");
  EXPECT_EQ(bob.seqs("chat/tea/msg"), range(3, 5));
  EXPECT_EQ(cat.seqs("chat/tea/msg"), range(3, 4));
}

TEST(Groups, WhoJoinsOneThatAllHaveLeftIsItsOwner) {
  World world(1, closed(2));
  auto& ann = enter(world, "ann");
  auto& bob = enter(world, "bob");
  auto& cat = enter(world, "cat");
  outcome(world, ann, "tea", R"({"op":"create","visibility":"public"})");
  EXPECT_EQ(outcome(world, ann, "tea", R"({"op":"leave"})"), "ok");
  world.crash();
  world.start();
  for (auto* client : {&ann, &bob, &cat}) {
    client->connect();
    world.settle();
    follow(world, *client, "client/" + client->id() + "/reply");
  }
  // Both come before anything is stored: the first one counts.
  bob.publish("chat/tea/ctl", R"({"op":"join"})");
  cat.publish("chat/tea/ctl", R"({"op":"join"})");
  world.settle();
  const auto members = world.store().members("tea");
  ASSERT_EQ(members.size(), 2U);
  const bool bob_first = members.at("bob").joined < members.at("cat").joined;
  EXPECT_EQ(members.at(bob_first ? "bob" : "cat").role, format::Role::Owner);
  EXPECT_EQ(members.at(bob_first ? "cat" : "bob").role, format::Role::Member);
  auto& owner = bob_first ? bob : cat;
  EXPECT_EQ(outcome(world, owner, "tea", R"({"op":"settings","title":"Tea"})"), "ok");
  EXPECT_EQ(outcome(world, owner, "tea", R"({"op":"leave"})"), "last-owner");
  EXPECT_EQ(outcome(world, ann, "tea", R"({"op":"join"})"), "ok");
  EXPECT_EQ(outcome(world, ann, "tea", R"({"op":"settings","title":"Mine"})"), "not-authorized");
}

/// Its history is for those who were members, so nobody gets in by founding it anew.
TEST(Groups, APrivateOneThatAllHaveLeftStaysClosed) {
  World world(1, closed());
  auto& ann = enter(world, "ann");
  auto& bob = enter(world, "bob");
  outcome(world, ann, "tea", R"({"op":"create"})");
  say(world, ann, "chat/tea/msg", "among us");
  EXPECT_EQ(outcome(world, ann, "tea", R"({"op":"leave"})"), "ok");
  for (auto* client : {&ann, &bob}) {
    EXPECT_EQ(outcome(world, *client, "tea", R"({"op":"create"})"), "not-authorized");
    EXPECT_EQ(outcome(world, *client, "tea", R"({"op":"join"})"), "not-authorized");
    EXPECT_EQ(follow(world, *client, "chat/tea/msg"), ReasonCode::NotAuthorized);
  }
}

TEST(Groups, AnnounceLetsOnlyModeratorsPost) {
  World world(1, closed());
  auto& ann = enter(world, "ann");
  auto& bob = enter(world, "bob");
  outcome(world, ann, "news", R"({"op":"create","visibility":"public","announce":true})");
  EXPECT_EQ(follow(world, bob, "chat/news/msg"), ReasonCode::GrantedQos1);
  EXPECT_EQ(say(world, bob, "chat/news/msg", "hey").reason(), ReasonCode::NotAuthorized);
  EXPECT_EQ(say(world, ann, "chat/news/msg", "news").reason(), ReasonCode::Success);
  outcome(world, ann, "news", R"({"op":"add","user":"bob","role":"moderator"})");
  EXPECT_EQ(say(world, bob, "chat/news/msg", "more").reason(), ReasonCode::Success);
}

TEST(Groups, ACommandSentTwiceCountsOnce) {
  World world(1, closed());
  auto& ann = enter(world, "ann");
  outcome(world, ann, "tea", R"({"op":"create","id":"c1"})");
  EXPECT_NE(command(world, ann, "tea", R"({"op":"create","id":"c1"})").find("\"dup\":true"), std::string::npos);
  outcome(world, ann, "tea", R"({"op":"add","user":"bob","id":"a1"})");
  outcome(world, ann, "tea", remove("bob"));
  EXPECT_NE(command(world, ann, "tea", R"({"op":"add","user":"bob","id":"a1"})").find("\"dup\":true"),
            std::string::npos);
  EXPECT_EQ(world.store().members("tea").size(), 1U);
  EXPECT_NE(command(world, ann, "tea", R"({"op":"settings","title":""})").find("\"changed\":false"), std::string::npos);
}

TEST(Groups, AnswersGoToTheResponseTopicWithTheCorrelation) {
  World world(1, closed());
  auto& ann = enter(world, "ann");
  follow(world, ann, "answers/ann");
  ann.publish("chat/tea/ctl", kCreate, {.response_topic = "answers/ann", .correlation = "c7"});
  world.settle();
  ASSERT_FALSE(ann.received.empty());
  EXPECT_EQ(ann.received.back().topic, "answers/ann");
  EXPECT_EQ(ann.received.back().correlation, "c7");
  EXPECT_TRUE(ann.received.back().payload.starts_with("{\"ok\":true,\"seq\":1,")) << ann.received.back().payload;
}

TEST(Groups, InfoPagesThroughMembers) {
  World world(1, closed());
  world.store().materialise_only_when_told();
  auto& ann = enter(world, "ann");
  outcome(world, ann, "tea", R"({"op":"create","title":"Tea"})");
  for (int i = 10; i < 20; ++i) outcome(world, ann, "tea", add("u" + std::to_string(i)));
  world.store().materialise();
  world.settle();
  // Behind the store: one more, one less, one with another role.
  outcome(world, ann, "tea", add("u095"));
  outcome(world, ann, "tea", remove("u11"));
  outcome(world, ann, "tea", R"({"op":"role","user":"u12","role":"moderator"})");
  const std::string first = command(world, ann, "tea", R"({"op":"info","limit":4})");
  EXPECT_NE(first.find(R"("title":"Tea")"), std::string::npos) << first;
  EXPECT_NE(first.find(R"("member_count":11)"), std::string::npos) << first;
  EXPECT_NE(
      first.find(
          R"("role":"owner","members":[{"user":"ann","role":"owner","joined":1,"read":1,"delivered":1,"online":true},{"user":"u095",)"),
      std::string::npos)
      << first;
  EXPECT_NE(first.find(R"({"user":"u12","role":"moderator",)"), std::string::npos) << first;
  EXPECT_NE(first.find(R"("next":"u12")"), std::string::npos) << first;
  const std::string second = command(world, ann, "tea", R"({"op":"info","limit":20,"after":"u12"})");
  EXPECT_NE(second.find(R"("members":[{"user":"u13")"), std::string::npos) << second;
  EXPECT_EQ(second.find("\"next\""), std::string::npos) << second;
  const std::string one = command(world, ann, "tea", R"({"op":"info","user":"u11"})");
  EXPECT_NE(one.find(R"("members":[])"), std::string::npos) << one;
}

TEST(Groups, InfoSaysWhereTheReaderBegins) {
  World world(1, closed());
  auto& ann = enter(world, "ann");
  auto& bob = enter(world, "bob");
  outcome(world, ann, "tea", kCreate);
  for (int i = 0; i < 5; ++i) say(world, ann, "chat/tea/msg", "x");
  outcome(world, ann, "tea", add("bob"));
  EXPECT_NE(command(world, ann, "tea", R"({"op":"info"})").find(R"("oldest":1,)"), std::string::npos);
  EXPECT_NE(command(world, bob, "tea", R"({"op":"info"})").find(R"("oldest":7,)"), std::string::npos);
}

TEST(Groups, SurviveARestartWithWhatIsNotMaterialised) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    World world(seed, closed(2));
    world.store().materialise_only_when_told();
    auto& ann = enter(world, "ann");
    outcome(world, ann, "tea", kCreate);
    outcome(world, ann, "tea", add("bob"));
    world.store().materialise();
    outcome(world, ann, "tea", add("cat"));
    outcome(world, ann, "tea", remove("bob"));
    world.crash();
    world.start();
    auto& bob = enter(world, "bob");
    auto& cat = enter(world, "cat");
    EXPECT_EQ(follow(world, bob, "chat/tea/msg"), ReasonCode::NotAuthorized);
    EXPECT_EQ(follow(world, cat, "chat/tea/msg"), ReasonCode::GrantedQos1);
    join(world, "ann");
    follow(world, ann, "client/ann/reply");
    EXPECT_NE(command(world, ann, "tea", R"({"op":"info"})").find(R"("member_count":2)"), std::string::npos);
    EXPECT_EQ(outcome(world, ann, "tea", R"({"op":"leave"})"), "last-owner");
  }
}

TEST(Groups, WhatCouldNotBeStoredHasNotHappened) {
  World world(1, closed());
  auto& ann = enter(world, "ann");
  outcome(world, ann, "tea", kCreate);
  world.store().fail_with(StorageError::DiskFull);
  EXPECT_EQ(outcome(world, ann, "tea", add("bob")), "disk-full");
  EXPECT_EQ(outcome(world, ann, "cups", kCreate), "disk-full");
  world.store().heal();
  world.advance(5s);
  EXPECT_EQ(outcome(world, ann, "tea", remove("bob")), "not-a-member");
  EXPECT_EQ(outcome(world, ann, "tea", add("bob")), "ok");
  EXPECT_EQ(outcome(world, ann, "cups", kCreate), "ok");
}

TEST(Groups, UsersSlotsGetToKnowOfTheirConversations) {
  for (const bool crashes : {false, true}) {
    World world(7, closed(3));
    auto& ann = enter(world, "ann");
    for (const std::string name : {"tea", "milk", "cups"}) {
      outcome(world, ann, name, kCreate);
      outcome(world, ann, name, add("bob"));
    }
    outcome(world, ann, "milk", remove("bob"));
    if (crashes) {
      ann.publish("chat/cups/ctl", remove("bob"));
      for (int i = 0; i < 6; ++i) world.step();
      world.crash();
      world.start();
    }
    world.settle();
    world.advance(31s);
    world.advance(31s);
    std::vector<std::string> names;
    for (const auto& one : world.store().user_conversations("bob")) names.push_back(one.name);
    std::ranges::sort(names);
    std::vector<std::string> wanted{"tea"};
    if (world.store().members("cups").contains("bob")) wanted.insert(wanted.begin(), "cups");
    EXPECT_EQ(names, wanted) << crashes;
    for (std::uint32_t slot = 0; slot < world.options().shard.slots; ++slot) {
      EXPECT_TRUE(world.store().unfed_members(0, Slot{slot}, 10).empty()) << slot;
    }
  }
}

TEST_P(Versions, DirectConversationsBelongToTwo) {
  World world(1, closed(2));
  auto& ann = enter(world, "ann", as());
  auto& bob = enter(world, "bob", as());
  auto& cat = enter(world, "cat", as());
  const auto refused = GetParam() == ProtocolVersion::V5 ? ReasonCode::NotAuthorized : ReasonCode::UnspecifiedError;
  EXPECT_EQ(follow(world, cat, "chat/dm:ann:bob/msg"), refused);
  EXPECT_FALSE(world.store().conversation("dm:ann:bob"));
  EXPECT_EQ(follow(world, bob, "chat/dm:ann/msg"), ReasonCode::GrantedQos1);
  EXPECT_EQ(follow(world, ann, "chat/dm:ann:bob/msg"), ReasonCode::GrantedQos1);
  say(world, ann, "chat/dm:bob/msg", "hello");
  say(world, bob, "chat/dm:ann:bob/msg", "hi");
  EXPECT_EQ(bob.payloads(), (std::vector<std::string>{"hello", "hi"}));
  EXPECT_EQ(bob.received[0].topic, "chat/dm:ann/msg") << "as it was subscribed to";
  EXPECT_EQ(ann.payloads(), (std::vector<std::string>{"hello", "hi"}));
  EXPECT_EQ(ann.received[0].topic, "chat/dm:ann:bob/msg");
  EXPECT_EQ(outcome(world, cat, "dm:ann:bob", R"({"op":"info"})"), "not-authorized");
  EXPECT_EQ(outcome(world, ann, "dm:bob", R"({"op":"leave"})"), "not-for-direct");
  EXPECT_NE(command(world, ann, "dm:bob", R"({"op":"info"})").find(R"("type":"direct")"), std::string::npos);
  for (const std::string name : {"dm:", "dm:ann", "dm:bob:ann", "dm:a:b:c"}) {
    EXPECT_EQ(outcome(world, ann, name, R"({"op":"info"})"), "invalid-topic") << name;
  }
  world.advance(31s);
  for (const std::string user : {"ann", "bob"}) {
    const auto list = world.store().user_conversations(user);
    ASSERT_EQ(list.size(), 1U) << user;
    EXPECT_EQ(list[0].name, "dm:ann:bob");
  }
}

TEST_P(Versions, ASessionGoesOnInADirectConversation) {
  World world(1, closed());
  auto& ann = enter(world, "ann");
  ConnectOptions options = as();
  options.clean_start = false;
  options.expiry = 3600;
  auto& bob = join(world, "bob", options);
  follow(world, bob, "chat/dm:ann/msg");
  bob.drop();
  world.settle();
  say(world, ann, "chat/dm:bob/msg", "while you were away");
  world.crash();
  world.start();
  join(world, "bob", options);
  EXPECT_EQ(bob.payloads(), (std::vector<std::string>{"while you were away"}));
}

}  // namespace
}  // namespace parley::shard
