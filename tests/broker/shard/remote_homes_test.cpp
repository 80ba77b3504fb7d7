#include "broker/shard/remote_homes.hpp"

#include "tests/broker/shard/nodes.hpp"
#include "tests/broker/shard/scene.hpp"

namespace parley::shard {
namespace {

WorldOptions without_leader() {
  WorldOptions options = dev();
  options.shard.founds_slots = false;
  return options;
}

TEST(RemoteHomes, KeepsWhatIsSentUntilTheSlotIsLed) {
  World world(1, dev());
  world.store().set_latency(100ms);
  auto& alice = world.client("alice");
  auto& bob = world.client("bob");
  alice.connect();
  bob.connect();
  for (int i = 0; i < 20; ++i) {
    world.step();
    alice.read();
    bob.read();
  }
  ASSERT_NE(alice.connack(), nullptr);
  ASSERT_NE(bob.connack(), nullptr);
  bob.subscribe("chat/room/msg");
  std::vector<mqtt::PacketId> ids;
  for (int i = 0; i < 3; ++i) ids.push_back(alice.publish("chat/room/msg", "m" + std::to_string(i)));
  EXPECT_EQ(world.store().records(), 0U) << "nobody leads yet";
  world.settle();
  for (const auto id : ids) EXPECT_EQ(alice.answer(PacketType::Puback, id)->reason(), ReasonCode::Success);
  EXPECT_EQ(bob.payloads(), (std::vector<std::string>{"m0", "m1", "m2"}));
}

TEST(RemoteHomes, RefusesWhenNobodyLeadsForTooLong) {
  World world(1, without_leader());
  auto& alice = join(world, "alice");
  const auto published = alice.publish("chat/room/msg", "x");
  const auto subscribed = alice.subscribe("chat/room/msg");
  world.advance(1900ms);
  EXPECT_EQ(alice.answer(PacketType::Puback, published), nullptr);
  EXPECT_EQ(alice.answer(PacketType::Suback, subscribed), nullptr);
  world.advance(200ms);
  ASSERT_NE(alice.answer(PacketType::Puback, published), nullptr);
  EXPECT_EQ(alice.answer(PacketType::Puback, published)->reason(), ReasonCode::ImplementationSpecificError);
  EXPECT_EQ(alice.answer(PacketType::Puback, published)->user("error"), "no-majority");
  EXPECT_EQ(alice.answer(PacketType::Puback, published)->user("retry-after"), "2");
  ASSERT_NE(alice.answer(PacketType::Suback, subscribed), nullptr);
  EXPECT_EQ(alice.answer(PacketType::Suback, subscribed)->reason(), ReasonCode::ImplementationSpecificError);
}

TEST(RemoteHomes, RefusesALastingSessionThatNobodyCanKeep) {
  World world(1, without_leader());
  auto& alice = world.client("alice");
  alice.connect(lasting());
  world.advance(3s);
  ASSERT_NE(alice.connack(), nullptr);
  EXPECT_EQ(alice.connack()->reason(), ReasonCode::ServerUnavailable);
}

TEST(RemoteHomes, IsBoundedInBytes) {
  auto options = without_leader();
  options.shard.pending_bytes_max = 4000;
  World world(1, options);
  auto& alice = join(world, "alice");
  std::vector<mqtt::PacketId> ids;
  for (int i = 0; i < 10; ++i) ids.push_back(alice.publish("chat/room/msg", std::string(800, 'x')));
  world.settle();
  ASSERT_EQ(alice.answer(PacketType::Puback, ids.back()), nullptr) << "answers keep their order";
  world.advance(3s);
  EXPECT_EQ(alice.answer(PacketType::Puback, ids.front())->user("error"), "no-majority");
  EXPECT_EQ(alice.answer(PacketType::Puback, ids.back())->user("error"), "busy");
}

// -- Another node leads --

std::vector<std::string> texts(int first, int last) {
  std::vector<std::string> list;
  for (int i = first; i <= last; ++i) list.push_back("m" + std::to_string(i));
  return list;
}

/// m{first} to m{last}, a few at a time, as Receive Maximum wants it.
void say_many(Nodes& nodes, simulation::Client& client, int first, int last) {
  for (const std::string& text : texts(first, last)) {
    client.publish("chat/room/msg", text);
    if (text.ends_with("00")) nodes.settle();
  }
  nodes.settle();
}

TEST(RemoteHomes, ServeAConversationOfAnotherNode) {
  for (const std::uint32_t threads : {1U, 3U}) {
    Nodes nodes(3, dev(2), dev(threads));
    auto& alice = join(nodes, 1, "alice");
    auto& bob = join(nodes, 2, "bob");
    auto& carol = join(nodes, 0, "carol");
    for (auto* client : {&alice, &bob, &carol}) {
      EXPECT_EQ(follow(nodes, *client, "chat/room/msg"), ReasonCode::GrantedQos1);
    }
    EXPECT_EQ(say(nodes, alice, "chat/room/msg", "m1").user("seq"), "1");
    EXPECT_EQ(say(nodes, bob, "chat/room/msg", "m2").user("seq"), "2");
    EXPECT_EQ(say(nodes, carol, "chat/room/msg", "m3").user("seq"), "3");
    for (auto* client : {&alice, &bob, &carol}) EXPECT_EQ(client->payloads(), texts(1, 3));
    EXPECT_EQ(nodes.at(0).store().history("room").size(), 3U);
    EXPECT_TRUE(nodes.at(0).store().violations().empty());
  }
}

TEST(RemoteHomes, FollowAConversationOnceForAllSubscribers) {
  Nodes nodes(2, dev(), dev(4));
  std::vector<simulation::Client*> all;
  for (int i = 0; i < 12; ++i) {
    all.push_back(&join(nodes, 1, "c" + std::to_string(i)));
    follow(nodes, *all.back(), "chat/room/msg");
  }
  const auto before = nodes.delivered(NodeChannel::Entries);
  say(nodes, *all[0], "chat/room/msg", "x");
  EXPECT_EQ(nodes.delivered(NodeChannel::Entries), before + 1);
  for (const auto* client : all) EXPECT_EQ(client->payloads(), std::vector<std::string>{"x"});
}

TEST(RemoteHomes, ReadThePastFromTheLeader) {
  Nodes nodes(2);
  auto& alice = join(nodes, 0, "alice");
  say_many(nodes, alice, 1, 400);
  auto& bob = join(nodes, 1, "bob");
  EXPECT_EQ(follow(nodes, bob, "chat/room/msg", {.users = since(0)}), ReasonCode::GrantedQos1);
  EXPECT_EQ(bob.payloads(), texts(1, 400));
}

TEST(RemoteHomes, RecogniseARepeatWhereverItIsSent) {
  Nodes nodes(2);
  auto& alice = join(nodes, 1, "alice");
  const auto first = say(nodes, alice, "chat/room/msg", "a", {.id = "i1"});
  EXPECT_EQ(first.user("dup"), "");
  const auto again = say(nodes, alice, "chat/room/msg", "a", {.id = "i1"});
  EXPECT_EQ(again.user("seq"), first.user("seq"));
  EXPECT_EQ(again.user("dup"), "1");
}

TEST(RemoteHomes, TellWhatTheLeaderRefuses) {
  auto strict = dev();
  strict.shard.auto_create = false;
  Nodes nodes(2, strict);
  auto& alice = join(nodes, 1, "alice");
  EXPECT_EQ(say(nodes, alice, "chat/room/msg", "a").user("error"), "not-authorized");
  EXPECT_EQ(follow(nodes, alice, "chat/room/msg"), ReasonCode::NotAuthorized);
}

/// Whatever is on its way when the connection breaks: all that was acknowledged is there once, in order, and a
/// subscriber sees everything once.
TEST(RemoteHomes, SendAgainWhatAConnectionHasLost) {
  for (int broken_at = 0; broken_at < 12; ++broken_at) {
    Nodes nodes(2);
    nodes.at(0).store().set_latency(Duration::zero());
    auto& alice = join(nodes, 1, "alice");
    auto& bob = join(nodes, 1, "bob");
    follow(nodes, bob, "chat/room/msg");
    std::vector<mqtt::PacketId> ids;
    for (int i = 1; i <= 12; ++i) {
      ids.push_back(alice.publish("chat/room/msg", "m" + std::to_string(i)));
      nodes.step();
      if (i == broken_at) nodes.disconnect(0, 1);
      if (i == broken_at + 3) nodes.connect(0, 1);
    }
    nodes.connect(0, 1);
    nodes.advance(1s);
    for (const auto id : ids) {
      const auto* ack = alice.answer(PacketType::Puback, id);
      ASSERT_NE(ack, nullptr) << broken_at;
      EXPECT_EQ(ack->reason(), ReasonCode::Success) << broken_at;
      EXPECT_EQ(ack->user("dup"), "") << broken_at;
    }
    EXPECT_EQ(bob.payloads(), texts(1, 12)) << broken_at;
    EXPECT_EQ(nodes.at(0).store().history("room").size(), 12U) << broken_at;
    EXPECT_TRUE(nodes.at(0).store().violations().empty());
  }
}

TEST(RemoteHomes, RefuseWhenTheLeaderIsGoneAndGoOnWhenItIsBack) {
  Nodes nodes(2);
  auto& alice = join(nodes, 1, "alice");
  auto& bob = join(nodes, 1, "bob");
  follow(nodes, bob, "chat/room/msg");
  say(nodes, alice, "chat/room/msg", "m1");
  nodes.disconnect(0, 1);
  const auto lost = alice.publish("chat/room/msg", "lost");
  nodes.advance(1500ms);
  EXPECT_EQ(alice.answer(PacketType::Puback, lost), nullptr);
  nodes.advance(1s);
  ASSERT_NE(alice.answer(PacketType::Puback, lost), nullptr);
  EXPECT_EQ(alice.answer(PacketType::Puback, lost)->user("error"), "no-majority");
  const auto subscribed = alice.subscribe("chat/unknown/msg");
  nodes.advance(3s);
  ASSERT_NE(alice.answer(PacketType::Suback, subscribed), nullptr);
  EXPECT_EQ(alice.answer(PacketType::Suback, subscribed)->user("error"), "no-majority");
  // What others say meanwhile is read when the leader is back.
  auto& carol = join(nodes, 0, "carol");
  say_many(nodes, carol, 2, 300);
  nodes.connect(0, 1);
  nodes.advance(500ms);
  EXPECT_EQ(bob.payloads(), texts(1, 300));
  EXPECT_EQ(say(nodes, alice, "chat/room/msg", "m301").user("seq"), "301");
}

TEST(RemoteHomes, WaitForRoomInAFullChannel) {
  Nodes nodes(2);
  auto& alice = join(nodes, 1, "alice");
  auto& bob = join(nodes, 1, "bob");
  auto& carol = join(nodes, 0, "carol");
  follow(nodes, bob, "chat/room/msg");
  // Entries: the stream stops, and the subscriber reads what it has missed.
  nodes.block(0, NodeChannel::Entries);
  say_many(nodes, carol, 1, 300);
  EXPECT_TRUE(bob.payloads().empty());
  nodes.open(0, NodeChannel::Entries);
  nodes.settle();
  EXPECT_EQ(bob.payloads(), texts(1, 300));
  // Proposals: they wait in order, and what the leader answers does, too.
  for (const std::size_t full : {1U, 0U}) {
    nodes.block(full, NodeChannel::Proposals);
    std::vector<mqtt::PacketId> ids;
    for (int i = 0; i < 5; ++i) ids.push_back(alice.publish("chat/room/msg", "p"));
    nodes.settle();
    EXPECT_EQ(alice.answer(PacketType::Puback, ids[0]), nullptr);
    nodes.open(full, NodeChannel::Proposals);
    nodes.settle();
    for (const auto id : ids) EXPECT_NE(alice.answer(PacketType::Puback, id), nullptr);
  }
  // Pages, on either side.
  for (const std::size_t full : {1U, 0U}) {
    auto& dave = join(nodes, 1, "dave" + std::to_string(full));
    nodes.block(full, NodeChannel::Pages);
    follow(nodes, dave, "chat/room/msg", {.users = since(0)});
    nodes.open(full, NodeChannel::Pages);
    nodes.advance(1s);
    EXPECT_GE(dave.received.size(), 305U);
  }
}

TEST(RemoteHomes, AreBoundedInBytes) {
  auto options = dev();
  options.shard.pending_bytes_max = 4000;
  Nodes nodes(2, dev(), options);
  auto& alice = join(nodes, 1, "alice");
  nodes.block(1, NodeChannel::Proposals);
  std::vector<mqtt::PacketId> ids;
  for (int i = 0; i < 10; ++i) ids.push_back(alice.publish("chat/room/msg", std::string(800, 'x')));
  nodes.settle();
  nodes.open(1, NodeChannel::Proposals);
  nodes.settle();
  EXPECT_EQ(alice.answer(PacketType::Puback, ids.front())->reason(), ReasonCode::Success);
  EXPECT_EQ(alice.answer(PacketType::Puback, ids.back())->user("error"), "busy");
  // As where the leader is; with `busy` it would come again and again.
  EXPECT_EQ(say(nodes, alice, "chat/room/msg", std::string(5000, 'x')).reason(), ReasonCode::Success);
}

/// One that waits keeps nothing of those that came after it and have been answered.
TEST(RemoteHomes, ForgetWhatIsAnsweredBehindWhatWaits) {
  Nodes nodes(2);
  auto& alice = join(nodes, 1, "alice");
  auto& bob = join(nodes, 1, "bob");
  say(nodes, bob, "chat/room/msg", "m1");
  nodes.lose_next(0, NodeChannel::Proposals);
  const auto waits = alice.publish("chat/room/msg", "m2", {.id = "of-alice"});
  nodes.settle();
  ASSERT_EQ(alice.answer(PacketType::Puback, waits), nullptr);
  say_many(nodes, bob, 3, 1000);
  auto& shard = nodes.at(1).shard(0);
  const auto& homes = shard.remote_homes();
  EXPECT_FALSE(homes.empty());
  const Slot slot = slot_of_name("room", shard.options());
  EXPECT_LT(homes.kept(slot), 300U);
  EXPECT_EQ(bob.answers.size(), 1000U) << "CONNACK is one of them";
  nodes.reconnect(0, 1);
  nodes.settle();
  ASSERT_NE(alice.answer(PacketType::Puback, waits), nullptr) << "it is asked anew";
  EXPECT_EQ(alice.answer(PacketType::Puback, waits)->user("seq"), "2");
  EXPECT_TRUE(homes.empty());
  EXPECT_EQ(homes.kept(slot), 0U);
  say(nodes, bob, "chat/room/msg", "m1001");
  EXPECT_EQ(nodes.at(0).store().history("room").size(), 1001U) << "none was sent twice";
}

/// Whoever hears a refusal may let go of the conversation, and so of all that there is of its slot.
TEST(RemoteHomes, RefuseWhatTheNextLeaderDoesNotKnow) {
  Nodes nodes(2);
  auto& alice = join(nodes, 1, "alice");
  nodes.block(1, NodeChannel::Proposals);
  const auto subscribed = alice.subscribe("$share/g/chat/room/msg");
  nodes.settle();
  EXPECT_EQ(alice.answer(PacketType::Suback, subscribed), nullptr);
  nodes.disconnect(0, 1);
  nodes.settle();
  nodes.speak(0, kWillsVersion);
  nodes.connect(0, 1);
  nodes.settle();
  ASSERT_NE(alice.answer(PacketType::Suback, subscribed), nullptr);
  EXPECT_EQ(alice.answer(PacketType::Suback, subscribed)->user("error"), "unsupported");
  nodes.open(1, NodeChannel::Proposals);
  EXPECT_EQ(follow(nodes, alice, "chat/room/msg"), ReasonCode::GrantedQos1);
  EXPECT_EQ(say(nodes, alice, "chat/room/msg", "x").reason(), ReasonCode::Success);
  EXPECT_EQ(alice.payloads(), std::vector<std::string>{"x"});
}

TEST(RemoteHomes, ForgetWhatNobodyFollows) {
  Nodes nodes(2);
  auto& alice = join(nodes, 0, "alice");
  auto& bob = join(nodes, 1, "bob");
  follow(nodes, bob, "chat/room/msg");
  bob.unsubscribe("chat/room/msg");
  nodes.settle();
  const auto before = nodes.delivered(NodeChannel::Entries);
  say(nodes, alice, "chat/room/msg", "x");
  EXPECT_EQ(nodes.delivered(NodeChannel::Entries), before);
  follow(nodes, bob, "chat/room/msg");
  say(nodes, alice, "chat/room/msg", "y");
  EXPECT_EQ(bob.payloads(), std::vector<std::string>{"y"});
}

TEST(RemoteHomes, PassOverWhatTheyCantRead) {
  Nodes nodes(2);
  auto& alice = join(nodes, 1, "alice");
  for (const std::string& bytes :
       {std::string(), std::string("\x01"), std::string("\x07\x01"), std::string("\x01\x10\x01")}) {
    nodes.at(1).shard(0).node_message(NodeId{1}, NodeChannel::Entries, bytes);
  }
  EXPECT_EQ(say(nodes, alice, "chat/room/msg", "x").reason(), ReasonCode::Success);
}

}  // namespace
}  // namespace parley::shard
