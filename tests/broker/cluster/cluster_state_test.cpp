#include "broker/cluster/cluster_state.hpp"

#include <gtest/gtest.h>

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

RedisOptions single(const RedisServer& server) { return {.addresses = {{.host = "127.0.0.1", .port = server.port()}}}; }

SlotClaim claim(std::uint64_t slot, std::uint64_t term, const StateNode& leader) {
  return {.slot = {slot}, .term = {term}, .leader = leader.id, .replicas = {leader.id}};
}

TEST(ClusterState, KnowsWhoIsAlive) {
  const RedisServer server;
  StateNode a("node-a", single(server));
  ASSERT_TRUE(a.wait_alive(1));
  {
    StateNode b("node-b", single(server));
    ASSERT_TRUE(a.wait_alive(2));
    ASSERT_TRUE(b.wait_alive(2));
    EXPECT_EQ(a.look([&] { return a.alive.at(b.id).name; }), "node-b");
    EXPECT_EQ(b.look([&] { return b.alive.at(a.id).port; }), 7000);
    b.run([&] { b.state.set_draining(true); });
    EXPECT_TRUE(a.wait([&] { return a.alive.at(b.id).draining; }));
  }
  const auto began = Clock::now();
  EXPECT_TRUE(a.wait_alive(1));
  EXPECT_LT(Clock::now() - began, 1s) << "a node that stops in order takes its lease away";
}

TEST(ClusterState, NoticesThatALeaseHasRunOut) {
  const RedisServer server;
  StateNode a("node-a", single(server));
  ASSERT_TRUE(a.wait_alive(1));
  const NodeId dead = node_id("node-dead");
  const NodeLease lease{.node = dead, .name = "node-dead", .host = "127.0.0.1", .port = 1, .incarnation = 5};
  const StateKeys keys("chat.example");
  server.command({"SET", keys.lease(dead), encode(lease), "PX", "500"});
  server.command({"SADD", keys.nodes, hex_text(dead.value)});
  ASSERT_TRUE(a.wait_alive(2));
  ASSERT_TRUE(a.wait_alive(1));
  ASSERT_TRUE(a.ask(a.state.remove_node(dead)));
  EXPECT_EQ(server.command({"SISMEMBER", keys.nodes, hex_text(dead.value)}), "0");
}

TEST(ClusterState, TakesOnlyHigherTerms) {
  const RedisServer server;
  StateNode a("node-a", single(server));
  StateNode b("node-b", single(server));
  a.run([&] { a.state.claim(claim(7, 3, a)); });
  ASSERT_TRUE(a.wait([&] { return a.taken[{7}] == Term{3}; }));
  ASSERT_TRUE(b.wait([&] { return b.slots[{7}] == claim(7, 3, a); }));
  b.run([&] { b.state.claim(claim(7, 3, b)); });  // The same term is not enough.
  ASSERT_TRUE(b.wait([&] { return b.refused.contains({7}); }));
  EXPECT_EQ(b.look([&] { return b.refused.at({7}); }), claim(7, 3, a));
  b.run([&] { b.state.claim(claim(7, 10, b)); });  // 10 > 3, though "10" < "3".
  ASSERT_TRUE(b.wait([&] { return b.taken[{7}] == Term{10}; }));
  ASSERT_TRUE(a.wait([&] { return a.slots[{7}] == claim(7, 10, b); }));
  SlotClaim more = claim(7, 10, b);
  more.replicas.push_back(a.id);
  b.run([&] { b.state.claim(more); });  // Other replicas within the term.
  ASSERT_TRUE(a.wait([&] { return a.slots[{7}] == more; }));
  a.run([&] { a.state.claim(claim(7, 9, a)); });
  ASSERT_TRUE(a.wait([&] { return a.refused.contains({7}); }));
}

TEST(ClusterState, HearsOfFiltersByHint) {
  const RedisServer server;
  StateNode a("node-a", single(server));
  StateNode b("node-b", single(server));
  ASSERT_TRUE(b.wait_alive(2));
  a.run([&] { a.state.add_filter("sport/#"); });
  ASSERT_TRUE(b.wait([&] { return b.filters[a.id].contains("sport/#"); }));
  ASSERT_TRUE(a.wait_announced());
  // Once both listen, changes come without anybody reading the whole set again.
  ASSERT_TRUE(server.wait_for({"PUBSUB", "NUMSUB", StateKeys("chat.example").hints}, " 2"));
  std::set<std::string> wanted{"sport/#"};
  for (int i = 0; i < 200; ++i) {
    const std::string filter = "room/" + std::to_string(i) + "\n+";
    wanted.insert(filter);
    a.run([&] { a.state.add_filter(filter); });
  }
  wanted.erase("sport/#");
  a.run([&] { a.state.remove_filter("sport/#"); });
  ASSERT_TRUE(b.wait([&] { return b.filters[a.id] == wanted; }));
  EXPECT_GT(b.look([&] { return b.hints; }), 0);
  EXPECT_LT(b.look([&] { return b.replacements; }), 20) << "hints carry the changes";
}

TEST(ClusterState, FindsSessionsAndLetsTheNewerGenerationWin) {
  const RedisServer server;
  StateNode a("node-a", single(server), 11);
  StateNode b("node-b", single(server), 22);
  a.run([&] { a.state.place_session({5}, "phone", 1); });
  ASSERT_TRUE(a.wait_announced());
  auto found = b.find({5}, "phone");
  ASSERT_TRUE(found && *found);
  EXPECT_EQ(**found, (SessionLocation{.generation = 1, .node = a.id, .incarnation = 11}));
  b.run([&] { b.state.place_session({5}, "phone", 2); });
  ASSERT_TRUE(b.wait_announced());
  a.run([&] { a.state.remove_session("phone"); });  // Late: it must not take b's away.
  ASSERT_TRUE(a.wait_announced());
  found = a.find({5}, "phone");
  ASSERT_TRUE(found && *found);
  EXPECT_EQ((*found)->node, b.id);
  a.run([&] { a.state.place_session({5}, "phone", 1); });  // Late as well.
  ASSERT_TRUE(a.wait([&] { return a.elsewhere.contains("phone"); }));
  EXPECT_EQ(a.look([&] { return a.elsewhere.at("phone").generation; }), 2U);
  b.run([&] { b.state.remove_session("phone"); });
  ASSERT_TRUE(b.wait_announced());
  found = a.find({5}, "phone");
  ASSERT_TRUE(found);
  EXPECT_FALSE(*found);
}

TEST(ClusterState, TakesASessionBackThatWasPlacedTwice) {
  const RedisServer server;
  StateNode a("node-a", single(server));
  a.run([&] { a.state.place_session({5}, "phone", 1); });
  ASSERT_TRUE(a.wait_announced());
  a.run([&] {
    a.state.place_session({5}, "phone", 2);  // Redis never sees this one.
    a.state.remove_session("phone");
  });
  ASSERT_TRUE(a.wait_announced());
  const auto found = a.find({5}, "phone");
  ASSERT_TRUE(found);
  EXPECT_FALSE(*found);
}

/// Enough of everything that it takes many batches.
void announce_much(StateNode& node) {
  node.run([&] {
    for (std::uint64_t slot = 0; slot < 256; ++slot) node.state.claim(claim(slot, 4, node));
    for (int i = 0; i < 5'000; ++i) node.state.add_filter("filter/" + std::to_string(i));
    for (std::uint64_t i = 0; i < 20'000; ++i) node.state.place_session({i % 256}, "client-" + std::to_string(i), 1);
  });
}

bool redis_has_everything(const RedisServer& server, const StateNode& node) {
  const StateKeys keys("chat.example");
  std::size_t sessions = 0;
  for (std::uint64_t slot = 0; slot < 256; ++slot) {
    sessions += std::stoul(server.command({"HLEN", keys.sessions({slot})}));
  }
  return server.command({"HLEN", keys.slots}) == "256" && server.command({"SCARD", keys.filters(node.id)}) == "5000" &&
         sessions == 20'000 && server.command({"EXISTS", keys.filters_next(node.id)}) == "0";
}

TEST(ClusterState, TellsEverythingAgainAfterFlushAll) {
  const RedisServer server;
  StateNode a("node-a", single(server));
  StateNode b("node-b", single(server));
  announce_much(a);
  ASSERT_TRUE(a.wait_announced());
  ASSERT_TRUE(redis_has_everything(server, a));
  ASSERT_TRUE(b.wait([&] { return b.filters[a.id].size() == 5'000 && b.slots.size() == 256; }));
  for (int round = 0; round < 3; ++round) {
    ASSERT_EQ(server.command({"FLUSHALL"}), "OK");
    const auto began = Clock::now();
    while (!redis_has_everything(server, a) && Clock::now() - began < 5s) std::this_thread::yield();
    EXPECT_LT(Clock::now() - began, 3s);
    EXPECT_EQ(b.look([&] { return b.filters[a.id].size(); }), 5'000U) << "nobody forgets what was known meanwhile";
    EXPECT_TRUE(b.wait_alive(2));
  }
  EXPECT_EQ(a.look([&] { return a.losses; }), 0);
}

TEST(ClusterState, ComesBackWhenRedisWasKilledAndIsEmpty) {
  RedisServer server;
  StateNode a("node-a", single(server));
  announce_much(a);
  ASSERT_TRUE(a.wait_announced());
  server.kill();
  ASSERT_TRUE(a.wait([&] { return a.losses == 1; }));
  EXPECT_EQ(a.find({5}, "phone").error(), make_error_code(RedisError::Unavailable));
  server.start();
  const auto began = Clock::now();
  while (!redis_has_everything(server, a) && Clock::now() - began < 10s) std::this_thread::yield();
  EXPECT_LT(Clock::now() - began, 3s);
}

TEST(ClusterState, BoundsEveryCallWhenRedisHangs) {
  RedisServer server;
  StateNode a("node-a", single(server));
  ASSERT_TRUE(a.wait_announced());
  server.stop();
  auto began = Clock::now();
  const auto first = a.find({5}, "phone");
  EXPECT_FALSE(first);
  EXPECT_LT(Clock::now() - began, 1500ms);
  ASSERT_TRUE(a.wait([&] { return a.losses == 1; }));
  // From now on nobody waits: the connection is gone, and probes are Redis' own business.
  began = Clock::now();
  for (int i = 0; i < 100; ++i) EXPECT_EQ(a.find({5}, "phone").error(), make_error_code(RedisError::Unavailable));
  EXPECT_LT(Clock::now() - began, 500ms);
  server.resume();
  ASSERT_TRUE(a.wait([&] { return a.connects == 2; }));
  EXPECT_TRUE(a.wait_announced());
  EXPECT_TRUE(a.find({5}, "phone"));
}

std::size_t connections(const RedisServer& server) {
  const std::string text = server.command({"INFO", "stats"});
  constexpr std::string_view kBefore = "total_connections_received:";
  return std::stoul(text.substr(text.find(kBefore) + kBefore.size()));
}

TEST(ClusterState, LeavesARedisInPeaceThatAnswersButWritesNothing) {
  const RedisServer server({"--min-replicas-to-write", "1"});  // There is none: NOREPLICAS.
  StateNode a("node-a", single(server));
  const std::size_t before = connections(server);
  EXPECT_FALSE(a.wait([&] { return a.reachable; }, 3s));
  EXPECT_LT(connections(server) - before, 20U) << "in three seconds";
  EXPECT_EQ(a.losses, 0) << "it never was there";
  ASSERT_EQ(server.command({"CONFIG", "SET", "min-replicas-to-write", "0"}), "OK");
  EXPECT_TRUE(a.wait([&] { return a.reachable; }, 5s));
  EXPECT_TRUE(a.wait_announced());
  ASSERT_EQ(server.command({"CONFIG", "SET", "min-replicas-to-write", "1"}), "OK");
  EXPECT_TRUE(a.wait([&] { return a.losses == 1; }, 5s));
  ASSERT_EQ(server.command({"CONFIG", "SET", "min-replicas-to-write", "0"}), "OK");
  EXPECT_TRUE(a.wait([&] { return a.connects == 2; }, 5s));
}

TEST(ClusterState, LogsInAsAUserWithItsRightsOnly) {
  const RedisServer server;
  ASSERT_EQ(
      server.command({"ACL",          "SETUSER",  "parley",     "on",    ">s3cret", "~parley:*", "&parley:*", "-@all",
                      "+@connection", "+role",    "+get",       "+set",  "+mget",   "+del",      "+rename",   "+hget",
                      "+hset",        "+hdel",    "+hgetall",   "+sadd", "+srem",   "+smembers", "+incr",     "+multi",
                      "+exec",        "+publish", "+subscribe", "+eval", "+evalsha"}),
      "OK");
  ASSERT_EQ(server.command({"ACL", "SETUSER", "default", "off"}), "OK");
  RedisOptions options = single(server);
  options.login = {.user = "parley", .password = "s3cret"};
  StateNode a("node-a", options);
  StateNode b("node-b", options);
  announce_much(a);
  ASSERT_TRUE(a.wait_announced());
  EXPECT_TRUE(b.wait([&] { return b.filters[a.id].size() == 5'000 && b.slots.size() == 256; }));
  a.run([&] { a.state.remove_session("client-1"); });
  EXPECT_TRUE(a.wait_announced());
  b.run([&] { b.state.add_filter("by/hint"); });
  EXPECT_TRUE(a.wait([&] { return a.filters[b.id].contains("by/hint"); }));

  options.login.password = "wrong";
  StateNode stranger("node-c", options);
  EXPECT_FALSE(stranger.wait([&] { return stranger.reachable; }, 500ms));
}

TEST(ClusterState, NoticesASecondProcessWithItsId) {
  const RedisServer server;
  StateNode one("node-a", single(server), 1);
  ASSERT_TRUE(one.wait_announced());
  StateNode two("node-a", single(server), 2);
  EXPECT_TRUE(one.wait([&] { return !one.duplicates.empty() && one.duplicates.front().incarnation == 2; }));
  EXPECT_TRUE(two.wait([&] { return !two.duplicates.empty() && two.duplicates.front().incarnation == 1; }));
}

TEST(ClusterState, PassesOverNonsenseInRedis) {
  const RedisServer server;
  const StateKeys keys("chat.example");
  server.command({"SADD", keys.nodes, "nonsense", "00000000000000ff"});
  server.command({"SET", keys.lease({0xff}), "1\nnonsense"});
  server.command({"HSET", keys.slots, "x", "y", "3", "z", "99999999999", "00000000000000000001 00000000000000ff "});
  server.command({"HSET", keys.filter_versions, "00000000000000ff", "minus one", "?", "3"});
  StateNode a("node-a", single(server));
  ASSERT_TRUE(a.wait_alive(1));
  a.run([&] { a.state.claim(claim(1, 1, a)); });
  EXPECT_TRUE(a.wait([&] { return a.taken.contains({1}); }));
  EXPECT_TRUE(a.wait([&] { return a.slots.size() == 1; }));
}

}  // namespace
}  // namespace parley::cluster
