#include <algorithm>
#include <map>
#include <set>

#include "tests/broker/shard/nodes.hpp"

/// Subscriptions to all conversations of a user: chat/+/msg.
namespace parley::shard {
namespace {

constexpr const char* kInbox = "chat/+/msg";

/// Gives a command and returns the answer; works for a World and for Nodes.
template <class Where>
std::string command(Where& where, simulation::Client& client, const std::string& conversation,
                    const std::string& json) {
  const std::size_t before = client.received.size();
  client.publish("chat/" + conversation + "/ctl", json);
  where.settle();
  for (std::size_t i = client.received.size(); i-- > before;) {
    if (client.received[i].topic.starts_with("client/")) return client.received[i].payload;
  }
  return "";
}

template <class Where>
void create(Where& where, simulation::Client& owner, const std::string& conversation,
            const std::vector<std::string>& members) {
  command(where, owner, conversation, R"({"op":"create"})");
  for (const auto& member : members) {
    command(where, owner, conversation, R"({"op":"add","user":")" + member + R"("})");
  }
}

/// A user's device; the user's name is before the dot.
simulation::Client& device(World& world, const std::string& id, ConnectOptions options = {}) {
  options.user_name = id.substr(0, id.find('.'));
  return join(world, id, options);
}

/// Sends, and answers receipts are shown.
simulation::Client& owner(World& world, const std::string& id) {
  auto& client = device(world, id);
  follow(world, client, "client/" + id + "/reply");
  return client;
}

/// What came on conversations, as `{conversation}:{seq}`, in order.
std::vector<std::string> got(const simulation::Client& client, std::size_t from = 0) {
  std::vector<std::string> list;
  for (std::size_t i = from; i < client.received.size(); ++i) {
    const auto& one = client.received[i];
    if (!one.topic.starts_with("chat/")) continue;
    const auto end = one.topic.find('/', 5);
    list.push_back(one.topic.substr(5, end - 5) + ":" + std::to_string(one.seq()));
  }
  return list;
}

using Strings = std::vector<std::string>;

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

TEST(InboxVersions, ThreeOneOneResumesByACursor) {
  World world{1, dev()};
  auto& ann = owner(world, "ann");
  create(world, ann, "tea", {"bob"});
  ConnectOptions old;
  old.version = ProtocolVersion::V3_1_1;
  auto& bob = device(world, "bob.1", old);
  follow(world, bob, "client/bob.1/reply");
  EXPECT_EQ(follow(world, bob, "chat/+/json"), ReasonCode::GrantedQos1);
  const std::string& told = bob.received.back().payload;
  const auto begin = told.find("\"cursor\":\"") + 10;
  ASSERT_TRUE(told.starts_with(R"({"notice":"cursor","filter":"chat/+/json")")) << told;
  const std::string token = told.substr(begin, told.find('"', begin) - begin);
  say(world, ann, "chat/tea/msg", "one");
  say(world, ann, "chat/tea/msg", "two");
  auto& other = device(world, "bob.2", old);
  EXPECT_EQ(follow(world, other, "$cursor/" + token + "/chat/+/json"), ReasonCode::GrantedQos1);
  EXPECT_EQ(other.received.size(), 2U);
  auto& third = device(world, "bob.3", old);
  EXPECT_EQ(follow(world, third, "$since/tea:3/chat/+/json"), ReasonCode::GrantedQos1);
  EXPECT_EQ(third.received.size(), 1U);
  EXPECT_TRUE(mqtt::is_failure(follow(world, third, "$cursor/x/chat/+/json")));
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

// -- The cursor --

/// The last one that the client was told; empty: none.
std::string token_of(const simulation::Client& client) {
  for (std::size_t i = client.received.size(); i-- > 0;) {
    const auto& one = client.received[i];
    if (one.user("notice") != "cursor") continue;
    const auto begin = one.payload.find("\"cursor\":\"") + 10;
    return one.payload.substr(begin, one.payload.find('"', begin) - begin);
  }
  return "";
}

std::size_t notices(const simulation::Client& client) {
  return static_cast<std::size_t>(
      std::ranges::count_if(client.received, [](const Received& one) { return one.user("notice") == "cursor"; }));
}

class InboxCursors : public Inbox {
 protected:
  simulation::Client& told(const std::string& id, const UserProperties& users = {}) {
    auto& client = device(world_, id);
    follow(world_, client, "client/" + id + "/reply");
    EXPECT_EQ(follow(world_, client, kInbox, {.users = users}), ReasonCode::GrantedQos1);
    return client;
  }
};
INSTANTIATE_TEST_SUITE_P(Shards, InboxCursors, testing::Values(1U, 3U));

TEST_P(InboxCursors, ResumeEverythingWithOnePacket) {
  auto& ann = owner(world_, "ann");
  for (const auto* name : {"tea", "milk", "beer"}) create(world_, ann, name, {"bob"});
  auto& bob = told("bob.1");
  say(world_, ann, "chat/tea/msg", "one");
  world_.advance(11s);
  const std::string token = token_of(bob);
  ASSERT_FALSE(token.empty());
  bob.disconnect();
  say(world_, ann, "chat/tea/msg", "two");
  say(world_, ann, "chat/milk/msg", "three");
  command(world_, ann, "beer", R"({"op":"remove","user":"bob"})");
  create(world_, ann, "wine", {"bob"});
  world_.crash();
  world_.start();
  auto& other = told("bob.2", {{"cursor", token}});
  auto list = got(other);
  std::ranges::sort(list);
  EXPECT_EQ(list, (Strings{"milk:3", "tea:4", "wine:2"}));
  auto& third = device(world_, "bob.3");
  EXPECT_EQ(follow(world_, third, "$cursor/" + token + "/chat/+/msg"), ReasonCode::GrantedQos1);
  EXPECT_EQ(got(third).size(), 3U);
  auto& cat = device(world_, "cat");
  EXPECT_EQ(follow(world_, cat, kInbox, {.users = {{"cursor", token}}}), ReasonCode::ImplementationSpecificError);
  EXPECT_EQ(cat.answer(PacketType::Suback)->user("error"), "invalid-cursor");
}

TEST_P(InboxCursors, AreToldOnceInAWhile) {
  auto& ann = owner(world_, "ann");
  create(world_, ann, "tea", {"bob"});
  auto& bob = told("bob.1");
  EXPECT_EQ(notices(bob), 1U);
  for (int i = 0; i < 20; ++i) say(world_, ann, "chat/tea/msg", "m");
  EXPECT_EQ(notices(bob), 1U);
  world_.advance(11s);
  EXPECT_EQ(notices(bob), 2U);
  world_.advance(60s);
  EXPECT_EQ(notices(bob), 2U) << "nothing has changed";
  auto& late = told("bob.2", {{"last", "10"}});
  EXPECT_EQ(notices(late), 2U) << "where it began, and when it has caught up";
}

TEST_P(InboxCursors, CountOnlyWhatWasAcknowledged) {
  auto& ann = owner(world_, "ann");
  create(world_, ann, "tea", {"bob"});
  auto& bob = told("bob.1");
  bob.acknowledges = false;
  say(world_, ann, "chat/tea/msg", "one");
  say(world_, ann, "chat/tea/msg", "two");
  bob.acknowledges = true;
  bob.acknowledge(bob.received.back());
  world_.advance(11s);
  const std::string token = token_of(bob);
  auto& other = told("bob.2", {{"cursor", token}});
  EXPECT_EQ(got(other), (Strings{"tea:3", "tea:4"}));
}

// -- Batches --

/// A CBOR item as JSON, and what is left.
std::string as_json(std::string_view& bytes) {
  const auto major = static_cast<unsigned char>(bytes[0]) >> 5U;
  std::uint64_t value = static_cast<unsigned char>(bytes[0]) & 31U;
  bytes.remove_prefix(1);
  if (value > 23) {
    std::uint64_t size = 1U << (value - 24);
    value = 0;
    for (; size > 0; --size) {
      value = value << 8U | static_cast<unsigned char>(bytes[0]);
      bytes.remove_prefix(1);
    }
  }
  if (major == 0) return std::to_string(value);
  if (major == 2 || major == 3) {
    const std::string text(bytes.substr(0, value));
    bytes.remove_prefix(value);
    return (major == 2 ? "'" : "\"") + text + (major == 2 ? "'" : "\"");
  }
  std::string out(major == 4 ? "[" : "{");
  for (std::uint64_t i = 0; i < value; ++i) {
    if (i != 0) out.append(",");
    out.append(as_json(bytes));
    if (major == 5) out.append(":").append(as_json(bytes));
  }
  return out.append(major == 4 ? "]" : "}");
}

ConnectOptions with(UserProperties users, ConnectOptions options = {}) {
  options.users = std::move(users);
  return options;
}

TEST(Batches, BringABacklogInOneMessage) {
  World world{1, dev()};
  auto& ann = owner(world, "ann");
  say(world, ann, "chat/tea/msg", "one", {.id = "a-1", .users = {{"thread", "x"}}});
  say(world, ann, "chat/tea/msg", "two");
  say(world, ann, "chat/tea/json", R"({"text":"three"})");
  auto& bob = device(world, "bob", with({{"accept", "batch,something"}, {"meta", "compact"}}));
  EXPECT_EQ(bob.connack()->user("accept"), "batch");
  follow(world, bob, "chat/tea/msg", {.users = since(0)});
  ASSERT_EQ(bob.received.size(), 1U);
  EXPECT_EQ(bob.received[0].user("batch"), "3");
  EXPECT_TRUE(bob.received[0].retain);
  std::string_view bytes = bob.received[0].payload;
  const std::string json = as_json(bytes);
  EXPECT_TRUE(bytes.empty());
  EXPECT_TRUE(json.starts_with("[[1,")) << json;
  EXPECT_NE(json.find(R"(,"ann",'one',{"props":[["thread","x"]]}],[1,)"), std::string::npos) << json;
  EXPECT_NE(json.find(R"(,0,'two'],[1,)"), std::string::npos) << json;
  EXPECT_TRUE(json.ends_with(R"(,0,"three"]])")) << json;
  say(world, ann, "chat/tea/msg", "four");
  ASSERT_EQ(bob.received.size(), 2U);
  EXPECT_EQ(bob.received[1].payload, "four") << "a single one comes as ever";
}

TEST(Batches, AreAcknowledgedAsOne) {
  World world{1, dev()};
  auto& ann = owner(world, "ann");
  auto& bob = device(world, "bob", with({{"accept", "batch"}}, lasting(true)));
  follow(world, bob, "chat/tea/msg");
  bob.disconnect();
  world.settle();
  for (int i = 0; i < 300; ++i) {
    ann.publish("chat/tea/msg", "m");
    if (i % 50 == 49) world.settle();
  }
  bob.acknowledges = false;
  device(world, "bob", with({{"accept", "batch"}}, lasting()));
  ASSERT_EQ(bob.received.size(), 3U);
  EXPECT_EQ(bob.received[0].user("batch"), "128");
  EXPECT_EQ(bob.received[2].user("batch"), "44");
  bob.acknowledges = true;
  bob.acknowledge(bob.received[0]);
  world.settle();
  bob.drop();
  world.advance(2s);
  // What wasn't acknowledged comes again, as it was, also to one that doesn't ask for batches any more.
  device(world, "bob", lasting());
  ASSERT_EQ(bob.received.size(), 5U);
  for (std::size_t i = 3; i < 5; ++i) {
    EXPECT_EQ(bob.received[i].payload, bob.received[i - 2].payload);
    EXPECT_EQ(bob.received[i].packet_id, bob.received[i - 2].packet_id);
    EXPECT_TRUE(bob.received[i].dup);
  }
  bob.disconnect();
  world.settle();
  world.crash();
  world.start();
  device(world, "bob", lasting());
  EXPECT_EQ(bob.received.size(), 5U) << "all of it is acknowledged";
}

TEST(Batches, KeepToWhatTheClientTakes) {
  World world{1, dev()};
  auto& ann = owner(world, "ann");
  for (int i = 0; i < 20; ++i) say(world, ann, "chat/tea/msg", std::string(100, 'x'));
  ConnectOptions small = with({{"accept", "batch,deflate"}});
  small.packet_size_max = 600;
  auto& bob = device(world, "bob", small);
  EXPECT_EQ(bob.connack()->user("accept"), "batch,deflate");
  follow(world, bob, "chat/tea/msg", {.users = since(0)});
  std::size_t entries = 0;
  for (const auto& one : bob.received) {
    EXPECT_LT(one.payload.size(), 500U);
    const auto batch = one.user("batch");
    entries += batch.empty() ? 1 : std::stoul(batch);
  }
  EXPECT_EQ(entries, 20U);
}

// -- Several nodes --

simulation::Client& device(Nodes& nodes, std::size_t at, const std::string& id, ConnectOptions options = {}) {
  options.user_name = id.substr(0, id.find('.'));
  return join(nodes, at, id, options);
}

TEST(InboxAcrossNodes, IsServedByEachOfThem) {
  Nodes nodes(3, dev(2), dev(3));
  auto& ann = device(nodes, 1, "ann");
  follow(nodes, ann, "client/ann/reply");
  create(nodes, ann, "tea", {"bob"});
  auto& bob = device(nodes, 2, "bob.1", lasting(true));
  auto& other = device(nodes, 0, "bob.2");
  EXPECT_EQ(follow(nodes, bob, kInbox), ReasonCode::GrantedQos1);
  EXPECT_EQ(follow(nodes, other, kInbox), ReasonCode::GrantedQos1);
  say(nodes, ann, "chat/tea/msg", "one");
  create(nodes, ann, "milk", {"bob"});
  say(nodes, ann, "chat/milk/msg", "two");
  EXPECT_EQ(got(bob), (Strings{"tea:3", "milk:2", "milk:3"}));
  EXPECT_EQ(got(other), (Strings{"tea:3", "milk:2", "milk:3"}));
  command(nodes, ann, "milk", R"({"op":"remove","user":"bob"})");
  say(nodes, ann, "chat/milk/msg", "three");
  EXPECT_EQ(got(bob).back(), "milk:4");
  EXPECT_EQ(got(other).back(), "milk:4");
}

TEST(InboxAcrossNodes, HearsOfWhatHasChangedWhileTheNodesWereApart) {
  Nodes nodes(2);
  auto& ann = device(nodes, 0, "ann");
  follow(nodes, ann, "client/ann/reply");
  create(nodes, ann, "tea", {"bob"});
  create(nodes, ann, "beer", {"bob"});
  auto& bob = device(nodes, 1, "bob.1");
  EXPECT_EQ(follow(nodes, bob, kInbox), ReasonCode::GrantedQos1);
  nodes.disconnect(0, 1);
  nodes.settle();
  say(nodes, ann, "chat/tea/msg", "one");
  create(nodes, ann, "milk", {"bob"});
  command(nodes, ann, "beer", R"({"op":"remove","user":"bob"})");
  EXPECT_EQ(got(bob), Strings{});
  nodes.connect(0, 1);
  nodes.advance(2s);
  say(nodes, ann, "chat/milk/msg", "two");
  say(nodes, ann, "chat/beer/msg", "three");
  auto list = got(bob);
  std::erase_if(list, [](const std::string& one) { return one.starts_with("beer:3"); });
  std::ranges::sort(list);
  EXPECT_EQ(list, (Strings{"milk:2", "milk:3", "tea:3"}));
}

}  // namespace
}  // namespace parley::shard
