#include "base/number.hpp"

#include <gtest/gtest.h>

#include <type_traits>
#include <unordered_set>

namespace parley {
namespace {

TEST(Numbers, CompareAndFollowOneAnother) {
  EXPECT_LT(Seq{1}, Seq{2});
  EXPECT_EQ(Seq{1}.next(), Seq{2});
  EXPECT_EQ(Seq{}, Seq{0});
  EXPECT_FALSE((std::is_convertible_v<Seq, Lsn>));
}

TEST(Numbers, CanBeKeys) {
  std::unordered_set<Seq> seen;
  for (std::uint64_t i = 0; i < 1'000; ++i) seen.insert({i});
  EXPECT_EQ(seen.size(), 1'000U);
  EXPECT_TRUE(seen.contains({999}));
}

TEST(ConversationNumbers, SayTheirSlot) {
  EXPECT_EQ(conversation_number({3}, {7}).value, (3ULL << 48) | 7);
  EXPECT_EQ(slot_of(conversation_number({65'535}, {0xFFFF'FFFF'FFFF})), Slot{65'535});
  EXPECT_NE(conversation_number({1}, {5}), conversation_number({2}, {5}));
}

}  // namespace
}  // namespace parley
