#include "storage/log_damage.hpp"

#include <gtest/gtest.h>

#include <fstream>

#include "storage/recovery.hpp"
#include "tests/storage/world.hpp"

namespace parley::storage {
namespace {

using test::kSlot;
using test::must;
using test::World;
using Nodes = std::vector<NodeId>;

constexpr NodeId kSelf{2};
const Nodes kThree{{1}, {2}, {3}};

format::Key<8> log_key(std::uint64_t position) { return format::number_key(Lsn{position}); }

std::string found(const std::optional<LogDamage>& damage) {
  if (!damage) return "";
  return (damage->readable ? "" : "unreadable: ") + damage->what;
}

format::HardStateRow hard_state(World& world) {
  for (const auto& state : must(find_hard_states(world.files()))) {
    if (state.slot == kSlot) return state;
  }
  return {};
}

Index end_of_slot(World& world) {
  for (const SlotEnd& end : must(find_slot_ends(world.files()))) {
    if (end.slot == kSlot) return end.last;
  }
  return {};
}

TEST(LogDamage, IsFoundOnTheSideOfTheWatermarkWhereItIs) {
  World world;
  const auto tea = world.create("tea");
  world.say(tea, 1, 4);
  world.materialise();
  world.say(tea, 5, 8);
  EXPECT_EQ(found(find_damage_behind_store(world.files())), "");
  EXPECT_EQ(found(find_damage_before_store(world.files())), "");
  world.damage(world.files().log(), kLogTable, log_key(3));
  EXPECT_EQ(found(find_damage_behind_store(world.files())), "");
  EXPECT_EQ(found(find_damage_before_store(world.files())), "lsn 3: a record is damaged");
  world.damage(world.files().log(), kLogTable, log_key(8), 5);
  EXPECT_EQ(found(find_damage_behind_store(world.files())), "lsn 8: a record is damaged");
}

TEST(LogDamage, IsARecordThatIsMissing) {
  World world;
  const auto tea = world.create("tea");
  world.say(tea, 1, 4);
  WriteTransaction log(world.files().log());
  ASSERT_TRUE(log.begin());
  ASSERT_TRUE(log.erase(kLogTable, log_key(2)));
  ASSERT_TRUE(log.commit());
  EXPECT_EQ(found(find_damage_behind_store(world.files())), "lsn 2: a record is missing");
}

TEST(LogDamage, OfAHardStateIsTheFiles) {
  World world;
  world.keep_commit_indexes();
  world.damage(world.files().log(), kLogTable, format::hard_state_key(kSlot));
  EXPECT_EQ(found(find_damage_behind_store(world.files())),
            "unreadable: a slot's hard state can't be read: " + make_error_code(StorageError::CorruptRecord).message());
  EXPECT_EQ(begin_log_anew(world.files()).error(), make_error_code(StorageError::CorruptRecord));
}

TEST(LogDamage, CanBeMendedWhereEnoughOthersVote) {
  struct Case {
    const char* what;
    std::vector<Nodes> sets;
    std::size_t committed;  ///< Of the sets.
    bool mendable;
  };
  const Case cases[] = {
      {"nobody else was ever named", {}, 0, false},
      {"three", {kThree}, 1, true},
      {"three, not yet committed", {kThree}, 0, true},
      {"two", {{{1}, {2}}}, 1, false},
      {"two became three", {{{1}, {2}}, kThree}, 2, true},
      {"two become three", {{{1}, {2}}, kThree}, 1, false},
      {"three become two", {kThree, {{1}, {2}}}, 1, false},
      {"this node votes no longer", {{{1}, {2}}, {{1}, {3}}}, 2, true},
      {"five", {{{1}, {2}, {3}, {4}, {5}}}, 1, true},
  };
  for (const Case& one : cases) {
    World world;
    world.keep_commit_indexes();
    world.append({world.records().no_op()});
    for (const Nodes& set : one.sets) world.append({world.records().replicas(set)});
    world.commit(1 + one.committed);
    world.materialise();
    EXPECT_EQ(must(others_have_the_log(world.files(), kSelf)), one.mendable) << one.what;
  }
  World empty;
  EXPECT_TRUE(must(others_have_the_log(empty.files(), kSelf)));
}

TEST(LogDamage, LeavesALogThatGoesOnBehindTheStore) {
  World world;
  world.keep_commit_indexes();
  world.append({world.records().replicas(kThree)});
  const auto tea = world.create("tea");
  world.say(tea, 1, 6);
  world.commit(5);  // The sets, the conversation and three entries.
  world.materialise();
  world.damage(world.files().log(), kLogTable, log_key(7));
  const Term before = hard_state(world).term;
  for (std::uint64_t times = 1; times <= 2; ++times) {
    ASSERT_TRUE(begin_log_anew(world.files()));
    EXPECT_EQ(found(find_damage_behind_store(world.files())), "");
    const Term term{before.value + times};
    EXPECT_EQ(hard_state(world), (format::HardStateRow{kSlot, term, {}, term, {{1}, {8}}}));
    if (times == 1) world.reopen();
    const auto states = must(find_slot_states(world.files()));
    const auto state = std::ranges::find(states, kSlot, [](const SlotState& one) { return one.hard.slot; });
    ASSERT_NE(state, states.end());
    EXPECT_EQ(state->last, Index{5});
    EXPECT_EQ(state->base, (format::SlotRow::Position{{1}, {5}}));
    EXPECT_EQ(state->hard.lost_before, term);
    ASSERT_EQ(state->replicas.size(), 1U);
    EXPECT_EQ(state->replicas[0].voters, kThree);
    EXPECT_EQ(must(world.history().find_conversation(tea))->head, Seq{3});
  }
  // What comes from the others.
  world.records().go_on_at({4}, {6});
  const Lsn at = world.append({world.records().no_op(), world.records().entry(tea, {4})});
  EXPECT_GT(at, world.watermark());
  world.commit(7);
  EXPECT_EQ(test::seqs_of(must(world.history().read(tea, {{1}, {9}}, {}, Direction::Ascending))),
            (std::vector<std::uint64_t>{1, 2, 3, 4}));
  world.materialise();
  world.reopen();
  EXPECT_EQ(must(world.history().find_conversation(tea))->head, Seq{4});
  EXPECT_EQ(world.watermark(), world.files().log_end());
}

/// Below the watermark nothing is lost: neither entries, nor a term, nor a vote.
TEST(LogDamage, OfWhatTheStoreHasCostsTheLogsFrontOnly) {
  World world;
  world.keep_commit_indexes();
  world.append({world.records().replicas(kThree)});
  const auto tea = world.create("tea");
  world.say(tea, 1, 6);
  world.commit(5);
  world.materialise();
  const Lsn kept = world.watermark();
  const auto before = hard_state(world);
  const Lsn end = world.files().log_end();
  world.damage(world.files().log(), kLogTable, log_key(2));
  for (int times = 1; times <= 2; ++times) {
    ASSERT_TRUE(cut_log_to_store(world.files()));
    EXPECT_EQ(found(find_damage_before_store(world.files())), "");
    EXPECT_EQ(found(find_damage_behind_store(world.files())), "");
    EXPECT_EQ(hard_state(world), before);
    EXPECT_EQ(world.watermark(), kept);
    world.reopen();
    EXPECT_EQ(world.files().log_end(), end);
    const auto states = must(find_slot_states(world.files()));
    const auto state = std::ranges::find(states, kSlot, [](const SlotState& one) { return one.hard.slot; });
    ASSERT_NE(state, states.end());
    EXPECT_EQ(state->base, (format::SlotRow::Position{{1}, {5}}));
    EXPECT_EQ(state->last, Index{8}) << "what isn't committed stays";
    EXPECT_EQ(state->hard.lost_before, Term{});
  }
  // Also when the store has everything.
  world.commit(8);
  world.materialise();
  ASSERT_TRUE(cut_log_to_store(world.files()));
  world.reopen();
  EXPECT_EQ(world.files().log_end(), end);
  EXPECT_EQ(end_of_slot(world), Index{8});
  world.say(tea, 7, 7);
  EXPECT_EQ(world.files().log_end(), end.next());
  world.commit(9);
  EXPECT_EQ(test::seqs_of(must(world.history().read(tea, {{1}, {9}}, {}, Direction::Ascending))),
            (std::vector<std::uint64_t>{1, 2, 3, 4, 5, 6, 7}));
}

/// Who has as much as the log had gets this node's vote: so it may be too much, and never too little.
TEST(LogDamage, IsOfALogThatHadEndedSomewhere) {
  constexpr Slot kOther{4};
  constexpr Term kPromised{9};
  struct Case {
    const char* what;
    std::uint64_t lsn;
    std::optional<std::size_t> byte;  ///< That is wrong; else the record is missing.
    SlotEnd end;
    SlotEnd other;
  };
  const Case cases[] = {
      {"others come behind it", 2, 0, {kSlot, {1}, {5}}, {kOther, {1}, {1}}},
      {"the last one", 6, 0, {kSlot, kPromised, {5}}, {kOther, {1}, {1}}},
      {"the last one, whose index nobody awaits", 6, 23, {kSlot, kPromised, {5}}, {kOther, kPromised, {2}}},
      {"the other's", 4, 0, {kSlot, {1}, {5}}, {kOther, kPromised, {1}}},
      {"the other's, which doesn't say so", 4, 7, {kSlot, {1}, {5}}, {kOther, kPromised, {2}}},
      {"missing before both ends", 2, {}, {kSlot, {1}, {5}}, {kOther, {1}, {1}}},
      {"missing before one end", 5, {}, {kSlot, {1}, {5}}, {kOther, kPromised, {2}}},
  };
  for (const Case& one : cases) {
    World world;
    test::Records ours(kSlot);
    test::Records theirs(kOther);
    world.append({ours.no_op(), ours.no_op(), ours.no_op(), theirs.no_op(), ours.no_op(), ours.no_op()});
    std::string row;
    for (const Slot slot : {kSlot, kOther}) {
      format::encode_row(row, format::HardStateRow{slot, kPromised, {}});
      world.overwrite(world.files().log(), kLogTable, format::hard_state_key(slot), row);
    }
    if (one.byte) {
      std::string bytes = world.stored(world.files().log(), kLogTable, log_key(one.lsn));
      bytes[*one.byte] = static_cast<char>(bytes[*one.byte] ^ 1);
      world.overwrite(world.files().log(), kLogTable, log_key(one.lsn), bytes);
    } else {
      WriteTransaction log(world.files().log());
      ASSERT_TRUE(log.begin());
      ASSERT_TRUE(log.erase(kLogTable, log_key(one.lsn)));
      ASSERT_TRUE(log.commit());
    }
    const auto ends = must(find_latest_slot_ends(world.files()));
    for (const SlotEnd& expected : {one.end, one.other}) {
      const auto found = std::ranges::find(ends, expected.slot, &SlotEnd::slot);
      ASSERT_NE(found, ends.end());
      EXPECT_EQ(*found, expected) << one.what << ": term " << found->term.value << ", index " << found->last.value;
    }
  }
}

TEST(LogDamage, MayBeMendedInTwoSteps) {
  World world;
  world.keep_commit_indexes();
  const auto tea = world.create("tea");
  world.say(tea, 1, 3);
  world.append({test::Records(Slot{4}).no_op()});  // Not committed: it holds the watermark back …
  world.say(tea, 4, 5);                            // … and not what comes behind it.
  world.commit(6);
  world.materialise();
  const Lsn held_back = world.watermark();
  ASSERT_TRUE(begin_log_anew(world.files()));
  const Lsn end = world.watermark();
  EXPECT_GT(end, held_back);
  // As if the process had died before it came to the store.
  world.overwrite(world.files().store(), kMeta, kMetaWatermark, format::number_key(held_back));
  world.reopen();
  EXPECT_EQ(world.watermark(), end);
  world.records().go_on_at({2}, {7});
  EXPECT_GT(world.append({world.records().no_op()}), end);
}

TEST(LogDamage, IsRefusedByAMaterialiserThatHasOthers) {
  World world;
  const auto tea = world.create("tea");
  world.say(tea, 1, 6);
  world.damage(world.files().log(), kLogTable, log_key(4));
  Materialiser materialiser(world.shared_files(), {.refuses_damage = true});
  EXPECT_EQ(materialiser.step({}).error(), make_error_code(StorageError::CorruptRecord));
  EXPECT_EQ(materialiser.damaged(), Lsn{4});
  EXPECT_EQ(world.watermark(), Lsn{0}) << "the store is as it was";
  materialiser.pass_over_damage();
  ASSERT_TRUE(materialiser.step({}));
  EXPECT_EQ(world.watermark(), Lsn{7});
}

TEST(LogDamage, IsNotedOverARestart) {
  const test::TemporaryDirectory directory;
  const std::string& path = directory.path();
  EXPECT_FALSE(noted_damage(path));
  ASSERT_TRUE(note_damage(path, {.what = "lsn 7: a record is damaged"}));
  EXPECT_EQ(found(noted_damage(path)), "lsn 7: a record is damaged");
  ASSERT_TRUE(note_damage(path, {.readable = false, .what = "no way"}));
  EXPECT_EQ(found(noted_damage(path)), "unreadable: no way");
  std::ofstream(path + "/damaged", std::ios::trunc).flush();
  EXPECT_EQ(found(noted_damage(path)), "it was found before the last stop") << "the disk was full";
  forget_damage(path);
  EXPECT_FALSE(noted_damage(path));
  EXPECT_EQ(note_damage(path + "/nowhere", {}).error(), make_error_code(StorageError::Failed));
}

}  // namespace
}  // namespace parley::storage
