#include "broker/cluster/entering.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <stdexcept>
#include <thread>
#include <vector>

#include "tests/broker/cluster/redis_server.hpp"

namespace parley::cluster {
namespace {

using namespace std::chrono_literals;

/// Node directories in one temporary directory.
class Entering : public testing::Test {
 protected:
  ~Entering() override { std::filesystem::remove_all(base_); }

  EnteringOptions options(const std::string& node, std::uint32_t slots = 16) {
    const std::string directory = base_ + "/" + node;
    std::filesystem::create_directories(directory);
    return {.data_dir = directory,
            .cluster = "parley",
            .node = node,
            .slots = slots,
            .redis = {.addresses = {{.host = "127.0.0.1", .port = redis_.port()}}},
            .lease_time = 300ms};
  }
  static std::optional<NodeFile> enter(const EnteringOptions& options) {
    return enter_cluster(options, [] { return false; });
  }

  test::RedisServer redis_;
  const std::string base_ =
      (std::filesystem::temp_directory_path() / ("parley-entering-" + std::to_string(::getpid()))).string();
};

TEST_F(Entering, LetsOneOfManyFormTheCluster) {
  std::vector<std::thread> threads;
  std::vector<NodeFile> files(4);
  for (std::size_t i = 0; i < files.size(); ++i) {
    threads.emplace_back([&, i] { files[i] = enter(options("node-" + std::to_string(i))).value(); });
  }
  for (auto& thread : threads) thread.join();
  int founders = 0;
  for (const NodeFile& file : files) {
    EXPECT_EQ(file.cluster_id, files.front().cluster_id);
    founders += file.standing == NodeFile::Standing::Founder ? 1 : 0;
    EXPECT_EQ(file.starts, 1U);
  }
  EXPECT_EQ(founders, 1);
}

TEST_F(Entering, FormsAClusterOfAStandaloneBroker) {
  EnteringOptions full = options("a");
  full.has_data = true;
  EXPECT_THROW(enter(full), std::runtime_error);  // It has 256 slots.
  full.slots = 256;
  EXPECT_EQ(enter(full)->standing, NodeFile::Standing::Founder);
  EXPECT_TRUE(enter(full));
}

TEST_F(Entering, NeedsNoRedisTheSecondTime) {
  const NodeFile first = enter(options("a")).value();
  redis_.kill();
  const NodeFile second = enter(options("a")).value();
  EXPECT_EQ(second.cluster_id, first.cluster_id);
  EXPECT_EQ(second.standing, NodeFile::Standing::Founder);
  EXPECT_EQ(second.starts, 2U);
}

TEST_F(Entering, GoesOnFormingWhereItDied) {
  const NodeFile first = enter(options("a")).value();
  NodeFile halfway = first;
  halfway.standing = NodeFile::Standing::Forming;
  ASSERT_TRUE(save_node_file(options("a").data_dir, halfway).has_value());
  EXPECT_EQ(enter(options("a"))->standing, NodeFile::Standing::Founder);
  // Another one was quicker.
  halfway.cluster_id = 99;
  ASSERT_TRUE(save_node_file(options("a").data_dir, halfway).has_value());
  const auto joined = enter(options("a"));
  EXPECT_EQ(joined->standing, NodeFile::Standing::Joined);
  EXPECT_EQ(joined->cluster_id, first.cluster_id);
}

TEST_F(Entering, WaitsForRedisUntilItIsStopped) {
  redis_.kill();
  std::atomic<bool> stop = false;
  std::optional<NodeFile> file;
  std::thread thread([&] { file = enter_cluster(options("a"), [&stop] { return stop.load(); }); });
  stop = true;
  thread.join();
  EXPECT_FALSE(file);
}

TEST_F(Entering, RefusesWhatDoesntFit) {
  enter(options("a"));
  EXPECT_THROW(enter(options("b", 32)), std::runtime_error);  // The cluster has 16 slots.
  EXPECT_THROW(enter(options("a", 32)), std::runtime_error);
  EnteringOptions full = options("d", 256);
  full.has_data = true;
  EXPECT_THROW(enter(full), std::runtime_error);
  EnteringOptions renamed = options("a");
  renamed.node = "c";
  EXPECT_THROW(enter(renamed), std::runtime_error);
}

}  // namespace
}  // namespace parley::cluster
