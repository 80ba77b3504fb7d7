#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/number.hpp"
#include "base/time.hpp"
#include "broker/chat/refusal.hpp"
#include "broker/chat/topic.hpp"
#include "storage/format/record.hpp"

/// Where a client stands in all of its user's conversations: as a token that it can keep, and as what a SUBSCRIBE to
/// the inbox asks for. Format: docs/formats/inbox-cursor.md. Pure.
namespace parley::chat {

struct InboxPosition {
  ConversationNumber number;
  std::uint16_t epoch_check = 0;  ///< See check_of.
  Seq acknowledged;
  friend bool operator==(const InboxPosition&, const InboxPosition&) = default;
};

struct InboxCursor {
  std::string user;  ///< Not in the token, which has a check value of it.
  /// False: conversations were left out, since there are too many; else one that isn't there was joined later.
  bool complete = true;
  /// Of one that was left out and has no entry later than this, all was acknowledged.
  Timestamp floor;
  std::vector<InboxPosition> positions;  ///< Ascending by number.

  [[nodiscard]] const InboxPosition* find(ConversationNumber number) const;
};

std::uint16_t check_of(Epoch epoch);

/// 6 to 12 characters a conversation, and 25.
std::string encode_inbox_cursor(const InboxCursor& cursor);
/// Nothing when it is no such token, or another user's.
std::optional<InboxCursor> decode_inbox_cursor(std::string_view token, std::string_view user);

/// Where a subscription to the inbox wants to begin.
struct InboxStart {
  StartPosition rest;  ///< Conversations that aren't named: Live, Last or SinceLast.
  std::map<std::string, std::uint64_t, std::less<>> since;
  std::map<std::string, Epoch, std::less<>> epochs;
  std::optional<InboxCursor> cursor;

  /// User property `since`, `last`, `epoch` or `cursor` of SUBSCRIBE. None: it was one of these, or is another one.
  Refusal add(std::string_view name, std::string_view value, std::string_view user);
};

}  // namespace parley::chat
