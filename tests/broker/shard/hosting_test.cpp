#include "broker/shard/hosting.hpp"

#include "tests/broker/shard/scene.hpp"

namespace parley::shard {
namespace {

TEST(Hosting, AppendsNothingForASecondUseOfAnId) {
  World world(1, dev());
  auto& alice = join(world, "alice");
  const auto first = say(world, alice, "chat/room/msg", "a", {.id = "m1"});
  say(world, alice, "chat/room/msg", "b", {.id = "m2"});
  world.clock().advance(1h);
  const auto again = say(world, alice, "chat/room/msg", "another text", {.id = "m1"});
  EXPECT_EQ(again.user("seq"), first.user("seq"));
  EXPECT_EQ(again.user("ts"), first.user("ts"));
  EXPECT_EQ(again.user("dup"), "1");
  EXPECT_EQ(world.store().history("room").size(), 2U);
}

TEST(Hosting, TellsSendersApart) {
  World world(1, dev());
  auto& alice = join(world, "alice");
  auto& bob = join(world, "bob");
  EXPECT_EQ(say(world, alice, "chat/room/msg", "a", {.id = "m1"}).user("seq"), "1");
  EXPECT_EQ(say(world, bob, "chat/room/msg", "b", {.id = "m1"}).user("seq"), "2");
}

TEST(Hosting, LetsARepeatWaitForItsFirstUse) {
  World world(1, dev());
  auto& alice = join(world, "alice");
  say(world, alice, "chat/room/msg", "there");
  world.store().set_latency(1s);
  const auto first = alice.publish("chat/room/msg", "a", {.id = "m1"});
  const auto second = alice.publish("chat/room/msg", "a", {.id = "m1"});
  world.settle();
  EXPECT_EQ(alice.answer(PacketType::Puback, first)->user("dup"), "");
  EXPECT_EQ(alice.answer(PacketType::Puback, second)->user("dup"), "1");
  EXPECT_EQ(alice.answer(PacketType::Puback, second)->user("seq"), "2");
  EXPECT_EQ(world.store().history("room").size(), 2U);
}

TEST(Hosting, RefusesARepeatTogetherWithItsFirstUse) {
  World world(1, dev());
  auto& alice = join(world, "alice");
  say(world, alice, "chat/room/msg", "there");
  world.store().set_latency(1s);
  world.store().fail_with(StorageError::DiskFull);
  const auto first = alice.publish("chat/room/msg", "a", {.id = "m1"});
  const auto second = alice.publish("chat/room/msg", "a", {.id = "m1"});
  world.settle();
  EXPECT_EQ(alice.answer(PacketType::Puback, first)->user("error"), "disk-full");
  EXPECT_EQ(alice.answer(PacketType::Puback, second)->user("error"), "disk-full");
  world.store().heal();
  EXPECT_EQ(say(world, alice, "chat/room/msg", "a", {.id = "m1"}).user("dup"), "");
}

TEST(Hosting, KnowsIdsWhereverTheyAre) {
  // In memory; in the log's tail after a restart; in the store.
  for (const bool materialised : {false, true}) {
    for (const bool restarted : {false, true}) {
      World world(1, dev());
      world.store().materialise_only_when_told();
      auto& alice = join(world, "alice");
      say(world, alice, "chat/room/msg", "a", {.id = "m1"});
      if (materialised) world.store().materialise();
      world.settle();
      if (restarted) {
        world.crash();
        world.start();
        join(world, "alice");
      }
      EXPECT_EQ(say(world, alice, "chat/room/msg", "a", {.id = "m1"}).user("dup"), "1")
          << "materialised " << materialised << ", restarted " << restarted;
      world.store().materialise();
      world.settle();
      EXPECT_EQ(say(world, alice, "chat/room/msg", "a", {.id = "m1"}).user("dup"), "1");
      EXPECT_EQ(world.store().history("room").size(), 1U);
    }
  }
}

TEST(Hosting, RefusesACommandsIdForAMessageAndTheOtherWayRound) {
  // In memory; in the log's tail after a restart; in the store.
  for (const bool materialised : {false, true}) {
    for (const bool restarted : {false, true}) {
      World world(1, dev());
      world.store().materialise_only_when_told();
      auto& alice = join(world, "alice");
      const std::string create = R"({"op":"create","id":"c1"})";
      say(world, alice, "chat/room/ctl", create);
      say(world, alice, "chat/room/msg", "a", {.id = "m1"});
      if (materialised) world.store().materialise();
      world.settle();
      if (restarted) {
        world.crash();
        world.start();
        join(world, "alice");
      }
      const auto message = say(world, alice, "chat/room/msg", "b", {.id = "c1"});
      EXPECT_EQ(message.user("error"), "invalid-id") << "materialised " << materialised << ", restarted " << restarted;
      EXPECT_EQ(message.reason(), ReasonCode::PayloadFormatInvalid);
      const auto edit = say(world, alice, "chat/room/ctl", R"({"op":"edit","seq":2,"text":"c","id":"m1"})");
      EXPECT_EQ(edit.user("error"), "invalid-id");
      EXPECT_EQ(say(world, alice, "chat/room/ctl", create).user("dup"), "1");
      EXPECT_EQ(say(world, alice, "chat/room/msg", "a", {.id = "m1"}).user("dup"), "1");
      EXPECT_EQ(world.store().history("room").size(), 2U);
    }
  }
}

TEST(Hosting, ForgetsAnIdAfterADayAndAThousandEntries) {
  World world(1, dev());
  auto& alice = join(world, "alice");
  say(world, alice, "chat/room/msg", "a", {.id = "m1"});
  world.store().materialise();
  world.advance(25h);
  EXPECT_EQ(say(world, alice, "chat/room/msg", "a", {.id = "m1"}).user("dup"), "1") << "among the last 1,000";
  for (int i = 0; i < 1000; ++i) alice.publish("chat/room/msg", "filler", {.qos = Qos::AtMostOnce});
  world.settle();
  EXPECT_EQ(say(world, alice, "chat/room/msg", "a", {.id = "m1"}).user("seq"), "1002");
}

TEST(Hosting, GivesSeqsAgainThatNobodySawAndHealsWhenThereIsRoom) {
  World world(1, dev());
  auto& alice = join(world, "alice");
  auto& bob = join(world, "bob");
  follow(world, bob, "chat/room/msg");
  say(world, alice, "chat/room/msg", "one");
  world.store().fail_with(StorageError::DiskFull);
  for (int i = 0; i < 3; ++i) {
    const auto ack = say(world, alice, "chat/room/msg", "refused");
    EXPECT_EQ(ack.reason(), ReasonCode::QuotaExceeded);
    EXPECT_EQ(ack.user("error"), "disk-full");
    EXPECT_EQ(ack.user("retry-after"), "10");
  }
  world.store().heal();
  EXPECT_EQ(say(world, alice, "chat/room/msg", "two").user("seq"), "2");
  EXPECT_EQ(bob.payloads(), (std::vector<std::string>{"one", "two"}));
  EXPECT_TRUE(world.store().violations().empty());
}

TEST(Hosting, RefusesEverythingBehindAFailedBatch) {
  World world(1, dev());
  auto& alice = join(world, "alice");
  say(world, alice, "chat/room/msg", "one");
  world.store().set_latency(100ms);
  world.store().fail_with(StorageError::Failed);
  std::vector<mqtt::PacketId> ids;
  for (int i = 0; i < 5; ++i) {
    ids.push_back(alice.publish("chat/room/msg", "lost"));
    world.step();  // A batch each.
  }
  world.settle();
  for (const auto id : ids) {
    ASSERT_NE(alice.answer(PacketType::Puback, id), nullptr);
    EXPECT_EQ(alice.answer(PacketType::Puback, id)->user("error"), "storage-failed");
  }
  world.store().heal();
  EXPECT_EQ(say(world, alice, "chat/room/msg", "two").user("seq"), "2");
}

TEST(Hosting, RefusesAConversationWhoseCreationFails) {
  World world(1, dev());
  auto& alice = join(world, "alice");
  world.store().fail_with(StorageError::DiskFull);
  EXPECT_EQ(say(world, alice, "chat/room/msg", "x").user("error"), "disk-full");
  EXPECT_EQ(follow(world, alice, "chat/other/msg"), ReasonCode::QuotaExceeded);
  world.store().heal();
  EXPECT_EQ(say(world, alice, "chat/room/msg", "x").user("seq"), "1");
  EXPECT_EQ(follow(world, alice, "chat/other/msg"), ReasonCode::GrantedQos1);
}

TEST(Hosting, RefusesWhatItCantLoadAndTriesAgainLater) {
  World world(1, dev());
  auto& alice = join(world, "alice");
  world.store().fail_reads(true);
  EXPECT_EQ(say(world, alice, "chat/room/msg", "x").user("error"), "storage-failed");
  EXPECT_EQ(follow(world, alice, "chat/room/msg"), ReasonCode::ImplementationSpecificError);
  world.store().fail_reads(false);
  EXPECT_EQ(say(world, alice, "chat/room/msg", "x").user("seq"), "1");
  EXPECT_EQ(follow(world, alice, "chat/room/msg"), ReasonCode::GrantedQos1);
}

TEST(Hosting, IsBusyWhenTooMuchWaitsForTheDisk) {
  auto options = dev();
  options.shard.pending_bytes_max = 2000;
  World world(1, options);
  auto& alice = join(world, "alice");
  say(world, alice, "chat/room/msg", "there");
  world.store().set_latency(1s);
  std::vector<mqtt::PacketId> ids;
  for (int i = 0; i < 10; ++i) ids.push_back(alice.publish("chat/room/msg", std::string(500, 'x')));
  world.settle();
  EXPECT_EQ(alice.answer(PacketType::Puback, ids.front())->reason(), ReasonCode::Success);
  EXPECT_EQ(alice.answer(PacketType::Puback, ids.back())->user("error"), "busy");
  EXPECT_EQ(alice.answer(PacketType::Puback, ids.back())->user("retry-after"), "1");
}

TEST(Hosting, LoadsAConversationAgainAfterItWasForgotten) {
  World world(1, dev());
  auto& alice = join(world, "alice");
  say(world, alice, "chat/room/msg", "one", {.id = "m1"});
  world.store().materialise();
  world.advance(5min);
  const auto reads = world.store().reads();
  EXPECT_EQ(say(world, alice, "chat/room/msg", "two").user("seq"), "2");
  EXPECT_GT(world.store().reads(), reads);
  EXPECT_EQ(say(world, alice, "chat/room/msg", "one", {.id = "m1"}).user("dup"), "1");
}

}  // namespace
}  // namespace parley::shard
