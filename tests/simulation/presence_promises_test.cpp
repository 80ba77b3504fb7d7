#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/log.hpp"
#include "tests/simulation/cluster.hpp"
#include "tests/simulation/seeds.hpp"

/// Presence while leaders come and go: nobody who stays connected is shown offline. A seed that fails runs again with
/// PARLEY_SEED.
namespace parley::simulation {
namespace {

using namespace std::chrono_literals;
using mqtt::PacketType;

constexpr std::size_t kUsers = 9;

/// Stays at its node, and looks at itself.
class Narcissus {
 public:
  Narcissus(Cluster& cluster, std::size_t number)
      : cluster_(cluster), node_(number % cluster.size()), name_("u" + std::to_string(number)) {}

  void act() {
    Client& client = cluster_.world(node_).client(name_);
    client.read();
    if (!client.connected()) {
      if (cluster_.dice().one_in(20)) client.connect();
      subscribed_ = false;
      return;
    }
    if (client.connack() == nullptr) return;
    if (!subscribed_) {
      client.subscribe("presence/" + name_);
      subscribed_ = true;
    }
    for (; received_ < client.received.size(); ++received_) {
      const Received& one = client.received[received_];
      if (one.topic != "presence/" + name_) continue;
      const bool online = one.payload.find("\"online\"") != std::string::npos;
      // The first word may be from before it was heard of.
      if (!online && online_) complaints_.push_back(name_ + " was shown " + one.payload);
      online_ = online;
    }
  }
  [[nodiscard]] std::vector<std::string> complaints() const {
    std::vector<std::string> list = complaints_;
    if (!online_) list.push_back(name_ + " isn't shown online in the end");
    return list;
  }

 private:
  Cluster& cluster_;
  std::size_t node_;
  std::string name_;
  bool subscribed_ = false;
  bool online_ = false;
  std::size_t received_ = 0;
  std::vector<std::string> complaints_;
};

TEST(PresencePromises, WhoIsConnectedStaysOnlineWhoeverLeads) {
  log::configure(log::Level::Error, log::Format::Text);
  std::size_t elections = 0;
  const auto list = seeds(20);
  for (const std::uint64_t seed : list) {
    ClusterOptions with;
    with.world.shard.slots = 3;
    with.world.shard.shards = static_cast<std::uint32_t>(1 + seed % 3);
    with.world.shard.presence_grace = 2s;
    with.world.store_latency = 2ms;
    with.transfers = true;
    with.slow_network = seed % 2 == 0;
    Cluster cluster(seed, with);
    std::vector<Narcissus> users;
    for (std::size_t i = 0; i < kUsers; ++i) users.emplace_back(cluster, i);
    const auto act = [&users] {
      for (Narcissus& user : users) user.act();
    };
    cluster.run_for(20s, act);
    cluster.heal();
    cluster.run_for(10s, act);
    for (const Narcissus& user : users) {
      for (const std::string& one : user.complaints()) ADD_FAILURE() << one << "; PARLEY_SEED=" << seed;
    }
    ASSERT_FALSE(testing::Test::HasFailure());
    elections += cluster.counts().elections;
  }
  EXPECT_GT(elections, list.size() * 6) << "leaders came and went";
}

}  // namespace
}  // namespace parley::simulation
