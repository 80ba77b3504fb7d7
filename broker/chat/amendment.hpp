#pragma once

#include <string_view>

#include "base/number.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "broker/chat/access.hpp"
#include "broker/chat/command.hpp"
#include "storage/format/record.hpp"

/// Edits and redactions: what may be done to a message that stands in the log. docs/PROTOCOL.md "Edits and redactions".
/// Pure.
namespace parley::chat {

/// What a command says it refers to.
struct Amended {
  format::EntryKind kind = format::EntryKind::Message;
  std::string_view from;
  Timestamp ts;
  bool redacted = false;
};

/// Whether `command`, an edit or redaction, is to be appended; false: it is so already. `message`: null when there is
/// none, or none for this user. `edit_window`: milliseconds. Fails with NotAuthorized, NotFound, TooLate.
Result<bool> decide_amendment(const Command& command, const AccessRequest& actor, const Amended* message, Timestamp now,
                              std::uint64_t edit_window);

}  // namespace parley::chat
