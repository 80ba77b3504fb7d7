#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>

#include "storage/recovery.hpp"
#include "tests/storage/failing_disk.hpp"
#include "tests/storage/world.hpp"

/// A disk that is full, too small or broken: nothing is lost, nothing half stored, and it heals.
namespace parley::storage {
namespace {

using test::FailingDisk;
using test::must;
using test::World;

Result<Lsn> try_append(World& world, const std::vector<std::string>& records) {
  const std::vector<std::string_view> views(records.begin(), records.end());
  return world.writer().append(views);
}

void expect_dense(World& world, ConversationNumber number, std::uint64_t head) {
  EXPECT_EQ(must(world.history().find_conversation(number))->head, Seq{head});
  const auto page = world.history().read(number, {{1}, {head + 9}}, {.entries_max = 100'000, .bytes_max = 1U << 30},
                                         Direction::Ascending);
  ASSERT_TRUE(page);
  EXPECT_EQ(page->entries.size(), head);
  EXPECT_TRUE(page->corrupt.empty());
}

TEST(DiskFailure, OfAnyWriteOfAnAppendStoresAllOrNothing) {
  for (const int error : {ENOSPC, EIO, EDQUOT}) {
    std::uint64_t failing = 1;
    for (bool failed = true; failed && failing < 100; ++failing) {
      World world;
      const auto tea = world.create("tea");
      world.say(tea, 1, 30);
      ASSERT_TRUE(world.history().follow());
      const std::vector<std::string> group{world.records().entry(tea, {31}), world.records().entry(tea, {32})};
      Result<Lsn> first = Lsn{0};
      {
        const FailingDisk disk(failing, failing, error);
        first = try_append(world, group);
        failed = FailingDisk::calls() >= failing;
      }
      EXPECT_EQ(failed, !first);
      if (!first) {
        const bool full = error != EIO;
        EXPECT_TRUE(first.error() == make_error_code(StorageError::Failed) ||
                    (full && first.error() == make_error_code(StorageError::DiskFull)))
            << first.error().message();
        EXPECT_EQ(world.writer().end(), Lsn{31});
        expect_dense(world, tea, 30);
        first = try_append(world, group);
      }
      ASSERT_TRUE(first) << "write " << failing << " failed with " << error << ": " << first.error().message();
      EXPECT_EQ(*first, Lsn{32});
      expect_dense(world, tea, 32);
      world.reopen();
      expect_dense(world, tea, 32);
      EXPECT_EQ(world.writer().end(), Lsn{33});
    }
    EXPECT_GT(failing, 4U);  // Pages, their sync, the meta page.
  }
}

TEST(DiskFailure, OfAnyWriteLeavesAHardStateAsItWasOrAsItWasToBe) {
  using HardStates = std::vector<format::HardStateRow>;
  const HardStates before{{{3}, {1}, {11}}};
  const HardStates after{{{3}, {2}, {12}}};
  for (const bool with_record : {false, true}) {
    std::uint64_t failing = 1;
    for (bool failed = true; failed && failing < 100; ++failing) {
      World world;
      const auto tea = world.create("tea");
      must(world.writer().append({}, before));
      std::vector<std::string> group;
      if (with_record) group.push_back(world.records().entry(tea, {1}));
      const std::vector<std::string_view> views(group.begin(), group.end());
      Result<Lsn> first = Lsn{0};
      {
        const FailingDisk disk(failing, failing, EIO);
        first = world.writer().append(views, after);
        failed = FailingDisk::calls() >= failing;
      }
      EXPECT_EQ(failed, !first);
      if (!first) {
        const auto states = must(find_hard_states(world.files()));
        EXPECT_TRUE(states == before || states == after) << "write " << failing;
        expect_dense(world, tea, 0);
        first = world.writer().append(views, after);
      }
      ASSERT_TRUE(first) << "write " << failing << ": " << first.error().message();
      EXPECT_EQ(*first, Lsn{2});
      world.reopen();
      EXPECT_EQ(must(find_hard_states(world.files())), after);
      EXPECT_EQ(world.writer().end(), Lsn{with_record ? 2U : 1U});
      expect_dense(world, tea, with_record ? 1 : 0);
    }
    EXPECT_GT(failing, 4U);
  }
}

TEST(DiskFailure, OfEveryWriteFromAnyOnIsSurvived) {
  for (std::uint64_t failing = 1; failing <= 12; ++failing) {
    World world;
    const auto tea = world.create("tea");
    world.say(tea, 1, 30);
    std::uint64_t seq = 31;
    {
      const FailingDisk disk(failing, test::kForever, ENOSPC);
      for (int round = 0; round < 3; ++round) {
        if (try_append(world, {world.records().entry(tea, {seq})})) ++seq;
        [[maybe_unused]] const auto done = world.materialiser().step({});
        EXPECT_EQ(world.writer().end(), Lsn{seq});
      }
      EXPECT_GE(FailingDisk::calls(), failing);
    }
    for (; seq <= 40; ++seq) {
      const auto first = try_append(world, {world.records().entry(tea, {seq})});
      ASSERT_TRUE(first) << "from write " << failing << " on";
      ASSERT_EQ(*first, Lsn{seq + 1});
      expect_dense(world, tea, seq);
    }
    world.materialise();
    expect_dense(world, tea, 40);
    world.reopen();
    expect_dense(world, tea, 40);
  }
}

TEST(DiskFailure, OfAnyWriteOfTheMaterialiserLeavesTheStoreAtABatchsEnd) {
  std::uint64_t failing = 1;
  for (bool failed = true; failed && failing < 100; ++failing) {
    World world;
    const auto tea = world.create("tea");
    world.say(tea, 1, 30);
    world.materialise(10, true);
    {
      const FailingDisk disk(failing, failing, ENOSPC);
      const auto done = world.materialiser().step({.records_max = 10});
      failed = FailingDisk::calls() >= failing;
      EXPECT_EQ(failed, !done);
      EXPECT_EQ(world.watermark(), done ? Lsn{20} : Lsn{10});
    }
    expect_dense(world, tea, 30);
    world.materialise(10);
    EXPECT_EQ(world.watermark(), Lsn{31});
    expect_dense(world, tea, 30);
  }
  EXPECT_GT(failing, 4U);
}

TEST(DiskFull, OfAFileSizeLimitRefusesWholeGroupsAndHeals) {
  World world;
  const auto tea = world.create("tea");
  struct rlimit before {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = ::signal(SIGXFSZ, SIG_IGN);
  struct rlimit small = before;
  small.rlim_cur = 512 * 1024;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  std::uint64_t head = 0;
  Result<Lsn> last = Lsn{0};
  for (int round = 0; round < 1000 && last; ++round) {
    std::vector<std::string> group;
    for (std::uint64_t i = 1; i <= 7; ++i) {
      group.push_back(world.records().entry(tea, {head + i}, {head + i}, "ann", "i", std::string(900, 'p')));
    }
    last = try_append(world, group);
    if (last) head += group.size();
  }
  const auto again =
      try_append(world, {world.records().entry(tea, {head + 1}, {1}, "ann", "i", std::string(300'000, 'p'))});
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  ::signal(SIGXFSZ, handler);
  EXPECT_FALSE(last);
  EXPECT_FALSE(again);
  EXPECT_GT(head, 100U);
  expect_dense(world, tea, head);
  world.say(tea, head + 1, head + 1);
  expect_dense(world, tea, head + 1);
  world.materialise();
  expect_dense(world, tea, head + 1);
}

TEST(DiskFull, OfTheMapRefusesWithDiskFull) {
  const test::TemporaryDirectory temporary;
  const auto files = Files::open_to_write(temporary.path(), {.log_map_size = 1 << 20, .store_map_size = 1 << 20});
  LogWriter writer(files);
  test::Records records;
  std::vector<std::string> group{records.conversation("tea")};
  const auto tea = records.number();
  std::uint64_t head = 0;
  Result<Lsn> last = Lsn{0};
  for (int round = 0; round < 1000 && last; ++round) {
    for (int i = 0; i < 10; ++i) {
      ++head;
      group.push_back(records.entry(tea, {head}, {head}, "ann", "i", std::string(500, 'p')));
    }
    last = writer.append(std::vector<std::string_view>(group.begin(), group.end()));
    group.clear();
  }
  EXPECT_EQ(last.error(), make_error_code(StorageError::DiskFull));
  EXPECT_GT(head, 100U);
  // What the log can be cut by is there again.
  Materialiser materialiser(files);
  Result<Materialiser::Done> done = Materialiser::Done{};
  for (int i = 0; i < 100 && done && done->watermark < Lsn{200}; ++i) done = materialiser.step({.records_max = 50});
  ASSERT_TRUE(done);
  ASSERT_GT(must(writer.cut({.watermark = done->watermark, .older_than = {~0ULL}, .records_max = 150})), 100U);
  const Lsn end = writer.end();
  EXPECT_EQ(must(writer.append(std::vector<std::string_view>{records.entry(tea, {end.value})})), end.next());
}

TEST(DiskFull, OfASmallFileSystemRefusesAndHeals) {
  const test::TemporaryDirectory mount_point;
  if (::mount("tmpfs", mount_point.path().c_str(), "tmpfs", 0, "size=6m") != 0) {
    GTEST_SKIP() << "needs the right to mount a small file system";
  }
  struct Unmount {
    const std::string& path;
    ~Unmount() { ::umount2(path.c_str(), MNT_DETACH); }
  } const unmount{mount_point.path()};

  const std::string ballast = mount_point.path() + "/ballast";
  std::filesystem::create_directories(mount_point.path() + "/storage-0");
  const auto files = Files::open_to_write(mount_point.path() + "/storage-0", test::small_files());
  LogWriter writer(files);
  Materialiser materialiser(files);
  History history(files);
  test::Records records;
  const auto append = [&writer](const std::string& record) {
    return writer.append(std::vector<std::string_view>{record});
  };
  ASSERT_TRUE(append(records.conversation("tea")));
  const auto tea = records.number();
  std::uint64_t head = 0;
  const auto say = [&] {
    const auto said =
        append(records.entry(tea, {head + 1}, {head + 1}, "ann", "i" + std::to_string(head), std::string(1500, 'p')));
    if (said) ++head;
    return said;
  };
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(say());
  ASSERT_TRUE(materialiser.step({}));

  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 60; ++i) ASSERT_TRUE(say());
    {
      std::FILE* const file = std::fopen(ballast.c_str(), "w");
      const std::string block(4096, 'b');
      while (std::fwrite(block.data(), 1, block.size(), file) == block.size() && std::fflush(file) == 0) continue;
      std::fclose(file);
    }
    Result<Lsn> said = Lsn{0};
    for (int i = 0; i < 2000 && said; ++i) said = say();
    EXPECT_EQ(said.error(), make_error_code(StorageError::DiskFull));
    EXPECT_EQ(say().error(), make_error_code(StorageError::DiskFull));
    EXPECT_EQ(materialiser.step({}).error(), make_error_code(StorageError::DiskFull));
    EXPECT_EQ(must(history.find_conversation("tea"))->head, Seq{head});
    ASSERT_TRUE(std::filesystem::remove(ballast));
    for (int i = 0; i < 50; ++i) ASSERT_TRUE(say());
    const auto done = materialiser.step({});
    ASSERT_TRUE(done) << done.error().message();
    const auto page =
        history.read(tea, {{1}, {head}}, {.entries_max = 100'000, .bytes_max = 1 << 30}, Direction::Ascending);
    EXPECT_EQ(page->entries.size(), head);
    EXPECT_TRUE(page->corrupt.empty());
  }
}

}  // namespace
}  // namespace parley::storage
