#include "broker/chat/command.hpp"

#include <algorithm>
#include <array>

#include "base/base64.hpp"
#include "base/name.hpp"
#include "broker/chat/access.hpp"

namespace parley::chat {
namespace {

enum Field : std::uint32_t {
  kNothing = 0,
  kId = 1U << 0,
  kUser = 1U << 1,
  kRole = 1U << 2,
  kType = 1U << 3,
  kVisibility = 1U << 4,
  kAnnounce = 1U << 5,
  kHistory = 1U << 6,
  kTitle = 1U << 7,
  kAfter = 1U << 8,
  kLimit = 1U << 9,
  kSeq = 1U << 10,
  kText = 1U << 11,
  kData = 1U << 12,
  kContentType = 1U << 13,
  kRetentionAge = 1U << 14,
  kRetentionCount = 1U << 15,
};

constexpr std::uint32_t kSettings = kVisibility | kAnnounce | kHistory | kTitle | kRetentionAge | kRetentionCount;

struct CommandRule {
  std::string_view name;
  Op op;
  std::uint32_t required;
  std::uint32_t allowed;  ///< Besides those and `id`.
};
constexpr std::array kCommands{
    CommandRule{"create", Op::Create, kNothing, kType | kSettings},
    CommandRule{"settings", Op::Settings, kNothing, kSettings},
    CommandRule{"join", Op::Join, kNothing, kNothing},
    CommandRule{"leave", Op::Leave, kNothing, kNothing},
    CommandRule{"add", Op::Add, kUser, kRole},
    CommandRule{"remove", Op::Remove, kUser, kNothing},
    CommandRule{"role", Op::Role, kUser | kRole, kNothing},
    CommandRule{"edit", Op::Edit, kSeq, kText | kData | kContentType},
    CommandRule{"redact", Op::Redact, kSeq, kNothing},
    CommandRule{"info", Op::Info, kNothing, kUser | kAfter | kLimit},
};

struct FieldRule {
  std::string_view name;
  std::uint32_t field;
};
constexpr std::array kFields{
    FieldRule{"id", kId},
    FieldRule{"user", kUser},
    FieldRule{"role", kRole},
    FieldRule{"type", kType},
    FieldRule{"visibility", kVisibility},
    FieldRule{"announce", kAnnounce},
    FieldRule{"history", kHistory},
    FieldRule{"title", kTitle},
    FieldRule{"after", kAfter},
    FieldRule{"limit", kLimit},
    FieldRule{"seq", kSeq},
    FieldRule{"text", kText},
    FieldRule{"data", kData},
    FieldRule{"content_type", kContentType},
    FieldRule{"retention_age", kRetentionAge},
    FieldRule{"retention_count", kRetentionCount},
};

template <class Enum>
bool read_word(const Argument& argument, std::initializer_list<Enum> values, std::optional<Enum>& to) {
  const auto* word = std::get_if<std::string_view>(&argument.value);
  for (const Enum value : values) {
    if (word != nullptr && *word == format::name_of(value)) to = value;
  }
  return to.has_value();
}

bool is_title(std::string_view text) {
  return text.size() <= Command::kTitleSizeMax &&
         std::ranges::none_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
}

constexpr std::size_t kIdSizeMax = 128;

bool read_text(const Argument& argument, std::uint32_t field, Command& command) {
  const auto* text = std::get_if<std::string_view>(&argument.value);
  if (text == nullptr) return false;
  switch (field) {
    case kId: command.id = *text; return !text->empty() && text->size() <= kIdSizeMax && is_title(*text);
    case kUser: command.user = *text; return is_name(*text);
    case kAfter: command.after = *text; return is_name(*text);
    case kText: command.content = std::string(*text); return true;
    case kData:
      command.content = decode_base64(*text);
      command.is_text = false;
      return command.content.has_value();
    case kContentType: command.content_type = std::string(*text); return is_title(*text);
    default: command.title = std::string(*text); return is_title(*text);
  }
}

bool read_field(const Argument& argument, std::uint32_t field, Command& command) {
  using format::ConversationType;
  using format::HistoryRule;
  using format::Role;
  using format::Visibility;
  switch (field) {
    case kRole: return read_word(argument, {Role::Member, Role::Moderator, Role::Owner}, command.role);
    case kType: return read_word(argument, {ConversationType::Direct, ConversationType::Group}, command.type);
    case kVisibility: return read_word(argument, {Visibility::Public, Visibility::Private}, command.visibility);
    case kHistory: return read_word(argument, {HistoryRule::Joined, HistoryRule::All}, command.history);
    case kAnnounce:
      if (const auto* flag = std::get_if<bool>(&argument.value)) command.announce = *flag;
      return command.announce.has_value();
    case kLimit:
      if (const auto* number = std::get_if<std::uint64_t>(&argument.value)) command.limit = *number;
      return std::holds_alternative<std::uint64_t>(argument.value) && command.limit >= 1 &&
             command.limit <= Command::kMembersMax;
    case kRetentionAge: {
      const auto* seconds = std::get_if<std::uint64_t>(&argument.value);
      if (seconds == nullptr || *seconds > Command::kRetentionSecondsMax) return false;
      command.retention_age = *seconds * 1000;
      return true;
    }
    case kRetentionCount: {
      const auto* number = std::get_if<std::uint64_t>(&argument.value);
      if (number != nullptr) command.retention_count = *number;
      return number != nullptr && *number <= std::uint64_t{1} << 53;
    }
    case kSeq:
      if (const auto* number = std::get_if<std::uint64_t>(&argument.value)) command.seq = {*number};
      return command.seq.value != 0;
    default: return read_text(argument, field, command);
  }
}

AccessRequest access_of(const Situation& situation) {
  return {.user = situation.actor,
          .conversation = situation.conversation,
          .type = situation.type,
          .visibility = situation.settings.visibility,
          .announce = situation.settings.announce,
          .role = situation.role};
}

Decision change(format::MemberAction action, format::Role role, std::string_view user) {
  return {.member = format::MemberChange{action, role, user}, .settings = std::nullopt};
}

void apply(const Command& command, format::Settings& settings) {
  if (command.visibility) settings.visibility = *command.visibility;
  if (command.announce) settings.announce = *command.announce;
  if (command.history) settings.history = *command.history;
  if (command.title) settings.title = *command.title;
  if (command.retention_age) settings.retention_age = *command.retention_age;
  if (command.retention_count) settings.retention_count = *command.retention_count;
}

Result<Decision> decide_add(const Command& command, const Situation& situation) {
  if (!may(Right::Add, access_of(situation))) return Refusal::NotAuthorized;
  const format::Role role = command.role.value_or(format::Role::Member);
  if (!outranks(*situation.role, role)) return Refusal::NotAuthorized;
  if (situation.target) {
    if (!command.role || *command.role == *situation.target) return Decision{};
    return Refusal::Exists;
  }
  return change(format::MemberAction::Add, role, command.user);
}

Result<Decision> decide_remove(const Command& command, const Situation& situation) {
  if (command.user == situation.actor) return Refusal::InvalidArgument;
  if (!may(Right::Add, access_of(situation))) return Refusal::NotAuthorized;
  if (!situation.target) return Refusal::NotMember;
  if (!outranks(*situation.role, *situation.target)) return Refusal::NotAuthorized;
  return change(format::MemberAction::Remove, *situation.target, command.user);
}

Result<Decision> decide_role(const Command& command, const Situation& situation) {
  if (!may(Right::ChangeRole, access_of(situation))) return Refusal::NotAuthorized;
  if (!situation.target) return Refusal::NotMember;
  if (*situation.target == *command.role) return Decision{};
  if (*situation.target == format::Role::Owner && situation.owners <= 1) return Refusal::LastOwner;
  return change(format::MemberAction::Role, *command.role, command.user);
}

Result<Decision> decide_leave(const Situation& situation) {
  if (!situation.role) return Refusal::NotMember;
  const bool last_owner = *situation.role == format::Role::Owner && situation.owners <= 1;
  if (last_owner && situation.members > 1) return Refusal::LastOwner;
  return change(format::MemberAction::Leave, *situation.role, situation.actor);
}

}  // namespace

std::string_view name_of(Op op) { return std::ranges::find(kCommands, op, &CommandRule::op)->name; }

Result<Command> read_command(std::span<const Argument> arguments) {
  const auto op = std::ranges::find(arguments, "op", &Argument::name);
  const auto* word = op == arguments.end() ? nullptr : std::get_if<std::string_view>(&op->value);
  if (word == nullptr) return Refusal::UnknownCommand;
  const auto rule = std::ranges::find(kCommands, *word, &CommandRule::name);
  if (rule == kCommands.end()) return Refusal::UnknownCommand;
  Command command{.op = rule->op};
  std::uint32_t given = 0;
  for (const Argument& argument : arguments) {
    if (argument.name == "op") continue;
    const auto field = std::ranges::find(kFields, argument.name, &FieldRule::name);
    if (field == kFields.end() || ((rule->required | rule->allowed | kId) & field->field) == 0) {
      return Refusal::InvalidArgument;
    }
    if (!read_field(argument, field->field, command)) return Refusal::InvalidArgument;
    given |= field->field;
  }
  if ((given & rule->required) != rule->required) return Refusal::InvalidArgument;
  const bool has_content = (given & (kText | kData)) == kText || (given & (kText | kData)) == kData;
  if (rule->op == Op::Edit && !has_content) return Refusal::InvalidArgument;
  if (rule->op == Op::Settings && (given & ~kId) == 0) return Refusal::InvalidArgument;
  return command;
}

Result<Decision> decide(const Command& command, const Situation& situation) {
  if (!may(Right::Read, access_of(situation))) return Refusal::NotAuthorized;
  if (command.op == Op::Create) return Refusal::Exists;
  if (situation.type == format::ConversationType::Direct) return Refusal::NotForDirect;
  switch (command.op) {
    case Op::Settings: {
      if (!may(Right::Settings, access_of(situation))) return Refusal::NotAuthorized;
      format::Settings settings = situation.settings;
      apply(command, settings);
      if (settings == situation.settings) return Decision{};
      return Decision{.member = std::nullopt, .settings = std::move(settings)};
    }
    case Op::Join:
      if (situation.role) return Decision{};
      // A conversation with members has an owner.
      return change(format::MemberAction::Join, situation.members == 0 ? format::Role::Owner : format::Role::Member,
                    situation.actor);
    case Op::Leave: return decide_leave(situation);
    case Op::Add: return decide_add(command, situation);
    case Op::Remove: return decide_remove(command, situation);
    case Op::Role: return decide_role(command, situation);
    case Op::Create:
    case Op::Edit:
    case Op::Redact:
    case Op::Info: break;
  }
  return Decision{};
}

Result<Creation> decide_creation(const Command& command, std::string_view actor, std::string_view conversation) {
  Creation creation;
  const auto users = format::direct_users(conversation);
  const bool direct = conversation.starts_with("dm:");
  if (direct != (command.type.value_or(direct ? format::ConversationType::Direct : format::ConversationType::Group) ==
                 format::ConversationType::Direct)) {
    return Refusal::InvalidArgument;
  }
  if (direct) {
    if (!users || command.visibility || command.announce || command.history || command.title || command.retention_age ||
        command.retention_count) {
      return Refusal::InvalidArgument;
    }
    if (users->first != actor && users->second != actor) return Refusal::NotAuthorized;
    creation.type = format::ConversationType::Direct;
    creation.settings.visibility = format::Visibility::Private;
    creation.settings.history = format::HistoryRule::All;
    return creation;
  }
  creation.settings.visibility = format::Visibility::Private;
  apply(command, creation.settings);
  return creation;
}

}  // namespace parley::chat
