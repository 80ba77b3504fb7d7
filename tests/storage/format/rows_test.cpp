#include "storage/format/rows.hpp"

#include <gtest/gtest.h>

#include <string>

#include "storage/format/sealed.hpp"

namespace parley::format {
namespace {

std::string conversation_bytes() {
  std::string bytes;
  encode_row(bytes, ConversationRow{.name = "tea",
                                    .epoch = {0xE0},
                                    .oldest = {2},
                                    .head = {9},
                                    .created = {100},
                                    .last_ts = {200},
                                    .type = ConversationType::Direct,
                                    .visibility = Visibility::Private,
                                    .creator = "ann",
                                    .ids = {.generation = 3, .first = {5}, .started = {150}, .previous_first = {4}}});
  return bytes;
}

TEST(Rows, OfConversationsDecodeToWhatWasEncoded) {
  const std::string bytes = conversation_bytes();
  const auto row = decode_conversation_row(bytes);
  ASSERT_TRUE(row);
  EXPECT_EQ(row->name, "tea");
  EXPECT_EQ(row->epoch, Epoch{0xE0});
  EXPECT_EQ(row->oldest, Seq{2});
  EXPECT_EQ(row->head, Seq{9});
  EXPECT_EQ(row->created, Timestamp{100});
  EXPECT_EQ(row->last_ts, Timestamp{200});
  EXPECT_EQ(row->type, ConversationType::Direct);
  EXPECT_EQ(row->visibility, Visibility::Private);
  EXPECT_EQ(row->creator, "ann");
  EXPECT_EQ(row->ids, (ConversationRow::Ids{3, {5}, {150}, {4}}));
}

TEST(Rows, OfSlotsAndIdsDecodeToWhatWasEncoded) {
  std::string bytes;
  encode_row(bytes, SlotRow{{7}, {8}, {9}});
  const auto slot = decode_slot_row(bytes);
  ASSERT_TRUE(slot);
  EXPECT_EQ(*slot, (SlotRow{{7}, {8}, {9}}));
  const SlotRow full{.term = {7},
                     .last = {80},
                     .through = {900},
                     .base = {{3}, {20}},
                     .terms = {{{3}, {21}}, {{7}, {50}}},
                     .replicas = {{{10}, {{1}}, {}}, {{60}, {{1}, {2}, {3}}, {{4}}}}};
  encode_row(bytes, full);
  EXPECT_EQ(decode_slot_row(bytes).value(), full);
  for (std::size_t size = kSealSize; size < bytes.size(); ++size) {
    std::string cut = bytes.substr(0, size);
    seal(cut.data(), cut.size());
    EXPECT_FALSE(decode_slot_row(cut)) << size;
  }
  encode_row(bytes, IdRow{{1}, {2}});
  const auto id = decode_id_row(bytes);
  ASSERT_TRUE(id);
  EXPECT_EQ(id->seq, Seq{1});
  EXPECT_EQ(id->ts, Timestamp{2});
  EXPECT_FALSE(decode_id_row("short"));
}

TEST(Rows, OfSlotsFromBeforeAreRead) {
  std::string bytes(4, '\0');
  append_big_endian(bytes, std::uint8_t{1});
  append_big_endian(bytes, std::uint64_t{7});
  append_big_endian(bytes, std::uint64_t{8});
  seal(bytes.data(), bytes.size());
  EXPECT_EQ(decode_slot_row(bytes).value(), (SlotRow{.term = {7}, .last = {8}, .through = {}, .base = {{7}, {8}}}));
}

TEST(Rows, OfSlotsMoveTheirBase) {
  const SlotRow full{.term = {7},
                     .last = {80},
                     .through = {900},
                     .base = {{2}, {20}},
                     .terms = {{{3}, {21}}, {{7}, {50}}},
                     .replicas = {{{10}, {{1}}, {}}, {{60}, {{1}, {2}}, {}}}};
  struct Case {
    std::uint64_t index;
    SlotRow::Position base;
    std::vector<SlotRow::Position> terms;
    std::size_t replicas;
  };
  const Case cases[] = {
      {5, {{2}, {20}}, full.terms, 2},
      {20, {{2}, {20}}, full.terms, 2},
      {21, {{3}, {21}}, {{{3}, {22}}, {{7}, {50}}}, 2},
      {49, {{3}, {49}}, {{{7}, {50}}}, 2},
      {50, {{7}, {50}}, {{{7}, {51}}}, 2},
      {59, {{7}, {59}}, {{{7}, {60}}}, 2},
      {60, {{7}, {60}}, {{{7}, {61}}}, 1},
      {80, {{7}, {80}}, {}, 1},
  };
  for (const Case& one : cases) {
    SlotRow row = full;
    row.begin_behind({one.index});
    EXPECT_EQ(row.base, one.base) << one.index;
    EXPECT_EQ(row.terms, one.terms) << one.index;
    EXPECT_EQ(row.replicas.size(), one.replicas) << one.index;
  }
}

TEST(Rows, OfHardStatesDecodeToWhatWasEncoded) {
  const HardStateRow whole{{0xFFFF}, {7}, {0x0123'4567'89AB'CDEF}, {}};
  const HardStateRow lost{{0xFFFF}, {7}, {}, {6}};
  const HardStateRow known{{0xFFFF}, {7}, {}, {6}, {{5}, {1}}};
  for (const auto& [state, size] : {std::pair(whole, 23U), std::pair(lost, 31U), std::pair(known, 47U)}) {
    std::string bytes;
    encode_row(bytes, state);
    EXPECT_EQ(bytes.size(), size);
    const auto decoded = decode_hard_state_row(bytes);
    ASSERT_TRUE(decoded);
    EXPECT_EQ(*decoded, state);
    for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
      std::string flipped = bytes;
      flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
      EXPECT_EQ(decode_hard_state_row(flipped).error(), make_error_code(StorageError::CorruptRecord)) << bit;
    }
  }
}

/// Each row has one form only: version 2 is for states that have lost something.
TEST(Rows, OfHardStatesOfVersion2WithoutALossAreCorrupt) {
  std::string bytes;
  encode_row(bytes, HardStateRow{{3}, {7}, {}, {6}});
  bytes.replace(bytes.size() - 8, 8, 8, '\0');
  seal(bytes.data(), bytes.size());
  EXPECT_EQ(decode_hard_state_row(bytes).error(), make_error_code(StorageError::CorruptRecord));
  encode_row(bytes, HardStateRow{{3}, {7}, {}, {6}, {{5}, {1}}});
  bytes.replace(bytes.size() - 16, 16, 16, '\0');
  seal(bytes.data(), bytes.size());
  EXPECT_EQ(decode_hard_state_row(bytes).error(), make_error_code(StorageError::CorruptRecord));
}

TEST(Rows, CutOrFlippedAnywhereAreCorrupt) {
  const std::string bytes = conversation_bytes();
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_EQ(decode_conversation_row(bytes.substr(0, size)).error(), make_error_code(StorageError::CorruptRecord));
  }
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_EQ(decode_conversation_row(flipped).error(), make_error_code(StorageError::CorruptRecord)) << bit;
  }
}

TEST(Rows, OfANewerVersionAreRefused) {
  std::string bytes = conversation_bytes();
  bytes[kVersionOffset] = 2;
  seal(bytes.data(), bytes.size());
  EXPECT_EQ(decode_conversation_row(bytes).error(), make_error_code(StorageError::NewerFormat));
}

}  // namespace
}  // namespace parley::format
