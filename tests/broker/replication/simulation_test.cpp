#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>

#include "tests/broker/replication/cluster.hpp"
#include "tests/simulation/seeds.hpp"

namespace parley::replication::simulation {
namespace {

TEST(ReplicationSimulation, KeepsItsPromisesWhateverGoesWrong) {
  const auto seeds = parley::simulation::seeds(1'500);
  const auto begin = std::chrono::steady_clock::now();
  Cluster::Counts sum;
  for (const std::uint64_t seed : seeds) {
    Cluster cluster(seed);
    cluster.run();
    ASSERT_EQ(cluster.breach(), "") << "replay: PARLEY_SEED=" << seed << " ctest -R KeepsItsPromisesWhateverGoesWrong";
    const Cluster::Counts& counts = cluster.counts();
    sum.elections += counts.elections;
    sum.committed += counts.committed;
    sum.truncations += counts.truncations;
    sum.refusals += counts.refusals;
    sum.snapshots += counts.snapshots;
    sum.replica_changes += counts.replica_changes;
    sum.transfers += counts.transfers;
    sum.crashes += counts.crashes;
    sum.losses += counts.losses;
    sum.double_losses += counts.double_losses;
    sum.replacements += counts.replacements;
    sum.messages += counts.messages;
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  std::printf(
      "%zu seeds, %.0f seeds/s: %lu elections, %lu entries committed, %lu truncations, %lu refused writes, "
      "%lu snapshots, %lu replica changes, %lu transfers, %lu crashes, %lu logs lost, %lu more meanwhile, %lu nodes "
      "replaced, %lu "
      "messages\n",
      seeds.size(), static_cast<double>(seeds.size()) / took.count(), sum.elections, sum.committed, sum.truncations,
      sum.refusals, sum.snapshots, sum.replica_changes, sum.transfers, sum.crashes, sum.losses, sum.double_losses,
      sum.replacements, sum.messages);
  if (seeds.size() < 100) return;
  // A simulation in which nothing happens keeps every promise.
  EXPECT_GT(sum.truncations, seeds.size() / 50);
  EXPECT_GT(sum.refusals, seeds.size() / 50);
  EXPECT_GT(sum.snapshots, seeds.size() / 50);
  EXPECT_GT(sum.replica_changes, seeds.size() / 10);
  EXPECT_GT(sum.transfers, seeds.size() / 10);
  EXPECT_GT(sum.crashes, seeds.size() / 10);
  EXPECT_GT(sum.losses, seeds.size() / 20);
  EXPECT_GT(sum.double_losses, seeds.size() / 200);
  EXPECT_GT(sum.replacements, seeds.size() / 20);
}

TEST(ReplicationSimulation, RunsTheSameWayTwice) {
  for (const std::uint64_t seed : {1U, 2U, 3U, 5U, 8U, 13U, 21U}) {
    Cluster once(seed);
    once.run();
    Cluster again(seed);
    again.run();
    EXPECT_EQ(once.trace(), again.trace()) << "seed " << seed;
    EXPECT_EQ(once.counts().messages, again.counts().messages) << "seed " << seed;
  }
}

}  // namespace
}  // namespace parley::replication::simulation
