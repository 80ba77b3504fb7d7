#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <string>

#include "tests/broker/cluster/redis_server.hpp"
#include "tests/broker/cluster/state_node.hpp"

namespace parley::cluster {
namespace {

using namespace std::chrono_literals;
using test::RedisServer;
using test::StateNode;
using Clock = std::chrono::steady_clock;

RedisAddress address_of(const RedisServer& server) { return {.host = "127.0.0.1", .port = server.port()}; }

SlotClaim claim(std::uint64_t slot, std::uint64_t term, const StateNode& leader) {
  return {.slot = {slot}, .term = {term}, .leader = leader.id, .replicas = {leader.id}};
}

/// A master, a replica of it, and a sentinel that decides alone.
struct Guarded {
  Guarded() {
    const std::string text = "sentinel monitor chat 127.0.0.1 " + std::to_string(master.port()) + " 1\n" +
                             "sentinel down-after-milliseconds chat 500\n" + "sentinel failover-timeout chat 3000\n";
    sentinel = std::make_unique<RedisServer>(std::vector<std::string>{}, std::uint16_t{0}, text);
    EXPECT_TRUE(master.wait_for({"INFO", "replication"}, "state=online"));
    EXPECT_TRUE(sentinel->wait_for({"SENTINEL", "REPLICAS", "chat"}, std::to_string(replica.port())));
  }
  RedisOptions options() const {
    return {.topology = RedisTopology::Sentinel,
            // The first one isn't there: the next one is asked.
            .addresses = {{.host = "127.0.0.1", .port = 1}, address_of(*sentinel)},
            .master = "chat"};
  }
  RedisServer master;
  RedisServer replica{{"--replicaof", "127.0.0.1", std::to_string(master.port())}};
  std::unique_ptr<RedisServer> sentinel;
};

TEST(RedisSentinel, FollowsTheMasterWhenItIsKilled) {
  Guarded redis;
  StateNode a("node-a", redis.options());
  StateNode b("node-b", redis.options());
  a.run([&] { a.state.claim(claim(3, 2, a)); });
  ASSERT_TRUE(b.wait([&] { return b.slots.contains({3}); }));
  redis.master.kill();
  ASSERT_TRUE(a.wait([&] { return a.losses == 1; }));
  ASSERT_TRUE(redis.replica.wait_for({"ROLE"}, "master"));
  const auto began = Clock::now();
  ASSERT_TRUE(a.wait([&] { return a.connects == 2; }));
  ASSERT_TRUE(a.wait_announced());
  EXPECT_LT(Clock::now() - began, 3s);
  const StateKeys keys("chat.example");
  EXPECT_EQ(redis.replica.command({"HGET", keys.slots, "3"}), encode(claim(3, 2, a)));
  a.run([&] { a.state.add_filter("after/failover"); });
  EXPECT_TRUE(b.wait([&] { return b.filters[a.id].contains("after/failover"); }));
}

TEST(RedisSentinel, LeavesAMasterThatWasReplacedAlthoughItAnswers) {
  Guarded redis;
  StateNode a("node-a", redis.options());
  ASSERT_TRUE(a.wait_announced());
  ASSERT_TRUE(redis.sentinel->wait_for({"SENTINEL", "FAILOVER", "chat"}, "OK"));  // Once it knows the replica well.
  ASSERT_TRUE(redis.replica.wait_for({"ROLE"}, "master"));
  a.run([&] { a.state.claim(claim(4, 1, a)); });
  const StateKeys keys("chat.example");
  EXPECT_TRUE(redis.replica.wait_for({"HGET", keys.slots, "4"}, encode(claim(4, 1, a))));
}

TEST(RedisSentinel, TellsEverythingAgainToAReplicaThatWasBehind) {
  Guarded redis;
  StateNode a("node-a", redis.options());
  ASSERT_TRUE(a.wait_announced());
  // The replica is cut off, and then becomes master without what was acknowledged last.
  ASSERT_EQ(redis.replica.command({"CONFIG", "SET", "repl-timeout", "3600"}), "OK");
  ASSERT_EQ(redis.master.command({"CONFIG", "SET", "client-output-buffer-limit", "replica 0 0 0"}), "OK");
  redis.replica.stop();
  a.run([&] {
    for (std::uint64_t slot = 0; slot < 50; ++slot) a.state.claim(claim(slot, 9, a));
  });
  ASSERT_TRUE(a.wait_announced());
  redis.master.kill();
  redis.replica.resume();
  ASSERT_TRUE(redis.replica.wait_for({"ROLE"}, "master"));
  const StateKeys keys("chat.example");
  EXPECT_TRUE(redis.replica.wait_for({"HLEN", keys.slots}, "50"));
}

/// Three masters without replicas.
struct Sharded {
  Sharded() {
    for (int i = 0; i < 3; ++i) {
      servers.push_back(std::make_unique<RedisServer>(std::vector<std::string>{"--cluster-enabled", "yes"}));
    }
    const std::array<std::pair<int, int>, 3> ranges{{{0, 5460}, {5461, 10922}, {10923, 16383}}};
    for (std::size_t i = 0; i < 3; ++i) {
      const auto& [first, last] = ranges.at(i);
      EXPECT_EQ(servers[i]->command({"CLUSTER", "ADDSLOTSRANGE", std::to_string(first), std::to_string(last)}), "OK");
      EXPECT_EQ(servers[i]->command({"CLUSTER", "SET-CONFIG-EPOCH", std::to_string(i + 1)}), "OK");
    }
    for (std::size_t i = 1; i < 3; ++i) {
      EXPECT_EQ(servers[0]->command({"CLUSTER", "MEET", "127.0.0.1", std::to_string(servers[i]->port())}), "OK");
    }
    for (const auto& server : servers) EXPECT_TRUE(server->wait_for({"CLUSTER", "INFO"}, "cluster_state:ok"));
    for (const auto& server : servers) EXPECT_TRUE(server->wait_for({"CLUSTER", "INFO"}, "cluster_known_nodes:3"));
  }
  RedisOptions options() const {
    return {.topology = RedisTopology::Cluster,
            .addresses = {{.host = "127.0.0.1", .port = 1}, address_of(*servers[0])}};
  }
  RedisServer& owner(std::string_view key) const {
    const std::uint16_t slot = redis_slot(key);
    return *servers[slot <= 5460 ? 0 : slot <= 10922 ? 1 : 2];
  }
  std::vector<std::unique_ptr<RedisServer>> servers;
};

TEST(RedisCluster, SpreadsSessionsAndKeepsTheRestTogether) {
  const Sharded redis;
  StateNode a("node-a", redis.options());
  StateNode b("node-b", redis.options());
  a.run([&] {
    for (std::uint64_t slot = 0; slot < 256; ++slot) {
      a.state.claim(claim(slot, 2, a));
      a.state.place_session({slot}, "client-" + std::to_string(slot), 1);
    }
    a.state.add_filter("a/#");
  });
  ASSERT_TRUE(a.wait_announced());
  EXPECT_TRUE(b.wait([&] { return b.slots.size() == 256 && b.filters[a.id].contains("a/#"); }));
  const StateKeys keys("chat.example");
  std::set<std::uint16_t> ports;
  for (std::uint64_t slot = 0; slot < 256; ++slot) {
    RedisServer& owner = redis.owner(keys.sessions({slot}));
    ports.insert(owner.port());
    EXPECT_EQ(owner.command({"HLEN", keys.sessions({slot})}), "1");
  }
  EXPECT_EQ(ports.size(), 3U);
  for (const std::uint64_t slot : {0U, 100U, 255U}) {
    const auto found = b.find({slot}, "client-" + std::to_string(slot));
    ASSERT_TRUE(found && *found) << slot;
    EXPECT_EQ((*found)->node, a.id);
  }
}

TEST(RedisCluster, FollowsASlotThatMoves) {
  const Sharded redis;
  StateNode a("node-a", redis.options());
  ASSERT_TRUE(a.wait_announced());
  const StateKeys keys("chat.example");
  const std::string key = keys.sessions({9});
  const std::string slot = std::to_string(redis_slot(key));
  RedisServer& from = redis.owner(key);
  RedisServer& to = from.port() == redis.servers[0]->port() ? *redis.servers[1] : *redis.servers[0];
  a.run([&] { a.state.place_session({9}, "before", 1); });
  ASSERT_TRUE(a.wait_announced());
  // Half way: what isn't there any more is asked for at the other one.
  const std::string from_id = from.command({"CLUSTER", "MYID"});
  const std::string to_id = to.command({"CLUSTER", "MYID"});
  ASSERT_EQ(to.command({"CLUSTER", "SETSLOT", slot, "IMPORTING", from_id}), "OK");
  ASSERT_EQ(from.command({"CLUSTER", "SETSLOT", slot, "MIGRATING", to_id}), "OK");
  ASSERT_EQ(from.command({"MIGRATE", "127.0.0.1", std::to_string(to.port()), key, "0", "1000"}), "OK");
  auto found = a.find({9}, "before");
  ASSERT_TRUE(found && *found) << "ASK";
  // All the way.
  for (const auto& server : redis.servers) {
    ASSERT_EQ(server->command({"CLUSTER", "SETSLOT", slot, "NODE", to_id}), "OK");
  }
  found = a.find({9}, "before");
  ASSERT_TRUE(found && *found) << "MOVED";
  a.run([&] { a.state.place_session({9}, "after", 1); });
  ASSERT_TRUE(a.wait_announced());
  EXPECT_EQ(to.command({"HLEN", key}), "2");
}

}  // namespace
}  // namespace parley::cluster
