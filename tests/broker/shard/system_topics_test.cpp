#include "broker/shard/system_topics.hpp"

#include <map>

#include "tests/broker/shard/scene.hpp"

namespace parley::shard {
namespace {

class SystemTopicsTest : public testing::TestWithParam<std::uint32_t> {
 protected:
  Metrics metrics{GetParam()};
  World world{1, [this] {
                WorldOptions options = dev(GetParam());
                options.shard.metrics = &metrics;
                options.shard.system_interval = 10s;
                return options;
              }()};

  static std::map<std::string, std::string> values(const simulation::Client& client) {
    std::map<std::string, std::string> all;
    for (const Received& one : client.received) all[one.topic] = one.payload;
    return all;
  }
};
INSTANTIATE_TEST_SUITE_P(Shards, SystemTopicsTest, testing::Values(1U, 3U), testing::PrintToStringParamName());

TEST_P(SystemTopicsTest, TellHowTheNodeStands) {
  auto& alice = join(world, "alice");
  join(world, "bob", lasting());
  follow(world, alice, "a/+");
  follow(world, alice, "$share/g/b");
  say(world, alice, "a/b", "hello", {.retain = true});
  world.client("bob").disconnect();
  world.advance(11s);
  follow(world, alice, "$SYS/#");
  auto seen = values(alice);
  const std::string root = "$SYS/broker/";
  EXPECT_TRUE(seen[root + "version"].starts_with("parley version "));
  EXPECT_EQ(seen[root + "uptime"], "10 seconds");
  EXPECT_EQ(seen[root + "clients/total"], "2");
  EXPECT_EQ(seen[root + "clients/connected"], "1");
  EXPECT_EQ(seen[root + "clients/disconnected"], "1");
  EXPECT_EQ(seen[root + "subscriptions/count"], "2");
  EXPECT_EQ(seen[root + "shared_subscriptions/count"], "1");
  EXPECT_EQ(seen[root + "retained messages/count"], "1");
  EXPECT_EQ(seen[root + "publish/messages/received"], "1");
  EXPECT_EQ(seen[root + "publish/bytes/sent"], "5");
  EXPECT_EQ(seen[root + "parley/limits/max_subscriptions"], "0");
  // One publish in ten seconds: a minute would have brought six.
  EXPECT_GT(std::stod(seen[root + "load/publish/received/1min"]), 0.9);
  EXPECT_LT(std::stod(seen[root + "load/publish/received/1min"]), 1.0);
  EXPECT_TRUE(alice.received.back().retain);
  alice.received.clear();
  world.advance(10s);
  EXPECT_EQ(values(alice)[root + "uptime"], "20 seconds");
  EXPECT_FALSE(alice.received.back().retain) << "live";
  EXPECT_EQ(values(alice)[root + "subscriptions/count"], "3");
}

TEST_P(SystemTopicsTest, AreNobodyElses) {
  auto& alice = join(world, "alice");
  follow(world, alice, "#");
  follow(world, alice, "+/broker/version");
  world.advance(10s);
  EXPECT_TRUE(alice.received.empty()) << "MQTT 5 §4.7.2 [MQTT-4.7.2-1]";
  EXPECT_EQ(say(world, alice, "$SYS/broker/version", "mine").reason(), ReasonCode::NotAuthorized);
}

TEST_P(SystemTopicsTest, AreReadAsTheAccessFileSays) {
  auto& alice = join(world, "alice");
  auto& bob = join(world, "bob");
  const auto rules = std::get<std::shared_ptr<const auth::AccessRules>>(
      auth::AccessRules::read("allow read user alice $SYS/broker/clients/#\n"));
  for (ShardId id = 0; id < GetParam(); ++id) world.shard(id).access().set(rules);
  EXPECT_EQ(follow(world, alice, "$SYS/#"), ReasonCode::GrantedQos1);
  EXPECT_EQ(follow(world, bob, "$SYS/#"), ReasonCode::NotAuthorized);
  world.advance(10s);
  EXPECT_FALSE(alice.received.empty());
  for (const Received& one : alice.received) EXPECT_TRUE(one.topic.starts_with("$SYS/broker/clients/")) << one.topic;
  EXPECT_TRUE(bob.received.empty());
}

TEST_P(SystemTopicsTest, GoToOneOfAGroup) {
  auto& alice = join(world, "alice");
  auto& bob = join(world, "bob");
  follow(world, alice, "$share/g/$SYS/broker/uptime");
  follow(world, bob, "$share/g/$SYS/broker/uptime");
  world.advance(10s);
  EXPECT_EQ(alice.received.size() + bob.received.size(), 1U);
}

TEST(LoadAverages, ForgetInTheirTime) {
  LoadAverages load;
  for (int i = 0; i < 60; ++i) load.add(10, 10s);
  EXPECT_NEAR(load.values()[0], 60, 0.1);
  EXPECT_GT(load.values()[0], load.values()[1]);
  EXPECT_GT(load.values()[1], load.values()[2]);
  for (int i = 0; i < 60; ++i) load.add(0, 10s);
  EXPECT_LT(load.values()[0], 0.1);
  EXPECT_GT(load.values()[2], 5);
}

}  // namespace
}  // namespace parley::shard
