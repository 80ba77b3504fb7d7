#include "broker/shard/shard.hpp"
#include "tests/broker/shard/scene.hpp"

/// Several shards in one node behave like one.
namespace parley::shard {
namespace {

TEST(Shards, HandAConnectionOverToTheHomeOfItsClientId) {
  World world(1, dev(4));
  for (int i = 0; i < 20; ++i) {
    auto& client = world.client("client" + std::to_string(i));
    client.connect({.shard = static_cast<ShardId>(i % 4)});
    const auto subscribed = client.subscribe("chat/room/msg");
    world.settle();
    EXPECT_NE(client.answer(PacketType::Suback, subscribed), nullptr) << "what was sent along moves along";
  }
  say(world, world.client("client0"), "chat/room/msg", "x");
  for (int i = 0; i < 20; ++i) EXPECT_EQ(world.client("client" + std::to_string(i)).received.size(), 1U);
}

TEST(Shards, ServeEveryConversationFromEveryShard) {
  World world(1, dev(3));
  std::vector<simulation::Client*> clients;
  for (int i = 0; i < 6; ++i) clients.push_back(&join(world, "client" + std::to_string(i)));
  for (int room = 0; room < 9; ++room) {
    const std::string topic = "chat/room" + std::to_string(room) + "/msg";
    for (auto* client : clients) EXPECT_EQ(follow(world, *client, topic), ReasonCode::GrantedQos1);
    for (auto* client : clients) {
      const auto ack = say(world, *client, topic, "x", {.id = "m"});
      EXPECT_EQ(ack.reason(), ReasonCode::Success);
      EXPECT_EQ(say(world, *client, topic, "x", {.id = "m"}).user("seq"), ack.user("seq"));
    }
    for (auto* client : clients) EXPECT_EQ(client->seqs(topic), range(1, 6));
  }
  EXPECT_TRUE(world.store().violations().empty());
}

TEST(Shards, TellOtherShardsWhatWasRefused) {
  auto options = dev(3);
  World world(1, options);
  for (int i = 0; i < 6; ++i) {
    auto& client = join(world, "client" + std::to_string(i));
    world.store().fail_with(StorageError::DiskFull);
    EXPECT_EQ(say(world, client, "chat/room/msg", "x").user("error"), "disk-full");
    EXPECT_EQ(follow(world, client, "chat/room/msg"), ReasonCode::QuotaExceeded);
    world.store().heal();
  }
}

TEST(Shards, ReadInboundPiecesOfAnySize) {
  auto options = dev(2);
  options.orderly = false;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    World world(seed, options);
    auto& alice = join(world, "alice");
    follow(world, alice, "chat/room/msg");
    for (int i = 0; i < 20; ++i) alice.publish("chat/room/msg", std::string(static_cast<std::size_t>(i * 10), 'x'));
    world.settle();
    EXPECT_EQ(alice.received.size(), 20U);
  }
}

TEST(Shards, CloseOnWhateverBreaksTheProtocol) {
  const std::vector<std::pair<std::string, ReasonCode>> cases{
      {std::string("\xF7\x00", 2), ReasonCode::MalformedPacket},
      {std::string("\x30\x02\x00\x00", 4), ReasonCode::MalformedPacket},
      {std::string("\x20\x03\x00\x00\x00", 5), ReasonCode::ProtocolError},
      {std::string("\x30\xFF\xFF\xFF\x7F", 5), ReasonCode::PacketTooLarge},
  };
  for (const auto& [bytes, reason] : cases) {
    World world(1, dev());
    auto& alice = join(world, "alice");
    alice.send_bytes(bytes);
    world.settle();
    EXPECT_FALSE(alice.connected());
    ASSERT_NE(alice.answer(PacketType::Disconnect), nullptr);
    EXPECT_EQ(alice.answer(PacketType::Disconnect)->reason(), reason);
  }
}

}  // namespace
}  // namespace parley::shard
