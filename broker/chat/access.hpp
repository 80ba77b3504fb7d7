#pragma once

#include <string_view>

#include "storage/format/record.hpp"

/// Who may do what in a conversation: the one place that is asked before anything is read or appended. Pure.
namespace parley::chat {

enum class Right : std::uint8_t { Read, Post };

/// What a right is decided on.
struct AccessRequest {
  std::string_view user;
  std::string_view conversation;
  format::ConversationType type = format::ConversationType::Group;
  format::Visibility visibility = format::Visibility::Public;
};

/// Public conversations are open to every authenticated user. Private ones are for their members, and as no entry makes
/// anybody a member yet, they are closed to all.
inline bool may(Right /*right*/, const AccessRequest& request) {
  return request.visibility == format::Visibility::Public;
}

}  // namespace parley::chat
