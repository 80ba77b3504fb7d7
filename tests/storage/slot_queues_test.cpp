#include "storage/slot_queues.hpp"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace parley::storage {
namespace {

struct Nothing {};
using Queues = SlotQueues<Nothing>;
using Indexes = std::vector<std::uint64_t>;

constexpr Slot kSlot{3};

Indexes waiting(const Queues& queues, Slot slot = kSlot) {
  Indexes indexes;
  for (const auto& item : queues.items(slot)) indexes.push_back(item.index.value);
  return indexes;
}

TEST(SlotQueues, KeepWhatNoLaterRecordHasReplaced) {
  struct Case {
    Indexes added;
    Indexes left;
  };
  const Case cases[] = {
      {{1, 2, 3}, {1, 2, 3}},
      {{1, 2, 3, 3}, {1, 2, 3}},
      {{1, 2, 3, 2}, {1, 2}},
      {{1, 2, 3, 1}, {1}},
      {{1, 2, 3, 2, 3, 4}, {1, 2, 3, 4}},
      {{1, 2, 5, 6, 4}, {1, 2, 4}},  // With a hole, where a record was damaged.
      {{5, 6, 2, 7, 7}, {2, 7}},
  };
  for (const Case& one : cases) {
    Queues queues;
    std::uint64_t position = 0;
    for (const std::uint64_t index : one.added) queues.add(kSlot, {{++position}, {index}, {}});
    EXPECT_EQ(waiting(queues), one.left);
    EXPECT_EQ(queues.last(kSlot), Index{one.left.back()});
  }
}

TEST(SlotQueues, KeepSlotsApart) {
  Queues queues;
  queues.add({1}, {{1}, {5}, {}});
  queues.add({2}, {{2}, {1}, {}});
  queues.add({1}, {{3}, {6}, {}});
  EXPECT_EQ(waiting(queues, {1}), (Indexes{5, 6}));
  EXPECT_EQ(waiting(queues, {2}), (Indexes{1}));
  EXPECT_TRUE(queues.is_new({3}));
  EXPECT_EQ(queues.busy().size(), 2U);
  queues.drop({1}, 2);
  queues.tidy();
  EXPECT_EQ(queues.busy().size(), 1U);
  queues.drop({2}, 1);
  queues.tidy();
  EXPECT_TRUE(queues.empty());
  EXPECT_EQ(queues.last({1}), Index{6});
}

TEST(SlotQueues, LetARecordOfUnknownPlaceShareTheFateOfTheOneBefore) {
  Queues queues;
  queues.add(kSlot, {{1}, {1}, {}});
  queues.add(kSlot, {{2}, {2}, {}});
  queues.add_behind(kSlot, {3}, {});
  EXPECT_EQ(waiting(queues), (Indexes{1, 2, 2}));
  queues.add(kSlot, {{4}, {3}, {}});
  EXPECT_EQ(waiting(queues), (Indexes{1, 2, 2, 3}));
  queues.add(kSlot, {{5}, {2}, {}});
  EXPECT_EQ(waiting(queues), (Indexes{1, 2}));
}

TEST(SlotQueues, PassOverWhatWasDealtWith) {
  Queues queues;
  queues.begin(kSlot, {7}, {10});
  EXPECT_EQ(queues.last(kSlot), Index{7});
  queues.add(kSlot, {{9}, {6}, {}});
  queues.add_behind(kSlot, {10}, {});
  queues.add(kSlot, {{11}, {8}, {}});
  queues.add(kSlot, {{12}, {9}, {}});
  queues.add(kSlot, {{14}, {10}, {}});
  EXPECT_EQ(waiting(queues), (Indexes{8, 9, 10}));
  queues.drop_through(kSlot, {12});
  EXPECT_EQ(waiting(queues), (Indexes{10}));
  queues.drop_through(kSlot, {15});
  queues.tidy();
  EXPECT_TRUE(queues.empty());
  queues.add(kSlot, {{15}, {11}, {}});
  EXPECT_TRUE(queues.empty());
}

TEST(SlotQueues, StayInOrderWhileTheyAreUsed) {
  Queues queues;
  std::uint64_t dropped = 0;
  for (std::uint64_t index = 1; index <= 1'000; ++index) {
    queues.add(kSlot, {{index}, {index}, {}});
    if (index % 3 == 0) {
      queues.drop(kSlot, 2);
      dropped += 2;
    }
    ASSERT_EQ(queues.items(kSlot).size(), index - dropped);
    ASSERT_EQ(queues.items(kSlot).front().index, Index{dropped + 1});
    ASSERT_EQ(queues.items(kSlot).back().index, Index{index});
  }
}

}  // namespace
}  // namespace parley::storage
