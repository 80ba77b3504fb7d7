#include "broker/shard/presence.hpp"

#include <algorithm>

#include "tests/broker/shard/presence_scene.hpp"

namespace parley::shard {
namespace {

using simulation::WillOptions;

class PresenceVersions : public BothVersions {};
INSTANTIATE_TEST_SUITE_P(Presence, PresenceVersions, testing::Values(ProtocolVersion::V5, ProtocolVersion::V3_1_1));

TEST_P(PresenceVersions, IsSeenByWhoSharesAConversation) {
  World world(1, closed(2));
  auto& ann = enter(world, "ann", as());
  auto& bob = enter(world, "bob", as());
  auto& cat = enter(world, "cat", as());
  create(world, ann, {"bob"});
  world.advance(11s);
  EXPECT_EQ(follow(world, ann, "presence/bob"), ReasonCode::GrantedQos1);
  EXPECT_EQ(follow(world, ann, "presence/ann"), ReasonCode::GrantedQos1) << "oneself";
  EXPECT_EQ(follow(world, cat, "presence/ann"), five() ? ReasonCode::NotAuthorized : ReasonCode::UnspecifiedError);
  EXPECT_EQ(follow(world, ann, "presence/#"),
            five() ? ReasonCode::ImplementationSpecificError : ReasonCode::UnspecifiedError);
  EXPECT_EQ(seen(ann, "bob"), (List{"online/1"}));
  EXPECT_TRUE(ann.received.back().retain);
  EXPECT_TRUE(has(ann.received.back().payload, "\"since\":")) << ann.received.back().payload;
  bob.disconnect();
  world.advance(9s);
  EXPECT_EQ(seen(ann, "bob").size(), 1U) << "within the grace time";
  world.advance(2s);
  EXPECT_EQ(seen(ann, "bob"), (List{"online/1", "offline/0"}));
  EXPECT_FALSE(ann.received.back().retain);
  bob.connect(as());
  world.settle();
  EXPECT_EQ(seen(ann, "bob"), (List{"online/1", "offline/0", "online/1"}));
  EXPECT_TRUE(seen(cat, "ann").empty());
}

TEST(Presence, RetainHandlingSaysWhetherTheStateComesAtOnce) {
  World world(1, closed(2));
  auto& ann = enter(world, "ann");
  auto& bob = enter(world, "bob");
  create(world, ann, {"bob"});
  world.advance(11s);
  for (int i = 0; i < 2; ++i) {  // First nothing is known of bob here, then something is.
    auto& watcher = enter(world, "watcher" + std::to_string(i), {.user_name = "ann"});
    watcher.received.clear();
    follow(world, watcher, "presence/bob", {.retain_handling = 2});
    follow(world, watcher, "presence/bob", {.retain_handling = 1});
    world.advance(2s);
    EXPECT_TRUE(seen(watcher, "bob").empty());
    say(world, bob, "presence/bob", "at lunch" + std::to_string(i));
    world.advance(2s);
    EXPECT_EQ(seen(watcher, "bob"), (List{"online/1 at lunch" + std::to_string(i)}));
    EXPECT_FALSE(watcher.received.back().retain);
    follow(world, watcher, "presence/bob");
    EXPECT_EQ(seen(watcher, "bob").size(), 2U);
  }
}

TEST_P(PresenceVersions, AStatusIsOnesOwn) {
  World world(1, closed(2));
  auto& ann = enter(world, "ann", as());
  auto& bob = enter(world, "bob", as());
  create(world, ann, {"bob"});
  follow(world, ann, "presence/bob");
  world.advance(2s);
  EXPECT_EQ(say(world, bob, "presence/bob", "at lunch").reason(), ReasonCode::Success);
  EXPECT_EQ(seen(ann, "bob").back(), "online/1 at lunch");
  const auto refused = [&](const std::string& topic, const std::string& payload, ReasonCode reason) {
    const auto ack = say(world, bob, topic, payload);
    EXPECT_EQ(ack.reason(), five() ? reason : ReasonCode::Success) << topic;
  };
  refused("presence/ann", "x", ReasonCode::NotAuthorized);
  refused("presence/bob/x", "x", ReasonCode::TopicNameInvalid);
  refused("presence", "x", ReasonCode::TopicNameInvalid);
  refused("presence/bob", std::string(257, 'x'), ReasonCode::QuotaExceeded);
  refused("presence/bob", "\xFF\xFE", ReasonCode::PayloadFormatInvalid);
  world.advance(2s);
  EXPECT_EQ(seen(ann, "bob").back(), "online/1 at lunch");
}

TEST(Presence, DevicesAreCountedAndATakeOverDoesntFlicker) {
  World world(1, closed(2));
  auto& ann = enter(world, "ann");
  auto& bob = enter(world, "bob");
  create(world, ann, {"bob"});
  follow(world, ann, "presence/bob");
  EXPECT_EQ(seen(ann, "bob"), (List{"online/1"}));
  auto& tab = join(world, "tab", {.user_name = "bob"});
  world.advance(2s);
  EXPECT_EQ(seen(ann, "bob").back(), "online/2");
  tab.disconnect();
  world.advance(2s);
  EXPECT_EQ(seen(ann, "bob").back(), "online/1") << "no grace for one of two";
  const std::size_t before = seen(ann, "bob").size();
  for (int i = 0; i < 20; ++i) {
    bob.connect();  // The same client id: the old connection is taken over.
    world.advance(300ms);
  }
  world.advance(20s);
  for (const std::string& one : seen(ann, "bob")) EXPECT_TRUE(one.starts_with("online/")) << one;
  EXPECT_EQ(seen(ann, "bob").size(), before);
}

TEST(Presence, AReconnectWithinTheGraceTimeIsntSeen) {
  World world(1, closed(2));
  auto& ann = enter(world, "ann");
  auto& bob = enter(world, "bob");
  create(world, ann, {"bob"});
  follow(world, ann, "presence/bob");
  for (int i = 0; i < 10; ++i) {
    bob.drop();
    world.advance(9s);
    bob.connect();
    world.advance(2s);
  }
  EXPECT_EQ(seen(ann, "bob"), (List{"online/1"}));
}

TEST(Presence, WhatFollowsWithinASecondCountsAllTheSame) {
  WorldOptions options = closed(2);
  options.shard.presence_grace = 3s;
  World world(1, options);
  auto& ann = enter(world, "ann");
  auto& bob = enter(world, "bob");
  create(world, ann, {"bob"});
  follow(world, ann, "presence/bob");
  world.advance(5s);
  bob.drop();
  world.advance(300ms);
  ConnectOptions last;
  last.will = WillOptions{.topic = "presence/bob", .payload = "lost", .delay = 4};
  last.expiry = 100;
  bob.connect(last);
  world.advance(300ms);
  bob.drop();
  world.advance(3900ms);
  EXPECT_EQ(seen(ann, "bob"), (List{"online/1"})) << "the grace time of the last connection, since it ended";
  world.advance(200ms);
  EXPECT_EQ(seen(ann, "bob"), (List{"online/1", "offline/0 lost"}));
}

TEST(Presence, AWillIsThePartingStatusAndItsDelayTheGrace) {
  World world(1, closed(2));
  auto& ann = enter(world, "ann");
  create(world, ann, {"bob", "cat"});
  follow(world, ann, "presence/bob");
  follow(world, ann, "presence/cat");
  ConnectOptions options = lasting();
  options.will = WillOptions{.topic = "presence/bob", .payload = "gone fishing", .delay = 30};
  auto& bob = join(world, "bob", options);
  ConnectOptions plain;
  plain.will = WillOptions{.topic = "presence/cat", .payload = "lost"};
  auto& cat = join(world, "cat", plain);
  bob.drop();
  cat.drop();
  world.advance(11s);
  EXPECT_EQ(seen(ann, "cat").back(), "offline/0 lost");
  EXPECT_EQ(seen(ann, "bob"), (List{"online/1"}));
  bob.connect(options);
  world.advance(31s);
  EXPECT_EQ(seen(ann, "bob"), (List{"online/1"})) << "it came back";
  bob.drop();
  world.advance(29s);
  EXPECT_EQ(seen(ann, "bob"), (List{"online/1"}));
  world.advance(2s);
  EXPECT_EQ(seen(ann, "bob"), (List{"online/1", "offline/0 gone fishing"}));
  bob.connect(options);
  world.settle();
  bob.disconnect();
  world.advance(11s);
  EXPECT_EQ(seen(ann, "bob").back(), "offline/0") << "that status was for the time before";
}

TEST(Presence, WhoIsStillThereAfterTheBrokersDeathIsNeverShownOffline) {
  World world(1, closed(3));
  auto& ann = join(world, "ann", lasting());
  follow(world, ann, "client/ann/reply");
  auto& bob = enter(world, "bob");
  enter(world, "cat");
  create(world, ann, {"bob", "cat"});
  follow(world, ann, "presence/bob");
  follow(world, ann, "presence/cat");
  world.crash();
  world.start();
  ann.connect(lasting());
  world.advance(5s);
  bob.connect();
  world.advance(20s);
  for (const std::string& one : seen(ann, "bob")) EXPECT_EQ(one, "online/1");
  EXPECT_EQ(seen(ann, "cat").back(), "offline/0") << "once the grace time is over";
}

TEST(Presence, ThousandsThatComeBackAtOnceMakeNoStorm) {
  constexpr int kUsers = 2'000;
  WorldOptions options = closed(2);
  World world(1, options);
  auto& ann = enter(world, "ann");
  command(world, ann, "tea", R"({"op":"create"})");
  std::vector<simulation::Client*> clients;
  for (int i = 0; i < kUsers; ++i) {
    clients.push_back(&world.client("u" + std::to_string(i)));
    clients.back()->connect();
  }
  world.settle();
  for (int i = 0; i < 50; ++i) {
    const std::string user = "u" + std::to_string(i);
    command(world, ann, "tea", R"({"op":"add","user":")" + user + "\"}");
    EXPECT_EQ(follow(world, ann, "presence/" + user), ReasonCode::GrantedQos1);
  }
  world.advance(12s);
  const std::size_t before = ann.received.size();
  for (int round = 0; round < 5; ++round) {
    for (simulation::Client* client : clients) client->drop();
    world.settle();
    for (simulation::Client* client : clients) client->connect();
    world.advance(200ms);
  }
  world.advance(30s);
  EXPECT_EQ(ann.received.size(), before) << "nobody was away for the grace time";
  for (int i = 0; i < 50; ++i) {
    for (const std::string& one : seen(ann, "u" + std::to_string(i))) EXPECT_EQ(one, "online/1");
  }
}

TEST(Presence, InfoSaysWhoIsOnline) {
  World world(1, closed(3));
  auto& ann = enter(world, "ann");
  auto& bob = enter(world, "bob");
  create(world, ann, {"bob", "cat"});
  const std::string info = command(world, ann, "tea", R"({"op":"info"})");
  EXPECT_TRUE(has(info, R"({"user":"bob","role":"member","joined":2,"read":2,"delivered":2,"online":true})")) << info;
  EXPECT_TRUE(has(info, R"({"user":"cat","role":"member","joined":3,"read":3,"delivered":3,"online":false})")) << info;
  EXPECT_TRUE(has(command(world, ann, "dm:bob", R"({"op":"info"})"), "not-authorized")) << "there is none";
  say(world, ann, "chat/dm:bob/msg", "hello");
  const std::string alone = command(world, ann, "dm:bob", R"({"op":"info"})");
  EXPECT_TRUE(has(alone, R"({"user":"ann","role":"member","joined":0,"read":1,"delivered":1,"online":true})")) << alone;
  EXPECT_TRUE(has(alone, R"({"user":"bob","role":"member","joined":0,"read":0,"delivered":0})")) << alone;
  say(world, bob, "chat/dm:ann/msg", "hi");
  const std::string both = command(world, ann, "dm:bob", R"({"op":"info"})");
  EXPECT_TRUE(has(both, R"({"user":"bob","role":"member","joined":0,"read":2,"delivered":2,"online":true})")) << both;
}

/// One of the two begins a direct conversation alone. It is no leave to look at the other.
TEST_P(PresenceVersions, OfWhoTakesNoPartInADirectConversationIsNotSeen) {
  const auto refused = five() ? ReasonCode::NotAuthorized : ReasonCode::UnspecifiedError;
  World world(1, closed(3));
  auto& mal = enter(world, "mal", as());
  auto& vic = enter(world, "vic", as());
  follow(world, mal, "chat/dm:vic/msg");
  EXPECT_EQ(follow(world, mal, "presence/vic"), refused);
  follow(world, mal, "presence/+");
  follow(world, vic, "chat/+/msg");
  say(world, mal, "chat/dm:vic/msg", "hello");
  world.advance(5s);
  EXPECT_EQ(vic.received.back().payload, "hello") << "it has come to vic";
  EXPECT_EQ(follow(world, mal, "presence/vic"), refused);
  EXPECT_TRUE(seen(mal, "vic").empty());
  EXPECT_EQ(seen(mal, "mal"), (List{"online/1"})) << "oneself is seen";
  EXPECT_EQ(follow(world, vic, "presence/mal"), ReasonCode::GrantedQos1) << "who has sent something is seen";
  say(world, vic, "chat/dm:mal/msg", "who are you?");
  world.advance(2s);
  EXPECT_EQ(seen(mal, "vic"), (List{"online/1"})) << "by presence/+, as soon as vic takes part";
  EXPECT_EQ(follow(world, mal, "presence/vic"), ReasonCode::GrantedQos1);
  world.crash();
  world.start();
  world.settle();
  auto& later = enter(world, "mal", as());
  EXPECT_EQ(follow(world, later, "presence/vic"), ReasonCode::GrantedQos1) << "that is in the log";
}

TEST(Presence, IsSeenByWhoseMessageOneHasMarkedAsRead) {
  World world(1, closed(3));
  auto& ann = enter(world, "ann");
  auto& bob = enter(world, "bob");
  say(world, ann, "chat/dm:bob/msg", "hello");
  EXPECT_EQ(follow(world, ann, "presence/+"), ReasonCode::GrantedQos1);
  EXPECT_EQ(follow(world, ann, "presence/bob"), ReasonCode::NotAuthorized);
  world.advance(2s);
  EXPECT_TRUE(seen(ann, "bob").empty());
  EXPECT_EQ(say(world, bob, "chat/dm:ann/read", "1").reason(), ReasonCode::Success);
  world.advance(2s);
  EXPECT_EQ(seen(ann, "bob"), (List{"online/1"}));
  EXPECT_EQ(follow(world, ann, "presence/bob"), ReasonCode::GrantedQos1);
}

TEST(Presence, InfoTellsOnlyMembersWhoIsOnline) {
  World world(1, closed());
  auto& ann = enter(world, "ann");
  command(world, ann, "square", R"({"op":"create","visibility":"public"})");
  EXPECT_TRUE(has(command(world, ann, "square", R"({"op":"info"})"), "\"online\":true"));
  const std::string info = command(world, enter(world, "xen"), "square", R"({"op":"info"})");
  EXPECT_TRUE(has(info, R"("user":"ann")")) << info;
  EXPECT_FALSE(has(info, "online")) << info;
}

TEST(Presence, AConnectionMayBeNoDevice) {
  World world(1, closed());
  auto& ann = enter(world, "ann");
  create(world, ann, {"bob"});
  follow(world, ann, "presence/bob");
  auto& bob = join(world, "bob", {.users = {{"presence", "none"}}});
  world.advance(15s);
  EXPECT_EQ(seen(ann, "bob"), (List{"offline/0"}));
  bob.disconnect();
  world.advance(15s);
  EXPECT_EQ(seen(ann, "bob"), (List{"offline/0"}));
}

TEST(Presence, EndsForBothAsSoonAsNothingIsSharedAnyMore) {
  World world(1, closed(3));
  auto& ann = enter(world, "ann");
  auto& bob = enter(world, "bob");
  create(world, ann, {"bob"});
  follow(world, ann, "presence/bob");
  follow(world, bob, "presence/ann");
  command(world, ann, "tea", R"({"op":"remove","user":"bob"})");
  world.settle();
  const std::size_t before = seen(ann, "bob").size();
  const std::size_t before_too = seen(bob, "ann").size();
  say(world, bob, "presence/bob", "secret");
  say(world, ann, "presence/ann", "secret");
  world.advance(5s);
  EXPECT_EQ(seen(ann, "bob").size(), before) << "who has left is seen no more";
  EXPECT_EQ(seen(bob, "ann").size(), before_too) << "and sees no more";
  EXPECT_EQ(follow(world, ann, "presence/bob"), ReasonCode::NotAuthorized);
  for (auto* client : {&ann, &bob}) {
    client->unsubscribe(client == &ann ? "presence/bob" : "presence/ann");
    world.settle();
    EXPECT_EQ(client->answer(PacketType::Unsuback)->reason(), ReasonCode::NoSubscriptionExisted);
  }
}

TEST(Presence, GoesOnWhileSomethingElseIsShared) {
  World world(1, closed(3));
  auto& ann = enter(world, "ann");
  auto& bob = enter(world, "bob");
  create(world, ann, {"bob"});
  say(world, bob, "chat/dm:ann/msg", "hello");
  follow(world, ann, "presence/bob");
  command(world, ann, "tea", R"({"op":"remove","user":"bob"})");
  world.advance(2s);
  say(world, bob, "presence/bob", "still here");
  world.advance(2s);
  EXPECT_EQ(seen(ann, "bob").back(), "online/1 still here");
}

TEST(Presence, ASubscriptionOutlivesItsConnectionAndIsShownAnew) {
  World world(1, closed(2));
  auto& ann = join(world, "ann", lasting());
  follow(world, ann, "client/ann/reply");
  auto& bob = enter(world, "bob");
  create(world, ann, {"bob"});
  follow(world, ann, "presence/bob");
  ann.drop();
  bob.disconnect();
  world.advance(15s);
  ann.connect(lasting());
  world.settle();
  EXPECT_EQ(seen(ann, "bob"), (List{"online/1", "offline/0"}));
  ann.unsubscribe("presence/bob");
  world.settle();
  EXPECT_EQ(ann.answer(PacketType::Unsuback)->reason(), ReasonCode::Success);
  bob.connect();
  world.advance(2s);
  EXPECT_EQ(seen(ann, "bob").size(), 2U);
}

TEST(Presence, OrdinaryTopicsHaveNothingOfIt) {
  World world(1, dev(2));
  auto& ann = enter(world, "ann");
  EXPECT_EQ(follow(world, ann, "#"), ReasonCode::GrantedQos1);
  say(world, ann, "presence/ann", "here");
  world.advance(2s);
  EXPECT_TRUE(seen(ann, "ann").empty());
}

// -- Quiet mode --

TEST_P(PresenceVersions, AQuietDeviceGetsTheLatestOnceItIsActive) {
  World world(1, closed(2));
  auto& ann = enter(world, "ann", as());
  auto& bob = enter(world, "bob", as());
  create(world, ann, {"bob"});
  for (const char* filter : {"presence/bob", "chat/tea/read", "chat/tea/typing", "chat/tea/msg"}) {
    follow(world, ann, filter);
  }
  world.advance(2s);
  EXPECT_EQ(say(world, ann, "client/ann/mode", "quiet").reason(), ReasonCode::Success);
  const std::size_t before = ann.received.size();
  say(world, bob, "presence/bob", "one");
  world.advance(2s);
  say(world, bob, "presence/bob", "two");
  say(world, bob, "chat/tea/typing", "");
  say(world, bob, "chat/tea/msg", "hello");
  world.advance(3s);
  ASSERT_EQ(ann.received.size(), before + 1);
  EXPECT_EQ(ann.received.back().payload, "hello") << "messages come";
  say(world, ann, "client/ann/mode", "active");
  world.settle();
  EXPECT_EQ(seen(ann, "bob").back(), "online/1 two");
  EXPECT_EQ(std::ranges::count(seen(ann, "bob"), "online/1 one"), 0);
  const auto read = std::ranges::count(ann.received, R"({"user":"bob","read":3,"delivered":3})", &Received::payload);
  EXPECT_EQ(read, 1);
  EXPECT_EQ(std::ranges::count(ann.received, "chat/tea/typing", &Received::topic), 0);
  say(world, bob, "chat/tea/typing", "");
  EXPECT_EQ(std::ranges::count(ann.received, "chat/tea/typing", &Received::topic), 1);
  EXPECT_EQ(say(world, ann, "client/ann/mode", "loud").reason(),
            five() ? ReasonCode::PayloadFormatInvalid : ReasonCode::Success);
  EXPECT_EQ(say(world, ann, "client/bob/mode", "quiet").reason(),
            five() ? ReasonCode::NotAuthorized : ReasonCode::Success);
}

}  // namespace
}  // namespace parley::shard
