#include "broker/shard/append_queue.hpp"

#include <gtest/gtest.h>

namespace parley::shard {
namespace {

using replication::LogGeneration;

/// Notes the batches; answers nothing.
class NotingStore final : public LogStore {
 public:
  void append(AppendBatch batch) override { batches.push_back(std::move(batch)); }
  void committed(Slot /*slot*/, Index /*index*/) override {}
  void read_log(ShardId /*shard*/, LogReadRequest /*request*/) override {}
  void write_plain(PlainBatch /*batch*/) override {}
  std::uint64_t next_plain_number() override { return 0; }
  void load_conversation(ShardId /*shard*/, std::string /*name*/) override {}
  void read_entries(ShardId /*shard*/, ReadRequest /*request*/) override {}
  std::optional<StoredId> find_id(ShardId /*shard*/, ConversationNumber /*conversation*/, std::string_view /*from*/,
                                  std::string_view /*id*/) override {
    return std::nullopt;
  }
  std::vector<AppendBatch> batches;
};

struct AppendQueueTest : testing::Test {
  NotingStore store;
  AppendQueue queue{3, store, 8};

  std::uint32_t add(std::uint64_t slot, std::uint64_t index, std::string record = "record",
                    LogGeneration generation = {1}) {
    return queue.add({slot}, generation, {index}, std::make_shared<const std::string>(std::move(record)));
  }
};

TEST_F(AppendQueueTest, HandsOverATurnsRecordsAsOneBatch) {
  EXPECT_EQ(add(1, 1, "a"), 0U);
  EXPECT_EQ(add(2, 7, "b"), 1U);
  queue.add(format::HardStateRow{{5}, {6}, {1}});
  EXPECT_TRUE(store.batches.empty());
  queue.flush();
  queue.flush();
  ASSERT_EQ(store.batches.size(), 1U);
  EXPECT_EQ(store.batches[0].shard, 3U);
  EXPECT_EQ(store.batches[0].ticket, 1U);
  ASSERT_EQ(store.batches[0].records.size(), 2U);
  EXPECT_EQ(*store.batches[0].records[0], "a");
  EXPECT_EQ(*store.batches[0].records[1], "b");
  EXPECT_EQ(store.batches[0].hard_states, (std::vector{format::HardStateRow{{5}, {6}, {1}}}));
}

TEST_F(AppendQueueTest, HandsOverAHardStateAlone) {
  queue.add(format::HardStateRow{{5}, {6}, {1}});
  EXPECT_FALSE(queue.empty());
  queue.flush();
  ASSERT_EQ(store.batches.size(), 1U);
  EXPECT_EQ(queue.take(1).hard_states.size(), 1U);
  EXPECT_TRUE(queue.empty());
}

TEST_F(AppendQueueTest, KeepsOneRunForEachSlotAndGeneration) {
  add(1, 4);
  add(2, 1);
  add(1, 5);
  add(1, 5, "instead", {2});
  add(1, 6, "more", {2});
  queue.flush();
  add(1, 7, "the next batch", {2});
  const auto batch = queue.take(1);
  ASSERT_EQ(batch.runs.size(), 3U);
  EXPECT_EQ(batch.runs[0].first, Index{4});
  EXPECT_EQ(batch.runs[0].last, Index{5});
  EXPECT_EQ(batch.runs[1].slot, Slot{2});
  EXPECT_EQ(batch.runs[2].generation, LogGeneration{2});
  EXPECT_EQ(batch.runs[2].first, Index{5});
  EXPECT_EQ(batch.runs[2].last, Index{6});
  queue.flush();
  EXPECT_EQ(queue.take(2).runs.size(), 1U);
}

TEST_F(AppendQueueTest, TakesEverythingUnderWayBackAfterAFailure) {
  add(1, 1);
  queue.flush();
  EXPECT_EQ(queue.take(1).runs.size(), 1U);
  add(1, 2);
  queue.flush();
  add(2, 1);
  queue.flush();
  add(1, 3);  // Not handed over yet.
  EXPECT_EQ(queue.take_failed(2).size(), 3U);
  EXPECT_TRUE(queue.empty());
  EXPECT_TRUE(queue.take_failed(3).empty()) << "it was taken back with the one before it";
  queue.flush();
  EXPECT_EQ(store.batches.size(), 3U) << "what wasn't handed over isn't any more";

  EXPECT_EQ(add(1, 2), 0U);
  queue.flush();
  EXPECT_EQ(store.batches.back().generation, 2U);
  EXPECT_EQ(queue.take(store.batches.back().ticket).runs.size(), 1U);
}

}  // namespace
}  // namespace parley::shard
