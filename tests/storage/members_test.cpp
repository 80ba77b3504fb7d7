#include "storage/members.hpp"

#include "tests/storage/world.hpp"

namespace parley::storage {
namespace {

using format::HistoryRule;
using format::MemberAction;
using format::Role;
using format::Visibility;
using test::must;

/// A conversation and the records that say who is in it.
class MembersTest : public testing::Test {
 protected:
  std::string entry(Seq seq, format::EntryKind kind, const std::string& payload) {
    return format::encode_record(position(), format::EntryRecord{.conversation = tea_,
                                                                 .seq = seq,
                                                                 .ts = {seq.value},
                                                                 .kind = kind,
                                                                 .from = "ann",
                                                                 .id = "made",
                                                                 .payload = payload});
  }
  std::string member(Seq seq, MemberAction action, Role role, std::string_view user) {
    return entry(seq, format::EntryKind::Member, format::encode_change({action, role, user}));
  }
  std::string settings(Seq seq, const format::Settings& settings) {
    return entry(seq, format::EntryKind::Settings, format::encode_change(settings));
  }
  std::string user(std::string_view name, bool present, Seq changed) {
    return format::encode_record(
        position(),
        format::UserConversationRecord{
            .user = name, .present = present, .conversation = tea_, .epoch = {77}, .changed = changed, .name = "tea"});
  }
  std::string fed(Seq changed, std::string_view user) {
    return format::encode_record(position(), format::FedRecord{.conversation = tea_, .changed = changed, .user = user});
  }
  format::RecordPosition position() { return {test::kSlot, {1}, {++index_}}; }
  std::optional<format::MemberRow> find(std::string_view name) { return must(members_.find(tea_, name)); }
  std::vector<std::string> listed(std::string_view after, std::size_t count) {
    std::vector<std::string> names;
    for (const auto& one : must(members_.list(tea_, after, count))) names.push_back(one.user);
    return names;
  }

  test::World world_;
  ConversationNumber tea_ = world_.create("tea");
  std::uint64_t index_ = 100;
  Members members_{world_.shared_files()};
};

TEST_F(MembersTest, AreMadeFromTheEntries) {
  world_.append(
      {member({1}, MemberAction::Join, Role::Owner, "ann"), member({2}, MemberAction::Add, Role::Member, "bob"),
       member({3}, MemberAction::Add, Role::Moderator, "cat"), member({4}, MemberAction::Remove, Role::Member, "bob"),
       member({5}, MemberAction::Role, Role::Owner, "cat")});
  EXPECT_FALSE(find("ann"));
  world_.materialise(2);
  EXPECT_EQ(find("ann"), (format::MemberRow{Role::Owner, {1}}));
  EXPECT_EQ(find("cat"), (format::MemberRow{Role::Owner, {3}}));
  EXPECT_FALSE(find("bob"));
  EXPECT_FALSE(find(""));
  const auto state = must(world_.history().find_conversation("tea"));
  EXPECT_EQ(state->members, 2U);
  EXPECT_EQ(state->owners, 2U);
}

TEST_F(MembersTest, WrittenTwiceChangeNothing) {
  world_.append(
      {member({1}, MemberAction::Join, Role::Owner, "ann"), member({2}, MemberAction::Add, Role::Member, "bob"),
       member({3}, MemberAction::Remove, Role::Member, "bob"),
       settings({4}, {Visibility::Private, true, HistoryRule::All, "Tea"}), user("ann", true, {1}), fed({1}, "ann")});
  world_.materialise();
  const auto before = test::contents(world_.files());
  world_.overwrite(world_.files().store(), kMeta, kMetaWatermark, format::number_key(Lsn{0}));
  world_.materialise();
  EXPECT_EQ(test::contents(world_.files()), before);
  EXPECT_FALSE(find("bob"));
}

TEST_F(MembersTest, AreListedInPages) {
  std::vector<std::string> records;
  for (std::uint64_t i = 1; i <= 30; ++i) {
    records.push_back(member({i}, MemberAction::Add, Role::Member, "u" + std::to_string(100 + i)));
  }
  world_.append(records);
  world_.materialise();
  EXPECT_EQ(listed("", 2), (std::vector<std::string>{"u101", "u102"}));
  EXPECT_EQ(listed("u102", 2), (std::vector<std::string>{"u103", "u104"}));
  EXPECT_EQ(listed("u1025", 1), (std::vector<std::string>{"u103"}));
  EXPECT_EQ(listed("u129", 10), (std::vector<std::string>{"u130"}));
  EXPECT_EQ(listed("u130", 10), (std::vector<std::string>{}));
}

TEST_F(MembersTest, SettingsStandInTheConversation) {
  world_.append({settings({1}, {Visibility::Private, true, HistoryRule::All, "Tea"})});
  world_.materialise();
  const auto state = must(world_.history().find_conversation("tea"));
  EXPECT_EQ(state->visibility, Visibility::Private);
  EXPECT_TRUE(state->announce);
  EXPECT_EQ(state->history, HistoryRule::All);
  EXPECT_EQ(state->title, "Tea");
}

TEST_F(MembersTest, LoadingGivesWhatTheStoreLacks) {
  world_.append(
      {member({1}, MemberAction::Join, Role::Owner, "ann"), member({2}, MemberAction::Add, Role::Member, "bob")});
  world_.materialise();
  world_.append({member({3}, MemberAction::Remove, Role::Member, "bob"),
                 member({4}, MemberAction::Add, Role::Member, "cat"),
                 settings({5}, {Visibility::Public, false, HistoryRule::Joined, "T"})});
  const auto loaded = must(world_.history().load("tea"));
  std::vector<std::uint64_t> seqs;
  for (const auto& one : loaded.unmaterialised) seqs.push_back((*one)->seq.value);
  EXPECT_EQ(seqs, (std::vector<std::uint64_t>{3, 4, 5}));
  ASSERT_EQ(loaded.members.size(), 1U);
  EXPECT_EQ(loaded.members[0].user, "bob");
  EXPECT_EQ(loaded.members[0].member, (format::MemberRow{Role::Member, {2}}));
  EXPECT_EQ(loaded.conversation->members, 2U);
}

TEST_F(MembersTest, WhatUsersAreNotToldYetIsKeptUntilTheyAre) {
  world_.append({member({1}, MemberAction::Join, Role::Owner, "ann"),
                 member({2}, MemberAction::Add, Role::Member, "bob"),
                 member({3}, MemberAction::Role, Role::Moderator, "bob")});
  world_.materialise();
  const auto unfed = must(members_.unfed(test::kSlot, 10));
  ASSERT_EQ(unfed.size(), 2U);
  EXPECT_EQ(unfed[1].user, "bob");
  EXPECT_EQ(unfed[1].conversation.number, tea_);
  EXPECT_EQ(unfed[1].conversation.name, "tea");
  EXPECT_EQ(unfed[1].conversation.epoch, Epoch{77});
  EXPECT_TRUE(unfed[1].conversation.present);
  EXPECT_EQ(unfed[1].conversation.changed, Seq{2});
  EXPECT_EQ(must(members_.unfed(test::kSlot, 1)).size(), 1U);
  EXPECT_TRUE(must(members_.unfed(Slot{test::kSlot.value + 1}, 10)).empty());
  EXPECT_TRUE(must(members_.unfed(Slot{test::kSlot.value - 1}, 10)).empty());
  // The news of an earlier change doesn't hide a later one.
  world_.append({member({4}, MemberAction::Remove, Role::Moderator, "bob"), fed({2}, "bob"), fed({1}, "ann")});
  world_.materialise();
  const auto left = must(members_.unfed(test::kSlot, 10));
  ASSERT_EQ(left.size(), 1U);
  EXPECT_FALSE(left[0].conversation.present);
  EXPECT_EQ(left[0].conversation.changed, Seq{4});
}

TEST_F(MembersTest, TheUsersOfADirectConversationAreToldOfIt) {
  world_.append({format::encode_record(position(), format::ConversationRecord{.name = "dm:ann:bob",
                                                                              .epoch = {5},
                                                                              .created = {9},
                                                                              .type = format::ConversationType::Direct,
                                                                              .visibility = Visibility::Private})});
  world_.materialise();
  const auto unfed = must(members_.unfed(test::kSlot, 10));
  ASSERT_EQ(unfed.size(), 2U);
  EXPECT_EQ(unfed[0].user, "ann");
  EXPECT_EQ(unfed[1].user, "bob");
  EXPECT_EQ(unfed[1].conversation.name, "dm:ann:bob");
  EXPECT_TRUE(unfed[1].conversation.present);
}

TEST_F(MembersTest, AUsersConversationsAreStoreAndTailTogether) {
  world_.append({user("ann", true, {1}), user("bob", true, {2})});
  world_.materialise();
  world_.append({user("bob", false, {5}), user("bob", true, {3})});
  const auto of_bob = must(world_.history().load_user("bob"));
  ASSERT_EQ(of_bob.size(), 1U);
  EXPECT_FALSE(of_bob[0].present);
  EXPECT_EQ(of_bob[0].changed, Seq{5});
  EXPECT_EQ(of_bob[0].name, "tea");
  world_.materialise();
  const auto stored = must(world_.history().load_user("bob"));
  ASSERT_EQ(stored.size(), 1U);
  EXPECT_EQ(stored[0].changed, Seq{5});
  EXPECT_EQ(must(world_.history().load_user("ann")).size(), 1U);
  EXPECT_TRUE(must(world_.history().load_user("an")).empty());
}

}  // namespace
}  // namespace parley::storage
