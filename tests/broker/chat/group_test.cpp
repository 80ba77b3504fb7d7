#include "broker/chat/group.hpp"

#include <gtest/gtest.h>

namespace parley::chat {
namespace {

using format::MemberAction;
using format::MemberRow;
using format::Role;

/// A group whose store is a map.
class GroupTest : public testing::Test {
 protected:
  void change(std::uint64_t seq, MemberAction action, Role role, const std::string& user) {
    const std::string payload = format::encode_change({action, role, user});
    group_.apply({.seq = {seq}, .kind = format::EntryKind::Member, .payload = payload}, find(user, {seq}));
  }
  void title(std::uint64_t seq, const std::string& text) {
    const std::string payload = format::encode_change(format::Settings{.title = text});
    group_.apply({.seq = {seq}, .kind = format::EntryKind::Settings, .payload = payload}, std::nullopt);
  }
  std::optional<MemberRow> find(const std::string& user, Seq upto) {
    if (const auto recent = group_.find(user, upto)) return *recent;
    return user == "owner" ? std::optional(MemberRow{Role::Owner, {1}}) : std::nullopt;
  }

  Group group_{{.settings = {}, .members = 1, .owners = 1}};
};

TEST_F(GroupTest, KnowsWhatTheStoreDoesNot) {
  change(2, MemberAction::Add, Role::Member, "bob");
  change(3, MemberAction::Role, Role::Owner, "bob");
  change(4, MemberAction::Leave, Role::Owner, "owner");
  EXPECT_EQ(find("bob", {2}), (MemberRow{Role::Member, {2}}));
  EXPECT_EQ(find("bob", {4}), (MemberRow{Role::Owner, {2}}));
  EXPECT_EQ(find("owner", {3}), (MemberRow{Role::Owner, {1}}));
  EXPECT_FALSE(find("owner", {4}));
  EXPECT_EQ(group_.standing().members, 1U);
  EXPECT_EQ(group_.standing().owners, 1U);
  EXPECT_EQ(group_.standing({3}).owners, 2U);
  EXPECT_EQ(group_.standing({1}).members, 1U);
}

TEST_F(GroupTest, TakesBackWhatIsNotStored) {
  change(2, MemberAction::Add, Role::Member, "bob");
  title(3, "Tea");
  change(4, MemberAction::Remove, Role::Member, "bob");
  group_.rolled_back({3});
  EXPECT_TRUE(find("bob", {4}));
  EXPECT_EQ(group_.standing().members, 2U);
  EXPECT_EQ(group_.standing().settings.title, "Tea");
  group_.rolled_back({1});
  EXPECT_FALSE(find("bob", {4}));
  EXPECT_EQ(group_.standing().members, 1U);
  EXPECT_EQ(group_.standing().settings.title, "");
  EXPECT_TRUE(group_.idle());
}

TEST_F(GroupTest, ForgetsWhatTheStoreHas) {
  change(2, MemberAction::Add, Role::Member, "bob");
  change(3, MemberAction::Add, Role::Member, "cat");
  change(4, MemberAction::Remove, Role::Member, "bob");
  group_.materialised({3});
  EXPECT_FALSE(group_.find("cat", {9}));
  EXPECT_FALSE(find("bob", {4}));
  EXPECT_EQ(group_.changed({4}).size(), 1U);
  group_.materialised({4});
  EXPECT_TRUE(group_.idle());
  EXPECT_EQ(group_.standing().members, 2U);
}

TEST_F(GroupTest, PassesOverWhatItCannotRead) {
  group_.apply({.seq = {2}, .kind = format::EntryKind::Member, .payload = "?"}, std::nullopt);
  group_.apply({.seq = {3}, .kind = format::EntryKind::Settings, .payload = "?"}, std::nullopt);
  EXPECT_TRUE(group_.idle());
}

}  // namespace
}  // namespace parley::chat
