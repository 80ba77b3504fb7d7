#include "broker/chat/amendment.hpp"

namespace parley::chat {

Result<bool> decide_amendment(const Command& command, const AccessRequest& actor, const Amended* message, Timestamp now,
                              std::uint64_t edit_window) {
  if (!may(Right::Read, actor)) return Refusal::NotAuthorized;
  if (message == nullptr || message->kind != format::EntryKind::Message) return Refusal::NotFound;
  const bool own = message->from == actor.user;
  if (command.op == Op::Redact) {
    if (!own && !may(Right::RedactOthers, actor)) return Refusal::NotAuthorized;
    return !message->redacted;
  }
  if (!own || !may(Right::Post, actor)) return Refusal::NotAuthorized;
  if (message->redacted) return Refusal::NotFound;
  if (edit_window == 0 || now.milliseconds > message->ts.milliseconds + edit_window) return Refusal::TooLate;
  return true;
}

}  // namespace parley::chat
