#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "tests/storage/world.hpp"

/// History in a process of its own, as the bridge reads it.
namespace parley::storage {
namespace {

using test::must;
using test::World;

/// A child process and a way to tell each other that something is done.
class Child {
 public:
  /// `work` runs in the child; its result is the child's exit status.
  template <class Work>
  explicit Child(Work work) {
    if (::pipe(to_child_) != 0 || ::pipe(to_parent_) != 0) throw std::runtime_error("pipe");
    process_ = ::fork();
    if (process_ == 0) ::_exit(work(*this));
    ::close(to_child_[0]);
    ::close(to_parent_[1]);
  }
  ~Child() {
    for (const int file : {to_child_[1], to_parent_[0]}) ::close(file);
    if (process_ > 0) {
      ::kill(process_, SIGKILL);
      ::waitpid(process_, nullptr, 0);
    }
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  void tell_parent() const { put(to_parent_[1]); }
  void tell_child() const { put(to_child_[1]); }
  [[nodiscard]] bool wait_for_parent() const { return get(to_child_[0]); }
  [[nodiscard]] bool wait_for_child() const { return get(to_parent_[0]); }

  void kill() { ::kill(process_, SIGKILL); }
  int join() {
    int status = 0;
    ::waitpid(process_, &status, 0);
    process_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
  }

 private:
  static void put(int file) { [[maybe_unused]] const auto written = ::write(file, "x", 1); }
  static bool get(int file) {
    char byte = 0;
    return ::read(file, &byte, 1) == 1;
  }
  int to_child_[2];
  int to_parent_[2];
  pid_t process_ = -1;
};

/// Reads until the head is `last`; what it sees must be dense and never go back. 0: all was well.
int read_until(const std::string& directory, std::uint64_t last, const Child& child) {
  auto history = History::open(directory, {});
  if (!history) return 10;
  child.tell_parent();
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  std::uint64_t seen = 0;
  while (seen < last) {
    if (std::chrono::steady_clock::now() > deadline) return 11;
    const auto state = (*history)->find_conversation("tea");
    if (!state || !*state) return 12;
    const std::uint64_t head = (*state)->head.value;
    if (head < seen) return 13;
    seen = head;
    for (const auto direction : {Direction::Ascending, Direction::Descending}) {
      const std::uint64_t low = head > 40 ? head - 40 : 1;
      const auto page = (*history)->read((*state)->number, {{low}, {head}}, {}, direction);
      if (!page || !page->corrupt.empty()) return 14;
      if (page->entries.size() != (head == 0 ? 0 : head - low + 1)) return 15;
      for (std::size_t i = 0; i < page->entries.size(); ++i) {
        const std::uint64_t seq = direction == Direction::Ascending ? low + i : head - i;
        const auto& entry = *page->entries[i];
        if (entry->seq != Seq{seq} || entry->payload != test::Records::payload_of((*state)->number, {seq})) return 16;
      }
    }
  }
  return 0;
}

TEST(SecondProcess, ReadsWhileTheFirstWritesMaterialisesAndCuts) {
  constexpr std::uint64_t kEntries = 3'000;
  World world;
  const auto tea = world.create("tea");
  Child child([&world](const Child& self) { return read_until(world.directory(), kEntries, self); });
  ASSERT_TRUE(child.wait_for_child());
  for (std::uint64_t seq = 1; seq <= kEntries; seq += 5) {
    world.say(tea, seq, seq + 4);
    if (seq % 35 == 1) world.materialise(30, true);
    if (seq % 70 == 1) {
      ASSERT_TRUE(world.writer().cut({.watermark = world.watermark(), .older_than = {~0ULL}, .records_max = 100}));
    }
  }
  EXPECT_EQ(child.join(), 0);
}

TEST(SecondProcess, SeesAnEntryOnceItIsAppended) {
  World world;
  const auto tea = world.create("tea");
  Child child([&world, tea](const Child& self) {
    auto history = History::open(world.directory(), {});
    if (!history) return 10;
    for (std::uint64_t seq = 1; seq <= 50; ++seq) {
      self.tell_parent();
      if (!self.wait_for_parent()) return 11;
      if (must((*history)->find_conversation(tea))->head != Seq{seq}) return 12;
    }
    return 0;
  });
  for (std::uint64_t seq = 1; seq <= 50; ++seq) {
    ASSERT_TRUE(child.wait_for_child());
    world.say(tea, seq, seq);
    if (seq % 3 == 0) world.materialise();
    child.tell_child();
  }
  EXPECT_EQ(child.join(), 0);
}

TEST(SecondProcess, ThatWasKilledWhileReadingLeavesNothingBehind) {
  World world;
  world.create("tea");
  Child child([&world](const Child& self) {
    auto history = History::open(world.directory(), {});
    ReadTransaction store((*history)->files()->store());
    if (!store.begin()) return 1;
    self.tell_parent();
    return self.wait_for_parent() ? 2 : 3;
  });
  ASSERT_TRUE(child.wait_for_child());
  EXPECT_EQ(world.files().clear_dead_readers(), 0);
  child.kill();
  child.join();
  EXPECT_GT(world.files().clear_dead_readers(), 0);
  EXPECT_EQ(world.files().clear_dead_readers(), 0);
}

TEST(SecondProcess, FollowsWhenTheFilesOutgrowTheirMap) {
  const test::TemporaryDirectory temporary;
  const auto open = [&temporary](std::uint64_t size) {
    return Files::open_to_write(temporary.path(), {.log_map_size = size, .store_map_size = size});
  };
  test::Records records;
  const auto append = [](LogWriter& writer, const std::vector<std::string>& group) {
    ASSERT_TRUE(writer.append(std::vector<std::string_view>(group.begin(), group.end())));
  };
  auto files = open(1 << 20);
  auto writer = std::make_unique<LogWriter>(files);
  append(*writer, {records.conversation("tea")});
  const auto tea = records.number();
  append(*writer, {records.entry(tea, {1})});
  Child child([&temporary, tea](const Child& self) {
    auto history = History::open(temporary.path(), {});
    if (!history || !(*history)->follow()) return 10;
    self.tell_parent();
    if (!self.wait_for_parent()) return 11;
    const auto page = (*history)->read(tea, {{1}, {99}}, {.bytes_max = 1 << 30}, Direction::Ascending);
    return page && page->entries.size() == 9 && page->corrupt.empty() ? 0 : 12;
  });
  ASSERT_TRUE(child.wait_for_child());
  writer.reset();
  files.reset();
  files = open(64 << 20);
  writer = std::make_unique<LogWriter>(files);
  for (std::uint64_t seq = 2; seq <= 9; ++seq) {
    append(*writer, {records.entry(tea, {seq}, {seq}, "ann", "i", std::string(1 << 20, 'p'))});
    if (seq == 5) {
      ASSERT_TRUE(Materialiser(files).step({}));
    }
  }
  child.tell_child();
  EXPECT_EQ(child.join(), 0);
}

}  // namespace
}  // namespace parley::storage
