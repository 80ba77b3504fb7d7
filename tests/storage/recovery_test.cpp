#include "storage/recovery.hpp"

#include <map>

#include "tests/storage/world.hpp"

namespace parley::storage {
namespace {

using test::must;
using test::World;

using Sessions = std::map<std::string, std::pair<std::string, std::map<std::string, std::uint64_t>>>;

Sessions sessions_of(World& world) {
  Sessions sessions;
  const auto done = for_each_session(world.files(), [&sessions](const StoredSessionView& view) {
    auto& session = sessions[std::string(view.session.client_id)];
    EXPECT_TRUE(session.first.empty()) << "visited twice";
    session.first = view.session.state;
    for (const auto& cursor : view.cursors) session.second[std::string(cursor.topic)] = cursor.acknowledged.value;
  });
  EXPECT_TRUE(done);
  return sessions;
}

TEST(Recovery, FindsNothingInAnEmptyStore) {
  World world;
  EXPECT_TRUE(must(find_slot_ends(world.files())).empty());
  EXPECT_TRUE(sessions_of(world).empty());
}

TEST(Recovery, FindsTheSlotsEndsWhereverTheWatermarkIs) {
  World world;
  const auto record = [](std::uint64_t slot, std::uint64_t term, std::uint64_t index) {
    return format::encode_record({{slot}, {term}, {index}}, format::NoOpRecord{});
  };
  world.append({record(0, 1, 1), record(255, 1, 1), record(0, 2, 2), record(7, 3, 1), record(0, 2, 3)});
  const std::vector<SlotEnd> expected{{{0}, {2}, {3}}, {{7}, {3}, {1}}, {{255}, {1}, {1}}};
  for (int step = 0; step <= 5; ++step) {
    EXPECT_EQ(must(find_slot_ends(world.files())), expected) << "after step " << step;
    world.materialise(1, true);
  }
  world.reopen();
  EXPECT_EQ(must(find_slot_ends(world.files())), expected);
}

TEST(Recovery, FindsTheSessionsWhereverTheWatermarkIs) {
  World world;
  auto& records = world.records();
  world.append({records.session("a", "1"), records.session("ab", "1"), records.cursor("a", "t", {1}),
                records.cursor("ab", "t", {2}), records.session("gone", "1"), records.cursor("gone", "t", {3}),
                records.cursor("a", "u", {4}), records.session_end("gone"), records.session("a", "2"),
                records.session("back", "1"), records.cursor("back", "t", {5}), records.session_end("back"),
                records.session("back", "2"), records.cursor("a", "t", {6}), records.session("", "empty")});
  const Sessions expected{
      {"", {"empty", {}}}, {"a", {"2", {{"t", 6}, {"u", 4}}}}, {"ab", {"1", {{"t", 2}}}}, {"back", {"2", {}}}};
  for (int step = 0; step <= 15; ++step) {
    EXPECT_EQ(sessions_of(world), expected) << "after step " << step;
    world.materialise(1, true);
  }
}

TEST(Recovery, PassesOverADamagedSession) {
  World world;
  world.append({world.records().session("a", "1"), world.records().session("b", "1")});
  world.materialise();
  world.damage(world.files().store(), kSessions, format::session_key(world.files().hash_key(), "a"));
  EXPECT_EQ(sessions_of(world), (Sessions{{"b", {"1", {}}}}));
}

TEST(Recovery, FailsWhenItCannotKnowForWhomTheNodeVoted) {
  World world;
  EXPECT_TRUE(must(find_hard_states(world.files())).empty());
  const std::vector<format::HardStateRow> states{{{3}, {1}, {11}}, {{4}, {1}, {12}}};
  must(world.writer().append({}, states));
  Environment& log = world.files().log();
  const std::string other = world.stored(log, kLogTable, format::hard_state_key({4}));
  world.damage(log, kLogTable, format::hard_state_key({3}));
  EXPECT_EQ(find_hard_states(world.files()).error(), make_error_code(StorageError::CorruptRecord));
  world.overwrite(log, kLogTable, format::hard_state_key({3}), other);
  EXPECT_EQ(find_hard_states(world.files()).error(), make_error_code(StorageError::CorruptRecord));
}

}  // namespace
}  // namespace parley::storage
