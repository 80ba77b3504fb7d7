#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "base/number.hpp"
#include "base/result.hpp"
#include "broker/chat/refusal.hpp"
#include "storage/format/changes.hpp"
#include "storage/format/record.hpp"

/// The commands of chat/{conversation}/ctl: what they are made of. docs/PROTOCOL.md "Commands". Pure.
namespace parley::chat {

enum class Op : std::uint8_t { Create, Settings, Join, Leave, Add, Remove, Role, Edit, Redact, Info };

/// A member of the command's JSON object. Views are the caller's.
struct Argument {
  std::string_view name;
  std::variant<std::string_view, std::uint64_t, bool> value;
};

/// A command, checked as far as one can without knowing the conversation.
struct Command {
  Op op = Op::Info;
  std::string id;    ///< The client's, for idempotence; empty: none.
  std::string user;  ///< Whom `add`, `remove` and `role` mean, or `info` asks for.
  std::optional<format::Role> role;
  std::optional<format::ConversationType> type;
  std::optional<format::Visibility> visibility;
  std::optional<bool> announce;
  std::optional<format::HistoryRule> history;
  std::optional<std::string> title;
  std::string after;  ///< `info`: members behind this one.
  std::uint64_t limit = kMembersDefault;
  Seq seq;                             ///< What `edit` and `redact` refer to.
  std::optional<std::string> content;  ///< The new one.
  bool is_text = true;                 ///< It came as UTF-8.
  std::optional<std::string> content_type;
  std::optional<std::uint64_t> retention_age;  ///< Milliseconds.
  std::optional<std::uint64_t> retention_count;

  static constexpr std::uint64_t kMembersDefault = 100;
  static constexpr std::uint64_t kMembersMax = 1'000;
  static constexpr std::size_t kTitleSizeMax = 256;
  static constexpr std::size_t kContentTypeSizeMax = 256;
  static constexpr std::uint64_t kRetentionSecondsMax = 100ULL * 365 * 24 * 60 * 60;
};

/// Fails with UnknownCommand, or InvalidArgument for one that is missing, unknown, or of a wrong type or value.
Result<Command> read_command(std::span<const Argument> arguments);

/// As in JSON.
std::string_view name_of(Op op);

/// How the conversation stands for the one who gives a command.
struct Situation {
  std::string_view actor;
  std::string_view conversation;
  format::ConversationType type = format::ConversationType::Group;
  format::Settings settings;
  std::uint64_t members = 0;
  std::uint64_t owners = 0;
  std::optional<format::Role> role;    ///< The actor's; none: no member.
  std::optional<format::Role> target;  ///< That of Command::user.
};

/// What a command comes to. Neither change: everything is so already.
struct Decision {
  std::optional<format::MemberChange> member;  ///< Views the command's user or the situation's actor.
  std::optional<format::Settings> settings;
};

/// For a conversation that exists and a command that is none of `edit`, `redact` and `info`. Fails with NotAuthorized,
/// Exists, NotMember, LastOwner, NotForDirect.
Result<Decision> decide(const Command& command, const Situation& situation);

/// Whether somebody may create a conversation of that name and with what settings. Fails with InvalidArgument,
/// NotAuthorized.
struct Creation {
  format::ConversationType type = format::ConversationType::Group;
  format::Settings settings;
};
Result<Creation> decide_creation(const Command& command, std::string_view actor, std::string_view conversation);

}  // namespace parley::chat
