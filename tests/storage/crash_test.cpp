#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <random>
#include <thread>

#include "storage/recovery.hpp"
#include "storage/verify.hpp"
#include "tests/storage/world.hpp"

/// kill -9 in the middle of everything: what was acknowledged is there, dense, once.
namespace parley::storage {
namespace {

using test::must;

struct Acknowledgement {
  std::uint64_t head;   ///< Everything up to here was acknowledged.
  std::uint64_t index;  ///< Likewise of the slot.
};

/// Appends groups of random size and materialises beside that, until it is killed. Acknowledges on `pipe`.
[[noreturn]] void write_until_killed(const std::string& directory, ConversationNumber tea, std::uint64_t seed,
                                     int pipe) {
  const auto files = Files::open_to_write(directory, test::small_files());
  LogWriter writer(files);
  std::uint64_t head = must(History(files).find_conversation(tea))->head.value;
  std::uint64_t index = must(find_slot_ends(*files)).front().last.value;
  std::thread([&files] {
    Materialiser materialiser(files);
    while (materialiser.step({.records_max = 97})) continue;
  }).detach();
  std::mt19937_64 random(seed);
  while (true) {
    std::vector<std::string> records;
    for (std::uint64_t i = 0; i <= random() % 40; ++i) {
      ++head;
      records.push_back(format::encode_record({test::kSlot, {1}, {++index}},
                                              format::EntryRecord{.conversation = tea,
                                                                  .seq = {head},
                                                                  .ts = test::Records::time_of({head}),
                                                                  .id_from_client = true,
                                                                  .from = "ann",
                                                                  .id = test::Records::id_of({head}),
                                                                  .payload = test::Records::payload_of(tea, {head})}));
    }
    if (!writer.append(std::vector<std::string_view>(records.begin(), records.end()))) ::_exit(1);
    const Acknowledgement acknowledgement{head, index};
    if (::write(pipe, &acknowledgement, sizeof acknowledgement) != sizeof acknowledgement) ::_exit(2);
    if (random() % 8 == 0) {
      if (!writer.cut({.watermark = files->watermark(), .older_than = {~0ULL}, .records_max = 200})) ::_exit(3);
    }
  }
}

/// What the child acknowledged last before it was killed, after at least `count` acknowledgements.
Acknowledgement run_and_kill(const std::string& directory, ConversationNumber tea, std::uint64_t seed, int count) {
  int pipe[2];
  if (::pipe(pipe) != 0) throw std::runtime_error("pipe");
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(pipe[0]);
    write_until_killed(directory, tea, seed, pipe[1]);
  }
  ::close(pipe[1]);
  Acknowledgement last{};
  for (int i = 0; ::read(pipe[0], &last, sizeof last) == sizeof last; ++i) {
    if (i == count) ::kill(child, SIGKILL);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ::close(pipe[0]);
  EXPECT_TRUE(WIFSIGNALED(status)) << WEXITSTATUS(status);
  return last;
}

TEST(Crash, LosesNothingThatWasAcknowledged) {
  test::World world;
  const auto tea = world.create("tea");
  std::uint64_t head = 0;
  for (std::uint64_t round = 0; round < 8; ++round) {
    world.close();
    const auto acknowledged = run_and_kill(world.directory(), tea, round, 20 + static_cast<int>(round) * 17);
    ASSERT_GT(acknowledged.head, head);
    world.open();
    const auto state = must(world.history().find_conversation("tea"));
    ASSERT_TRUE(state);
    EXPECT_GE(state->head.value, acknowledged.head);
    EXPECT_GE(must(find_slot_ends(world.files())).front().last.value, acknowledged.index);
    head = state->head.value;
    for (const bool materialised : {false, true}) {
      if (materialised) world.materialise(1000);
      const auto page = world.history().read(tea, {{1}, {head}}, {.entries_max = 1'000'000, .bytes_max = 1U << 30},
                                             Direction::Ascending);
      ASSERT_TRUE(page);
      ASSERT_EQ(page->entries.size(), head);
      ASSERT_TRUE(page->corrupt.empty());
      for (std::uint64_t seq = 1; seq <= head; ++seq) {
        ASSERT_EQ((*page->entries[seq - 1])->payload, test::Records::payload_of(tea, {seq}));
      }
    }
    EXPECT_EQ(must(verify(world.files())).problems_total, 0U);
  }
}

}  // namespace
}  // namespace parley::storage
