#include "broker/cluster/shard_letters.hpp"

#include <gtest/gtest.h>

#include "tests/broker/cluster/shard_ear.hpp"

namespace parley::cluster {
namespace {

TEST(MessagesLetter, HandsOverWhatIsBehindTheEnvelopes) {
  test::ShardEar ear;
  const std::string bytes("\0\1first\0\2second", 15);
  auto whole =
      std::make_shared<const Delivery>(NodeId{7}, 1, Channel{3}, bytes, std::vector<std::uint32_t>{7, 15}, nullptr);
  MessagesLetter(whole, {{.place = 1, .begin = 2}, {.place = 0, .begin = 2}}).deliver(ear);
  EXPECT_EQ(ear.heard, (std::vector<std::string>{"7 on 3: second", "7 on 3: first"}));
}

TEST(LeadsLetter, TellsOfEverySlotOfTheShard) {
  const auto list = std::make_shared<const std::vector<replication::Leading>>(
      std::vector<replication::Leading>{{Slot{1}, Term{5}}, {Slot{4}, Term{6}}, {Slot{5}, Term{7}}});
  test::ShardEar ear;
  LeadsLetter({9}, list, 1, 3, 8).deliver(ear);  // Slots 1, 4 and 7.
  EXPECT_EQ(ear.heard, (std::vector<std::string>{"9 leads 1 in 5", "9 leads 4 in 6", "9 doesn't lead 7"}));
}

TEST(NodeEventLetter, SaysWhatHasHappened) {
  test::ShardEar ear;
  NodeEventLetter({1}, NodeEvent::Connected).deliver(ear);
  NodeEventLetter({1}, NodeEvent::Reachable).deliver(ear);
  NodeEventLetter({1}, NodeEvent::Unreachable).deliver(ear);
  WritableLetter({1}, shard::NodeChannel::Pages).deliver(ear);
  EXPECT_EQ(ear.heard,
            (std::vector<std::string>{"1 is connected", "1 is reachable", "1 is unreachable", "1 takes more on 5"}));
}

}  // namespace
}  // namespace parley::cluster
