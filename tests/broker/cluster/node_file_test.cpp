#include "broker/cluster/node_file.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace parley::cluster {
namespace {

NodeFile example() {
  NodeFile file{.cluster = "parley",
                .cluster_id = 0x1234,
                .node = "berlin 1",
                .birth = 0x5678,
                .slots = 256,
                .standing = NodeFile::Standing::Founder,
                .starts = 3,
                .draining = true,
                .pins = {{{3}, 7}, {{255}, 1'700'000'000'000}}};
  file.peers[node_id("berlin 2")] = {.name = "berlin 2", .host = "10.0.0.2", .port = 7400, .birth = 0x9ABC};
  file.peers[node_id("c")] = {.name = "c", .host = "::1", .port = 0, .birth = 0};
  file.removed.insert(0xDEF);
  file.parting.insert({0xABC});
  return file;
}

TEST(NodeFile, ReadsBackWhatItWrites) {
  for (const auto standing : {NodeFile::Standing::Forming, NodeFile::Standing::Founder, NodeFile::Standing::Joined}) {
    NodeFile file = example();
    file.standing = standing;
    EXPECT_EQ(read_node_file(encode(file)), file);
  }
}

TEST(NodeFile, IsRefusedUnlessWhole) {
  const std::string whole = encode(example());
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(read_node_file(whole.substr(0, size))) << "cut after " << size << " bytes";
  }
  EXPECT_FALSE(read_node_file(whole + "x"));
  std::string other = whole;
  other.replace(other.find("parley cluster 1"), 16, "parley cluster 2");
  EXPECT_FALSE(read_node_file(other));
}

TEST(NodeFile, TakesWhatANewerProgramAdds) {
  std::string text = encode(example());
  text.insert(text.find("end\n"), "rack 7\n");
  EXPECT_EQ(read_node_file(text), example());
}

TEST(NodeFile, IsForOneClusterNodeAndNumberOfSlots) {
  const NodeFile file = example();
  EXPECT_FALSE(why_another(file, "parley", "berlin 1", 256));
  EXPECT_EQ(
      why_another(file, "other", "berlin 1", 256),
      "cluster.name is \"other\", but the data directory is that of \"parley\"; give it back its name, or this node "
      "a directory of its own");
  EXPECT_EQ(
      why_another(file, "parley", "berlin 2", 256),
      "node.id is \"berlin 2\", but the data directory is that of \"berlin 1\"; give it back its name, or this node "
      "a directory of its own");
  EXPECT_EQ(why_another(file, "parley", "berlin 1", 64),
            "cluster.slots is 64, but cluster \"parley\" was formed with 256, which can't be changed");
}

class NodeFileOnDisk : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(directory_); }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  const std::string directory_ =
      (std::filesystem::temp_directory_path() / ("parley-node-" + std::to_string(::getpid()))).string();
};

TEST_F(NodeFileOnDisk, IsReplacedWhole) {
  EXPECT_FALSE(load_node_file(directory_));
  ASSERT_TRUE(save_node_file(directory_, example()).has_value());
  EXPECT_EQ(load_node_file(directory_), example());
  NodeFile next = example();
  ++next.starts;
  ASSERT_TRUE(save_node_file(directory_, next).has_value());
  EXPECT_EQ(load_node_file(directory_), next);
}

TEST_F(NodeFileOnDisk, StopsTheStartWhenDamaged) {
  std::ofstream(directory_ + "/cluster") << "parley cluster 1\nname parley\n";
  EXPECT_THROW(load_node_file(directory_), std::runtime_error);
}

TEST_F(NodeFileOnDisk, SaysWhenItCantBeWritten) {
  EXPECT_FALSE(save_node_file(directory_ + "/missing", example()).has_value());
}

}  // namespace
}  // namespace parley::cluster
