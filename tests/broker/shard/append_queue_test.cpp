#include "broker/shard/append_queue.hpp"

#include <gtest/gtest.h>

namespace parley::shard {
namespace {

/// Notes the batches; answers nothing.
class NotingStore final : public LogStore {
 public:
  void append(AppendBatch batch) override { batches.push_back(std::move(batch)); }
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

  Index add(std::uint64_t slot, std::string record = "record") {
    const auto position = queue.next_position({slot});
    queue.add({slot}, std::make_shared<const std::string>(std::move(record)), CallbackWaiting());
    return position.index;
  }
};

TEST_F(AppendQueueTest, HandsOverATurnsRecordsAsOneBatch) {
  add(1, "a");
  add(2, "b");
  EXPECT_TRUE(store.batches.empty());
  queue.flush();
  queue.flush();
  ASSERT_EQ(store.batches.size(), 1U);
  EXPECT_EQ(store.batches[0].shard, 3U);
  EXPECT_EQ(store.batches[0].ticket, 1U);
  ASSERT_EQ(store.batches[0].records.size(), 2U);
  EXPECT_EQ(*store.batches[0].records[0], "a");
  EXPECT_EQ(*store.batches[0].records[1], "b");
}

TEST_F(AppendQueueTest, CountsEachSlotsIndexOnFromWhereTheLogEnds) {
  queue.restore({1}, {4}, {10});
  EXPECT_EQ(queue.next_position({1}), (format::RecordPosition{{1}, {4}, {11}}));
  EXPECT_EQ(add(1), Index{11});
  EXPECT_EQ(add(1), Index{12});
  EXPECT_EQ(add(2), Index{1});
}

TEST_F(AppendQueueTest, SettlesTicketsInOrder) {
  add(1);
  add(1);
  queue.flush();
  add(1);
  queue.flush();
  EXPECT_EQ(queue.pending_bytes(), 18U);
  EXPECT_EQ(queue.settle(1, true).size(), 2U);
  EXPECT_FALSE(queue.empty());
  EXPECT_EQ(queue.settle(2, true).size(), 1U);
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.pending_bytes(), 0U);
}

TEST_F(AppendQueueTest, TakesEverythingUnderWayBackAfterAFailure) {
  add(1);
  queue.flush();
  EXPECT_EQ(queue.settle(1, true).size(), 1U);
  add(1);
  queue.flush();
  add(2);
  queue.flush();
  add(1);  // Not handed over yet.
  EXPECT_EQ(queue.settle(2, false).size(), 3U);
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.pending_bytes(), 0U);
  EXPECT_EQ(queue.settle(3, false).size(), 0U) << "it was taken back with the one before it";

  EXPECT_EQ(add(1), Index{2}) << "the index is given again";
  EXPECT_EQ(add(2), Index{1});
  queue.flush();
  EXPECT_EQ(store.batches.back().generation, 2U);
  EXPECT_EQ(queue.settle(4, true).size(), 2U);
}

}  // namespace
}  // namespace parley::shard
