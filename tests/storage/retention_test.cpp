#include "storage/retention.hpp"

#include "tests/storage/world.hpp"

namespace parley::storage {
namespace {

using test::kMorning;
using test::kSlot;
using test::must;
using test::seqs_of;
using test::World;

constexpr std::size_t kAll = 1'000;

std::size_t rows(World& world, Table table) {
  ReadTransaction store(world.files().store());
  const ReadScope scope(store);
  auto cursor = must(store.cursor(table));
  Cursor::Row row;
  std::size_t count = 0;
  for (bool found = cursor.first(row); found; found = cursor.next(row)) ++count;
  return count;
}

void trim(World& world, std::size_t rows_max) {
  Trim trim(world.shared_files());
  for (int step = 0; trim.is_due() && step < 1'000; ++step) EXPECT_LE(must(trim.step(rows_max)), rows_max);
  EXPECT_FALSE(trim.is_due());
}

TEST(Retention, FindsWhatIsTooOldWithAnAllowance) {
  World world;
  const ConversationNumber number = world.create("tea");
  world.say(number, 1, 100);  // 10 ms each.
  world.materialise();
  Retention retention(world.shared_files());
  const auto oldest_at = [&](std::uint64_t later, std::uint64_t age) -> std::uint64_t {
    const auto page = must(retention.find(kSlot, {}, {kMorning + later}, age, kAll));
    EXPECT_EQ(page.looked, 1U);
    EXPECT_EQ(page.next, ConversationNumber{});
    return page.due.empty() ? 0 : page.due.front().oldest.value;
  };
  EXPECT_EQ(oldest_at(1'000, 0), 0U) << "kept forever";
  EXPECT_EQ(oldest_at(1'000, 2'000), 0U);
  EXPECT_EQ(oldest_at(1'690, 1'600), 0U) << "not worth it yet";
  EXPECT_EQ(oldest_at(1'711, 1'600), 12U);
  EXPECT_EQ(oldest_at(1'500, 800), 70U);
  EXPECT_EQ(oldest_at(9'000, 800), 101U) << "nothing is left";
}

TEST(Retention, FollowsWhatAConversationSays) {
  World world;
  const ConversationNumber tea = world.create("tea");
  world.append({world.records().settings(tea, {1}, {.retention_age = 500, .retention_count = 0})});
  world.say(tea, 2, 100);
  const ConversationNumber milk = world.create("milk");
  world.append({world.records().settings(milk, {1}, {.retention_age = 5'000, .retention_count = 32})});
  world.say(milk, 2, 34);
  world.create("empty");
  world.materialise();
  Retention retention(world.shared_files());
  auto page = must(retention.find(kSlot, {}, {kMorning + 1'200}, 1'000, kAll));
  EXPECT_EQ(page.looked, 3U);
  ASSERT_EQ(page.due.size(), 2U);
  EXPECT_EQ(page.due[0].name, "tea");
  EXPECT_EQ(page.due[0].oldest, Seq{70});
  EXPECT_EQ(page.due[1].name, "milk");
  EXPECT_EQ(page.due[1].oldest, Seq{20}) << "the server's rule is narrower";
  page = must(retention.find(kSlot, {}, {kMorning + 350}, 0, kAll));
  EXPECT_TRUE(page.due.empty()) << "two more than 32 are allowed";
  world.say(milk, 35, 35);
  world.materialise();
  page = must(retention.find(kSlot, {}, {kMorning + 350}, 0, kAll));
  ASSERT_EQ(page.due.size(), 1U);
  EXPECT_EQ(page.due[0].oldest, Seq{4});
}

TEST(Retention, GoesThroughASlotInPieces) {
  World world;
  for (int i = 0; i < 10; ++i) world.say(world.create("c" + std::to_string(i)), 1, 3);
  world.materialise();
  Retention retention(world.shared_files());
  ConversationNumber after;
  std::size_t due = 0;
  for (int i = 0; i < 4; ++i) {
    const auto page = must(retention.find(kSlot, after, {kMorning + 100'000}, 1'000, 3));
    due += page.due.size();
    after = page.next;
    EXPECT_EQ(page.next == ConversationNumber{}, i == 3);
  }
  EXPECT_EQ(due, 10U);
  EXPECT_EQ(must(retention.find(Slot{4}, {}, {kMorning + 100'000}, 1'000, 3)).looked, 0U);
}

TEST(Retention, MovesWhereAConversationBeginsAndThenDeletes) {
  World world;
  const ConversationNumber number = world.create("tea");
  const ConversationNumber other = world.create("milk");
  world.say(other, 1, 20);
  world.say(number, 1, 97);
  world.append({world.records().edit(number, {98}, {5}, "five"), world.records().edit(number, {99}, {95}, "late"),
                world.records().redact(number, {100}, {6})});
  world.materialise();
  EXPECT_EQ(rows(world, kAmendments), 2U);
  world.append({world.records().retention(number, {91})});
  world.materialise();
  const auto read = [&] { return seqs_of(must(world.history().read(number, {{1}, {200}}, {}, Direction::Ascending))); };
  ASSERT_EQ(read().size(), 10U);
  EXPECT_EQ(read().front(), 91U);
  EXPECT_EQ(must(world.history().find_conversation("tea"))->oldest, Seq{91});
  EXPECT_EQ(rows(world, kEntries), 120U) << "that comes later";
  {
    Trim trim(world.shared_files());
    EXPECT_EQ(must(trim.step(7)), 7U);
  }
  world.reopen();
  trim(world, 7);
  EXPECT_EQ(rows(world, kEntries), 30U);
  EXPECT_EQ(rows(world, kAmendments), 1U);
  EXPECT_EQ(rows(world, kTrims), 0U);
  EXPECT_EQ(read().size(), 10U);
  // An earlier one changes nothing, and one behind the head leaves nothing.
  world.append({world.records().retention(number, {50}), world.records().retention(number, {101})});
  world.materialise();
  EXPECT_EQ(must(world.history().find_conversation("tea"))->oldest, Seq{101});
  trim(world, 1'000);
  EXPECT_EQ(rows(world, kEntries), 20U);
  world.say(number, 101, 103);
  world.materialise();
  EXPECT_EQ(read(), (std::vector<std::uint64_t>{101, 102, 103}));
}

}  // namespace
}  // namespace parley::storage
