#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/number.hpp"

/// Which topics have chat meaning, and what they mean. docs/PROTOCOL.md "Topics". Pure.
namespace parley::chat {

/// The last level of chat/{conversation}/{form}.
enum class Form : std::uint8_t { Message, Json, Typing, Read, Control, History };

/// A topic inside the chat subtree. Views point into the topic it was read from.
struct ChatTopic {
  std::string_view conversation;  ///< `+` in the inbox filters.
  Form form = Form::Message;
};

std::string_view name_of(Form form);

/// True when `topic` is `root` or lies below it: it never reaches the ordinary topics' routing then.
bool in_subtree(std::string_view root, std::string_view topic);

/// chat/{conversation}/{form} taken apart; nothing when the topic has another shape, form or an invalid name.
std::optional<ChatTopic> read_topic(std::string_view root, std::string_view topic);

/// The conversation that `user` means by `name`: `dm:{other}` is its direct conversation with that user. Nothing when a
/// name beginning with `dm:` means none.
std::optional<std::string> conversation_meant(std::string_view name, std::string_view user);

/// Where a subscription wants to begin.
struct StartPosition {
  enum class Kind : std::uint8_t { Live, Since, Last, SinceLast };
  Kind kind = Kind::Live;
  std::uint64_t value = 0;  ///< The seq of Since, the count of Last.
};

/// A conversation filter: optionally behind `$since/{N}/`, `$last/{N}/` or `$cursor/{token}/`.
struct ChatFilter {
  std::string_view topic;  ///< Without the prefix.
  ChatTopic parts;
  StartPosition start;
  std::string_view start_name;   ///< Of a prefix: since, last or cursor; else empty …
  std::string_view start_value;  ///< … and what stands behind it.
  [[nodiscard]] bool is_inbox() const { return parts.conversation == "+"; }
};

/// True when a filter means conversations (right or wrong), so that ordinary routing must not take it.
bool is_chat_filter(std::string_view root, std::string_view filter);
/// Nothing when it is malformed: unknown form, bad name, a prefix without a number. What stands in the prefix of an
/// inbox is read by InboxStart.
std::optional<ChatFilter> read_filter(std::string_view root, std::string_view filter);

/// The values of user properties `since` and `last`: a decimal number, for `since` also the word `last`.
std::optional<StartPosition> read_since(std::string_view value);
std::optional<StartPosition> read_last(std::string_view value);

/// A decimal number that fits 64 bits, nothing else in the text.
std::optional<std::uint64_t> read_decimal(std::string_view text);

}  // namespace parley::chat
