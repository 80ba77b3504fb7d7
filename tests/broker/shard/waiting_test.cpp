#include "broker/shard/waiting.hpp"

#include <gtest/gtest.h>

namespace parley::shard {
namespace {

WaitingRecord record(std::uint32_t size) { return {.lsn = {}, .offset = 0, .size = size, .waiting = {}}; }

std::vector<std::uint32_t> sizes(const std::vector<WaitingRecord>& records) {
  std::vector<std::uint32_t> list;
  for (const WaitingRecord& one : records) list.push_back(one.size);
  return list;
}

TEST(WaitingRecords, AreTakenInOrderFromTheFront) {
  WaitingRecords waiting;
  waiting.begin({10});
  for (std::uint32_t i = 10; i < 15; ++i) waiting.add(record(i));
  std::vector<WaitingRecord> taken;
  waiting.take_until({9}, taken);
  EXPECT_TRUE(taken.empty());
  waiting.take_until({12}, taken);
  EXPECT_EQ(sizes(taken), (std::vector<std::uint32_t>{10, 11, 12}));
  waiting.add(record(15));
  waiting.take_until({100}, taken);
  EXPECT_EQ(sizes(taken), (std::vector<std::uint32_t>{10, 11, 12, 13, 14, 15}));
  EXPECT_TRUE(waiting.empty());
  waiting.add(record(16));
  EXPECT_EQ(waiting.range({1}, {100}).size(), 1U);
  EXPECT_EQ(waiting.range({16}, {16})[0].size, 16U);
}

TEST(WaitingRecords, AreGivenUpFromAPlaceOn) {
  WaitingRecords waiting;
  waiting.begin({10});
  for (std::uint32_t i = 10; i < 15; ++i) waiting.add(record(i));
  std::vector<WaitingRecord> taken;
  waiting.take_until({11}, taken);
  taken.clear();
  waiting.take_from({13}, taken);
  EXPECT_EQ(sizes(taken), (std::vector<std::uint32_t>{13, 14}));
  waiting.add(record(130));
  EXPECT_EQ(waiting.range({13}, {13})[0].size, 130U) << "its place is given again";
  taken.clear();
  waiting.take_from({1}, taken);
  EXPECT_EQ(sizes(taken), (std::vector<std::uint32_t>{12, 130}));
  waiting.begin({40});
  waiting.add(record(40));
  EXPECT_EQ(waiting.range({40}, {40}).size(), 1U);
}

TEST(WaitingRecords, FindTheirPlacesWhateverWasTaken) {
  WaitingRecords waiting;
  waiting.begin({1});
  std::uint32_t next = 1;
  std::uint64_t taken_until = 0;
  std::vector<WaitingRecord> taken;
  for (int round = 0; round < 500; ++round) {
    for (int i = 0; i < round % 7; ++i) waiting.add(record(next++));
    taken_until = std::min<std::uint64_t>(taken_until + static_cast<std::uint64_t>(round % 5), next - 1);
    waiting.take_until({taken_until}, taken);
    for (std::uint64_t at = taken_until + 1; at < next; ++at) {
      ASSERT_EQ(waiting.range({at}, {at}).size(), 1U);
      ASSERT_EQ(waiting.range({at}, {at})[0].size, at);
    }
    ASSERT_EQ(waiting.size(), next - 1 - taken_until);
  }
}

}  // namespace
}  // namespace parley::shard
