#include "broker/disk/log_check.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <mutex>

#include "broker/disk/disk_store.hpp"
#include "broker/disk/log_guard.hpp"
#include "storage/open_failure.hpp"
#include "tests/broker/disk/collecting_sink.hpp"
#include "tests/storage/world.hpp"

namespace parley::disk {
namespace {

using namespace std::chrono_literals;
using storage::LogDamage;
using storage::test::kSlot;
using storage::test::World;
using Nodes = std::vector<NodeId>;

constexpr NodeId kSelf{2};

/// A data directory, which a World has made and left.
class LogCheckTest : public ::testing::Test {
 protected:
  /// Entries 1 to 6 of a conversation, of which the store has 3.
  void fill(const Nodes& voters = {{1}, {2}, {3}}) {
    world_.keep_commit_indexes();
    world_.append({world_.records().replicas(voters)});
    tea_ = world_.create("tea");
    world_.say(tea_, 1, 6);
    world_.commit(5);
    world_.materialise();
  }
  void damage(std::uint64_t lsn) {
    world_.damage(world_.files().log(), storage::kLogTable, format::number_key(Lsn{lsn}));
  }
  [[nodiscard]] std::string data_dir() const {
    return std::filesystem::path(world_.directory()).parent_path().string();
  }
  [[nodiscard]] DiskOptions options(std::optional<LogDamage> found = {}) {
    return {.data_dir = data_dir(),
            .log_map_size = 256ULL << 20,
            .store_map_size = 256ULL << 20,
            .materialise_after = 10ms,
            .index_slots = true,
            .self = kSelf,
            .damage = std::move(found),
            .stop = [this] {
              const std::lock_guard lock(mutex_);
              ++stops_;
              stopped_.notify_all();
            }};
  }
  /// What was promised is as it was: the log's last record, term and vote.
  static void expect_kept(const DiskStore& store) {
    const auto slots = store.slots();
    const auto slot = std::ranges::find(slots, kSlot, &shard::StoredSlot::slot);
    ASSERT_NE(slot, slots.end());
    EXPECT_EQ(slot->lost_before, Term{});
    EXPECT_EQ(slot->last, Index{8});
  }
  bool wait_for_stop() {
    std::unique_lock lock(mutex_);
    return stopped_.wait_for(lock, 20s, [this] { return stops_ > 0; });
  }
  /// The whole file but its two first pages, which say where the others are.
  void spoil_pages() {
    const std::string path = world_.directory() + "/log.mdb";
    constexpr std::size_t kPage = 4096;
    const auto size = std::filesystem::file_size(path);
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(2 * kPage);
    file << std::string(size - 2 * kPage, '\xA5');
  }

  World world_;
  ConversationNumber tea_;
  test::CollectingSink sink_;
  std::mutex mutex_;
  std::condition_variable stopped_;
  int stops_ = 0;
};

TEST_F(LogCheckTest, HasNothingToSayOfWhatIsWholeOrNotThere) {
  {
    LogCheck check("/nowhere");
    EXPECT_FALSE(check.behind_store());
    check.watch([](const LogDamage&) { ADD_FAILURE(); });
  }
  fill();
  world_.close();
  LogCheck check(data_dir());
  EXPECT_FALSE(check.behind_store());
  check.watch([](const LogDamage&) { ADD_FAILURE(); });
}

TEST_F(LogCheckTest, FindsFirstWhatTheStoreHasNot) {
  fill();
  damage(7);
  damage(3);
  world_.close();
  LogCheck check(data_dir());
  const auto found = check.behind_store();
  ASSERT_TRUE(found);
  EXPECT_TRUE(found->readable);
  EXPECT_EQ(found->what, "lsn 7: a record is damaged");
  check.watch([](const LogDamage&) { ADD_FAILURE() << "it is known already"; });
}

TEST_F(LogCheckTest, FindsTheRestMeanwhileAndTheNodeStops) {
  fill();
  damage(3);
  world_.close();
  {
    LogCheck check(data_dir());
    ASSERT_FALSE(check.behind_store());
    const auto store = DiskStore::open(options(), sink_);
    check.watch([guard = store->guard()](const LogDamage& found) { EXPECT_TRUE(guard->found(found)); });
    ASSERT_TRUE(wait_for_stop());
    EXPECT_TRUE(store->guard()->found({.what = "more"}));
    EXPECT_EQ(stops_, 1) << "it is told once";
    EXPECT_TRUE(store->guard()->stopped());
    check.stop();
  }
  LogCheck check(data_dir());
  const auto noted = check.behind_store();
  ASSERT_TRUE(noted);
  EXPECT_EQ(noted->what, "lsn 3: a record is damaged");
  EXPECT_TRUE(noted->in_store);
  check.watch([](const LogDamage&) { ADD_FAILURE() << "it will be cut off"; });
  const auto store = DiskStore::open(options(noted), sink_);
  expect_kept(*store);
  check.stop();
  EXPECT_FALSE(LogCheck(data_dir()).behind_store()) << "it is mended";
}

TEST_F(LogCheckTest, NotedDamageOfWhatTheStoreHasNotBeginsTheLogAnew) {
  fill();
  damage(3);
  damage(7);
  ASSERT_TRUE(storage::note_damage(world_.directory(), {.what = "lsn 3: a record is damaged"}));
  world_.close();
  LogCheck check(data_dir());
  const auto found = check.behind_store();
  ASSERT_TRUE(found);
  EXPECT_EQ(found->what, "lsn 7: a record is damaged");
  EXPECT_FALSE(found->in_store);
  const auto store = DiskStore::open(options(found), sink_);
  ASSERT_EQ(store->slots().size(), 10U);
  for (const shard::StoredSlot& slot : store->slots()) {
    EXPECT_EQ(slot.term, slot.lost_before);
    EXPECT_EQ(slot.vote, NodeId{});
    if (slot.slot == kSlot) {
      EXPECT_EQ(slot.last, Index{5});
    }
  }
}

TEST_F(LogCheckTest, SurvivesAFileThatIsNone) {
  fill();
  world_.close();
  spoil_pages();
  LogCheck check(data_dir());
  const auto found = check.behind_store();
  ASSERT_TRUE(found);
  EXPECT_FALSE(found->readable);
  try {
    const auto store = DiskStore::open(options(found), sink_);
    ADD_FAILURE() << "opened";
  } catch (const storage::OpenFailure& failure) {
    EXPECT_EQ(failure.error(), StorageError::CorruptRecord);
    EXPECT_NE(std::string(failure.what()).find("parleyctl nodes remove"), std::string::npos) << failure.what();
  }
}

TEST_F(LogCheckTest, TheNodeStopsAtADamagedRecordThatTheStoreShallHave) {
  fill();
  damage(6);
  world_.close();
  const auto store = DiskStore::open(options(), sink_);  // Without a look at the log before.
  store->committed(kSlot, {8});
  EXPECT_TRUE(wait_for_stop());
  EXPECT_LT(store->watermark(), Lsn{6});
}

TEST_F(LogCheckTest, AndGoesOnWhereNobodyElseHasIt) {
  fill({{1}, {2}});
  damage(6);
  world_.close();
  const auto store = DiskStore::open(options(LogDamage{.what = "lsn 6: a record is damaged"}), sink_);
  store->committed(kSlot, {8});
  EXPECT_TRUE(sink_.wait_for_materialised({8}));
  EXPECT_FALSE(store->guard()->stopped());
}

}  // namespace
}  // namespace parley::disk
