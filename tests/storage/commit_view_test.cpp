#include "storage/commit_view.hpp"

#include <fstream>

#include "tests/storage/world.hpp"

namespace parley::storage {
namespace {

using test::must;
using test::World;

constexpr Index kEverything{~0ULL};

TEST(CommitView, ShowsEverythingOfALogThatNoBrokerKeepsIndexesFor) {
  World world;
  CommitView view(world.shared_files());
  ASSERT_TRUE(view.read());
  EXPECT_EQ(view.at({0}), kEverything);
  EXPECT_EQ(view.at({0xFFFF}), kEverything);
}

TEST(CommitView, ShowsWhatWasRaisedBeforeItWasRead) {
  World world;
  world.keep_commit_indexes();
  const auto other = must(Files::open_to_read(world.directory(), 10));
  for (const auto& files : {world.shared_files(), other}) {
    CommitView view(files);
    ASSERT_TRUE(view.read());
    const std::uint64_t before = view.at(test::kSlot).value;
    world.commit(before + 5);
    EXPECT_EQ(view.at(test::kSlot), Index{before});
    ASSERT_TRUE(view.read());
    EXPECT_EQ(view.at(test::kSlot), Index{before + 5});
    EXPECT_EQ(view.at({200}), Index{0});
  }
}

TEST(CommitView, TurnsToAFileThatIsMadeLaterOrAnew) {
  World world;
  const auto other = must(Files::open_to_read(world.directory(), 10));
  CommitView view(other);
  ASSERT_TRUE(view.read());
  EXPECT_EQ(view.at(test::kSlot), kEverything);
  world.keep_commit_indexes();
  ASSERT_TRUE(view.read());
  EXPECT_EQ(view.at(test::kSlot), Index{0});
  world.commit(3);
  ASSERT_TRUE(view.read());
  EXPECT_EQ(view.at(test::kSlot), Index{3});
  world.close();
  std::ofstream(commit_path(world.directory()), std::ios::trunc) << "rubbish";
  world.open();
  world.commit(2);
  ASSERT_TRUE(view.read());
  EXPECT_EQ(view.at(test::kSlot), Index{2});
}

TEST(CommitView, ShowsNothingOfADamagedFile) {
  World world;
  std::ofstream(commit_path(world.directory())) << "rubbish";
  CommitView view(world.shared_files());
  ASSERT_TRUE(view.read());
  EXPECT_EQ(view.at(test::kSlot), Index{0});
}

TEST(CommitView, RefusesANewerFile) {
  World world;
  world.keep_commit_indexes();
  world.close();
  {
    std::fstream file(commit_path(world.directory()), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(16);
    file.put(2);
  }
  CommitView view(must(Files::open_to_read(world.directory(), 10)));
  EXPECT_EQ(view.read().error(), make_error_code(StorageError::NewerFormat));
}

}  // namespace
}  // namespace parley::storage
