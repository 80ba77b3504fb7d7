#include "base/bytes.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <set>
#include <string>

namespace parley {
namespace {

TEST(BigEndian, HasTheMostSignificantByteFirst) {
  std::string bytes;
  append_big_endian(bytes, std::uint8_t{0x01});
  append_big_endian(bytes, std::uint16_t{0x0203});
  append_big_endian(bytes, std::uint32_t{0x0405'0607});
  append_big_endian(bytes, std::uint64_t{0x0809'0A0B'0C0D'0E0F});
  ASSERT_EQ(bytes.size(), 15U);
  for (std::size_t i = 0; i < bytes.size(); ++i) EXPECT_EQ(static_cast<std::size_t>(bytes[i]), i + 1);
}

template <class Integer>
void expect_round_trips() {
  for (const Integer value :
       {Integer{0}, Integer{1}, Integer{0x7F}, Integer{0x80}, Integer{0xFF},
        static_cast<Integer>(std::numeric_limits<Integer>::max() / 3), std::numeric_limits<Integer>::max()}) {
    char bytes[sizeof(Integer)];
    store_big_endian(bytes, value);
    EXPECT_EQ(load_big_endian<Integer>(bytes), value);
  }
}

TEST(BigEndian, RoundTrips) {
  expect_round_trips<std::uint8_t>();
  expect_round_trips<std::uint16_t>();
  expect_round_trips<std::uint32_t>();
  expect_round_trips<std::uint64_t>();
}

TEST(BigEndian, OrdersAsTheNumbersDo) {
  std::string last;
  for (std::uint64_t value = 1; value != 0; value <<= 1) {
    std::string bytes;
    append_big_endian(bytes, value);
    EXPECT_LT(last, bytes);
    last = bytes;
  }
}

// Slots are chosen by it on every node and in every version: a change would move all data.
TEST(StableHash, NeverChanges) {
  EXPECT_EQ(stable_hash(""), 0xFDBD'F6AC'4FC5'2E7FULL);
  EXPECT_EQ(stable_hash("general"), 0x46AB'0E79'0609'535EULL);
  EXPECT_EQ(stable_hash("dm:ann:bob"), 0x4124'B737'60B3'278FULL);
}

TEST(StableHash, SpreadsOverSlots) {
  std::set<std::uint64_t> slots;
  for (int i = 0; i < 2'000; ++i) slots.insert(stable_hash("room" + std::to_string(i)) % 256);
  EXPECT_EQ(slots.size(), 256U);
}

}  // namespace
}  // namespace parley
