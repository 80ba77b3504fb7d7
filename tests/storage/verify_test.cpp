#include "storage/verify.hpp"

#include "tests/storage/world.hpp"

namespace parley::storage {
namespace {

using test::must;
using test::World;

ConversationNumber fill(World& world) {
  const auto tea = world.create("tea");
  world.say(tea, 1, 25'000);
  world.append({world.records().session("c", "s"), world.records().cursor("c", "t", {1})});
  const std::vector<format::HardStateRow> states{{{3}, {1}, {11}}, {{9}, {2}, {0}}};
  must(world.writer().append({}, states));
  world.materialise();
  return tea;
}

TEST(Verify, CountsWhatIsThere) {
  World world;
  fill(world);
  const auto report = must(verify(world.files()));
  EXPECT_EQ(report.log_records, 25'003U);
  EXPECT_EQ(report.hard_states, 2U);
  EXPECT_EQ(report.entries, 25'000U);
  EXPECT_EQ(report.ids, 25'000U);
  EXPECT_EQ(report.conversations, 1U);
  EXPECT_EQ(report.names, 1U);
  EXPECT_EQ(report.sessions, 1U);
  EXPECT_EQ(report.cursors, 1U);
  EXPECT_EQ(report.slots, 1U);
  EXPECT_GT(report.bytes, 2'000'000U);
  EXPECT_EQ(report.problems_total, 0U);
}

TEST(Verify, NamesThePositionOfEachProblem) {
  World world;
  const auto tea = fill(world);
  Environment& log = world.files().log();
  Environment& store = world.files().store();
  const std::string conversation = "conversation " + std::to_string(tea.value);
  world.damage(log, kLogTable, format::number_key(Lsn{17}));
  world.damage(log, kLogTable, format::hard_state_key({9}));
  world.damage(store, kEntries, format::entry_key(tea, {12'345}));
  world.damage(store, kConversations, format::number_key(tea));
  world.damage(store, kSlots, format::number_key(test::kSlot));
  world.damage(store, kSessions, format::session_key(world.files().hash_key(), "c"));
  world.damage(store, kCursors, format::cursor_key(world.files().hash_key(), "c", "t"));
  world.overwrite(store, kEntries, format::entry_key(tea, {25'005}), world.records().entry(tea, {25'004}));
  const auto report = must(verify(world.files()));
  const auto has = [&report](std::string_view table, std::string_view position) {
    for (const auto& problem : report.problems) {
      if (problem.table == table && problem.position == position) return true;
    }
    return false;
  };
  EXPECT_TRUE(has("", "lsn 17"));
  EXPECT_TRUE(has("", "hard state of slot 9"));
  EXPECT_TRUE(has("entries", conversation + ", seq 12345"));
  EXPECT_TRUE(has("entries", conversation + ", seq 25005"));
  EXPECT_TRUE(has("conversations", conversation));
  EXPECT_TRUE(has("slots", "slot 3"));
  EXPECT_TRUE(has("sessions", "row 1"));
  EXPECT_TRUE(has("cursors", "row 2"));
  EXPECT_TRUE(has("names", "a name of 3 bytes"));
  EXPECT_EQ(report.problems_total, 10U);  // The misplaced entry is also behind a hole.
}

}  // namespace
}  // namespace parley::storage
