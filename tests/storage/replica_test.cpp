#include <algorithm>
#include <random>

#include "storage/id_finder.hpp"
#include "storage/recovery.hpp"
#include "storage/verify.hpp"
#include "tests/storage/world.hpp"

/// The log of a replica: records that aren't committed, or were replaced, or wait for a slot without a majority.
namespace parley::storage {
namespace {

using test::contents;
using test::must;
using test::Records;
using test::World;

std::uint64_t head_of(History& history, ConversationNumber number) {
  const auto state = must(history.find_conversation(number));
  return state ? state->head.value : 0;
}

std::vector<std::string> texts_of(History& history, ConversationNumber number) {
  std::vector<std::string> texts;
  const auto page = must(history.read(number, {{1}, {1'000}}, {.entries_max = 1'000}, Direction::Ascending));
  EXPECT_TRUE(page.corrupt.empty());
  for (const auto& entry : page.entries) texts.emplace_back((*entry)->payload);
  return texts;
}

TEST(Replica, ShowsAndMaterialisesOnlyWhatIsCommitted) {
  World world;
  world.keep_commit_indexes();
  const auto other = std::make_unique<History>(world.shared_files());
  const auto tea = world.create("tea");
  world.say(tea, 1, 5);  // Index 2 to 6.
  for (std::uint64_t commit = 0; commit <= 6; ++commit) {
    world.commit(commit);
    for (int materialised = 0; materialised < 2; ++materialised) {
      for (History* history : {&world.history(), other.get()}) {
        EXPECT_EQ(must(history->find_conversation("tea")).has_value(), commit >= 1) << commit;
        EXPECT_EQ(head_of(*history, tea), commit <= 1 ? 0 : commit - 1);
      }
      EXPECT_EQ(world.watermark(), Lsn{materialised == 0 && commit > 0 ? commit - 1 : commit});
      world.materialise();
    }
  }
}

TEST(Replica, SeesThatThereIsMoreWhenOnlyTheCommitHasMoved) {
  World world;
  world.keep_commit_indexes();
  const auto other = std::make_unique<History>(world.shared_files());
  const auto tea = world.create("tea");
  world.say(tea, 1, 1);
  const auto before = must(other->follow());
  EXPECT_EQ(must(other->follow()), before);
  world.commit(2);
  EXPECT_NE(must(other->follow()), before);
  EXPECT_EQ(head_of(*other, tea), 1U);
}

TEST(Replica, NeverShowsWhatWasReplaced) {
  for (const std::size_t batch : {1U, 2U, 100U}) {
    World world;
    world.keep_commit_indexes();
    const auto other = std::make_unique<History>(world.shared_files());
    const auto tea = world.create("tea");
    auto& records = world.records();
    const auto say = [&](std::uint64_t seq, std::string_view text) {
      world.append({records.entry(tea, {seq}, Records::time_of({seq}), "ann", text, text)});
    };
    say(1, "one");
    world.commit(2);
    EXPECT_EQ(head_of(*other, tea), 1U);
    say(2, "lost two");
    say(3, "lost three");
    EXPECT_EQ(head_of(*other, tea), 1U);  // It has read what will be replaced.
    world.materialise(batch);
    records.go_on_at({2}, {3});
    world.append({records.no_op()});
    say(2, "lost again");
    records.go_on_at({3}, {4});
    say(2, "two");
    say(3, "three");
    world.commit(5);
    const std::vector<std::string> expected{"one", "two", "three"};
    EXPECT_EQ(texts_of(*other, tea), expected);
    EXPECT_EQ(texts_of(world.history(), tea), expected);
    EXPECT_EQ(texts_of(*std::make_unique<History>(world.shared_files()), tea), expected);
    for (int step = 0; step < 8; ++step) {
      world.materialise(batch, true);
      EXPECT_EQ(texts_of(*other, tea), expected);
      EXPECT_EQ(must(find_slot_ends(world.files())), (std::vector<SlotEnd>{{test::kSlot, {3}, {5}}}));
    }
    world.materialise();
    EXPECT_EQ(world.watermark(), world.writer().end());
    EXPECT_FALSE(must(IdFinder(world.shared_files()).find(tea, "ann", "lost two")));
    EXPECT_TRUE(must(IdFinder(world.shared_files()).find(tea, "ann", "two")));
    EXPECT_EQ(must(verify(world.files())).problems_total, 0U);
  }
}

TEST(Replica, EndsWhereItsLastRecordByPlaceStands) {
  World world;
  world.keep_commit_indexes();
  auto& records = world.records();
  world.append({records.no_op(), records.no_op(), records.no_op(), records.no_op()});
  world.commit(1);
  world.materialise();
  records.go_on_at({2}, {2});
  world.append({records.no_op()});
  EXPECT_EQ(must(find_slot_ends(world.files())), (std::vector<SlotEnd>{{test::kSlot, {2}, {2}}}));
  world.reopen();
  EXPECT_EQ(must(find_slot_ends(world.files())), (std::vector<SlotEnd>{{test::kSlot, {2}, {2}}}));
}

TEST(Replica, ForgetsTheReplacedCreationOfAConversation) {
  World world;
  world.keep_commit_indexes();
  world.append({world.records().no_op()});
  const auto lost = world.create("tea");
  EXPECT_FALSE(must(world.history().find_conversation("tea")));
  world.records().go_on_at({2}, {2});
  world.append({world.records().no_op()});
  const auto tea = world.create("tea");
  EXPECT_NE(tea, lost);
  world.commit(3);
  for (int materialised = 0; materialised < 2; ++materialised) {
    EXPECT_EQ(must(world.history().find_conversation("tea"))->number, tea);
    EXPECT_FALSE(must(world.history().find_conversation(lost)));
    world.materialise();
  }
}

TEST(Replica, RestoresNoSessionThatWasReplaced) {
  World world;
  world.keep_commit_indexes();
  auto& records = world.records();
  world.append({records.session("kept", "1"), records.session("lost", "1"), records.cursor("lost", "t", {1})});
  world.commit(1);
  records.go_on_at({2}, {2});
  world.append({records.session("new", "1")});
  for (int materialised = 0; materialised < 2; ++materialised) {
    std::vector<std::string> clients;
    ASSERT_TRUE(for_each_session(world.files(),
                                 [&](const StoredSessionView& view) { clients.emplace_back(view.session.client_id); }));
    std::ranges::sort(clients);
    EXPECT_EQ(clients, (std::vector<std::string>{"kept", "new"}));
    world.commit(2);
    world.materialise();
  }
}

/// Two slots, of which the one has no majority.
class HeldUp : public ::testing::Test {
 protected:
  HeldUp() {
    world_.keep_commit_indexes();
    world_.append({busy_.conversation("busy"), held_.conversation("held")});
    busy_number_ = busy_.number();
    held_number_ = held_.number();
    world_.append({held_.entry(held_number_, {1}), held_.entry(held_number_, {2})});
    world_.commit(2, {9});  // The creation and the first entry of the one that is held up.
  }
  void say(std::uint64_t first, std::uint64_t last) {
    for (std::uint64_t seq = first; seq <= last; ++seq) world_.append({busy_.entry(busy_number_, {seq})});
    world_.commit(busy_.last_index().value, {8});
  }

  World world_;
  Records busy_{Slot{8}};
  Records held_{Slot{9}};
  ConversationNumber busy_number_;
  ConversationNumber held_number_;
};

TEST_F(HeldUp, HoldsUpOnlyTheWatermark) {
  auto other = std::make_unique<History>(world_.shared_files());
  for (std::uint64_t round = 0; round < 5; ++round) {
    say(round * 20 + 1, round * 20 + 20);
    world_.materialise(7);
    EXPECT_EQ(world_.watermark(), Lsn{3});
    for (History* history : {&world_.history(), other.get()}) {
      EXPECT_EQ(head_of(*history, busy_number_), round * 20 + 20);
      EXPECT_EQ(head_of(*history, held_number_), 1U);
      EXPECT_EQ(texts_of(*history, busy_number_).size(), round * 20 + 20);
    }
    EXPECT_TRUE(must(IdFinder(world_.shared_files()).find(busy_number_, "ann", Records::id_of({round * 20 + 20}))));
    if (round % 2 == 0) {
      other.reset();
      world_.reopen();
      other = std::make_unique<History>(world_.shared_files());
    }
  }
  world_.commit(3, {9});
  EXPECT_EQ(head_of(world_.history(), held_number_), 2U);
  world_.materialise();
  EXPECT_EQ(world_.watermark(), world_.writer().end());
  EXPECT_EQ(head_of(*other, held_number_), 2U);
}

TEST_F(HeldUp, IsMaterialisedOnceOnly) {
  say(1, 50);
  world_.materialise(20);
  const auto before = contents(world_.files());
  world_.reopen();
  const auto done = must(world_.materialiser().step({}));
  EXPECT_EQ(done.records, 0U);
  EXPECT_TRUE(contents(world_.files()) == before);
}

TEST_F(HeldUp, KeepsItsRecordsWhenTheLogIsCut) {
  say(1, 50);
  world_.materialise();
  ASSERT_TRUE(world_.writer().cut({.watermark = world_.watermark(), .older_than = {~0ULL}}));
  EXPECT_FALSE(world_.stored(world_.files().log(), kLogTable, format::number_key(Lsn{4})).empty());
  EXPECT_TRUE(world_.stored(world_.files().log(), kLogTable, format::number_key(Lsn{3})).empty());
  world_.commit(3, {9});
  world_.materialise();
  EXPECT_EQ(head_of(world_.history(), held_number_), 2U);
}

TEST_F(HeldUp, GivesNoPositionTwiceWhenTheLogIsLost) {
  say(1, 50);
  world_.materialise();
  const Lsn end = world_.writer().end();
  world_.close();
  std::filesystem::remove(world_.directory() + "/log.mdb");
  std::filesystem::remove(world_.directory() + "/log.mdb-lock");
  world_.open();
  EXPECT_EQ(world_.files().log_end(), end);
  say(51, 51);
  EXPECT_EQ(world_.writer().end(), end.next());
  EXPECT_EQ(head_of(world_.history(), busy_number_), 51U);
  world_.materialise();
  EXPECT_EQ(head_of(world_.history(), busy_number_), 51U);
}

TEST(Replica, OfADirectoryFromBeforeIsCommittedToItsEnd) {
  World world;
  const auto tea = world.create("tea");
  world.say(tea, 1, 5);
  world.materialise(3, true);
  world.keep_commit_indexes();
  EXPECT_EQ(head_of(world.history(), tea), 5U);
  world.say(tea, 6, 6);
  EXPECT_EQ(head_of(world.history(), tea), 5U);
}

TEST(Replica, WhoseCommitIndexesAreLostHasCommittedWhatTheStoreHas) {
  World world;
  world.keep_commit_indexes();
  const auto tea = world.create("tea");
  world.say(tea, 1, 5);
  world.commit(6);
  world.materialise(3, true);
  std::filesystem::remove(commit_path(world.directory()));
  world.reopen();
  EXPECT_EQ(world.files().commit_indexes()->at(test::kSlot), Index{3});
  EXPECT_EQ(head_of(world.history(), tea), 2U);
}

TEST(Replica, ReadsTheLogAgainWhenItWasRewritten) {
  World world;
  world.keep_commit_indexes();
  const auto tea = world.create("tea");
  world.say(tea, 1, 3);
  world.commit(2);
  world.materialise();
  EXPECT_EQ(head_of(world.history(), tea), 1U);
  // As after a commit that LMDB didn't finish: the last two records are taken back, and others get their positions.
  Records again;
  again.go_on_at({2}, {3});
  const std::string records[] = {again.no_op(), again.entry(tea, {2})};
  for (const std::uint64_t at : {0U, 1U}) {
    world.overwrite(world.files().log(), kLogTable, format::number_key(Lsn{3 + at}), records[at]);
  }
  world.commit(4);
  for (int materialised = 0; materialised < 2; ++materialised) {
    EXPECT_EQ(head_of(world.history(), tea), 2U);
    EXPECT_EQ(texts_of(world.history(), tea).size(), 2U);
    world.materialise();
  }
  EXPECT_EQ(world.watermark(), Lsn{4});
}

/// Whatever is proposed, replaced, committed, materialised and restarted: the log's committed records are the history.
TEST(Replica, ShowsTheCommittedRecordsWhateverHappens) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    std::mt19937_64 random(seed);
    World world;
    world.keep_commit_indexes();
    auto other = std::make_unique<History>(world.shared_files());
    struct Replicated {
      Records records;
      ConversationNumber number;
      std::vector<std::string> texts;  ///< Of seq 1, …; index is seq + 1.
      std::uint64_t commit = 0;
      std::uint64_t term = 1;
    };
    std::vector<Replicated> slots;
    for (std::uint64_t slot = 0; slot < 3; ++slot) {
      Replicated one{.records = Records(Slot{slot}), .number = {}, .texts = {}};
      world.append({one.records.conversation("c" + std::to_string(slot))});
      one.number = one.records.number();
      slots.push_back(std::move(one));
    }
    for (int step = 0; step < 150; ++step) {
      auto& one = slots[random() % slots.size()];
      const std::uint64_t last = one.texts.size() + 1;
      switch (random() % 8) {
        case 0: {  // A later leader's log goes on from somewhere above what is committed.
          const std::uint64_t floor = std::max<std::uint64_t>(one.commit, 1);
          const std::uint64_t from = floor + random() % (last - floor + 1);
          one.texts.resize(from - 1);
          one.records.go_on_at({++one.term}, {from + 1});
          [[fallthrough]];
        }
        case 1:
        case 2:
        case 3: {
          std::vector<std::string> records;
          for (std::uint64_t count = random() % 4; records.size() <= count;) {
            one.texts.push_back(std::to_string(random()));
            const Seq seq{one.texts.size()};
            records.push_back(
                one.records.entry(one.number, seq, Records::time_of(seq), "ann", one.texts.back(), one.texts.back()));
          }
          world.append(records);
          break;
        }
        case 4:
        case 5:
          one.commit = std::max(one.commit, random() % (last + 1));
          if (one.commit != 0) world.commit(one.commit, slot_of(one.number));
          break;
        case 6: world.materialise(1 + random() % 5, true); break;
        case 7:
          if (random() % 2 == 0) break;
          other.reset();
          if (random() % 2 == 0) world.reopen();
          other = std::make_unique<History>(world.shared_files());
          break;
      }
      for (auto& slot : slots) {
        if (slot.commit == 0) continue;
        const std::vector<std::string> expected(slot.texts.begin(),
                                                slot.texts.begin() + static_cast<std::ptrdiff_t>(slot.commit - 1));
        ASSERT_EQ(texts_of(world.history(), slot.number), expected) << "seed " << seed << ", step " << step;
        ASSERT_EQ(texts_of(*other, slot.number), expected) << "seed " << seed << ", step " << step;
      }
    }
    for (auto& slot : slots) {
      slot.commit = slot.texts.size() + 1;
      world.commit(slot.commit, slot_of(slot.number));
    }
    world.materialise(7);
    EXPECT_EQ(world.watermark(), world.writer().end());
    for (auto& slot : slots) EXPECT_EQ(texts_of(world.history(), slot.number), slot.texts);
    EXPECT_EQ(must(verify(world.files())).problems_total, 0U);
  }
}

}  // namespace
}  // namespace parley::storage
