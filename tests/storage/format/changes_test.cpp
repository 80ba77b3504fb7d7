#include "storage/format/changes.hpp"

#include <gtest/gtest.h>

namespace parley::format {
namespace {

TEST(MemberChange, ComesBackAsItWas) {
  for (const auto action :
       {MemberAction::Join, MemberAction::Leave, MemberAction::Add, MemberAction::Remove, MemberAction::Role}) {
    for (const auto role : {Role::Member, Role::Moderator, Role::Owner}) {
      const MemberChange change{action, role, "bob"};
      const std::string bytes = encode_change(change);
      const auto decoded = decode_member_change(bytes);
      ASSERT_TRUE(decoded);
      EXPECT_EQ(*decoded, change);
    }
  }
}

TEST(MemberChange, RefusesWhatItIsNot) {
  using namespace std::string_literals;
  for (const std::string& bytes : {""s, "\x01"s, "\x01\x01"s, "\x00\x01"s + "bob", "\x06\x01"s + "bob",
                                   "\x01\x00"s + "bob", "\x01\x04"s + "bob", "\x01\x01"s + std::string(129, 'b')}) {
    EXPECT_FALSE(decode_member_change(bytes)) << bytes.size();
  }
}

TEST(Settings, ComeBackAsTheyWere) {
  const Settings settings{Visibility::Private, true, HistoryRule::All, "tea \xC3\xA9"};
  const auto decoded = decode_settings(encode_change(settings));
  ASSERT_TRUE(decoded);
  EXPECT_EQ(*decoded, settings);
  std::string bytes = encode_change(settings);
  bytes[1] = 2;
  EXPECT_FALSE(decode_settings(bytes));
  EXPECT_FALSE(decode_settings("\x01"));
}

TEST(Settings, OfRetentionComeBackAsTheyWere) {
  for (const Settings& settings : {Settings{.title = "tea", .retention_age = 60'000},
                                   Settings{.history = HistoryRule::All, .title = "", .retention_count = 7},
                                   Settings{.title = "x", .retention_age = 1, .retention_count = ~std::uint64_t{0}}}) {
    const std::string bytes = encode_change(settings);
    const auto decoded = decode_settings(bytes);
    ASSERT_TRUE(decoded);
    EXPECT_EQ(*decoded, settings);
    EXPECT_FALSE(decode_settings(bytes.substr(0, 10)));
  }
  EXPECT_FALSE(decode_settings("\1" + std::string(1, '\0') + "\x81" + std::string(16, '\0'))) << "both 0";
}

TEST(MemberRows, ComeBackAsTheyWere) {
  std::string bytes;
  const MemberRow member{Role::Moderator, {7}};
  encode_row(bytes, member);
  EXPECT_EQ(decode_member_row(bytes).value(), member);

  const GroupRow group{{9}, 100'000, 2, {Visibility::Private, false, HistoryRule::Joined, "tea"}};
  encode_row(bytes, group);
  EXPECT_EQ(decode_group_row(bytes).value(), group);

  encode_row(bytes, UserConversationRow{true, {4}, {77}, "tea"});
  const auto user = decode_user_conversation_row(bytes);
  ASSERT_TRUE(user);
  EXPECT_TRUE(user->present);
  EXPECT_EQ(user->changed, Seq{4});
  EXPECT_EQ(user->epoch, Epoch{77});
  EXPECT_EQ(user->name, "tea");

  encode_row(bytes, UnfedRow{false, {4}});
  const auto unfed = decode_unfed_row(bytes);
  ASSERT_TRUE(unfed);
  EXPECT_FALSE(unfed->present);
  EXPECT_EQ(unfed->changed, Seq{4});
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  EXPECT_FALSE(decode_unfed_row(bytes));
}

struct DirectCase {
  std::string_view name;
  bool is_direct;
};

TEST(DirectUsers, AreNamedByTheConversation) {
  for (const DirectCase& one : {DirectCase{"dm:ann:bob", true},
                                {"dm:bob:ann", false},
                                {"dm:ann:ann", false},
                                {"dm:ann", false},
                                {"dm::bob", false},
                                {"dm:ann:", false},
                                {"dm:ann:bob:cat", false},
                                {"room", false},
                                {"dm:", false},
                                {"DM:ann:bob", false}}) {
    const auto users = direct_users(one.name);
    EXPECT_EQ(users.has_value(), one.is_direct) << one.name;
    if (users) {
      EXPECT_EQ(users->first, "ann");
      EXPECT_EQ(users->second, "bob");
    }
  }
}

TEST(MemberKeys, SortByConversationAndName) {
  EXPECT_LT(member_key({1}, "bob"), member_key({2}, "ann"));
  EXPECT_LT(member_key({1}, "ann"), member_key({1}, "bob"));
  EXPECT_TRUE(user_conversation_key("ann", ConversationNumber{5}).starts_with(user_conversation_key("ann", {})));
  EXPECT_FALSE(user_conversation_key("anna", ConversationNumber{5}).starts_with(user_conversation_key("ann", {})));
}

}  // namespace
}  // namespace parley::format
