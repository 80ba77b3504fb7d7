#include "broker/cluster/cluster_node.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>

#include "tests/broker/cluster/redis_server.hpp"
#include "tests/broker/cluster/shard_ear.hpp"

namespace parley::cluster {
namespace {

using namespace std::chrono_literals;
using namespace std::literals;

/// A node without shards: two ears in their place, which keep letters when they are told to.
class Node final : public ShardMail {
 public:
  Node(const std::string& base, NodeFile file, std::uint16_t redis, std::uint16_t port = 0,
       std::uint16_t protocol_max = kPeerVersions.max)
      : self(node_id(file.node)) {
    std::filesystem::create_directories(base + "/" + file.node);
    shard_options_.shards = 2;
    shard_options_.slots = 4;
    ClusterNodeOptions options{.data_dir = base + "/" + file.node,
                               .secret = "correct horse battery staple",
                               .version = "0.1.0",
                               .redis = {.addresses = {{.host = "127.0.0.1", .port = redis}}},
                               .links = {.listen_port = port},
                               .advertise = {.host = "127.0.0.1"},
                               .lease_time = 600ms,
                               .node_timeout = 1s,
                               .protocol_max = protocol_max};
    node.emplace(std::move(options), std::move(file), shard_options_, *this);
    const auto started = node->start();
    EXPECT_TRUE(started) << started.error().message();
  }
  ~Node() override { node->stop(); }

  void post(shard::ShardId shard, std::unique_ptr<ShardLetter> letter) override {
    const std::lock_guard lock(mutex_);
    letter->deliver(ears_[shard]);
    changed_.notify_all();
  }
  void ask_for_placement(shard::ShardId shard) override {
    if (const auto stall = take_stall()) stall();
    const std::lock_guard lock(mutex_);
    ++asked_;
    changed_.notify_all();
    std::vector<SlotReport> slots;
    if (!voters_.empty()) {
      slots.push_back({.slot = {shard}, .term = {1}, .leader = self, .replicas = {.voters = voters_}, .leading = true});
    }
    node->report(shard, {.slots = std::move(slots), .steps = 0, .waiting = 0});
  }
  /// The cluster's thread calls this next, and does nothing else meanwhile: no heartbeats come from it, though its
  /// connections go on.
  void stall(std::function<void()> call) {
    const std::lock_guard lock(mutex_);
    stall_ = std::move(call);
  }
  /// What a shard heard of a node's connections.
  std::vector<std::string> connections(shard::ShardId shard, NodeId other) {
    const std::lock_guard lock(mutex_);
    std::vector<std::string> found;
    const std::string begin = std::to_string(other.value) + " is ";
    for (const std::string& one : ears_[shard].heard) {
      if (one.starts_with(begin)) found.push_back(one.substr(begin.size()));
    }
    return found;
  }
  /// The shards say that they lead a slot each, with these.
  void lead_with(std::vector<NodeId> voters) {
    const std::lock_guard lock(mutex_);
    voters_ = std::move(voters);
  }
  /// True once the shard has heard it.
  bool wait(shard::ShardId shard, const std::string& what, std::ptrdiff_t times = 1) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, 15s, [&] { return std::ranges::count(ears_[shard].heard, what) >= times; });
  }
  bool wait_asked(int times) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, 15s, [&] { return asked_ >= times; });
  }
  bool wait_view(const std::function<bool(const ClusterView&)>& condition) {
    const auto due = std::chrono::steady_clock::now() + 15s;
    while (std::chrono::steady_clock::now() < due) {
      if (condition(node->view())) return true;
    }
    return false;
  }

  const NodeId self;

 private:
  std::function<void()> take_stall() {
    const std::lock_guard lock(mutex_);
    return std::exchange(stall_, nullptr);
  }

  shard::ShardOptions shard_options_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<shard::ShardId, test::ShardEar> ears_;
  std::vector<NodeId> voters_;
  int asked_ = 0;
  std::function<void()> stall_;

 public:
  std::optional<ClusterNode> node;
};

class ClusterNodeTest : public testing::Test {
 protected:
  ~ClusterNodeTest() override { std::filesystem::remove_all(base_); }
  NodeFile file(const std::string& name, std::uint64_t birth = 0) const {
    return {.cluster = "parley",
            .cluster_id = 7,
            .node = name,
            .birth = birth == 0 ? node_id(name).value : birth,
            .slots = 4,
            .starts = 1};
  }
  static std::string id(const Node& node) { return std::to_string(node.self.value); }

  test::RedisServer redis_;
  const std::string base_ =
      (std::filesystem::temp_directory_path() / ("parley-cluster-node-" + std::to_string(::getpid()))).string();
};

TEST_F(ClusterNodeTest, FindsOthersThroughRedisAndCarriesMessages) {
  Node a(base_, file("a"), redis_.port());
  Node b(base_, file("b"), redis_.port());
  for (const shard::ShardId shard : {0U, 1U}) {
    ASSERT_TRUE(a.wait(shard, id(b) + " is connected"));
    ASSERT_TRUE(a.wait(shard, id(b) + " is reachable"));
    ASSERT_TRUE(b.wait(shard, id(a) + " is reachable"));
  }
  auto& peers = a.node->peer_nodes();
  EXPECT_EQ(peers.self(), a.self);
  EXPECT_TRUE(peers.send(b.self, shard::NodeChannel::Votes, "\0\3to slot 3"s));
  EXPECT_TRUE(peers.send(b.self, shard::NodeChannel::Votes, "\1\0to shard 0"s));
  EXPECT_TRUE(b.wait(1, id(a) + " on 2: to slot 3"));
  EXPECT_TRUE(b.wait(0, id(a) + " on 2: to shard 0"));
  EXPECT_FALSE(peers.send(NodeId{12345}, shard::NodeChannel::Votes, "\0\3nobody"s));
  EXPECT_TRUE(a.wait_asked(4));
}

/// What can never be sent keeps nothing back.
TEST_F(ClusterNodeTest, DropsWhatTheOtherNodeDoesNotTake) {
  Node a(base_, file("a"), redis_.port());
  Node b(base_, file("b"), redis_.port());
  ASSERT_TRUE(a.wait(0, id(b) + " is reachable"));
  auto& peers = a.node->peer_nodes();
  const std::size_t most = peers.peer(b.self).message_max;
  ASSERT_GE(most, 1024U * 1024);
  EXPECT_TRUE(peers.send(b.self, shard::NodeChannel::Votes, "\1\0"s + std::string(most - 1, 'x')));
  EXPECT_TRUE(peers.send(b.self, shard::NodeChannel::Votes, "\1\0behind it"s));
  EXPECT_TRUE(b.wait(0, id(a) + " on 2: behind it"));
  EXPECT_TRUE(peers.send(b.self, shard::NodeChannel::Votes, "\1\0"s + std::string(most - 2, 'x')));
  EXPECT_TRUE(b.wait(0, id(a) + " on 2: " + std::string(most - 2, 'x')));
}

TEST_F(ClusterNodeTest, KnowsWhatOthersSpeak) {
  Node a(base_, file("a"), redis_.port());
  EXPECT_EQ(a.node->peer_nodes().peer(a.self).version, 3);
  EXPECT_EQ(a.node->peer_nodes().peer(node_id("b")).version, 0) << "it is no member";
  std::uint64_t incarnation = 0;
  {
    Node b(base_, file("b"), redis_.port(), 0, 1);
    ASSERT_TRUE(a.wait(0, id(b) + " is reachable"));
    EXPECT_EQ(a.node->peer_nodes().peer(b.self).version, 1);
    EXPECT_EQ(b.node->peer_nodes().peer(b.self).version, 1);
    ASSERT_TRUE(b.wait(0, id(a) + " is reachable"));
    EXPECT_EQ(b.node->peer_nodes().peer(a.self).version, 1);
    incarnation = a.node->peer_nodes().peer(b.self).incarnation;
    EXPECT_NE(incarnation, 0U);
  }
  ASSERT_TRUE(a.wait(0, std::to_string(node_id("b").value) + " is unreachable"));
  EXPECT_EQ(a.node->peer_nodes().peer(node_id("b")).version, 1) << "as it was";
  Node b(base_, file("b"), redis_.port());
  ASSERT_TRUE(a.wait(0, id(b) + " is reachable", 2));
  EXPECT_EQ(a.node->peer_nodes().peer(b.self).version, 3);
  EXPECT_NE(a.node->peer_nodes().peer(b.self).incarnation, incarnation);
}

TEST_F(ClusterNodeTest, TellsWhatItLeads) {
  Node a(base_, file("a"), redis_.port());
  Node b(base_, file("b"), redis_.port());
  ASSERT_TRUE(b.wait(0, id(a) + " is reachable"));
  a.node->peer_nodes().leading(Slot{2}, Term{5});
  EXPECT_TRUE(b.wait(0, id(a) + " leads 2 in 5"));
  a.node->peer_nodes().leading(Slot{2}, std::nullopt);
  EXPECT_TRUE(b.wait(0, id(a) + " doesn't lead 2", 2));
}

TEST_F(ClusterNodeTest, MissesANodeThatGoesAndKnowsItsPlaceWithoutRedis) {
  Node a(base_, file("a"), redis_.port());
  std::uint16_t port = 0;
  {
    Node b(base_, file("b"), redis_.port());
    ASSERT_TRUE(a.wait(0, id(b) + " is reachable"));
    ASSERT_TRUE(b.wait(0, id(a) + " is reachable"));
    ASSERT_TRUE(a.wait_view([](const ClusterView& view) { return view.nodes.back().address.port != 0; }));
    port = b.node->port();
  }
  EXPECT_TRUE(a.wait(0, std::to_string(node_id("b").value) + " is unreachable"));
  EXPECT_EQ(a.node->view().nodes.back().address.port, port);
  redis_.kill();
  const auto remembered = load_node_file(base_ + "/b");
  ASSERT_TRUE(remembered);
  Node b(base_, *remembered, redis_.port(), port);
  EXPECT_TRUE(b.wait(0, id(a) + " is reachable"));
}

/// Its connection lives, and it would soon be there again over the same: whatever was not sent meanwhile would never
/// be.
TEST_F(ClusterNodeTest, ConnectsAnewToANodeThatWasUnreachable) {
  Node a(base_, file("a"), redis_.port());
  Node b(base_, file("b"), redis_.port());
  for (const shard::ShardId shard : {0U, 1U}) {
    ASSERT_TRUE(a.wait(shard, id(b) + " is reachable"));
    ASSERT_TRUE(b.wait(shard, id(a) + " is reachable"));
  }
  bool away = false;
  b.stall([&] { away = a.wait(0, id(b) + " is unreachable"); });
  for (const shard::ShardId shard : {0U, 1U}) {
    ASSERT_TRUE(a.wait(shard, id(b) + " is reachable", 2));
    ASSERT_TRUE(b.wait(shard, id(a) + " is reachable", 2));
  }
  EXPECT_TRUE(away);
  const std::vector<std::string> both_ways{"connected", "reachable", "unreachable", "connected", "reachable"};
  for (const shard::ShardId shard : {0U, 1U}) {
    EXPECT_EQ(a.connections(shard, b.self), both_ways);
    EXPECT_EQ(b.connections(shard, a.self), both_ways) << "it hears of it, too";
  }
  EXPECT_TRUE(a.node->peer_nodes().send(b.self, shard::NodeChannel::Votes, "\1\0to shard 0"s));
  EXPECT_TRUE(b.wait(0, id(a) + " on 2: to shard 0"));
}

TEST_F(ClusterNodeTest, ConnectsAnewWhenAShardAsksForIt) {
  Node a(base_, file("a"), redis_.port());
  Node b(base_, file("b"), redis_.port());
  ASSERT_TRUE(a.wait(0, id(b) + " is reachable"));
  ASSERT_TRUE(b.wait(0, id(a) + " is reachable"));
  a.node->peer_nodes().drop(b.self);
  a.node->peer_nodes().drop(b.self);  // Another shard, of the same connection.
  ASSERT_TRUE(a.wait(0, id(b) + " is reachable", 2));
  ASSERT_TRUE(b.wait(0, id(a) + " is reachable", 2));
  const std::vector<std::string> both_ways{"connected", "reachable", "unreachable", "connected", "reachable"};
  EXPECT_EQ(a.connections(0, b.self), both_ways);
  EXPECT_EQ(b.connections(0, a.self), both_ways);
}

TEST_F(ClusterNodeTest, WritesTheFormationAgainWhenRedisHasLostIt) {
  Node a(base_, file("a"), redis_.port());
  ASSERT_TRUE(redis_.wait_for({"GET", "parley:{parley}:formation"}, "1 0000000000000007 4"));
  redis_.command({"FLUSHALL"});
  EXPECT_TRUE(redis_.wait_for({"GET", "parley:{parley}:formation"}, "1 0000000000000007 4"));
}

TEST_F(ClusterNodeTest, RefusesANodeWithAnotherDirectoryUntilItIsRemoved) {
  Node a(base_, file("a"), redis_.port());
  {
    Node b(base_, file("b", 100), redis_.port());
    ASSERT_TRUE(a.wait(0, id(b) + " is reachable"));
  }
  Node b(base_, file("b", 101), redis_.port());
  ASSERT_TRUE(a.wait_view([](const ClusterView& view) { return view.nodes.back().link.refusals != 0; }) ||
              a.self > b.self);
  EXPECT_FALSE(a.node->view().nodes.back().reachable);
  EXPECT_FALSE(a.node->remove("a"));
  a.lead_with({a.self, b.self});
  EXPECT_TRUE(a.node->remove("b"));
  const auto removed = std::chrono::steady_clock::now();
  EXPECT_TRUE(a.wait_view([&](const ClusterView&) { return std::chrono::steady_clock::now() - removed > 2s; }));
  EXPECT_FALSE(a.node->view().nodes.back().reachable) << "slots count on what it was";
  a.lead_with({a.self});
  EXPECT_TRUE(a.wait(0, id(b) + " is reachable", 2));
}

TEST_F(ClusterNodeTest, TellsOthersThatItDrains) {
  Node a(base_, file("a"), redis_.port());
  Node b(base_, file("b"), redis_.port());
  ASSERT_TRUE(b.wait(0, id(a) + " is reachable"));
  EXPECT_TRUE(a.node->set_draining("a", true));
  EXPECT_TRUE(b.wait_view([](const ClusterView& view) { return view.nodes.back().draining; }));
  EXPECT_TRUE(load_node_file(base_ + "/a")->draining);
  EXPECT_TRUE(b.node->set_draining("a", false));  // From elsewhere.
  EXPECT_FALSE(b.node->set_draining("c", true));
  EXPECT_TRUE(b.wait_view([](const ClusterView& view) { return !view.nodes.back().draining; }));
}

}  // namespace
}  // namespace parley::cluster
