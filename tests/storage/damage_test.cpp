#include <algorithm>

#include "storage/format/sealed.hpp"
#include "storage/recovery.hpp"
#include "tests/storage/world.hpp"

/// What storage does with records whose bytes have changed on the disk.
namespace parley::storage {
namespace {

using test::must;
using test::World;
using Seqs = std::vector<std::uint64_t>;

Seqs corrupt_of(const Page& page) {
  Seqs seqs;
  for (const Seq seq : page.corrupt) seqs.push_back(seq.value);
  return seqs;
}
Seqs all_but(std::uint64_t last, std::uint64_t missing) {
  Seqs seqs;
  for (std::uint64_t seq = 1; seq <= last; ++seq) {
    if (seq != missing) seqs.push_back(seq);
  }
  return seqs;
}
format::Key<8> log_key(std::uint64_t position) { return format::number_key(Lsn{position}); }

/// Every entry but `missing` is there, and `missing` is known to be given and unreadable.
void expect_only_missing(World& world, ConversationNumber number, std::uint64_t head, std::uint64_t missing) {
  EXPECT_EQ(must(world.history().find_conversation(number))->head, Seq{head}) << missing;
  const auto up = must(world.history().read(number, {{1}, {head}}, {}, Direction::Ascending));
  EXPECT_EQ(test::seqs_of(up), all_but(head, missing));
  EXPECT_EQ(corrupt_of(up), Seqs{missing});
  const auto down = must(world.history().read(number, {{1}, {head}}, {}, Direction::Descending));
  auto expected = all_but(head, missing);
  std::ranges::reverse(expected);
  EXPECT_EQ(test::seqs_of(down), expected);
  EXPECT_EQ(corrupt_of(down), Seqs{missing});
}

TEST(Damage, InTheStoreCostsOneEntry) {
  for (std::uint64_t missing = 1; missing <= 6; ++missing) {
    World world;
    const auto tea = world.create("tea");
    world.say(tea, 1, 6);
    world.materialise();
    world.damage(world.files().store(), kEntries, format::entry_key(tea, {missing}));
    expect_only_missing(world, tea, 6, missing);
  }
}

TEST(Damage, InTheLogCostsOneEntryBeforeAndAfterMaterialising) {
  for (std::uint64_t missing = 1; missing <= 6; ++missing) {
    World world;
    const auto tea = world.create("tea");
    world.say(tea, 1, 6);
    world.damage(world.files().log(), kLogTable, log_key(1 + missing));
    expect_only_missing(world, tea, 6, missing);
    for (std::uint64_t step = 0; step < 7; ++step) {
      world.materialise(1, true);
      expect_only_missing(world, tea, 6, missing);
      EXPECT_EQ(must(find_slot_ends(world.files())).front().last, world.records().last_index());
    }
    world.reopen();
    expect_only_missing(world, tea, 6, missing);
    // The seq behind it goes on.
    world.say(tea, 7, 7);
    EXPECT_EQ(must(world.history().find_conversation(tea))->head, Seq{7});
  }
}

TEST(Damage, OfAWholeRecordInTheMiddleCostsOneEntry) {
  World world;
  const auto tea = world.create("tea");
  world.say(tea, 1, 6);
  world.overwrite(world.files().log(), kLogTable, log_key(4), "rubbish");
  expect_only_missing(world, tea, 6, 3);
  for (std::uint64_t step = 0; step < 7; ++step) {
    world.materialise(1, true);
    expect_only_missing(world, tea, 6, 3);
  }
}

TEST(Damage, OfSeveralRecordsInARowIsCountedInOneBatch) {
  World world;
  const auto tea = world.create("tea");
  world.say(tea, 1, 3);
  for (std::uint64_t position : {2U, 3U, 4U}) world.damage(world.files().log(), kLogTable, log_key(position));
  EXPECT_EQ(must(world.history().find_conversation(tea))->head, Seq{3});
  world.materialise();
  EXPECT_EQ(must(world.history().find_conversation(tea))->head, Seq{3});
  EXPECT_EQ(corrupt_of(must(world.history().read(tea, {{1}, {9}}, {}, Direction::Ascending))), (Seqs{1, 2, 3}));
}

TEST(Damage, OfASeqGivesNoSeqAway) {
  World world;
  const auto tea = world.create("tea");
  world.say(tea, 1, 3);
  // The last byte of the seq stands 31 bytes behind the beginning: 3 becomes 2.
  const std::string bytes = world.stored(world.files().log(), kLogTable, log_key(4));
  world.damage(world.files().log(), kLogTable, log_key(4), bytes.size() - 39);
  EXPECT_EQ(must(world.history().find_conversation(tea))->head, Seq{2});
  world.materialise();
  EXPECT_EQ(must(world.history().find_conversation(tea))->head, Seq{2});
}

TEST(Damage, OfACreationHidesTheConversationAndNothingElse) {
  World world;
  const auto tea = world.create("tea");
  world.say(tea, 1, 3);
  const auto milk = world.create("milk");
  world.say(milk, 1, 3);
  world.damage(world.files().log(), kLogTable, log_key(1));
  for (const bool materialised : {false, true}) {
    if (materialised) world.materialise();
    EXPECT_FALSE(must(world.history().find_conversation("tea")));
    EXPECT_EQ(must(world.history().find_conversation("milk"))->head, Seq{3});
  }
}

TEST(Damage, OfAConversationsRowIsToldAndTheRestStaysReadable) {
  World world;
  const auto tea = world.create("tea");
  const auto milk = world.create("milk");
  world.say(milk, 1, 3);
  world.materialise();
  world.damage(world.files().store(), kConversations, format::number_key(tea));
  world.say(tea, 1, 1);
  for (const bool materialised : {false, true}) {
    if (materialised) world.materialise();
    EXPECT_EQ(world.history().find_conversation("tea").error(), make_error_code(StorageError::CorruptRecord));
    EXPECT_EQ(world.history().load("tea").error(), make_error_code(StorageError::CorruptRecord));
    EXPECT_EQ(world.history().read(tea, {{1}, {1}}, {}, Direction::Ascending).error(),
              make_error_code(StorageError::CorruptRecord));
    EXPECT_EQ(must(world.history().find_conversation("milk"))->head, Seq{3});
  }
}

TEST(Damage, LeavesTimesSearchable) {
  World world;
  const auto tea = world.create("tea");
  world.say(tea, 1, 9);
  world.materialise();
  for (const std::uint64_t missing : {4U, 5U, 6U})
    world.damage(world.files().store(), kEntries, format::entry_key(tea, {missing}));
  EXPECT_EQ(must(world.history().first_at_or_after(tea, test::Records::time_of({3}))), Seq{3});
  EXPECT_EQ(must(world.history().first_at_or_after(tea, test::Records::time_of({8}))), Seq{8});
  const Seq unknown = must(world.history().first_at_or_after(tea, test::Records::time_of({6})));
  EXPECT_GT(unknown, Seq{3});
  EXPECT_LE(unknown, Seq{7});
}

TEST(Damage, IsNotWhatARecordOfANewerVersionIs) {
  World world;
  const auto tea = world.create("tea");
  world.say(tea, 1, 3);
  std::string bytes = world.stored(world.files().log(), kLogTable, log_key(3));
  bytes[format::kVersionOffset] = format::kRecordVersion + 1;
  format::seal(bytes.data(), bytes.size());
  world.overwrite(world.files().log(), kLogTable, log_key(3), bytes);
  EXPECT_EQ(world.history().follow().error(), make_error_code(StorageError::NewerFormat));
  EXPECT_EQ(world.materialiser().step({}).error(), make_error_code(StorageError::NewerFormat));
  EXPECT_EQ(world.watermark(), Lsn{0});
}

}  // namespace
}  // namespace parley::storage
