#include "storage/slot_snapshot.hpp"

#include <algorithm>
#include <functional>

#include "base/bytes.hpp"
#include "storage/format/changes.hpp"
#include "storage/id_finder.hpp"
#include "storage/recovery.hpp"
#include "storage/verify.hpp"
#include "tests/storage/world.hpp"

/// What a replica lacks that is behind the log, read from one node's store and taken in by another one's.
namespace parley::storage {
namespace {

using test::contents;
using test::kSlot;
using test::must;
using test::Records;
using test::World;

constexpr std::uint32_t kSlots = 10;

/// Of a client or a user that belongs to kSlot.
std::string name_of_slot(const std::string& like) {
  for (int i = 0;; ++i) {
    std::string name = like + std::to_string(i);
    if (stable_hash(name) % kSlots == kSlot.value) return name;
  }
}

/// A node whose files have the same hash key as every other one's here, so that stores can be compared.
struct Node {
  Node() {
    world.overwrite(world.files().store(), kMeta, kMetaHashKey, "0123456789abcdef");
    world.keep_commit_indexes();
  }
  void commit_all() {
    world.commit(world.records().last_index().value);
    world.materialise();
  }
  std::string member(ConversationNumber number, Seq seq, const format::MemberChange& change) {
    const std::string payload = format::encode_change(change);
    next_index();
    return format::encode_record({kSlot, {1}, world.records().last_index()},
                                 format::EntryRecord{.conversation = number,
                                                     .seq = seq,
                                                     .ts = Records::time_of(seq),
                                                     .kind = format::EntryKind::Member,
                                                     .from = "ann",
                                                     .id = "m" + std::to_string(seq.value),
                                                     .payload = payload});
  }
  std::string user_conversation(std::string_view whose, ConversationNumber number, Seq changed, bool present) {
    next_index();
    return format::encode_record({kSlot, {1}, world.records().last_index()},
                                 format::UserConversationRecord{.user = whose,
                                                                .present = present,
                                                                .conversation = number,
                                                                .epoch = {77},
                                                                .changed = changed,
                                                                .name = "tea"});
  }
  std::string fed(ConversationNumber number, Seq changed, std::string_view whose) {
    next_index();
    return format::encode_record({kSlot, {1}, world.records().last_index()},
                                 format::FedRecord{.conversation = number, .changed = changed, .user = whose});
  }
  void next_index() { world.records().no_op(); }

  /// A bit of everything.
  void fill() {
    tea = world.create("tea");
    world.say(tea, 1, 30);
    cake = world.create("cake");
    world.say(cake, 1, 3);
    world.append({member(cake, {4}, {.action = format::MemberAction::Join, .role = format::Role::Owner, .user = "ann"}),
                  member(cake, {5}, {.action = format::MemberAction::Add, .user = "bob"}),
                  member(cake, {6}, {.action = format::MemberAction::Add, .user = "cid"}),
                  member(cake, {7}, {.action = format::MemberAction::Leave, .user = "bob"}), fed(cake, {4}, "ann"),
                  world.records().conversation("dm:ann:bob"), world.records().session(phone, "here"),
                  world.records().cursor(phone, "chat/tea/msg", {3}),
                  world.records().cursor(phone, "chat/cake/msg", {1}), world.records().session(desk, "there"),
                  user_conversation(user, tea, {4}, true), user_conversation(user, cake, {5}, true),
                  user_conversation(user, cake, {7}, false)});
    world.append({world.records().session(std::string(200, 'x') + phone, "of another slot, most likely")});
    commit_all();
  }

  World world;
  ConversationNumber tea;
  ConversationNumber cake;
  const std::string phone = name_of_slot("phone");
  const std::string desk = name_of_slot("desk");
  const std::string user = name_of_slot("user");
};

struct Place {
  Term term;
  Index index;
};

/// Takes pieces of so many bytes. `between` is called after each, and may say (true) that the taker has lost its
/// position: it begins anew. Returns the place that was named first.
struct Copy {
  World& from;
  World& to;
  std::size_t bytes_max = 1;
  std::function<bool(std::size_t piece)> between = [](std::size_t) { return false; };
  std::size_t pieces = 0;
  std::size_t records = 0;

  Place copy() {
    SlotSnapshotReader reader(from.shared_files());
    std::optional<Place> place;
    std::string position;
    std::string known =
        must(to.materialiser().take_snapshot({.slot = kSlot, .slots = kSlots, .bytes = {}, .next = {}}));
    while (pieces < 10'000) {
      const auto piece = must(
          reader.read({.slot = kSlot, .slots = kSlots, .position = position, .known = known, .bytes_max = bytes_max}));
      if (!place) place = Place{piece.term, piece.index};
      for (const SnapshotItem& item : must(decode_items(piece.bytes))) {
        if (item.kind == SnapshotItem::Kind::Record) ++records;
      }
      known = must(
          to.materialiser().take_snapshot({.slot = kSlot, .slots = kSlots, .bytes = piece.bytes, .next = piece.next}));
      if (piece.next.empty()) return *place;
      position = piece.next;
      if (between(++pieces)) {
        position.clear();
        place.reset();
        known = must(to.materialiser().take_snapshot({.slot = kSlot, .slots = kSlots, .bytes = {}, .next = position}));
      }
    }
    ADD_FAILURE() << "copying doesn't end";
    return {};
  }
};

/// All that a store says of the slot itself, but not where it stands in that node's log.
std::vector<std::pair<std::string, std::string>> history_of(World& world, const std::string& but_not = "") {
  auto rows = contents(world.files());
  std::erase_if(rows, [&](const auto& row) {
    return row.first.starts_with("slots:") || row.first.starts_with("slot_index:") ||
           (!but_not.empty() && row.second.find(but_not) != std::string::npos);
  });
  // Which record it came by differs.
  for (auto& [key, value] : rows) {
    if (key.starts_with("user_conversations:")) continue;
    const auto record = format::decode_record(value);
    if (record) value = format::encode_record({kSlot, {1}, {1}}, record->body);
  }
  return rows;
}

/// Empty when both have the same; else what only one of them has.
std::string difference(World& world, World& from, const std::string& but_not) {
  const auto have = history_of(world);
  const auto want = history_of(from, but_not);
  std::string text;
  const auto only = [&](const char* who, const auto& rows, const auto& others) {
    for (const auto& row : rows) {
      if (std::ranges::find(others, row) != others.end()) continue;
      text += who + testing::PrintToString(row).substr(0, 300) + "\n";
    }
  };
  only("missing ", want, have);
  only("too much ", have, want);
  return text.substr(0, 3'000);
}

std::string without(const Node& node) { return "xxxx" + node.phone; }

TEST(SlotSnapshot, BringsAllOfASlotInPiecesOfAnySize) {
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{300}, std::size_t{1'000'000}}) {
    Node leader;
    leader.fill();
    Node follower;
    Copy copy{.from = leader.world, .to = follower.world, .bytes_max = bytes};
    const Place place = copy.copy();
    EXPECT_EQ(place.index, leader.world.records().last_index());
    EXPECT_EQ(difference(follower.world, leader.world, without(leader)), "") << bytes;
    EXPECT_EQ(copy.pieces == 0, bytes == 1'000'000);
    // Nothing of it counts before the end.
    EXPECT_TRUE(must(find_slot_states(follower.world.files())).front().last == Index{0});
    ASSERT_TRUE(follower.world.materialiser().finish_snapshot(
        {.slot = kSlot, .term = place.term, .index = place.index, .replicas = {{1}, {{1}, {2}}, {{3}}}}));
    const auto states = must(find_slot_states(follower.world.files()));
    const auto state = std::ranges::find(states, kSlot, [](const SlotState& one) { return one.hard.slot; });
    EXPECT_EQ(state->last, place.index);
    EXPECT_EQ(state->base, (format::SlotRow::Position{place.term, place.index}));
    EXPECT_EQ(state->replicas, (std::vector<format::SlotRow::Replicas>{{{1}, {{1}, {2}}, {{3}}}}));
    EXPECT_EQ(must(verify(follower.world.files())).problems_total, 0U);
    EXPECT_TRUE(must(IdFinder(follower.world.shared_files()).find(leader.tea, "ann", "id7")));
  }
}

TEST(SlotSnapshot, GoesOnAfterACrashBetweenAnyTwoPieces) {
  Node leader;
  leader.fill();
  Node whole;
  Copy counted{.from = leader.world, .to = whole.world, .bytes_max = 300};
  counted.copy();
  ASSERT_GT(counted.pieces, 10U);
  for (std::size_t crash = 1; crash <= counted.pieces; ++crash) {
    Node follower;
    Copy copy{.from = leader.world, .to = follower.world, .bytes_max = 300};
    copy.between = [&](std::size_t piece) {
      if (piece != crash) return false;
      follower.world.reopen();
      return true;
    };
    copy.copy();
    EXPECT_EQ(difference(follower.world, leader.world, without(leader)), "") << crash;
    // Entries that had come don't come again.
    EXPECT_LE(copy.records, counted.records + 10) << crash;
  }
}

TEST(SlotSnapshot, BringsOnlyEntriesThatTheTakerLacks) {
  Node leader;
  leader.fill();
  Node follower;
  Copy first{.from = leader.world, .to = follower.world, .bytes_max = 100'000};
  first.copy();
  leader.world.say(leader.tea, 31, 33);
  leader.commit_all();
  Copy second{.from = leader.world, .to = follower.world, .bytes_max = 100'000};
  second.copy();
  EXPECT_EQ(second.records, 3 + 2 + 2 + 2U) << "entries, sessions, cursors, a user's conversations";
  EXPECT_EQ(difference(follower.world, leader.world, without(leader)), "");
}

TEST(SlotSnapshot, TakesAwayWhatIsGone) {
  Node leader;
  leader.fill();
  Node follower;
  Copy{.from = leader.world, .to = follower.world}.copy();
  leader.world.append({leader.world.records().session_end(leader.phone), leader.fed(leader.cake, {7}, "bob")});
  leader.commit_all();
  Copy{.from = leader.world, .to = follower.world}.copy();
  EXPECT_EQ(difference(follower.world, leader.world, without(leader)), "");
}

/// The giver's store changes between any two pieces; the log behind the first piece's place then makes up for it.
TEST(SlotSnapshot, MayBeReadWhileTheStoreGoesOn) {
  for (std::size_t change = 1; change < 200; ++change) {
    Node leader;
    leader.fill();
    Node follower;
    const Index before = leader.world.records().last_index();
    std::vector<std::string> news;
    Copy copy{.from = leader.world, .to = follower.world, .bytes_max = 600};
    copy.between = [&](std::size_t piece) {
      if (piece != change) return false;
      auto& records = leader.world.records();
      news = {records.entry(leader.tea, {31}),
              leader.member(leader.cake, {8}, {.action = format::MemberAction::Add, .user = "bob"}),
              leader.member(leader.cake, {9}, {.action = format::MemberAction::Remove, .user = "cid"}),
              leader.member(leader.cake, {10},
                            {.action = format::MemberAction::Role, .role = format::Role::Moderator, .user = "bob"}),
              leader.fed(leader.cake, {8}, "bob"),
              records.conversation("water"),
              records.session_end(leader.phone),
              records.session(leader.phone, "back"),
              records.cursor(leader.phone, "chat/tea/msg", {31}),
              records.session_end(leader.desk),
              leader.user_conversation(leader.user, leader.cake, {8}, true)};
      news.push_back(records.entry(records.number(), {1}));
      leader.world.append(news);
      leader.commit_all();
      return false;
    };
    const Place place = copy.copy();
    EXPECT_EQ(place.index, before);
    if (news.empty()) break;
    ASSERT_TRUE(follower.world.materialiser().finish_snapshot(
        {.slot = kSlot, .term = place.term, .index = place.index, .replicas = {}}));
    follower.world.append(news);
    follower.world.commit(leader.world.records().last_index().value);
    follower.world.materialise();
    EXPECT_EQ(difference(follower.world, leader.world, without(leader)), "") << change;
    EXPECT_EQ(must(verify(follower.world.files())).problems_total, 0U);
  }
}

/// The taker has a log of its own: committed and not, materialised and not, and other than the leader's.
TEST(SlotSnapshot, ReplacesWhatTheLogHas) {
  for (const bool restarts : {false, true}) {
    Node leader;
    leader.fill();
    Node follower;
    World& world = follower.world;
    const auto reader = std::make_unique<History>(world.shared_files());
    auto tea = world.create("tea");
    world.say(tea, 1, 6);
    world.commit(4);
    world.materialise();
    world.say(tea, 7, 9);
    world.commit(8);  // Committed, not materialised.
    EXPECT_EQ(must(reader->find_conversation("tea"))->head, Seq{7});
    world.append({world.records().session("gone", "x"), world.records().conversation("gone")});
    const Place place = Copy{.from = leader.world, .to = world}.copy();
    EXPECT_EQ(must(reader->find_conversation("tea"))->head, Seq{30});
    ASSERT_TRUE(world.materialiser().finish_snapshot(
        {.slot = kSlot, .term = place.term, .index = place.index, .replicas = {}}));
    world.commit(place.index.value);
    if (restarts) world.reopen();
    const auto after = restarts ? std::make_unique<History>(world.shared_files()) : nullptr;
    History& history = restarts ? *after : *reader;
    EXPECT_EQ(must(history.find_conversation("tea"))->head, Seq{30});
    EXPECT_FALSE(must(history.find_conversation("gone")));
    EXPECT_EQ(must(find_slot_ends(world.files())), (std::vector<SlotEnd>{{kSlot, place.term, place.index}}));
    // Nothing holds back the watermark any more.
    world.materialise();
    EXPECT_EQ(world.watermark(), world.writer().end());
    // And the log goes on.
    world.records().go_on_at({2}, place.index.next());
    world.say(leader.tea, 31, 33);
    EXPECT_EQ(must(history.find_conversation("tea"))->head, Seq{30});
    world.commit(place.index.value + 2);
    EXPECT_EQ(must(history.find_conversation("tea"))->head, Seq{32});
    EXPECT_EQ(must(history.read(leader.tea, {{1}, {100}}, {}, Direction::Ascending)).entries.size(), 32U);
    world.materialise();
    EXPECT_EQ(must(history.find_conversation("tea"))->head, Seq{32});
    EXPECT_EQ(must(find_slot_ends(world.files())), (std::vector<SlotEnd>{{kSlot, {2}, {place.index.value + 3}}}));
    const auto states = must(find_slot_states(world.files()));
    const auto state = std::ranges::find(states, kSlot, [](const SlotState& one) { return one.hard.slot; });
    EXPECT_EQ(state->base, (format::SlotRow::Position{place.term, place.index}));
    EXPECT_EQ(state->terms, (std::vector<format::SlotRow::Position>{{{2}, place.index.next()}}));
    EXPECT_EQ(must(verify(world.files())).problems_total, 0U);
  }
}

TEST(SlotSnapshot, HoldsBackTheWatermarkOfNobodyElse) {
  Node leader;
  leader.fill();
  Node follower;
  World& world = follower.world;
  Records other(Slot{4});
  world.append({world.records().no_op(), other.no_op(), other.conversation("other"), other.entry(other.number(), {1})});
  world.commit(3, Slot{4});
  world.materialise();
  EXPECT_EQ(world.watermark(), Lsn{0});
  const Place place = Copy{.from = leader.world, .to = world}.copy();
  ASSERT_TRUE(
      world.materialiser().finish_snapshot({.slot = kSlot, .term = place.term, .index = place.index, .replicas = {}}));
  world.materialise();
  EXPECT_EQ(world.watermark(), Lsn{4});
  EXPECT_EQ(must(world.history().find_conversation("other"))->head, Seq{1});
}

/// Those that retention has left say nothing of who joined before.
TEST(SlotSnapshot, BringsMembersWhoseEntriesAreGone) {
  Node leader;
  leader.fill();
  Node follower;
  Copy{.from = leader.world, .to = follower.world}.copy();
  {
    WriteTransaction store(leader.world.files().store());
    ASSERT_TRUE(store.begin());
    for (std::uint64_t seq = 1; seq <= 7; ++seq) {
      ASSERT_TRUE(store.erase(kEntries, format::entry_key(leader.cake, {seq})));
    }
    ASSERT_TRUE(store.commit());
  }
  Node late;
  for (Node* taker : {&follower, &late}) {
    const Place place = Copy{.from = leader.world, .to = taker->world}.copy();
    ASSERT_TRUE(taker->world.materialiser().finish_snapshot(
        {.slot = kSlot, .term = place.term, .index = place.index, .replicas = {}}));
    const auto state = must(taker->world.history().find_conversation("cake"));
    ASSERT_TRUE(state);
    EXPECT_EQ(state->members, 2U);
    EXPECT_EQ(state->owners, 1U);
  }
}

TEST(SlotSnapshot, KeepsADamagedEntrysSeq) {
  Node leader;
  leader.tea = leader.world.create("tea");
  leader.world.say(leader.tea, 1, 5);
  leader.commit_all();
  for (const std::uint64_t damaged : {std::uint64_t{3}, std::uint64_t{5}}) {
    leader.world.damage(leader.world.files().store(), kEntries, format::entry_key(leader.tea, {damaged}));
  }
  Node follower;
  Copy{.from = leader.world, .to = follower.world}.copy();
  EXPECT_EQ(must(follower.world.history().find_conversation("tea"))->head, Seq{5});
  const auto page = must(follower.world.history().read(leader.tea, {{1}, {9}}, {}, Direction::Ascending));
  EXPECT_EQ(test::seqs_of(page), (std::vector<std::uint64_t>{1, 2, 4}));
  EXPECT_EQ(page.corrupt, (std::vector<Seq>{{3}, {5}}));
}

TEST(SlotSnapshot, BringsSessionsMembersAndUsersConversations) {
  Node leader;
  leader.fill();
  Node follower;
  const Place place = Copy{.from = leader.world, .to = follower.world}.copy();
  ASSERT_TRUE(follower.world.materialiser().finish_snapshot(
      {.slot = kSlot, .term = place.term, .index = place.index, .replicas = {}}));
  EXPECT_EQ(must(follower.world.history().load_user(leader.user)).size(), 2U);
  const auto state = must(follower.world.history().find_conversation("cake"));
  ASSERT_TRUE(state);
  EXPECT_EQ(state->members, 2U);
  EXPECT_EQ(state->owners, 1U);
  std::size_t sessions = 0;
  ASSERT_TRUE(SessionFinder(follower.world.shared_files()).find(leader.phone, [&](const StoredSessionView& view) {
    ++sessions;
    EXPECT_EQ(view.session.state, "here");
    EXPECT_EQ(view.cursors.size(), 2U);
  }));
  EXPECT_EQ(sessions, 1U);
}

TEST(SlotSnapshot, IsNotTakenFromOtherSlotsAndNotFromNoise) {
  Node node;
  const auto take = [&](std::string_view bytes) {
    return node.world.materialiser().take_snapshot({.slot = kSlot, .slots = kSlots, .bytes = bytes, .next = {}});
  };
  const auto item = [](std::string_view record) {
    std::string bytes;
    append_item(bytes, {.kind = SnapshotItem::Kind::Record, .key = {}, .bytes = record});
    return bytes;
  };
  Records other(Slot{4});
  EXPECT_FALSE(take(item(other.conversation("other"))));
  EXPECT_FALSE(take(item(node.world.records().entry(other.number(), {1}))));
  EXPECT_FALSE(take(item("noise")));
  std::string row;
  append_item(row, {.kind = SnapshotItem::Kind::Row, .key = format::unfed_key(other.number(), "ann"), .bytes = "x"});
  EXPECT_FALSE(take(row));
  std::string cut = item(node.world.records().conversation("mine"));
  for (std::size_t size = 1; size < cut.size(); ++size) EXPECT_FALSE(take(cut.substr(0, size))) << size;
  EXPECT_TRUE(take(cut));
  SlotSnapshotReader reader(node.world.shared_files());
  EXPECT_EQ(reader.read({.slot = kSlot, .slots = kSlots, .position = {}, .known = {}}).error(),
            make_error_code(StorageError::NotFound));
  node.fill();
  const std::string elsewhere = encode(SnapshotPosition{.conversation = other.number(), .seq = {}, .key = {}});
  for (const std::string& position : {elsewhere, std::string("\x05"), std::string("\x01"), std::string(600, '\x02')}) {
    EXPECT_FALSE(reader.read({.slot = kSlot, .slots = kSlots, .position = position, .known = {}}));
  }
  EXPECT_FALSE(reader.read({.slot = kSlot, .slots = kSlots, .position = {}, .known = "1234567"}));
}

TEST(SlotSnapshot, WritesWhatItReads) {
  for (const SnapshotPosition& position :
       {SnapshotPosition{.conversation = {(3ULL << 48) | 9}, .seq = {7}, .key = {}},
        SnapshotPosition{.part = SnapshotPosition::Part::Rows, .conversation = {}, .seq = {}, .key = {}},
        SnapshotPosition{.part = SnapshotPosition::Part::Users, .conversation = {}, .seq = {}, .key = "abc"}}) {
    EXPECT_EQ(must(decode_position(encode(position), kSlot)), position);
  }
  const SnapshotKnown known{.until = {50}, .conversations = {{{3}, {4}}, {{5}, {0}}}};
  EXPECT_EQ(must(decode_known(encode(known))), known);
  EXPECT_EQ(must(decode_known({})), SnapshotKnown{});
  EXPECT_FALSE(decode_known(encode(SnapshotKnown{.until = {5}, .conversations = {{{5}, {0}}}})));
  EXPECT_FALSE(decode_known(encode(SnapshotKnown{.until = {5}, .conversations = {{{3}, {0}}, {{3}, {0}}}})));
}

}  // namespace
}  // namespace parley::storage
