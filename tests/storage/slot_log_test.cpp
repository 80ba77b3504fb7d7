#include "storage/log_places.hpp"
#include "storage/log_reader.hpp"
#include "storage/recovery.hpp"
#include "tests/storage/world.hpp"

/// A slot's log by index, for replicas that are behind, and what a replica goes on from after a restart.
namespace parley::storage {
namespace {

using test::must;
using test::Records;
using test::World;
using Row = format::SlotRow;

/// A World with what the disk's threads keep beside it.
class SlotLog : public ::testing::Test {
 protected:
  SlotLog() { world_.keep_commit_indexes(); }

  void append(const std::vector<std::string>& records) {
    const Lsn first = world_.append(records);
    places_->add(std::vector<std::string_view>(records.begin(), records.end()), first);
    for (const auto& record : records) {
      const auto place = must(format::decode_position(record));
      auto& log = logs_[place.slot.value];
      log.resize(place.index.value - 1);
      log.push_back(record);
    }
  }
  void no_ops(Records& records, int count) {
    std::vector<std::string> batch;
    for (int i = 0; i < count; ++i) batch.push_back(records.no_op());
    append(batch);
  }
  void step(std::size_t records) {
    const auto done = must(world_.materialiser().step({.records_max = records}));
    for (const auto& [slot, index] : done.slots) places_->drop(slot, index);
  }
  void reopen() {
    world_.reopen();
    places_ = std::make_unique<LogPlaces>();
    must_find_places();
  }
  void must_find_places() { ASSERT_TRUE(find_log_places(world_.files(), *places_)); }
  Result<std::vector<std::string>> read(Slot slot, std::uint64_t first, std::uint64_t last,
                                        std::size_t bytes_max = 1U << 20) {
    return LogReader(world_.shared_files(), *places_).read(slot, {first}, {last}, bytes_max);
  }
  /// Everything above `base` can be read, in pieces; nothing below.
  void expect_readable(Slot slot, std::uint64_t base) {
    const auto& log = logs_[slot.value];
    if (base > 0) {
      EXPECT_EQ(read(slot, base, log.size()).error(), make_error_code(StorageError::NotFound));
    }
    EXPECT_EQ(read(slot, log.size() + 1, log.size() + 9).error(), make_error_code(StorageError::NotFound));
    for (std::uint64_t index = base + 1; index <= log.size();) {
      const auto piece = read(slot, index, log.size());
      ASSERT_TRUE(piece) << index;
      for (const auto& record : *piece) ASSERT_EQ(record, log[index++ - 1]) << index;
    }
  }
  SlotState state(Slot slot) {
    for (auto& one : must(find_slot_states(world_.files()))) {
      if (one.hard.slot == slot) return one;
    }
    ADD_FAILURE() << "no such slot";
    return {};
  }

  World world_;
  std::unique_ptr<LogPlaces> places_ = std::make_unique<LogPlaces>();
  std::map<std::uint64_t, std::vector<std::string>> logs_;
};

TEST_F(SlotLog, IsReadableWhereverTheStoreIs) {
  Records five{Slot{5}};
  Records six{Slot{6}};
  for (int round = 0; round < 10; ++round) {
    no_ops(five, 17);
    no_ops(six, 5);
  }
  world_.commit(170, {5});
  world_.commit(40, {6});
  for (int round = 0; round < 12; ++round) {
    expect_readable({5}, 0);
    expect_readable({6}, 0);
    step(20);
    if (round % 4 == 3) reopen();
  }
  EXPECT_EQ(must(read({5}, 3, 170, 1)).size(), 1U);
  EXPECT_EQ(must(read({5}, 60, 70)).size(), 11U);
  EXPECT_FALSE(read({7}, 1, 9));
}

TEST_F(SlotLog, IsReadAsItStandsAfterARecordWasReplaced) {
  Records five{Slot{5}};
  no_ops(five, 10);
  world_.commit(4, {5});
  step(100);
  five.go_on_at({2}, {6});
  no_ops(five, 3);
  for (int restarted = 0; restarted < 2; ++restarted) {
    expect_readable({5}, 0);
    EXPECT_EQ(state({5}).last, Index{8});
    EXPECT_EQ(state({5}).terms, (std::vector<Row::Position>{{{1}, {1}}, {{2}, {6}}}));
    EXPECT_EQ(state({5}).materialised, Index{4});
    reopen();
  }
  world_.commit(8, {5});
  step(100);
  expect_readable({5}, 0);
  EXPECT_EQ(state({5}).terms, (std::vector<Row::Position>{{{1}, {1}}, {{2}, {6}}}));
}

TEST_F(SlotLog, LosesItsFrontWithTheLogAndSaysSo) {
  Records five{Slot{5}};
  Records six{Slot{6}};
  no_ops(six, 1);
  for (std::uint64_t round = 1; round <= 10; ++round) {
    five.go_on_at({round}, {(round - 1) * 30 + 1});
    no_ops(five, 30);
    world_.commit(round * 30, {5});
    world_.commit(1, {6});
    step(1'000);
  }
  EXPECT_EQ(state({5}).base, (Row::Position{{0}, {0}}));
  EXPECT_EQ(state({5}).terms.size(), 10U);
  std::uint64_t all = 0;
  for (const std::size_t cut : {1U, 29U, 2U, 100U, 64U, 1'000U}) {
    const std::size_t gone =
        must(world_.writer().cut({.watermark = world_.watermark(), .older_than = {~0ULL}, .records_max = cut}));
    all += gone;
    const std::uint64_t base = all - 1;  // The first was of slot 6.
    EXPECT_EQ(state({5}).base, (Row::Position{{base == 0 ? 0 : (base - 1) / 30 + 1}, {base}}));
    EXPECT_EQ(state({6}).base, (Row::Position{{1}, {1}}));
    EXPECT_EQ(state({5}).terms.front(), (Row::Position{{base / 30 + 1}, {base + 1}}));
    expect_readable({5}, base);
    reopen();
    expect_readable({5}, base);
  }
  EXPECT_EQ(all, 300U);
  // The index follows with the next batch.
  no_ops(five, 1);
  world_.commit(301, {5});
  step(100);
  std::size_t rows = 0;
  for (const auto& row : test::contents(world_.files())) rows += row.first.starts_with("slot_index:") ? 1 : 0;
  EXPECT_LE(rows, 3U);
  expect_readable({5}, 299);
}

TEST_F(SlotLog, NamesTheReplicasInForceAtItsBaseAndAbove) {
  Records five{Slot{5}};
  append({five.no_op(), five.replicas({{1}}), five.no_op(), five.replicas({{1}}, {{2}})});
  append({five.replicas({{1}, {2}})});
  using Sets = std::vector<Row::Replicas>;
  const Sets expected{{{2}, {{1}}, {}}, {{4}, {{1}}, {{2}}}, {{5}, {{1}, {2}}, {}}};
  for (std::uint64_t commit = 0; commit <= 5; ++commit) {
    if (commit > 0) world_.commit(commit, {5});
    step(100);
    EXPECT_EQ(state({5}).replicas, expected) << commit;
  }
  ASSERT_TRUE(world_.writer().cut({.watermark = world_.watermark(), .older_than = {~0ULL}, .records_max = 4}));
  EXPECT_EQ(state({5}).base.index, Index{4});
  EXPECT_EQ(state({5}).replicas, (Sets{expected[1], expected[2]}));
}

TEST_F(SlotLog, ForgetsReplicasThatWereReplaced) {
  Records five{Slot{5}};
  append({five.replicas({{1}}), five.replicas({{1}, {2}})});
  world_.commit(1, {5});
  five.go_on_at({2}, {2});
  append({five.no_op()});
  for (int materialised = 0; materialised < 2; ++materialised) {
    EXPECT_EQ(state({5}).replicas.size(), 1U);
    EXPECT_EQ(state({5}).last, Index{2});
    world_.commit(2, {5});
    step(100);
  }
}

TEST_F(SlotLog, SaysWhichRecordIsDamaged) {
  Records five{Slot{5}};
  no_ops(five, 5);
  world_.damage(world_.files().log(), kLogTable, format::number_key(Lsn{3}));
  EXPECT_EQ(must(read({5}, 1, 5)).size(), 2U);
  EXPECT_EQ(read({5}, 3, 5).error(), make_error_code(StorageError::CorruptRecord));
  EXPECT_EQ(must(read({5}, 4, 5)).size(), 2U);
}

TEST_F(SlotLog, HasAHardStateEvenWithoutRecords) {
  const auto one = state({4});
  EXPECT_EQ(one.hard, (format::HardStateRow{{4}, {1}, {7}}));
  EXPECT_EQ(one.last, Index{0});
  EXPECT_TRUE(one.terms.empty());
}

TEST(SlotLogOfAStandaloneNode, BeginsBehindWhatIsMaterialised) {
  World world;
  Records five{Slot{5}};
  world.append({five.no_op(), five.replicas({{1}}), five.no_op()});
  world.materialise(2, true);
  const auto states = must(find_slot_states(world.files()));
  ASSERT_EQ(states.size(), 1U);
  EXPECT_EQ(states[0].base, (Row::Position{{1}, {2}}));
  EXPECT_EQ(states[0].terms, (std::vector<Row::Position>{{{1}, {3}}}));
  EXPECT_EQ(states[0].replicas.size(), 1U);
  EXPECT_EQ(states[0].hard.term, Term{1});
}

TEST(LogPlaces, AnswerWithoutHoles) {
  LogPlaces places;
  for (std::uint64_t index = 5; index <= 9; ++index) places.add({1}, {index}, {index * 10});
  const auto find = [&places](std::uint64_t first, std::uint64_t last, std::size_t count = 99) {
    std::vector<std::uint64_t> found;
    for (const Lsn position : places.find({1}, {first}, {last}, count)) found.push_back(position.value);
    return found;
  };
  using Positions = std::vector<std::uint64_t>;
  EXPECT_EQ(find(4, 9), Positions());
  EXPECT_EQ(find(5, 6), (Positions{50, 60}));
  EXPECT_EQ(find(8, 20), (Positions{80, 90}));
  EXPECT_EQ(find(5, 9, 2), (Positions{50, 60}));
  EXPECT_EQ(find(10, 10), Positions());
  places.add({1}, {7}, {100});
  EXPECT_EQ(find(5, 20), (Positions{50, 60, 100}));
  places.drop({1}, {5});
  places.drop({2}, {5});
  EXPECT_EQ(find(5, 20), Positions());
  EXPECT_EQ(find(6, 20), (Positions{60, 100}));
  places.drop({1}, {99});
  EXPECT_EQ(find(6, 20), Positions());
}

}  // namespace
}  // namespace parley::storage
