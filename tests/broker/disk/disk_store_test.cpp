#include "broker/disk/disk_store.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <thread>

#include "storage/open_failure.hpp"
#include "tests/broker/disk/collecting_sink.hpp"
#include "tests/storage/failing_disk.hpp"
#include "tests/storage/world.hpp"

namespace parley::disk {
namespace {

using namespace std::chrono_literals;
using storage::test::FailingDisk;
using storage::test::Records;
using test::CollectingSink;

constexpr Duration kNever = 1h;

class DiskStoreTest : public ::testing::Test {
 protected:
  DiskOptions options(Duration materialise_after = kNever) {
    return {.data_dir = directory_.path(),
            .shards = 3,
            .readers = 2,
            .log_map_size = 256ULL << 20,
            .store_map_size = 256ULL << 20,
            .materialise_after = materialise_after};
  }
  void open(Duration materialise_after = kNever) { open(options(materialise_after)); }
  void open(DiskOptions with) {
    store_.reset();
    store_ = DiskStore::open(std::move(with), sink_);
  }

  shard::AppendBatch batch(shard::ShardId shard, std::vector<std::string> records) {
    shard::AppendBatch made{.shard = shard, .ticket = ++tickets_[shard], .generation = generation_[shard] + 1};
    for (auto& record : records) made.records.push_back(std::make_shared<const std::string>(std::move(record)));
    return made;
  }
  /// Appends and waits for the answer.
  Result<Lsn> append(std::vector<std::string> records, shard::ShardId shard = 0) {
    store_->append(batch(shard, std::move(records)));
    EXPECT_TRUE(sink_.wait_for_appended(shard, ++answers_[shard]));
    const auto first = sink_.of(shard).appended.back().second;
    if (first) commit(records_.last_index().value);
    return first;
  }
  void commit_and_wait(std::uint64_t index) {
    commit(index);
    EXPECT_TRUE(sink_.wait_for_materialised({index}));
  }
  void commit(std::uint64_t index) { store_->committed(storage::test::kSlot, {index}); }
  ConversationNumber create(const std::string& name) {
    EXPECT_TRUE(append({records_.conversation(name)}));
    return records_.number();
  }
  Result<shard::ReadPage> read(ConversationNumber number, std::uint64_t first, std::uint64_t last) {
    store_->read_entries(1, {.token = ++token_, .conversation = number, .first = {first}, .last = {last}});
    return sink_.wait_for_page(1, token_);
  }
  Result<shard::LogStoreEvents::LoadedConversation> load(const std::string& name) {
    store_->load_conversation(2, name);
    return sink_.wait_for_loaded(2, name);
  }

  storage::test::TemporaryDirectory directory_;
  CollectingSink sink_;
  std::unique_ptr<DiskStore> store_;
  Records records_;
  std::map<shard::ShardId, std::uint64_t> tickets_;
  std::map<shard::ShardId, std::uint64_t> answers_;
  std::map<shard::ShardId, std::uint64_t> generation_;
  std::uint64_t token_ = 0;
};

TEST_F(DiskStoreTest, AnswersAppendsLoadsAndReads) {
  open();
  EXPECT_TRUE(store_->slot_ends().empty());
  EXPECT_FALSE(load("tea")->conversation);
  const auto tea = create("tea");
  EXPECT_EQ(*append({records_.entry(tea, {1}), records_.entry(tea, {2})}), Lsn{2});
  EXPECT_EQ(*append({records_.entry(tea, {3})}, 2), Lsn{4});
  const auto loaded = load("tea");
  ASSERT_TRUE(loaded && loaded->conversation);
  EXPECT_EQ(loaded->name, "tea");
  EXPECT_EQ(loaded->conversation->number, tea);
  EXPECT_EQ(loaded->conversation->head, Seq{3});
  EXPECT_EQ(loaded->conversation->last_ts, Records::time_of({3}));
  EXPECT_EQ(loaded->unmaterialised.size(), 3U);
  EXPECT_EQ(loaded->log_end, Lsn{4});
  const auto page = read(tea, 2, 9);
  ASSERT_TRUE(page);
  ASSERT_EQ(page->entries.size(), 2U);
  EXPECT_EQ((*page->entries[1])->payload, Records::payload_of(tea, {3}));
  EXPECT_EQ(read({99}, 1, 1).error(), make_error_code(StorageError::NotFound));
}

TEST_F(DiskStoreTest, RemembersEverythingAfterARestart) {
  open();
  const auto tea = create("tea");
  ASSERT_TRUE(append({records_.entry(tea, {1}), records_.session("c", "s"), records_.cursor("c", "t", {1})}));
  open();
  EXPECT_EQ(store_->slot_ends(), (std::vector<SlotEnd>{{storage::test::kSlot, {1}, {4}}}));
  EXPECT_EQ(store_->log_end(), Lsn{4});
  int sessions = 0;
  store_->for_each_session([&sessions](const shard::StoredSession& session) {
    ++sessions;
    EXPECT_EQ(session.client_id, "c");
    EXPECT_EQ(session.state, "s");
    ASSERT_EQ(session.cursors.size(), 1U);
    EXPECT_EQ(session.cursors[0].topic, "t");
    EXPECT_EQ(session.cursors[0].acknowledged, Seq{1});
  });
  EXPECT_EQ(sessions, 1);
  EXPECT_EQ(load("tea")->conversation->head, Seq{1});
}

TEST_F(DiskStoreTest, KeepsTheRowsOfOrdinaryTopics) {
  const auto rows = [&] {
    std::map<std::string, std::string> all;
    store_->for_each_plain_row(shard::PlainTable::Messages,
                               [&](std::string_view key, std::string_view value) { all.emplace(key, value); });
    return all;
  };
  open();
  const std::uint64_t number = store_->next_plain_number();
  store_->write_plain({.shard = 1,
                       .ticket = 1,
                       .changes = {{shard::PlainTable::Messages, "a", "1"}, {shard::PlainTable::Messages, "b", "2"}}});
  store_->write_plain({.shard = 1, .ticket = 2, .changes = {{shard::PlainTable::Messages, "b", std::nullopt}}});
  EXPECT_TRUE(sink_.wait([&] { return sink_.of(1).plain.size() == 2; }));
  for (const auto& [ticket, outcome] : sink_.of(1).plain) EXPECT_TRUE(outcome) << ticket;
  open();
  EXPECT_EQ(rows(), (std::map<std::string, std::string>{{"a", "1"}}));
  EXPECT_GT(store_->next_plain_number(), number);
}

TEST_F(DiskStoreTest, AnswersEverythingThatWasHandedOverBeforeItStops) {
  open();
  const auto tea = create("tea");
  for (std::uint64_t seq = 1; seq <= 500; ++seq) store_->append(batch(0, {records_.entry(tea, {seq})}));
  store_->load_conversation(2, "tea");
  store_->stop();
  ASSERT_EQ(sink_.of(0).appended.size(), 501U);
  for (std::uint64_t i = 0; i <= 500; ++i) {
    EXPECT_EQ(sink_.of(0).appended[i].first, i + 1);
    EXPECT_EQ(*sink_.of(0).appended[i].second, Lsn{i + 1});
  }
  EXPECT_TRUE(sink_.of(2).loaded.contains("tea"));
}

TEST_F(DiskStoreTest, SharesCommitsAmongWhatIsWaiting) {
  open();
  const auto tea = create("tea");
  for (std::uint64_t seq = 1; seq <= 2'000; ++seq) store_->append(batch(0, {records_.entry(tea, {seq})}));
  ASSERT_TRUE(sink_.wait_for_appended(0, 2'001));
  EXPECT_LT(sink_.posts(), 1'000U);
}

TEST_F(DiskStoreTest, MaterialisesWhenSomethingHasWaitedLongEnough) {
  open(20ms);
  const auto tea = create("tea");
  ASSERT_TRUE(append({records_.entry(tea, {1})}));
  for (shard::ShardId shard = 0; shard < 3; ++shard) EXPECT_TRUE(sink_.wait_for_materialised({2}, shard));
  EXPECT_EQ(store_->watermark(), Lsn{2});
  const auto loaded = load("tea");
  EXPECT_TRUE(loaded->unmaterialised.empty());
  const auto use = store_->find_id(0, tea, "ann", "id1");
  ASSERT_TRUE(use);
  EXPECT_EQ(use->seq, Seq{1});
  EXPECT_FALSE(store_->find_id(0, tea, "ann", "id2"));
}

TEST_F(DiskStoreTest, ShowsAndMaterialisesOnlyWhatIsCommitted) {
  open(1ms);
  auto hard_states = batch(0, {});
  hard_states.hard_states.push_back({storage::test::kSlot, {1}, {7}});
  store_->append(hard_states);
  ASSERT_TRUE(sink_.wait_for_appended(0, ++answers_[0]));
  EXPECT_EQ(sink_.of(0).appended.back().second.value(), Lsn{1});
  const auto tea = create("tea");
  ASSERT_TRUE(append({records_.entry(tea, {1})}));
  store_->append(batch(0, {records_.entry(tea, {2}), records_.entry(tea, {3})}));
  ASSERT_TRUE(sink_.wait_for_appended(0, ++answers_[0]));
  ASSERT_TRUE(sink_.wait_for_materialised({2}));
  for (int restarted = 0; restarted < 2; ++restarted) {
    EXPECT_EQ(load("tea")->conversation->head, Seq{1});
    EXPECT_EQ(read(tea, 1, 9)->entries.size(), 1U);
    EXPECT_EQ(store_->watermark(), Lsn{2});
    open(1ms);
  }
  commit(3);
  EXPECT_EQ(load("tea")->conversation->head, Seq{2});
  EXPECT_TRUE(sink_.wait_for_materialised({3}));
  EXPECT_FALSE(store_->find_id(0, tea, "ann", "id3"));
  EXPECT_TRUE(store_->find_id(0, tea, "ann", "id2"));
}

TEST_F(DiskStoreTest, ReadsASlotsLogWhereverItIs) {
  auto with = options(1ms);
  with.index_slots = true;
  open(with);
  std::vector<std::string> log;
  for (int i = 0; i < 10; ++i) log.push_back(records_.no_op());
  store_->append(batch(0, log));
  ASSERT_TRUE(sink_.wait_for_appended(0, ++answers_[0]));
  for (std::uint64_t commit = 0; commit <= 10; commit += 5) {
    if (commit > 0) {
      commit_and_wait(commit);
    }
    store_->read_log(1, {.token = ++token_, .slot = storage::test::kSlot, .first = {1}, .last = {10}});
    auto page = sink_.wait_for_log(1, token_);
    ASSERT_TRUE(page);
    for (std::size_t i = 0; i < page->records.size(); ++i) EXPECT_EQ(*page->records[i], log[i]);
    EXPECT_EQ(page->records.size(), commit == 5 ? 5U : 10U);  // What is in the store comes in a piece of its own.
    const auto slots = store_->slots();
    ASSERT_EQ(slots.size(), 1U);
    EXPECT_EQ(slots[0].base.index, Index{0});
    EXPECT_EQ(slots[0].last, Index{10});
    EXPECT_EQ(slots[0].commit, Index{commit});
    EXPECT_EQ(slots[0].terms.size(), 1U);
  }
  store_->read_log(1, {.token = ++token_, .slot = storage::test::kSlot, .first = {11}, .last = {11}});
  EXPECT_EQ(sink_.wait_for_log(1, token_).error(), make_error_code(StorageError::NotFound));
}

TEST_F(DiskStoreTest, MaterialisesWhenEnoughWaits) {
  auto with = options();
  with.materialise_records = 50;
  open(with);
  const auto tea = create("tea");
  for (std::uint64_t seq = 1; seq <= 49; ++seq) ASSERT_TRUE(append({records_.entry(tea, {seq})}));
  EXPECT_TRUE(sink_.wait_for_materialised({50}));
}

TEST_F(DiskStoreTest, GoesOnMaterialisingAfterARestart) {
  open();
  const auto tea = create("tea");
  ASSERT_TRUE(append({records_.entry(tea, {1})}));
  open(1ms);
  EXPECT_TRUE(sink_.wait_for_materialised({2}));
}

TEST_F(DiskStoreTest, AnIdIsAlwaysInTheStoreOrAmongTheUnmaterialised) {
  auto with = options(1ms);
  with.materialise_records = 20;
  open(with);
  const auto tea = create("tea");
  std::uint64_t head = 0;
  for (int round = 0; round < 100; ++round) {
    ASSERT_TRUE(
        append({records_.entry(tea, {head + 1}), records_.entry(tea, {head + 2}), records_.entry(tea, {head + 3})}));
    head += 3;
    const auto loaded = load("tea");
    ASSERT_TRUE(loaded && loaded->conversation);
    ASSERT_EQ(loaded->conversation->head, Seq{head});
    for (std::uint64_t seq = 1; seq <= head; ++seq) {
      const auto is_it = [seq](const format::EntryPtr& entry) { return (*entry)->seq == Seq{seq}; };
      const bool waits = std::ranges::any_of(loaded->unmaterialised, is_it);
      ASSERT_TRUE(waits || store_->find_id(0, tea, "ann", Records::id_of({seq}))) << seq << " of " << head;
    }
  }
}

TEST_F(DiskStoreTest, RefusesEverythingBehindAFailureUntilTheShardKnows) {
  open();
  const auto tea = create("tea");
  {
    const FailingDisk disk(1, storage::test::kForever, ENOSPC);
    EXPECT_EQ(append({records_.entry(tea, {1})}).error(), make_error_code(StorageError::DiskFull));
  }
  // Of the same generation: fails untried, though there is room again. Other shards go on.
  EXPECT_EQ(append({records_.entry(tea, {2})}).error(), make_error_code(StorageError::Failed));
  EXPECT_TRUE(append({records_.session("c", "s")}, 1));
  EXPECT_EQ(append({records_.entry(tea, {2})}).error(), make_error_code(StorageError::Failed));
  ++generation_[0];
  EXPECT_EQ(*append({records_.entry(tea, {1})}), Lsn{3});
  EXPECT_EQ(load("tea")->conversation->head, Seq{1});
}

TEST_F(DiskStoreTest, RefusesWhatWasUnderWayWithAFailure) {
  open();
  const auto tea = create("tea");
  {
    const FailingDisk disk(1, 1, ENOSPC);
    for (std::uint64_t seq = 1; seq <= 100; ++seq) store_->append(batch(0, {records_.entry(tea, {seq})}));
    ASSERT_TRUE(sink_.wait_for_appended(0, 101));
  }
  // All from the first failed one on, so that no seq is left out.
  for (std::size_t i = 1; i <= 100; ++i) EXPECT_FALSE(sink_.of(0).appended[i].second);
  EXPECT_EQ(load("tea")->conversation->head, Seq{0});
  EXPECT_EQ(store_->log_end(), Lsn{1});
}

TEST_F(DiskStoreTest, MaterialisesAgainWhenTheDiskHasRoom) {
  open(1ms);
  const auto tea = create("tea");
  ASSERT_TRUE(sink_.wait_for_materialised({1}));
  {
    // The first commit of the log passes; the store finds no room.
    const FailingDisk disk(4, storage::test::kForever, ENOSPC);
    ASSERT_TRUE(append({records_.entry(tea, {1})}));
    const auto deadline = std::chrono::steady_clock::now() + 20s;
    while (FailingDisk::calls() < 4 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    ASSERT_GE(FailingDisk::calls(), 4U);
    EXPECT_EQ(load("tea")->conversation->head, Seq{1});
  }
  EXPECT_TRUE(sink_.wait_for_materialised({2}));
}

TEST_F(DiskStoreTest, IsNotOpenedTwice) {
  open();
  CollectingSink other;
  try {
    DiskStore::open(options(), other);
    FAIL() << "opened twice";
  } catch (const storage::OpenFailure& failure) {
    EXPECT_EQ(failure.error(), StorageError::InUse);
  }
}

TEST_F(DiskStoreTest, CutsTheLogToItsSize) {
  auto with = options(1ms);
  with.log_size_max = 200'000;
  with.log_cut_every = 1ms;
  open(with);
  const auto tea = create("tea");
  constexpr std::uint64_t kEntries = 1'000;
  for (std::uint64_t seq = 1; seq <= kEntries; seq += 5) {
    std::vector<std::string> some;
    for (std::uint64_t i = seq; i < seq + 5; ++i) {
      some.push_back(records_.entry(tea, {i}, {i}, "ann", Records::id_of({i}), std::string(1000, 'p')));
    }
    ASSERT_TRUE(append(std::move(some)));
  }
  ASSERT_TRUE(sink_.wait_for_materialised({kEntries + 1}));
  ASSERT_TRUE(append({records_.session("c", "s")}));
  store_.reset();
  const auto files = storage::Files::open_to_write(
      directory_.path() + "/storage-0", {.log_map_size = with.log_map_size, .store_map_size = with.store_map_size});
  {
    storage::ReadTransaction log(files->log());
    const storage::ReadScope scope(log);
    EXPECT_GT(storage::read_log_range(log)->first, Lsn{500});
  }
  const auto page = storage::History(files).read(tea, {{1}, {kEntries}}, {.entries_max = 2'000, .bytes_max = 1U << 30},
                                                 storage::Direction::Ascending);
  ASSERT_TRUE(page);
  EXPECT_EQ(page->entries.size(), kEntries);
}

TEST_F(DiskStoreTest, ServesManyThreadsAtOnce) {
  auto with = options(1ms);
  with.materialise_records = 100;
  open(with);
  std::vector<ConversationNumber> numbers;
  for (const char* name : {"tea", "milk", "sugar"}) numbers.push_back(create(name));
  const std::size_t before = sink_.of(0).appended.size();
  constexpr std::uint64_t kEntries = 1'000;
  // Records of one slot each, as shards make them.
  std::vector<std::thread> shards;
  for (shard::ShardId id = 0; id < 3; ++id) {
    shards.emplace_back([this, id, number = numbers[id]] {
      for (std::uint64_t seq = 1; seq <= kEntries; ++seq) {
        auto record = format::encode_record({{10 + std::uint64_t{id}}, {1}, {seq}},
                                            format::EntryRecord{.conversation = number,
                                                                .seq = {seq},
                                                                .ts = {seq},
                                                                .id_from_client = true,
                                                                .from = "ann",
                                                                .id = Records::id_of({seq}),
                                                                .payload = "p"});
        store_->append({.shard = id,
                        .ticket = 1'000 + seq,
                        .generation = 1,
                        .records = {std::make_shared<const std::string>(std::move(record))}});
        if (seq % 50 == 0) {
          store_->read_entries(id, {.token = seq, .conversation = number, .first = {1}, .last = {seq}});
          [[maybe_unused]] const auto use = store_->find_id(id, number, "ann", Records::id_of({seq}));
        }
      }
    });
  }
  for (auto& thread : shards) thread.join();
  for (shard::ShardId id = 0; id < 3; ++id) {
    EXPECT_TRUE(sink_.wait([&] {
      return sink_.of(id).appended.size() == (id == 0 ? before : 0) + kEntries &&
             sink_.of(id).pages.size() == kEntries / 50;
    }));
  }
  store_->stop();
  for (shard::ShardId id = 0; id < 3; ++id) {
    std::uint64_t ticket = 1'000;
    for (const auto& [number, first] : sink_.of(id).appended) {
      EXPECT_TRUE(first);
      if (number > 1'000) {
        EXPECT_EQ(number, ++ticket);
      }
    }
  }
  open();
  for (const char* name : {"tea", "milk", "sugar"}) EXPECT_EQ(load(name)->conversation->head, Seq{kEntries});
}

}  // namespace
}  // namespace parley::disk
