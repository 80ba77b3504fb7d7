#pragma once

#include <string>

#include "storage/format/marks.hpp"

namespace parley::chat {

/// Up to where a member of a conversation has read it, and up to where it has come to it.
struct UserMarks {
  std::string user;
  format::Mark mark;
  friend bool operator==(const UserMarks&, const UserMarks&) = default;
};

}  // namespace parley::chat
