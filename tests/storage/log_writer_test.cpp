#include "storage/log_writer.hpp"

#include "storage/recovery.hpp"
#include "tests/storage/world.hpp"

namespace parley::storage {
namespace {

using test::must;
using test::World;

LogRange range_of(World& world) {
  ReadTransaction log(world.files().log());
  const ReadScope scope(log);
  return must(read_log_range(log));
}

TEST(LogWriter, NumbersRecordsFromOneOn) {
  World world;
  EXPECT_EQ(world.writer().end(), Lsn{0});
  EXPECT_EQ(world.append({world.records().conversation("tea")}), Lsn{1});
  const auto number = world.records().number();
  EXPECT_EQ(world.append({world.records().entry(number, {1}), world.records().entry(number, {2})}), Lsn{2});
  EXPECT_EQ(world.writer().end(), Lsn{3});
}

TEST(LogWriter, GoesOnBehindItsEndAfterARestart) {
  World world;
  world.create("tea");
  world.reopen();
  EXPECT_EQ(world.writer().end(), Lsn{1});
  EXPECT_EQ(world.append({world.records().entry(world.records().number(), {1})}), Lsn{2});
}

TEST(LogWriter, KeepsRecordsOfEverySizeAsTheyAre) {
  World world;
  const auto number = world.create("tea");
  std::vector<std::string> records;
  for (const std::size_t size : {0U, 1U, 100U, 2000U, 2040U, 4000U, 4096U, 70'000U, 1'000'000U}) {
    records.push_back(world.records().entry(number, {records.size() + 1}, {1}, "ann", "i", std::string(size, 's')));
  }
  const Lsn first = world.append(records);
  for (std::size_t i = 0; i < records.size(); ++i) {
    EXPECT_EQ(world.stored(world.files().log(), kLogTable, format::number_key(Lsn{first.value + i})), records[i]);
  }
}

TEST(LogWriter, CutsNothingThatIsNotMaterialised) {
  World world;
  const auto number = world.create("tea");
  world.say(number, 1, 20);
  EXPECT_EQ(must(world.writer().cut({.watermark = world.watermark(), .older_than = {~0ULL}})), 0U);
  world.materialise(10, true);
  EXPECT_EQ(must(world.writer().cut({.watermark = world.watermark(), .older_than = {~0ULL}})), 10U);
  EXPECT_EQ(range_of(world).first, Lsn{11});
}

TEST(LogWriter, NeverCutsTheLastRecord) {
  World world;
  const auto number = world.create("tea");
  world.say(number, 1, 20);
  world.materialise();
  EXPECT_EQ(must(world.writer().cut({.watermark = world.watermark(), .older_than = {~0ULL}})), 20U);
  EXPECT_EQ(range_of(world).first, Lsn{21});
  EXPECT_EQ(must(world.writer().cut({.watermark = world.watermark(), .older_than = {~0ULL}})), 0U);
  world.reopen();
  EXPECT_EQ(world.writer().end(), Lsn{21});
}

TEST(LogWriter, CutsByAgeUpToTheFirstThatIsYoungEnough) {
  World world;
  const auto number = world.create("tea");
  world.append({world.records().cursor("c", "chat/tea/msg", {0})});  // As old as the creation before it.
  world.say(number, 1, 20);
  world.materialise();
  const auto gone = world.writer().cut({.watermark = world.watermark(), .older_than = test::Records::time_of({6})});
  EXPECT_EQ(gone.value(), 2U + 5U);
}

/// A slot's log begins so; a node that joins later needs it.
TEST(LogWriter, KeepsRecordsWithoutATimeAtTheFront) {
  World world;
  world.append({world.records().no_op(), world.records().no_op()});
  world.materialise();
  EXPECT_EQ(must(world.writer().cut({.watermark = world.watermark(), .older_than = test::Records::time_of({6})})), 0U);
  const auto number = world.create("tea");
  world.say(number, 1, 20);
  world.materialise();
  EXPECT_EQ(must(world.writer().cut({.watermark = world.watermark(), .older_than = {1}})), 0U);
  EXPECT_EQ(must(world.writer().cut({.watermark = world.watermark(), .older_than = test::Records::time_of({6})})),
            2U + 1U + 5U);
}

TEST(LogWriter, CutsBySizeOldestFirst) {
  World world;
  const auto number = world.create("tea");
  for (std::uint64_t seq = 1; seq <= 400; ++seq) {
    world.append({world.records().entry(number, {seq}, {seq}, "ann", "i", std::string(1000, 's'))});
  }
  world.materialise();
  const auto gone = must(world.writer().cut({.watermark = world.watermark(), .size_max = 200'000}));
  EXPECT_GT(gone, 150U);
  EXPECT_LT(gone, 399U);
}

TEST(LogWriter, CutsInPieces) {
  World world;
  const auto number = world.create("tea");
  world.say(number, 1, 20);
  world.materialise();
  const LogWriter::CutRule rule{.watermark = world.watermark(), .older_than = {~0ULL}, .records_max = 8};
  EXPECT_EQ(must(world.writer().cut(rule)), 8U);
  EXPECT_EQ(must(world.writer().cut(rule)), 8U);
  EXPECT_EQ(must(world.writer().cut(rule)), 4U);
}

TEST(LogWriter, WhatWasCutIsStillRead) {
  World world;
  const auto number = world.create("tea");
  world.say(number, 1, 20);
  world.materialise(11, true);
  ASSERT_TRUE(world.history().follow());
  ASSERT_TRUE(world.writer().cut({.watermark = world.watermark(), .older_than = {~0ULL}}));
  const auto page = must(world.history().read(number, {{1}, {20}}, {}, Direction::Ascending));
  EXPECT_EQ(page.entries.size(), 20U);
  EXPECT_TRUE(page.corrupt.empty());
}

using HardStates = std::vector<format::HardStateRow>;

TEST(LogWriter, KeepsTheLatestHardStateOfEachSlot) {
  World world;
  const HardStates first{{{0}, {1}, {11}}, {{255}, {4}, {0}}, {{0}, {2}, {0}}};
  EXPECT_EQ(must(world.writer().append({}, first)), Lsn{1});  // Where the next record will stand.
  EXPECT_EQ(world.writer().end(), Lsn{0});
  EXPECT_EQ(must(find_hard_states(world.files())), (HardStates{{{0}, {2}, {0}}, {{255}, {4}, {0}}}));

  const std::string record = world.records().conversation("tea");
  const std::string_view records[] = {record};
  const HardStates second{{{7}, {3}, {12}}, {{0}, {2}, {13}}};
  EXPECT_EQ(must(world.writer().append(records, second)), Lsn{1});
  const HardStates expected{{{0}, {2}, {13}}, {{7}, {3}, {12}}, {{255}, {4}, {0}}};
  EXPECT_EQ(must(find_hard_states(world.files())), expected);
  world.reopen();
  EXPECT_EQ(must(find_hard_states(world.files())), expected);
  EXPECT_EQ(world.writer().end(), Lsn{1});
}

TEST(LogWriter, CutsNoHardStateAndNobodyReadsOneAsARecord) {
  World world;
  const HardStates states{{{0}, {1}, {11}}, {{3}, {1}, {11}}};
  must(world.writer().append({}, states));
  const auto number = world.create("tea");
  world.say(number, 1, 20);
  ASSERT_TRUE(world.history().follow());
  EXPECT_EQ(must(world.history().read(number, {{1}, {20}}, {}, Direction::Ascending)).entries.size(), 20U);
  EXPECT_EQ(range_of(world).first, Lsn{1});
  world.materialise();
  EXPECT_EQ(must(world.writer().cut({.watermark = world.watermark(), .older_than = {~0ULL}})), 20U);
  EXPECT_EQ(range_of(world).first, Lsn{21});
  EXPECT_EQ(must(find_hard_states(world.files())), states);
}

}  // namespace
}  // namespace parley::storage
