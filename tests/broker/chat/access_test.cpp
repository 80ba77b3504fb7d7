#include "broker/chat/access.hpp"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

namespace parley::chat {
namespace {

using format::ConversationType;
using format::Role;
using format::Visibility;

constexpr std::array kRights{Right::Read,     Right::Post, Right::Join,      Right::Leave,
                             Right::Settings, Right::Add,  Right::ChangeRole};
constexpr std::string_view kLetters = "rpjlsac";

std::string rights_of(const AccessRequest& request) {
  std::string letters;
  for (std::size_t i = 0; i < kRights.size(); ++i) {
    if (may(kRights[i], request)) letters.push_back(kLetters[i]);
  }
  return letters;
}

struct GroupCase {
  Visibility visibility;
  bool announce;
  std::optional<Role> role;
  std::string_view rights;
};

TEST(Access, OfGroupsIsByVisibilityAndRole) {
  constexpr auto open = Visibility::Public;
  constexpr auto closed = Visibility::Private;
  for (const GroupCase& one : std::vector<GroupCase>{
           {open, false, std::nullopt, "rpj"},
           {open, true, std::nullopt, "rj"},
           {open, false, Role::Member, "rpjl"},
           {open, true, Role::Member, "rjl"},
           {open, true, Role::Moderator, "rpjla"},
           {open, false, Role::Owner, "rpjlsac"},
           {closed, false, std::nullopt, ""},
           {closed, true, std::nullopt, ""},
           {closed, false, Role::Member, "rpjl"},
           {closed, true, Role::Member, "rjl"},
           {closed, false, Role::Moderator, "rpjla"},
           {closed, true, Role::Owner, "rpjlsac"},
       }) {
    EXPECT_EQ(rights_of({.user = "u",
                         .conversation = "c",
                         .visibility = one.visibility,
                         .announce = one.announce,
                         .role = one.role}),
              one.rights);
  }
}

TEST(Access, OfDirectConversationsIsByName) {
  for (const std::string_view user : {"ann", "bob", "cat"}) {
    const AccessRequest request{.user = user,
                                .conversation = "dm:ann:bob",
                                .type = ConversationType::Direct,
                                .visibility = Visibility::Private};
    EXPECT_EQ(rights_of(request), user == "cat" ? "" : "rp") << user;
  }
  EXPECT_EQ(rights_of({.user = "ann", .conversation = "tea", .type = ConversationType::Direct}), "");
}

}  // namespace
}  // namespace parley::chat
