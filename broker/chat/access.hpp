#pragma once

#include <optional>
#include <string_view>

#include "storage/format/changes.hpp"
#include "storage/format/record.hpp"

/// Who may do what in a conversation: the one place that is asked before anything is read or appended. Pure.
namespace parley::chat {

enum class Right : std::uint8_t {
  Read,
  Post,
  Join,  ///< Becoming a member by oneself.
  Leave,
  Settings,
  Add,
  ChangeRole,
  RedactOthers,
};

/// What a right is decided on.
struct AccessRequest {
  std::string_view user;
  std::string_view conversation;
  format::ConversationType type = format::ConversationType::Group;
  format::Visibility visibility = format::Visibility::Public;
  bool announce = false;
  std::optional<format::Role> role;  ///< None: no member.
};

/// A direct conversation belongs to the two users that its name says, and nothing about it changes. A public group is
/// open to every authenticated user, but for posting where it is `announce`; a private one to its members.
inline bool may(Right right, const AccessRequest& request) {
  using format::Role;
  if (request.type == format::ConversationType::Direct) {
    const auto users = format::direct_users(request.conversation);
    const bool is_one = users && (users->first == request.user || users->second == request.user);
    return is_one && (right == Right::Read || right == Right::Post);
  }
  const bool open = request.visibility == format::Visibility::Public;
  const bool is_member = request.role.has_value();
  const bool moderates = is_member && *request.role >= Role::Moderator;
  switch (right) {
    case Right::Read: return open || is_member;
    case Right::Post: return request.announce ? moderates : open || is_member;
    case Right::Join: return open || is_member;
    case Right::Leave: return is_member;
    case Right::Add:
    case Right::RedactOthers: return moderates;
    case Right::Settings:
    case Right::ChangeRole: return is_member && *request.role == Role::Owner;
  }
  return false;
}

/// Whether a member of role `actor` may remove one of role `target`, or make it one: one's own rank and those below.
inline bool outranks(format::Role actor, format::Role target) {
  return actor == format::Role::Owner || (actor == format::Role::Moderator && target == format::Role::Member);
}

}  // namespace parley::chat
