#pragma once

#include <boost/system/error_code.hpp>
#include <cstdint>
#include <string_view>

/// Why a conversation refuses something: the stable words of docs/PROTOCOL.md "Refusals". As this room's error enum,
/// zero is no refusal.
namespace parley::chat {

enum class Refusal {
  None = 0,
  NotAuthorized,   ///< Not allowed here, or no such conversation for this user.
  InvalidTopic,    ///< No topic of the chat subtree, or a name outside the rules.
  InvalidPayload,  ///< Not UTF-8 although declared so, or no JSON of the documented shape.
  InvalidId,       ///< An id of more than 128 bytes, empty or with control characters.
  TooLarge,        ///< Above [chat] max_message_size.
  DiskFull,
  StorageFailed,
  Busy,             ///< Too much waits for the disk already.
  NoMajority,       ///< The slot has no leader, or one that hears too few of its replicas.
  BeyondHead,       ///< `since` is a seq that nobody has seen.
  OtherEpoch,       ///< `since` belongs to another incarnation of the conversation.
  UnknownCommand,   ///< `op` is missing or none of those that there are.
  InvalidArgument,  ///< Of a command: missing, unknown, or of a wrong type or value.
  Exists,
  NotMember,
  LastOwner,      ///< A group with members keeps one owner.
  NotFound,       ///< No such message, or one that was redacted.
  TooLate,        ///< To edit: [chat] edit_window is over.
  NotForDirect,   ///< A direct conversation has its two members for good.
  InvalidCursor,  ///< No token of an inbox, or another user's.
  Unsupported,    ///< Part of the contract that this version doesn't serve yet.
  NotLeader,      ///< From node to node: ask the slot's leader. What a client would be told is NoMajority.
  TooMany,        ///< Subscriptions, or levels of a filter. Never from node to node.
  Rate,           ///< Above [chat] max_message_rate.
};

struct RefusalRule {
  Refusal refusal;
  std::string_view word;      ///< User property `error`.
  std::uint8_t reason;        ///< MQTT 5 Reason Code.
  std::uint32_t retry_after;  ///< Seconds; 0: it won't pass by itself.
  std::string_view message;   ///< Reason String.
};

const RefusalRule& rule_of(Refusal refusal);

const boost::system::error_category& refusal_category();
inline boost::system::error_code make_error_code(Refusal refusal) {
  return {static_cast<int>(refusal), refusal_category()};
}

}  // namespace parley::chat

template <>
struct boost::system::is_error_code_enum<parley::chat::Refusal> : std::true_type {};
