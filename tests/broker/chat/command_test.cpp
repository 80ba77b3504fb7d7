#include "broker/chat/command.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace parley::chat {
namespace {

using format::HistoryRule;
using format::Role;
using format::Visibility;
using Arguments = std::vector<Argument>;

Argument text(std::string_view name, std::string_view value) { return {name, value}; }

struct BadCase {
  const char* what;
  Arguments arguments;
  Refusal refusal;
};

TEST(Commands, AreRefusedWhenTheyAreNone) {
  const std::string long_name(129, 'x');
  const std::string long_title(257, 'x');
  const std::vector<BadCase> cases{
      {"nothing", {}, Refusal::UnknownCommand},
      {"no op", {text("user", "bob")}, Refusal::UnknownCommand},
      {"op is a number", {{"op", std::uint64_t{1}}}, Refusal::UnknownCommand},
      {"unknown op", {text("op", "explode")}, Refusal::UnknownCommand},
      {"op in capitals", {text("op", "JOIN")}, Refusal::UnknownCommand},
      {"unknown argument", {text("op", "join"), text("color", "red")}, Refusal::InvalidArgument},
      {"another command's argument", {text("op", "join"), text("user", "bob")}, Refusal::InvalidArgument},
      {"missing user", {text("op", "add")}, Refusal::InvalidArgument},
      {"missing role", {text("op", "role"), text("user", "bob")}, Refusal::InvalidArgument},
      {"user is a number", {text("op", "add"), {"user", std::uint64_t{7}}}, Refusal::InvalidArgument},
      {"user too long", {text("op", "add"), text("user", long_name)}, Refusal::InvalidArgument},
      {"user with a slash", {text("op", "add"), text("user", "a/b")}, Refusal::InvalidArgument},
      {"empty user", {text("op", "add"), text("user", "")}, Refusal::InvalidArgument},
      {"unknown role", {text("op", "role"), text("user", "bob"), text("role", "king")}, Refusal::InvalidArgument},
      {"empty id", {text("op", "join"), text("id", "")}, Refusal::InvalidArgument},
      {"id with a newline", {text("op", "join"), text("id", "a\nb")}, Refusal::InvalidArgument},
      {"title too long", {text("op", "settings"), text("title", long_title)}, Refusal::InvalidArgument},
      {"announce is a word", {text("op", "settings"), text("announce", "yes")}, Refusal::InvalidArgument},
      {"settings of nothing", {text("op", "settings"), text("id", "a")}, Refusal::InvalidArgument},
      {"limit 0", {text("op", "info"), {"limit", std::uint64_t{0}}}, Refusal::InvalidArgument},
      {"limit too high", {text("op", "info"), {"limit", std::uint64_t{1001}}}, Refusal::InvalidArgument},
      {"limit is text", {text("op", "info"), text("limit", "5")}, Refusal::InvalidArgument},
  };
  for (const BadCase& one : cases) {
    const auto command = read_command(one.arguments);
    ASSERT_FALSE(command) << one.what;
    EXPECT_EQ(command.error(), make_error_code(one.refusal)) << one.what;
  }
}

TEST(Commands, AreReadWithTheirArguments) {
  const auto command = read_command(Arguments{text("op", "create"),
                                              text("visibility", "private"),
                                              {"announce", true},
                                              text("history", "all"),
                                              text("title", "Tea"),
                                              text("id", "i1")});
  ASSERT_TRUE(command);
  EXPECT_EQ(command->op, Op::Create);
  EXPECT_EQ(command->visibility, Visibility::Private);
  EXPECT_EQ(command->announce, true);
  EXPECT_EQ(command->history, HistoryRule::All);
  EXPECT_EQ(command->title, "Tea");
  EXPECT_EQ(command->id, "i1");
  for (const Op op : {Op::Create, Op::Join, Op::Leave, Op::Info}) {
    const auto read = read_command(Arguments{text("op", name_of(op))});
    ASSERT_TRUE(read) << name_of(op);
    EXPECT_EQ(read->op, op);
  }
}

constexpr auto kNone = std::optional<Role>();

struct DecisionCase {
  const char* what;
  Arguments arguments;
  std::optional<Role> actor;
  std::optional<Role> target;
  Visibility visibility;
  std::uint64_t owners;
  std::uint64_t members;
  std::string expected;  ///< The action and role, "settings", "nothing", or the refusal's word.
};

std::string outcome(const DecisionCase& one) {
  const auto command = read_command(one.arguments);
  if (!command) return "unreadable";
  const auto decision = decide(*command, {.actor = "ann",
                                          .conversation = "tea",
                                          .settings = {.visibility = one.visibility},
                                          .members = one.members,
                                          .owners = one.owners,
                                          .role = one.actor,
                                          .target = one.target});
  if (!decision) return std::string(rule_of(static_cast<Refusal>(decision.error().value())).word);
  if (decision->settings) return "settings";
  if (!decision->member) return "nothing";
  return std::string(format::name_of(decision->member->action)) + " " + std::string(decision->member->user) + " " +
         std::string(format::name_of(decision->member->role));
}

TEST(Commands, AreDecidedByRole) {
  const Arguments create{text("op", "create")};
  const Arguments join{text("op", "join")};
  const Arguments leave{text("op", "leave")};
  const Arguments add{text("op", "add"), text("user", "bob")};
  const Arguments add_moderator{text("op", "add"), text("user", "bob"), text("role", "moderator")};
  const Arguments remove{text("op", "remove"), text("user", "bob")};
  const Arguments remove_self{text("op", "remove"), text("user", "ann")};
  const Arguments promote{text("op", "role"), text("user", "bob"), text("role", "owner")};
  const Arguments demote{text("op", "role"), text("user", "bob"), text("role", "member")};
  const Arguments title{text("op", "settings"), text("title", "Tea")};
  const Arguments no_title{text("op", "settings"), text("title", "")};
  constexpr auto open = Visibility::Public;
  constexpr auto closed = Visibility::Private;
  const std::vector<DecisionCase> cases{
      {"create what is there", create, kNone, kNone, open, 0, 0, "exists"},
      {"create what is hidden", create, kNone, kNone, closed, 1, 1, "not-authorized"},
      {"join a public one", join, kNone, kNone, open, 1, 1, "join ann member"},
      {"join one that all have left", join, kNone, kNone, open, 0, 0, "join ann owner"},
      {"join a private one", join, kNone, kNone, closed, 1, 1, "not-authorized"},
      {"join again", join, Role::Member, kNone, closed, 1, 2, "nothing"},
      {"leave", leave, Role::Member, kNone, closed, 1, 2, "leave ann member"},
      {"leave as the last owner", leave, Role::Owner, kNone, closed, 1, 2, "last-owner"},
      {"leave as the last of all", leave, Role::Owner, kNone, closed, 1, 1, "leave ann owner"},
      {"leave as one of two owners", leave, Role::Owner, kNone, closed, 2, 2, "leave ann owner"},
      {"leave as no member", leave, kNone, kNone, open, 1, 2, "not-a-member"},
      {"add as a member", add, Role::Member, kNone, closed, 1, 2, "not-authorized"},
      {"add as nobody", add, kNone, kNone, open, 1, 2, "not-authorized"},
      {"add as a moderator", add, Role::Moderator, kNone, closed, 1, 2, "add bob member"},
      {"add a moderator as one", add_moderator, Role::Moderator, kNone, closed, 1, 2, "not-authorized"},
      {"add a moderator as owner", add_moderator, Role::Owner, kNone, closed, 1, 2, "add bob moderator"},
      {"add a member again", add, Role::Owner, Role::Member, closed, 1, 2, "nothing"},
      {"add with another role", add_moderator, Role::Owner, Role::Member, closed, 1, 2, "exists"},
      {"remove as a moderator", remove, Role::Moderator, Role::Member, closed, 1, 3, "remove bob member"},
      {"remove a moderator as one", remove, Role::Moderator, Role::Moderator, closed, 1, 3, "not-authorized"},
      {"remove an owner", remove, Role::Owner, Role::Owner, closed, 2, 3, "remove bob owner"},
      {"remove as a member", remove, Role::Member, Role::Member, closed, 1, 3, "not-authorized"},
      {"remove nobody", remove, Role::Owner, kNone, closed, 1, 1, "not-a-member"},
      {"remove oneself", remove_self, Role::Owner, Role::Owner, closed, 1, 1, "invalid-argument"},
      {"promote", promote, Role::Owner, Role::Member, closed, 1, 2, "role bob owner"},
      {"promote as a moderator", promote, Role::Moderator, Role::Member, closed, 1, 2, "not-authorized"},
      {"promote an owner", promote, Role::Owner, Role::Owner, closed, 2, 2, "nothing"},
      {"demote the last owner", demote, Role::Owner, Role::Owner, closed, 1, 2, "last-owner"},
      {"demote one of two", demote, Role::Owner, Role::Owner, closed, 2, 2, "role bob member"},
      {"settings as owner", title, Role::Owner, kNone, closed, 1, 1, "settings"},
      {"settings as moderator", title, Role::Moderator, kNone, closed, 1, 1, "not-authorized"},
      {"settings as they are", no_title, Role::Owner, kNone, closed, 1, 1, "nothing"},
      {"settings of a hidden one", title, kNone, kNone, closed, 1, 1, "not-authorized"},
  };
  for (const DecisionCase& one : cases) EXPECT_EQ(outcome(one), one.expected) << one.what;
}

TEST(Commands, OfDirectConversationsChangeNothing) {
  for (const std::string_view op : {"join", "leave"}) {
    const auto command = read_command(Arguments{text("op", op)});
    const Situation situation{.actor = "ann",
                              .conversation = "dm:ann:bob",
                              .type = format::ConversationType::Direct,
                              .settings = {.visibility = Visibility::Private}};
    EXPECT_EQ(decide(*command, situation).error(), make_error_code(Refusal::NotForDirect)) << op;
    Situation stranger = situation;
    stranger.actor = "cat";
    EXPECT_EQ(decide(*command, stranger).error(), make_error_code(Refusal::NotAuthorized)) << op;
  }
}

struct CreationCase {
  Arguments arguments;
  std::string_view conversation;
  std::string_view expected;
};

TEST(Commands, CreateGroupsAndDirectConversations) {
  const Arguments plain{text("op", "create")};
  const Arguments direct{text("op", "create"), text("type", "direct")};
  const Arguments titled{text("op", "create"), text("title", "Tea")};
  for (const CreationCase& one : std::vector<CreationCase>{{plain, "tea", ""},
                                                           {direct, "tea", "invalid-argument"},
                                                           {direct, "dm:ann:bob", ""},
                                                           {plain, "dm:ann:bob", ""},
                                                           {titled, "dm:ann:bob", "invalid-argument"},
                                                           {plain, "dm:bob:cat", "not-authorized"},
                                                           {plain, "dm:bob:ann", "invalid-argument"}}) {
    const auto creation = decide_creation(*read_command(one.arguments), "ann", one.conversation);
    const auto word = creation ? "" : rule_of(static_cast<Refusal>(creation.error().value())).word;
    EXPECT_EQ(word, one.expected) << one.conversation;
    if (creation) {
      EXPECT_EQ(creation->settings.visibility, Visibility::Private);
    }
  }
}

}  // namespace
}  // namespace parley::chat
