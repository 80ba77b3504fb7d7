#include <utility>

#include "tests/broker/shard/nodes.hpp"

/// No Local on conversations: what a client id has published isn't sent to it. MQTT 5 §3.8.3.1 [MQTT-3.8.3-3]
namespace parley::shard {
namespace {

constexpr const char* kTopic = "chat/room/msg";
constexpr const char* kInbox = "chat/+/msg";
using Texts = std::vector<std::string>;

ConnectOptions as(const std::string& user, ConnectOptions options = {}) {
  options.user_name = user;
  return options;
}

/// Direct conversations are in the inbox of both.
constexpr const char* kDirect = "chat/dm:ann:bob/msg";

/// Of all that came, in either form.
std::vector<std::uint64_t> seqs(const simulation::Client& client) {
  constexpr std::string_view kBegin = R"({"seq":)";
  std::vector<std::uint64_t> list;
  for (const Received& one : client.received) {
    const bool json = one.payload.starts_with(kBegin);
    list.push_back(json ? std::stoull(one.payload.substr(kBegin.size())) : one.seq());
  }
  return list;
}

class NoLocal : public testing::TestWithParam<std::uint32_t> {
 protected:
  World world{1, dev(GetParam())};
};
INSTANTIATE_TEST_SUITE_P(Shards, NoLocal, testing::Values(1U, 3U));

TEST_P(NoLocal, SparesThePublisherOfAMessage) {
  for (const bool json : {false, true}) {
    World own{1, dev(GetParam())};
    const std::string topic = json ? "chat/room/json" : kTopic;
    auto& phone = join(own, "phone", as("ann"));
    auto& laptop = join(own, "laptop", as("ann"));
    auto& bob = join(own, "bob");
    for (auto* one : {&phone, &laptop, &bob}) follow(own, *one, topic, {.no_local = true});
    EXPECT_EQ(say(own, phone, kTopic, "one").reason(), ReasonCode::Success);
    say(own, phone, "chat/room/json", R"({"text":"two"})");
    say(own, bob, kTopic, "three");
    say(own, laptop, kTopic, "four", {.qos = Qos::ExactlyOnce});
    EXPECT_EQ(seqs(phone), range(3, 4));
    EXPECT_EQ(seqs(laptop), range(1, 3)) << "another client of the same user gets them";
    EXPECT_EQ(seqs(bob), (std::vector<std::uint64_t>{1, 2, 4}));
  }
}

TEST_P(NoLocal, SparesItInReplaysToo) {
  auto& ann = join(world, "ann");
  auto& bob = join(world, "bob");
  // More than what a feed keeps in memory.
  for (int i = 1; i <= 600; ++i) {
    say(world, i % 3 == 0 ? bob : ann, kTopic, "x");
    if (i != 300) continue;
    ann.disconnect();
    join(world, "ann");
  }
  std::vector<std::uint64_t> others;
  for (std::uint64_t seq = 3; seq <= 600; seq += 3) others.push_back(seq);
  follow(world, ann, kTopic, {.no_local = true, .users = since(0)});
  EXPECT_EQ(ann.seqs(kTopic), others);
  EXPECT_TRUE(ann.received.back().retain);
  ann.received.clear();
  follow(world, ann, kTopic, {.no_local = true, .users = {{"last", "10"}}});
  EXPECT_EQ(ann.seqs(kTopic), (std::vector<std::uint64_t>{591, 594, 597, 600})) << "of the last ten";
  ann.received.clear();
  follow(world, ann, kTopic, {.users = {{"last", "3"}}});
  EXPECT_EQ(ann.seqs(kTopic), range(598, 600)) << "without it";
}

/// Its entries are done, as if they were acknowledged.
TEST_P(NoLocal, SparesItInAResumedSession) {
  auto& ann = join(world, "ann", lasting(true));
  auto& bob = join(world, "bob");
  follow(world, ann, kTopic, {.no_local = true});
  say(world, bob, kTopic, "1");
  say(world, ann, kTopic, "mine");
  say(world, bob, kTopic, "3");
  ann.publish(kTopic, "mine");
  ann.disconnect();
  world.settle();
  say(world, bob, kTopic, "5");
  join(world, "ann", lasting());
  EXPECT_EQ(ann.seqs(kTopic), (std::vector<std::uint64_t>{1, 3, 5}));
  say(world, ann, kTopic, "mine");
  world.advance(2s);
  for (const bool crashes : {false, true}) {
    ann.drop();
    world.settle();
    if (crashes) {
      world.crash();
      world.start();
    }
    join(world, "ann", lasting());
    EXPECT_EQ(ann.seqs(kTopic), (std::vector<std::uint64_t>{1, 3, 5})) << crashes;
  }
  say(world, join(world, "bob"), kTopic, "7");
  EXPECT_EQ(ann.seqs(kTopic).back(), 7U);
}

TEST_P(NoLocal, SparesAClientItsOwnWill) {
  ConnectOptions options;
  options.will = simulation::WillOptions{.topic = kTopic, .payload = "gone"};
  join(world, "ann", options).drop();
  world.settle();
  auto& ann = join(world, "ann");
  follow(world, ann, kTopic, {.no_local = true, .users = since(0)});
  EXPECT_TRUE(ann.received.empty());
  auto& bob = join(world, "bob");
  follow(world, bob, kTopic, {.no_local = true, .users = since(0)});
  EXPECT_EQ(bob.payloads(), Texts{"gone"});
}

TEST_P(NoLocal, HoldsForTheInbox) {
  auto& ann = join(world, "ann", lasting(true));
  auto& bob = join(world, "bob");
  follow(world, ann, kInbox, {.no_local = true});
  say(world, bob, kDirect, "his");
  say(world, ann, kDirect, "mine");
  EXPECT_EQ(ann.payloads(), Texts{"his"});
  ann.publish(kDirect, "mine");
  ann.drop();
  world.advance(2s);
  say(world, bob, kDirect, "his, too");
  world.crash();
  world.start();
  join(world, "ann", lasting());
  EXPECT_EQ(ann.payloads(), (Texts{"his", "his, too"}));
  EXPECT_EQ(follow(world, ann, kInbox), ReasonCode::GrantedQos1);
  say(world, ann, kDirect, "mine, wanted now");
  EXPECT_EQ(ann.payloads().back(), "mine, wanted now");
}

/// [MQTT-3.8.3-3], [MQTT-3.3.4-2], [MQTT-3.3.4-3]
TEST_P(NoLocal, AddsNothingToTheCopyOfAnotherSubscription) {
  for (const bool inbox_spares : {false, true}) {
    World own{1, dev(GetParam())};
    auto& ann = join(own, "ann");
    auto& bob = join(own, "bob");
    say(own, bob, kDirect, "first");
    const SubscribeOptions spares{.qos = Qos::AtLeastOnce, .no_local = true, .subscription_id = 1};
    const SubscribeOptions other{.qos = Qos::AtMostOnce, .subscription_id = 2};
    follow(own, ann, kInbox, inbox_spares ? spares : other);
    follow(own, ann, kDirect, inbox_spares ? other : spares);
    say(own, ann, kDirect, "mine");
    ASSERT_EQ(ann.payloads(), Texts{"mine"}) << inbox_spares;
    EXPECT_EQ(ann.received[0].qos, Qos::AtMostOnce);
    EXPECT_EQ(ann.received[0].subscription_ids, std::vector<std::uint32_t>{2});
    say(own, bob, kDirect, "his");
    ASSERT_EQ(ann.received.size(), 2U);
    EXPECT_EQ(ann.received[1].qos, Qos::AtLeastOnce);
    EXPECT_EQ(ann.received[1].subscription_ids.size(), 2U);
    // Alone it spares all.
    ann.unsubscribe(inbox_spares ? kDirect : kInbox);
    own.settle();
    say(own, ann, kDirect, "mine");
    EXPECT_EQ(ann.received.size(), 2U);
    follow(own, ann, inbox_spares ? kDirect : kInbox, {.no_local = true, .subscription_id = 2});
    say(own, ann, kDirect, "mine");
    EXPECT_EQ(ann.received.size(), 2U) << "both have it";
  }
}

TEST_P(NoLocal, GoesWithTheOptionsThatThereAre) {
  auto& ann = join(world, "ann", lasting(true));
  follow(world, ann, kTopic, {.no_local = true});
  say(world, ann, kTopic, "1");
  follow(world, ann, kTopic);
  ann.acknowledges = false;
  say(world, ann, kTopic, "2");
  EXPECT_EQ(ann.payloads(), Texts{"2"});
  // What is under way is sent again. [MQTT-4.4.0-1]
  follow(world, ann, kTopic, {.no_local = true});
  say(world, ann, kTopic, "3");
  ann.drop();
  world.settle();
  ann.acknowledges = true;
  join(world, "ann", lasting());
  ASSERT_EQ(ann.payloads(), (Texts{"2", "2"}));
  EXPECT_TRUE(ann.received[1].dup);
  say(world, join(world, "bob"), kTopic, "4");
  EXPECT_EQ(ann.payloads(), (Texts{"2", "2", "4"}));
}

TEST_P(NoLocal, LeavesOwnMessagesOutOfBatches) {
  auto& ann = join(world, "ann");
  auto& bob = join(world, "bob");
  for (int i = 1; i <= 12; ++i) say(world, i % 4 == 0 ? ann : bob, kTopic, std::to_string(i));
  ann.disconnect();
  world.settle();
  ConnectOptions options = lasting(true);
  options.users = {{"accept", "batch"}};
  ann.acknowledges = false;
  join(world, "ann", options);
  follow(world, ann, kTopic, {.no_local = true, .users = since(0)});
  for (int round = 1; round <= 2; ++round) {
    ASSERT_EQ(ann.received.size(), 3U) << round;
    for (const Received& one : ann.received) {
      EXPECT_EQ(one.user("batch"), "3");
      EXPECT_EQ(one.dup, round == 2);
    }
    ann.received.clear();
    ann.drop();
    world.settle();
    options.clean_start = false;
    join(world, "ann", options);
  }
}

/// What a command makes is the server's own; the message that an edit has changed is still its publisher's.
TEST_P(NoLocal, SparesMessagesAlone) {
  auto& ann = join(world, "ann");
  follow(world, ann, kTopic, {.no_local = true});
  say(world, ann, kTopic, "helo");
  say(world, ann, "chat/room/ctl", R"({"op":"edit","seq":1,"text":"hello"})");
  say(world, ann, "chat/room/ctl", R"({"op":"join"})");
  say(world, ann, kTopic, "gone");
  say(world, ann, "chat/room/ctl", R"({"op":"redact","seq":4})");
  EXPECT_EQ(ann.seqs(kTopic), (std::vector<std::uint64_t>{2, 3, 5}));
  for (const bool restarted : {false, true}) {
    if (restarted) {
      world.store().materialise();
      world.crash();
      world.start();
      join(world, "ann");
    }
    ann.received.clear();
    follow(world, ann, kTopic, {.no_local = true, .users = since(0)});
    EXPECT_EQ(ann.seqs(kTopic), (std::vector<std::uint64_t>{2, 3, 5})) << restarted;
    ann.received.clear();
    follow(world, ann, "client/ann/reply");
    say(world, ann, "chat/room/history", "");
    EXPECT_EQ(ann.seqs("client/ann/reply"), range(1, 5)) << "a page has all";
  }
}

// -- Across nodes --

/// Of the conversation's records at the first node, which leads it.
std::vector<bool> named(Nodes& nodes) {
  std::vector<bool> named;
  for (const auto& entry : nodes.at(0).store().history("room")) named.push_back((*entry)->publisher != 0);
  return named;
}

void meet(Nodes& nodes, std::size_t node, std::uint16_t version) {
  for (std::size_t other = 0; other < 3; ++other) {
    if (other != node) nodes.disconnect(other, node);
  }
  nodes.advance(3s);
  nodes.speak(node, version);
  for (std::size_t other = 0; other < 3; ++other) {
    if (other != node) nodes.connect(other, node);
  }
  nodes.advance(1s);
}

TEST(NoLocalAcrossNodes, SparesAPublisherAtAnyNode) {
  Nodes nodes(3, dev(2), dev(2));
  for (std::size_t at = 0; at < 3; ++at) {
    auto& ann = join(nodes, at, "ann");
    follow(nodes, ann, kTopic, {.no_local = true});
    say(nodes, ann, kTopic, "mine");
    say(nodes, join(nodes, (at + 1) % 3, "bob"), kTopic, "his");
    EXPECT_EQ(ann.payloads(), Texts{"his"}) << at;
    ann.disconnect();
    nodes.settle();
  }
  // Said at one node, read at another.
  for (std::size_t at = 0; at < 3; ++at) {
    auto& ann = join(nodes, at, "ann");
    ann.received.clear();
    follow(nodes, ann, kTopic, {.no_local = true, .users = since(0)});
    EXPECT_EQ(ann.payloads(), (Texts{"his", "his", "his"})) << at;
    ann.disconnect();
    nodes.settle();
  }
}

/// A node that doesn't know the field isn't told of it, and nobody writes what it couldn't read.
TEST(NoLocalAcrossNodes, WaitsForNodesOfEarlierVersions) {
  for (const std::size_t old : {std::size_t{0}, std::size_t{1}, std::size_t{2}}) {
    Nodes nodes(3, dev(2), dev(2));
    auto& ann = join(nodes, 1, "ann");
    follow(nodes, ann, kTopic, {.no_local = true});
    meet(nodes, old, 2);
    say(nodes, ann, kTopic, "mine, unknown");
    EXPECT_EQ(ann.payloads(), Texts{"mine, unknown"}) << old;
    EXPECT_EQ(named(nodes), std::vector{false});
    for (const auto& entry : nodes.at(0).store().history("room")) EXPECT_EQ(entry->bytes()[4], 1) << "the version";
    meet(nodes, old, kPublisherVersion);
    say(nodes, ann, kTopic, "mine");
    EXPECT_EQ(ann.payloads(), Texts{"mine, unknown"}) << old;
    EXPECT_EQ(named(nodes), (std::vector{false, true}));
  }
}

/// A proposal that finds another leader than it was made for.
TEST(NoLocalAcrossNodes, KeepsThePublisherWhileAMessageWaits) {
  Nodes nodes(2, dev(2), dev(2));
  auto& ann = join(nodes, 1, "ann");
  follow(nodes, ann, kTopic, {.no_local = true});
  say(nodes, ann, kTopic, "mine");
  nodes.disconnect(0, 1);
  nodes.settle();
  ann.publish(kTopic, "mine, too");
  nodes.settle();
  nodes.connect(0, 1);
  nodes.advance(1s);
  EXPECT_EQ(named(nodes), (std::vector{true, true}));
  EXPECT_TRUE(ann.received.empty());
}

}  // namespace
}  // namespace parley::shard
