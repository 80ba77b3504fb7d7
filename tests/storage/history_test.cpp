#include "storage/history.hpp"

#include <random>

#include "tests/storage/world.hpp"

namespace parley::storage {
namespace {

using test::must;
using test::World;
using Seqs = std::vector<std::uint64_t>;

Seqs seqs(std::uint64_t first, std::uint64_t last) {
  Seqs result;
  for (auto seq = first; first <= last ? seq <= last : seq >= last; first <= last ? ++seq : --seq)
    result.push_back(seq);
  return result;
}

TEST(History, FindsNoConversationInAnEmptyStore) {
  World world;
  ASSERT_TRUE(world.history().follow());
  EXPECT_FALSE(must(world.history().find_conversation("tea")));
  EXPECT_FALSE(must(world.history().find_conversation("")));
  EXPECT_FALSE(must(world.history().find_conversation(std::string(100'000, 'x'))));
  EXPECT_FALSE(must(world.history().find_conversation(ConversationNumber{1})));
  EXPECT_EQ(world.history().read({1}, {{1}, {9}}, {}, Direction::Ascending).error(),
            make_error_code(StorageError::NotFound));
  EXPECT_EQ(world.history().first_at_or_after({1}, {1}).error(), make_error_code(StorageError::NotFound));
}

TEST(History, KnowsAConversationFromTheMomentItIsDurable) {
  World world;
  const auto tea = world.create("tea");
  for (const bool materialised : {false, true}) {
    if (materialised) world.materialise();
    const auto state = must(world.history().find_conversation("tea"));
    ASSERT_TRUE(state);
    EXPECT_EQ(state->number, tea);
    EXPECT_EQ(state->name, "tea");
    EXPECT_EQ(state->epoch, Epoch{77});
    EXPECT_EQ(state->oldest, Seq{1});
    EXPECT_EQ(state->head, Seq{0});
    EXPECT_EQ(state->created, Timestamp{test::kMorning});
    EXPECT_EQ(state->last_ts, Timestamp{test::kMorning});
    EXPECT_EQ(state->creator, "ann");
    EXPECT_EQ(must(world.history().find_conversation(tea))->name, "tea");
    EXPECT_TRUE(must(world.history().read(tea, {{1}, {9}}, {}, Direction::Ascending)).entries.empty());
    EXPECT_EQ(must(world.history().first_at_or_after(tea, {0})), Seq{1});
  }
}

TEST(History, ReadsAcrossTheSeamWhereverItIs) {
  constexpr std::uint64_t kEntries = 24;
  World world;
  const auto tea = world.create("tea");
  const auto milk = world.create("milk");
  for (std::uint64_t seq = 1; seq <= kEntries; ++seq) {
    world.append({world.records().entry(milk, {seq}), world.records().entry(tea, {seq})});
  }
  for (std::uint64_t mark = 0; mark <= 2 + 2 * kEntries; ++mark) {
    ASSERT_EQ(world.watermark(), Lsn{mark});
    EXPECT_EQ(must(world.history().find_conversation("tea"))->head, Seq{kEntries});
    EXPECT_EQ(must(world.history().find_conversation("tea"))->last_ts, test::Records::time_of({kEntries}));
    for (std::uint64_t first = 0; first <= kEntries + 2; ++first) {
      for (std::uint64_t last = first; last <= kEntries + 2; last += 3) {
        const auto up = must(world.history().read(tea, {{first}, {last}}, {}, Direction::Ascending));
        const auto down = must(world.history().read(tea, {{first}, {last}}, {}, Direction::Descending));
        const auto low = std::max<std::uint64_t>(first, 1);
        const auto high = std::min(last, kEntries);
        const Seqs expected = low <= high ? seqs(low, high) : Seqs();
        ASSERT_EQ(test::seqs_of(up), expected) << first << "-" << last << " at " << mark;
        ASSERT_EQ(test::seqs_of(down), Seqs(expected.rbegin(), expected.rend()))
            << first << "-" << last << " at " << mark;
        ASSERT_TRUE(up.corrupt.empty());
        ASSERT_TRUE(down.corrupt.empty());
      }
    }
    world.materialise(1, true);
  }
}

TEST(History, ShowsEntriesAsTheyWereWritten) {
  World world;
  const auto tea = world.create("tea");
  const std::string first = world.records().entry(tea, {1}, {5}, "ann", "i1", std::string(100'000, 'p'));
  const std::string second = world.records().entry(tea, {2}, {6}, "bob", "i2", "");
  world.append({first});
  world.materialise();
  world.append({second});
  const auto page = must(world.history().read(tea, {{1}, {2}}, {}, Direction::Ascending));
  ASSERT_EQ(page.entries.size(), 2U);
  EXPECT_EQ(page.entries[0]->bytes(), first);
  EXPECT_EQ(page.entries[1]->bytes(), second);
  EXPECT_EQ((*page.entries[1])->from, "bob");
  EXPECT_EQ(page.entries[1]->position().slot, test::kSlot);
}

TEST(History, EndsPagesAtTheirLimits) {
  World world;
  const auto tea = world.create("tea");
  world.say(tea, 1, 30);
  const std::size_t size = world.records().entry(tea, {30}).size();
  for (const bool materialised : {false, true}) {
    if (materialised) world.materialise();
    const auto read = [&](PageLimits limits, Direction direction) {
      return test::seqs_of(must(world.history().read(tea, {{1}, {99}}, limits, direction)));
    };
    EXPECT_EQ(read({.entries_max = 7}, Direction::Ascending), seqs(1, 7));
    EXPECT_EQ(read({.entries_max = 7}, Direction::Descending), seqs(30, 24));
    EXPECT_EQ(read({.bytes_max = 1}, Direction::Ascending), seqs(1, 1));
    EXPECT_EQ(read({.bytes_max = 2 * size + 1}, Direction::Descending), seqs(30, 28));
    EXPECT_EQ(read({.entries_max = 0}, Direction::Ascending), Seqs());
  }
}

TEST(History, VisitsWithoutCopying) {
  struct Visitor final : EntryVisitor {
    std::vector<std::string> payloads;
    std::vector<std::uint64_t> damaged;
    void entry(const format::Record& record, std::string_view bytes) override {
      const auto& shown = std::get<format::EntryRecord>(record.body);
      EXPECT_GE(shown.payload.data(), bytes.data());
      EXPECT_LE(shown.payload.data() + shown.payload.size(), bytes.data() + bytes.size());
      payloads.emplace_back(shown.payload);
    }
    void corrupt(Seq seq) override { damaged.push_back(seq.value); }
  } visitor;
  World world;
  const auto tea = world.create("tea");
  world.say(tea, 1, 5);
  world.materialise(4, true);
  EXPECT_EQ(must(world.history().visit(tea, {{2}, {5}}, {}, Direction::Ascending, visitor)), 4U);
  ASSERT_EQ(visitor.payloads.size(), 4U);
  for (std::uint64_t i = 0; i < 4; ++i) EXPECT_EQ(visitor.payloads[i], test::Records::payload_of(tea, {i + 2}));
}

TEST(History, FindsTimesAtEverySeam) {
  constexpr std::uint64_t kEntries = 37;
  World world;
  const auto tea = world.create("tea");
  std::vector<std::uint64_t> times;
  std::mt19937_64 random(3);
  std::vector<std::string> records;
  for (std::uint64_t seq = 1; seq <= kEntries; ++seq) {
    times.push_back((times.empty() ? 1000 : times.back()) + random() % 3);  // Many are equal.
    records.push_back(world.records().entry(tea, {seq}, {times.back()}, "ann", "i"));
  }
  world.append(records);
  for (std::uint64_t mark = 0; mark <= kEntries + 1; mark += 3) {
    for (std::uint64_t time = 998; time <= times.back() + 2; ++time) {
      const auto expected = std::lower_bound(times.begin(), times.end(), time) - times.begin() + 1;
      ASSERT_EQ(must(world.history().first_at_or_after(tea, {time})), Seq{static_cast<std::uint64_t>(expected)})
          << time << " at " << mark;
    }
    world.materialise(3, true);
  }
}

TEST(History, LoadsWithTheIdsThatTheStoreDoesNotKnowYet) {
  World world;
  const auto tea = world.create("tea");
  world.say(tea, 1, 5);
  for (std::uint64_t mark = 0; mark <= 6; ++mark) {
    const auto loaded = must(world.history().load("tea"));
    ASSERT_TRUE(loaded.conversation);
    EXPECT_EQ(loaded.conversation->head, Seq{5});
    EXPECT_EQ(loaded.log_end, Lsn{6});
    EXPECT_EQ(loaded.unmaterialised.size(), std::min<std::uint64_t>(5, 6 - mark));
    if (!loaded.unmaterialised.empty()) {
      EXPECT_EQ((*loaded.unmaterialised.back())->id, "id5");
    }
    world.materialise(1, true);
  }
  EXPECT_FALSE(must(world.history().load("milk")).conversation);
}

TEST(History, OpenedReadOnlyBesideNobodyReadsWhatWasLeft) {
  World world;
  const auto tea = world.create("tea");
  world.say(tea, 1, 9);
  world.materialise(5, true);
  world.close();
  const auto history = History::open(world.directory(), {});
  ASSERT_TRUE(history) << history.error().message();
  EXPECT_EQ(must((*history)->find_conversation("tea"))->head, Seq{9});
  EXPECT_EQ(test::seqs_of(must((*history)->read(tea, {{1}, {9}}, {}, Direction::Ascending))), seqs(1, 9));
}

}  // namespace
}  // namespace parley::storage
