#include "broker/shard/dismissal.hpp"

#include "tests/broker/shard/scene.hpp"

namespace parley::shard {
namespace {

std::size_t connected(World& world, std::size_t count) {
  std::size_t here = 0;
  for (std::size_t i = 0; i < count; ++i) here += world.client("guest" + std::to_string(i)).connected() ? 1 : 0;
  return here;
}

struct DismissalTest : testing::Test {
  static WorldOptions options() {
    WorldOptions options = dev(1);
    options.shard.dismissals_per_second = 10;
    return options;
  }
  World world{1, options()};
  Dismissal& dismissal = world.shard(0).dismissal();
};

TEST_F(DismissalTest, SendsClientsAwayAtItsPace) {
  for (int i = 0; i < 20; ++i) join(world, "guest" + std::to_string(i));
  EXPECT_EQ(world.shard(0).connected(), 20U);
  dismissal.refuse_new({"other.example:1883"});
  dismissal.begin();
  world.advance(1s);
  EXPECT_NEAR(static_cast<double>(connected(world, 20)), 10, 2);
  world.advance(2s);
  EXPECT_EQ(connected(world, 20), 0U);
  EXPECT_EQ(world.shard(0).connected(), 0U);
  const auto* goodbye = world.client("guest0").answer(PacketType::Disconnect);
  ASSERT_NE(goodbye, nullptr);
  EXPECT_EQ(goodbye->reason(), ReasonCode::UseAnotherServer);
}

TEST_F(DismissalTest, RefusesNewClientsUntilItEnds) {
  dismissal.refuse_new({});
  auto& late = world.client("late");
  late.connect();
  world.settle();
  ASSERT_NE(late.connack(), nullptr);
  EXPECT_EQ(late.connack()->reason(), ReasonCode::UseAnotherServer);
  dismissal.end();
  join(world, "later");
}

TEST_F(DismissalTest, PublishesNoWill) {
  auto& watcher = join(world, "watcher");
  follow(world, watcher, "wills");
  ConnectOptions options;
  options.will = {.topic = "wills", .payload = "gone", .qos = Qos::AtMostOnce};
  auto& guest = join(world, "guest", options);
  dismissal.begin();
  world.advance(1s);
  EXPECT_FALSE(guest.connected());
  EXPECT_TRUE(watcher.received.empty());
}

}  // namespace
}  // namespace parley::shard
