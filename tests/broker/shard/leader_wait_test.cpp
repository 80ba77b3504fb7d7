#include "broker/shard/leader_wait.hpp"

#include "tests/broker/shard/scene.hpp"

namespace parley::shard {
namespace {

WorldOptions without_leader() {
  WorldOptions options = dev();
  options.shard.founds_slots = false;
  return options;
}

TEST(LeaderWait, KeepsWhatIsSentUntilTheSlotIsLed) {
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

TEST(LeaderWait, RefusesWhenNobodyLeadsForTooLong) {
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

TEST(LeaderWait, RefusesALastingSessionThatNobodyCanKeep) {
  World world(1, without_leader());
  auto& alice = world.client("alice");
  alice.connect(lasting());
  world.advance(3s);
  ASSERT_NE(alice.connack(), nullptr);
  EXPECT_EQ(alice.connack()->reason(), ReasonCode::ServerUnavailable);
}

TEST(LeaderWait, IsBoundedInBytes) {
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

}  // namespace
}  // namespace parley::shard
