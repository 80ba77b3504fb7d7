#include "broker/chat/amendment.hpp"

#include <gtest/gtest.h>

namespace parley::chat {
namespace {

using format::ConversationType;
using format::EntryKind;
using format::Role;
using format::Visibility;

constexpr std::uint64_t kWindow = 1'000;

struct Case {
  const char* what;
  Op op;
  AccessRequest actor;
  std::optional<Amended> message;
  std::uint64_t now;
  Refusal refusal;  ///< None: it is appended.
};

AccessRequest member(std::string_view user, std::optional<Role> role, bool announce = false) {
  return {.user = user, .conversation = "tea", .visibility = Visibility::Private, .announce = announce, .role = role};
}

TEST(Amendments, AreDecidedByWhoWhatAndWhen) {
  const Amended message{.kind = EntryKind::Message, .from = "ann", .ts = {5'000}};
  Amended redacted = message;
  redacted.redacted = true;
  Amended edit = message;
  edit.kind = EntryKind::Edit;
  const AccessRequest direct{.user = "bob",
                             .conversation = "dm:ann:bob",
                             .type = ConversationType::Direct,
                             .visibility = Visibility::Private,
                             .role = std::nullopt};
  const std::vector<Case> cases{
      {"the sender edits", Op::Edit, member("ann", Role::Member), message, 6'000, Refusal::None},
      {"too late", Op::Edit, member("ann", Role::Member), message, 6'001, Refusal::TooLate},
      {"before it was sent, by another clock", Op::Edit, member("ann", Role::Member), message, 10, Refusal::None},
      {"another edits", Op::Edit, member("bob", Role::Owner), message, 5'000, Refusal::NotAuthorized},
      {"the sender may not post any more", Op::Edit, member("ann", Role::Member, true), message, 5'000,
       Refusal::NotAuthorized},
      {"the sender has left", Op::Edit, member("ann", std::nullopt), message, 5'000, Refusal::NotAuthorized},
      {"an edit of nothing", Op::Edit, member("ann", Role::Member), std::nullopt, 5'000, Refusal::NotFound},
      {"an edit of an edit", Op::Edit, member("ann", Role::Member), edit, 5'000, Refusal::NotFound},
      {"an edit of what is redacted", Op::Edit, member("ann", Role::Member), redacted, 5'000, Refusal::NotFound},
      {"the sender redacts, however late", Op::Redact, member("ann", Role::Member, true), message, 900'000,
       Refusal::None},
      {"a member redacts another's", Op::Redact, member("bob", Role::Member), message, 5'000, Refusal::NotAuthorized},
      {"a moderator does", Op::Redact, member("bob", Role::Moderator), message, 5'000, Refusal::None},
      {"a stranger does", Op::Redact, member("bob", std::nullopt), message, 5'000, Refusal::NotAuthorized},
      {"a redaction of an edit", Op::Redact, member("ann", Role::Owner), edit, 5'000, Refusal::NotFound},
      {"the other one of two", Op::Redact, direct, message, 5'000, Refusal::NotAuthorized},
  };
  for (const Case& one : cases) {
    const auto decided =
        decide_amendment({.op = one.op}, one.actor, one.message ? &*one.message : nullptr, {one.now}, kWindow);
    if (one.refusal == Refusal::None) {
      EXPECT_TRUE(decided && *decided) << one.what;
    } else {
      EXPECT_EQ(decided.error(), make_error_code(one.refusal)) << one.what;
    }
  }
  EXPECT_EQ(decide_amendment({.op = Op::Redact}, member("ann", Role::Member), &redacted, {5'000}, kWindow).value(),
            false);
  EXPECT_EQ(decide_amendment({.op = Op::Edit}, member("ann", Role::Member), &message, {5'000}, 0).error(),
            make_error_code(Refusal::TooLate));
}

}  // namespace
}  // namespace parley::chat
