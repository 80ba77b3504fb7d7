#include "storage/materialiser.hpp"

#include <random>

#include "storage/format/rows.hpp"
#include "storage/id_finder.hpp"
#include "tests/storage/world.hpp"

namespace parley::storage {
namespace {

using test::contents;
using test::must;
using test::World;

/// A bit of everything, the same for every world.
void fill(World& world) {
  std::mt19937_64 random(4);
  std::vector<ConversationNumber> numbers;
  std::vector<std::uint64_t> heads;
  for (const char* name : {"tea", "milk", "sugar"}) {
    numbers.push_back(world.create(name));
    heads.push_back(0);
  }
  world.append({world.records().session("c1", "one"), world.records().session("c2", "two")});
  for (int round = 0; round < 40; ++round) {
    const std::size_t which = random() % numbers.size();
    std::vector<std::string> records;
    for (std::uint64_t i = 0; i <= random() % 4; ++i) {
      records.push_back(world.records().entry(numbers[which], {++heads[which]}));
    }
    records.push_back(world.records().cursor("c" + std::to_string(1 + random() % 3), "chat/tea/msg", {random() % 9}));
    world.append(records);
    if (round == 20) world.append({world.records().session_end("c2")});
    if (round == 30) world.append({world.records().session("c1", "changed")});
  }
}

TEST(Materialiser, DoesNothingWhenNothingIsNew) {
  World world;
  const auto done = world.materialiser().step({});
  ASSERT_TRUE(done);
  EXPECT_EQ(done->records, 0U);
  EXPECT_EQ(done->watermark, Lsn{0});
}

TEST(Materialiser, ComesToTheSameStoreInBatchesOfAnySize) {
  World whole;
  fill(whole);
  whole.materialise();
  for (const std::size_t records : {1U, 2U, 3U, 7U, 50U}) {
    World world;
    world.overwrite(world.files().store(), kMeta, kMetaHashKey,
                    whole.stored(whole.files().store(), kMeta, kMetaHashKey));
    world.reopen();
    fill(world);
    world.materialise(records);
    EXPECT_EQ(contents(world.files()), contents(whole.files())) << records << " a batch";
  }
}

TEST(Materialiser, StaysWithinItsLimits) {
  World world;
  const auto tea = world.create("tea");
  world.say(tea, 1, 50);
  const auto one = world.materialiser().step({.records_max = 7});
  EXPECT_EQ(one->records, 7U);
  EXPECT_EQ(one->watermark, Lsn{7});
  EXPECT_EQ(world.materialiser().step({.bytes_max = 1})->records, 1U);
}

TEST(Materialiser, ChangesNothingWhenItIsDoneAgain) {
  World world;
  fill(world);
  world.materialise();
  const auto before = contents(world.files());
  const Lsn end = world.watermark();
  for (const std::uint64_t back : {end.value - 1, end.value / 2, std::uint64_t{3}, std::uint64_t{0}}) {
    world.overwrite(world.files().store(), kMeta, kMetaWatermark, format::number_key(Lsn{back}));
    world.materialise(11);
    EXPECT_EQ(world.watermark(), end);
    EXPECT_EQ(contents(world.files()), before) << "from " << back;
  }
}

TEST(Materialiser, GoesOnAfterARestartBetweenAnyTwoSteps) {
  World whole;
  fill(whole);
  whole.materialise();
  World world;
  world.overwrite(world.files().store(), kMeta, kMetaHashKey, whole.stored(whole.files().store(), kMeta, kMetaHashKey));
  world.reopen();
  fill(world);
  for (int step = 0; step < 1000 && world.watermark() < world.writer().end(); ++step) {
    world.materialise(5, true);
    world.reopen();
  }
  EXPECT_EQ(contents(world.files()), contents(whole.files()));
}

TEST(Materialiser, KeepsTheFirstOfTwoConversationsOfOneName) {
  World world;
  const auto first = world.create("tea");
  world.create("tea");
  world.materialise();
  EXPECT_EQ(must(world.history().find_conversation("tea"))->number, first);
}

TEST(Materialiser, KeepsCursorsOnlyWhileTheirSessionExists) {
  World world;
  const auto cursors = [&world] {
    std::size_t count = 0;
    for (const auto& row : contents(world.files())) count += row.first.starts_with("cursors:") ? 1 : 0;
    return count;
  };
  auto& records = world.records();
  world.append({records.cursor("c", "t", {1})});  // Nobody's.
  world.materialise();
  EXPECT_EQ(cursors(), 0U);
  world.append({records.session("c", "s"), records.cursor("c", "t", {1}), records.cursor("c", "u", {1})});
  world.append({records.session("cc", "s"), records.cursor("cc", "t", {1})});
  world.materialise();
  EXPECT_EQ(cursors(), 3U);
  world.append({records.cursor("c", "t", {2}), records.session_end("c")});
  world.materialise();
  EXPECT_EQ(cursors(), 1U);
  world.append({records.session_end("cc"), records.session("cc", "again"), records.cursor("cc", "v", {1})});
  world.materialise();
  EXPECT_EQ(cursors(), 1U);
}

TEST(Materialiser, WritesClientIdsAndTopicsOfAnyLength) {
  World world;
  const std::string client(60'000, 'c');
  const std::string topic(60'000, 't');
  world.append({world.records().session(client, "s"), world.records().cursor(client, topic, {1})});
  world.materialise();
  EXPECT_EQ(world.watermark(), Lsn{2});
}

class IdGenerations : public ::testing::Test {
 protected:
  static constexpr std::uint64_t kHour = 60ULL * 60 * 1000;

  format::ConversationRow::Ids ids() {
    const std::string bytes = world_.stored(world_.files().store(), kConversations, format::number_key(tea_));
    return must(format::decode_conversation_row(bytes)).ids;
  }
  std::size_t rows() {
    std::size_t count = 0;
    for (const auto& row : contents(world_.files())) count += row.first.starts_with("ids:") ? 1 : 0;
    return count;
  }
  void say(std::uint64_t count, std::uint64_t milliseconds_apart) {
    std::vector<std::string> records;
    for (std::uint64_t i = 0; i < count; ++i) {
      ++head_;
      now_ += milliseconds_apart;
      records.push_back(world_.records().entry(tea_, {head_}, {now_}, "ann", test::Records::id_of({head_})));
    }
    world_.append(records);
    world_.materialise();
  }
  bool finds(std::uint64_t seq) {
    const auto use = must(IdFinder(world_.shared_files()).find(tea_, "ann", test::Records::id_of({seq})));
    EXPECT_TRUE(!use || use->seq == Seq{seq});
    return use.has_value();
  }

  World world_;
  ConversationNumber tea_ = world_.create("tea");
  std::uint64_t head_ = 0;
  std::uint64_t now_ = test::kMorning;
};

TEST_F(IdGenerations, CoverADayHoweverManyEntriesItHas) {
  say(5'000, 1'000);
  EXPECT_EQ(ids().generation, 0U);
  EXPECT_TRUE(finds(1));
}

TEST_F(IdGenerations, CoverAThousandEntriesHoweverLongTheyTake) {
  say(900, kHour);
  EXPECT_EQ(ids().generation, 0U);
  EXPECT_TRUE(finds(1));
}

TEST_F(IdGenerations, ForgetOnlyWhatNeitherDayNorThousandNeeds) {
  for (int round = 0; round < 70; ++round) {
    say(100, kHour);
    // A thousand entries back, and far more than a day.
    for (const std::uint64_t back : {0U, 1U, 500U, 999U}) {
      if (back < head_) {
        EXPECT_TRUE(finds(head_ - back)) << head_ - back << " at " << head_;
      }
    }
  }
  EXPECT_GE(ids().generation, 4U);
  EXPECT_FALSE(finds(1));
  EXPECT_LE(rows(), 2'200U);
}

TEST_F(IdGenerations, LeaveNothingBehindWhenPruningTakesManySteps) {
  say(4'000, kHour / 100);  // One generation, more than one step prunes.
  for (int round = 0; round < 40; ++round) say(100, kHour);
  EXPECT_LE(rows(), 2'200U);
  EXPECT_FALSE(finds(2'000));
}

TEST_F(IdGenerations, KnowTheLaterOfTwoUses) {
  world_.append(
      {world_.records().entry(tea_, {1}, {10}, "ann", "same"), world_.records().entry(tea_, {2}, {20}, "ann", "same")});
  world_.materialise();
  IdFinder finder(world_.shared_files());
  EXPECT_EQ(must(finder.find(tea_, "ann", "same"))->seq, Seq{2});
  world_.overwrite(world_.files().store(), kMeta, kMetaWatermark, format::number_key(Lsn{0}));
  world_.materialise(1);
  EXPECT_EQ(must(finder.find(tea_, "ann", "same"))->seq, Seq{2});
}

}  // namespace
}  // namespace parley::storage
