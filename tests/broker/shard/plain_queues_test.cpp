#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "tests/broker/shard/scene.hpp"

/// Ordinary messages for sessions that outlive their connection: over crashes, full disks and changes of threads.
namespace parley::shard {
namespace {

class PlainQueuesTest : public testing::TestWithParam<std::uint32_t> {
 protected:
  World world{1, dev(GetParam())};

  simulation::Client& away(const std::string& id, Qos qos) {
    auto& client = join(world, id, lasting());
    follow(world, client, "a", {.qos = qos});
    client.disconnect();
    world.settle();
    return client;
  }
  void restart() {
    world.crash();
    world.start();
  }
  std::vector<std::string> payloads(const simulation::Client& client) {
    std::vector<std::string> list;
    for (const auto& one : client.received) list.push_back(one.payload);
    return list;
  }
};
INSTANTIATE_TEST_SUITE_P(Shards, PlainQueuesTest, testing::Values(1U, 2U, 5U), testing::PrintToStringParamName());

TEST_P(PlainQueuesTest, OutliveACrashOnceAcknowledged) {
  auto& bob = away("bob", Qos::AtLeastOnce);
  auto& carol = away("carol", Qos::ExactlyOnce);
  auto& alice = join(world, "alice");
  std::vector<std::string> sent;
  for (int i = 0; i < 10; ++i) {
    sent.push_back("m" + std::to_string(i));
    say(world, alice, "a", sent.back(), {.qos = i % 2 == 0 ? Qos::ExactlyOnce : Qos::AtLeastOnce});
  }
  restart();
  for (auto* client : {&bob, &carol}) {
    join(world, client->id(), lasting());
    EXPECT_EQ(payloads(*client), sent) << client->id();
  }
}

/// At QoS 2 a message waits for its packet id to be stored, and those at QoS 1 behind it with it.
TEST_P(PlainQueuesTest, KeepTheOrderOfMessagesWhateverTheirQos) {
  auto& bob = join(world, "bob", lasting());
  follow(world, bob, "a", {.qos = Qos::ExactlyOnce});
  auto& alice = join(world, "alice");
  std::vector<std::string> sent;
  const auto send = [&](int count) {
    for (int i = 0; i < count; ++i) {
      sent.push_back("m" + std::to_string(sent.size()));
      alice.publish("a", sent.back(), {.qos = i % 3 == 0 ? Qos::ExactlyOnce : Qos::AtLeastOnce});
    }
  };
  send(60);
  world.settle();
  EXPECT_EQ(payloads(bob), sent);
  // The connection breaks somewhere in between.
  for (int round = 0; round < 20; ++round) {
    send(7);
    world.advance(std::chrono::microseconds(100 * round));
    bob.drop();
    send(7);
    join(world, "bob", lasting());
    world.settle();
  }
  std::vector<std::string> seen;
  for (const std::string& payload : payloads(bob)) {
    if (std::ranges::find(seen, payload) == seen.end()) seen.push_back(payload);
  }
  EXPECT_EQ(seen, sent);
}

TEST_P(PlainQueuesTest, ShareOneRowForAllWhoAreOwedAMessage) {
  for (int i = 0; i < 20; ++i) away("bob" + std::to_string(i), Qos::AtLeastOnce);
  say(world, join(world, "alice"), "a", "x");
  std::size_t messages = 0;
  for (const auto& [key, value] : world.store().plain()) messages += key.first == PlainTable::Messages ? 1 : 0;
  EXPECT_LE(messages, GetParam());  // One for each shard at the most.
}

TEST_P(PlainQueuesTest, LeaveNothingBehindOnceEverybodyHasEverything) {
  for (int i = 0; i < 3; ++i) away("bob" + std::to_string(i), Qos::ExactlyOnce);
  auto& alice = join(world, "alice", lasting());
  for (int i = 0; i < 5; ++i) {
    const auto ack = say(world, alice, "a", "x", {.qos = Qos::ExactlyOnce});
    alice.release(ack.packet_id);
    world.settle();
  }
  for (int i = 0; i < 3; ++i) join(world, "bob" + std::to_string(i), lasting());
  world.advance(3s);
  for (const auto& [key, value] : world.store().plain()) EXPECT_EQ(key.first, PlainTable::Queues);
  for (int i = 0; i < 3; ++i) join(world, "bob" + std::to_string(i));  // Clean Start: the session ends.
  join(world, "alice");
  world.advance(3s);
  EXPECT_TRUE(world.store().plain().empty());
}

TEST_P(PlainQueuesTest, RefuseWhatCannotBeStored) {
  auto& bob = away("bob", Qos::AtLeastOnce);
  auto& alice = join(world, "alice");
  world.store().fail_with(StorageError::DiskFull);
  EXPECT_EQ(say(world, alice, "a", "lost").reason(), ReasonCode::QuotaExceeded);
  world.store().heal();
  world.advance(3s);
  EXPECT_EQ(say(world, alice, "a", "kept").reason(), ReasonCode::Success);
  restart();
  join(world, "bob", lasting());
  ASSERT_FALSE(bob.received.empty());
  EXPECT_EQ(bob.received.back().payload, "kept");
}

TEST_P(PlainQueuesTest, KeepRetainedMessages) {
  auto& alice = join(world, "alice");
  say(world, alice, "a", "first", {.retain = true});
  say(world, alice, "a", "second", {.retain = true});
  say(world, alice, "b", "gone", {.retain = true});
  say(world, alice, "b", "", {.retain = true});
  say(world, alice, "c", "short", {.retain = true, .expiry = 5});
  world.clock().advance(6s);
  restart();
  auto& bob = join(world, "bob");
  follow(world, bob, "#");
  EXPECT_EQ(payloads(bob), std::vector<std::string>{"second"});
}

/// How often a client that keeps to §4.3.3 gives each QoS 2 message to its application.
std::map<std::string, int> delivered(const simulation::Client& client) {
  std::map<std::string, int> seen;
  std::set<mqtt::PacketId> held;
  std::size_t answered = 0;
  const auto release_until = [&](std::size_t place) {
    for (; answered < client.answers.size() && client.answers[answered].place < place; ++answered) {
      const auto& answer = client.answers[answered];
      if (answer.type == PacketType::Pubrel) held.erase(answer.packet_id);
    }
  };
  for (const auto& one : client.received) {
    release_until(one.place);
    if (held.insert(one.packet_id).second) ++seen[one.payload];
  }
  return seen;
}

/// Crashes at any moment, with answers of the disk that come late: nothing acknowledged is lost, QoS 2 comes once.
/// Of a lasting session of 3.1.1, in bytes.
simulation::WirePtr lasting_wire(World& world) {
  auto wire = std::make_shared<simulation::Wire>();
  world.accept(wire, std::nullopt);
  wire->to_broker = std::string(
      "\x10\x0D\x00\x04MQTT\x04\x00\x00\x00\x00\x01"
      "w",
      15);
  world.settle();
  return wire;
}

const std::string kNewSession("\x20\x02\x00\x00", 4);
const std::string kKnownSession("\x20\x02\x01\x00", 4);

TEST(PlainQueues, AnswerEachPubrel) {
  // [MQTT-4.3.3-11]
  World world(1, dev());
  const auto wire = lasting_wire(world);
  wire->to_broker = std::string(
      "\x34\x06\x00\x01"
      "a\x00\x09x",
      8);
  world.settle();
  EXPECT_EQ(wire->to_client, kNewSession + std::string("\x50\x02\x00\x09", 4));
  const std::string pubrel("\x62\x02\x00\x09", 4);
  const std::string pubcomp("\x70\x02\x00\x09", 4);
  wire->to_client.clear();
  wire->to_broker = pubrel + pubrel;
  world.settle();
  EXPECT_EQ(wire->to_client, pubcomp + pubcomp);
  wire->to_broker = pubrel;
  world.settle();
  EXPECT_EQ(wire->to_client, pubcomp + pubcomp + pubcomp);
}

TEST(PlainQueues, AnswerThePubrelOfALaterConnectionOnce) {
  World world(1, dev());
  const auto wire = lasting_wire(world);
  wire->to_broker = std::string(
      "\x34\x06\x00\x01"
      "a\x00\x09x",
      8);
  world.settle();
  world.store().set_latency(1s);
  const std::string pubrel("\x62\x02\x00\x09", 4);
  wire->to_broker = pubrel;
  world.step();
  wire->client_gone = true;
  const auto again = lasting_wire(world);
  EXPECT_EQ(again->to_client, kKnownSession);
  again->to_broker = pubrel;
  world.settle();
  EXPECT_EQ(again->to_client, kKnownSession + std::string("\x70\x02\x00\x09", 4));
}

TEST(PlainQueues, AnswerEachPubrec) {
  // [MQTT-4.3.3-4]
  World world(1, dev());
  const auto wire = lasting_wire(world);
  wire->to_broker = std::string(
      "\x82\x06\x00\x01\x00\x01"
      "a\x02",
      8);
  world.settle();
  wire->to_client.clear();
  say(world, join(world, "alice"), "a", "x", {.qos = Qos::ExactlyOnce});
  ASSERT_EQ(wire->to_client.size(), 8U);
  ASSERT_EQ(wire->to_client.substr(0, 5), std::string("\x34\x06\x00\x01"
                                                      "a",
                                                      5));
  const std::string id = wire->to_client.substr(5, 2);
  const std::string pubrec = std::string("\x50\x02", 2) + id;
  const std::string pubrel = std::string("\x62\x02", 2) + id;
  wire->to_client.clear();
  wire->to_broker = pubrec + pubrec;
  world.settle();
  EXPECT_EQ(wire->to_client, pubrel + pubrel);
}

TEST(PlainQueues, ArriveOnceAtQos2OverCrashes) {
  for (const auto seed : simulation::seeds(40)) {
    auto options = dev(1 + static_cast<std::uint32_t>(seed % 3));
    options.store_latency = 20ms;
    World world(seed, options);
    auto& bob = join(world, "bob", lasting());
    follow(world, bob, "a", {.qos = Qos::ExactlyOnce});
    auto& alice = join(world, "alice", lasting());
    std::map<mqtt::PacketId, std::string> under_way;
    std::set<std::string> acknowledged;
    int number = 0;
    const auto look = [&] {
      for (auto one = under_way.begin(); one != under_way.end();) {
        const bool answered = alice.answer(PacketType::Pubrec, one->first) != nullptr;
        if (answered) acknowledged.insert(one->second);
        one = answered ? under_way.erase(one) : std::next(one);
      }
    };
    for (int round = 0; round < 8; ++round) {
      for (int i = 0; i < 5; ++i) {
        const std::string payload = "m" + std::to_string(number++);
        under_way[alice.publish("a", payload, {.qos = Qos::ExactlyOnce})] = payload;
      }
      for (auto steps = world.dice().below(60); steps > 0; --steps) {
        world.step();
        if (world.dice().one_in(3)) world.clock().advance(3ms);
        alice.read();
        bob.read();
        look();
      }
      world.crash();
      world.start();
      bob.connect(lasting());
      alice.connect(lasting());
      world.settle();
      for (const auto& [id, payload] : under_way) {
        alice.publish("a", payload, {.qos = Qos::ExactlyOnce, .dup = true, .packet_id = id});
      }
      world.settle();
      look();
      world.settle();
    }
    EXPECT_TRUE(under_way.empty()) << "PARLEY_SEED=" << seed;
    const auto seen = delivered(bob);
    for (const auto& payload : acknowledged) EXPECT_TRUE(seen.contains(payload)) << payload << " PARLEY_SEED=" << seed;
    for (const auto& [payload, count] : seen) EXPECT_EQ(count, 1) << payload << " PARLEY_SEED=" << seed;
  }
}

}  // namespace
}  // namespace parley::shard
