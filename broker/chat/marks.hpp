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

/// In a direct conversation, which either of the two may begin alone: has sent something there, or said that it has
/// read something.
inline bool takes_part(const format::Mark& mark) { return mark.read != Seq{}; }

}  // namespace parley::chat
