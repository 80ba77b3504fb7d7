#include "storage/format/changes.hpp"

#include <array>

#include "base/bytes.hpp"
#include "base/check.hpp"
#include "storage/format/field_reader.hpp"
#include "storage/format/keys.hpp"
#include "storage/format/sealed.hpp"

namespace parley::format {
namespace {

constexpr std::uint8_t kRowVersion = 1;
constexpr std::size_t kNameMax = 128;

constexpr std::array<std::string_view, 4> kRoles{"", "member", "moderator", "owner"};
constexpr std::array<std::string_view, 6> kActions{"", "join", "leave", "add", "remove", "role"};
constexpr std::array<std::string_view, 3> kHistoryRules{"", "joined", "all"};
constexpr std::array<std::string_view, 3> kVisibilities{"", "public", "private"};
constexpr std::array<std::string_view, 3> kTypes{"", "direct", "group"};

/// The first name of each stands for no value.
template <std::size_t Size>
bool is_one_of(const std::array<std::string_view, Size>&, std::uint8_t value) {
  return value >= 1 && value < Size;
}

void begin(std::string& to) {
  to.assign(kVersionOffset, '\0');
  append_big_endian(to, kRowVersion);
}

/// A row's fields, behind its seal.
Result<FieldReader> open(std::string_view bytes) {
  PARLEY_TRY(check_seal(bytes, kRowVersion));
  FieldReader in(bytes);
  in.text(kSealSize);
  return in;
}

void append_settings(std::string& to, const Settings& settings) {
  append_big_endian(to, static_cast<std::uint8_t>(settings.visibility));
  append_big_endian(to, static_cast<std::uint8_t>(settings.announce ? 1 : 0));
  const bool has_retention = settings.retention_age != 0 || settings.retention_count != 0;
  append_big_endian(to,
                    static_cast<std::uint8_t>(static_cast<unsigned>(settings.history) | (has_retention ? 0x80U : 0U)));
  if (has_retention) {
    append_big_endian(to, settings.retention_age);
    append_big_endian(to, settings.retention_count);
  }
  to.append(settings.title);
}

Result<Settings> read_settings(FieldReader& in) {
  const auto visibility = in.integer<std::uint8_t>();
  const auto announce = in.integer<std::uint8_t>();
  const auto rule = in.integer<std::uint8_t>();
  const auto history = static_cast<std::uint8_t>(rule & 0x7F);
  Settings settings;
  if (rule != history) {
    settings.retention_age = in.integer<std::uint64_t>();
    settings.retention_count = in.integer<std::uint64_t>();
    if (settings.retention_age == 0 && settings.retention_count == 0) return StorageError::CorruptRecord;
  }
  settings.title = std::string(in.rest());
  if (!in.complete() || !is_one_of(kVisibilities, visibility) || announce > 1 || !is_one_of(kHistoryRules, history)) {
    return StorageError::CorruptRecord;
  }
  settings.visibility = static_cast<Visibility>(visibility);
  settings.announce = announce != 0;
  settings.history = static_cast<HistoryRule>(history);
  return settings;
}

}  // namespace

std::string_view name_of(Role role) { return kRoles.at(static_cast<std::size_t>(role)); }
std::string_view name_of(MemberAction action) { return kActions.at(static_cast<std::size_t>(action)); }
std::string_view name_of(HistoryRule rule) { return kHistoryRules.at(static_cast<std::size_t>(rule)); }
std::string_view name_of(Visibility visibility) { return kVisibilities.at(static_cast<std::size_t>(visibility)); }
std::string_view name_of(ConversationType type) { return kTypes.at(static_cast<std::size_t>(type)); }

std::string encode_change(const MemberChange& change) {
  std::string bytes;
  append_big_endian(bytes, static_cast<std::uint8_t>(change.action));
  append_big_endian(bytes, static_cast<std::uint8_t>(change.role));
  return bytes.append(change.user);
}

std::string encode_change(const Settings& settings) {
  std::string bytes;
  append_settings(bytes, settings);
  return bytes;
}

Result<MemberChange> decode_member_change(std::string_view payload) {
  FieldReader in(payload);
  const auto action = in.integer<std::uint8_t>();
  const auto role = in.integer<std::uint8_t>();
  MemberChange change{.user = in.rest()};
  if (!in.complete() || !is_one_of(kActions, action) || !is_one_of(kRoles, role) || change.user.empty() ||
      change.user.size() > kNameMax) {
    return StorageError::CorruptRecord;
  }
  change.action = static_cast<MemberAction>(action);
  change.role = static_cast<Role>(role);
  return change;
}

Result<Settings> decode_settings(std::string_view payload) {
  FieldReader in(payload);
  return read_settings(in);
}

void encode_row(std::string& to, const MemberRow& row) {
  begin(to);
  append_big_endian(to, static_cast<std::uint8_t>(row.role));
  append_big_endian(to, row.joined.value);
  seal(to.data(), to.size());
}

void encode_row(std::string& to, const GroupRow& row) {
  begin(to);
  for (const std::uint64_t number : {row.applied.value, row.members, row.owners}) append_big_endian(to, number);
  append_settings(to, row.settings);
  seal(to.data(), to.size());
}

void encode_row(std::string& to, const UserConversationRow& row) {
  begin(to);
  append_big_endian(to, static_cast<std::uint8_t>(row.present ? 1 : 0));
  append_big_endian(to, row.changed.value);
  append_big_endian(to, row.epoch.value);
  to.append(row.name);
  seal(to.data(), to.size());
}

void encode_row(std::string& to, const UnfedRow& row) {
  begin(to);
  append_big_endian(to, static_cast<std::uint8_t>(row.present ? 1 : 0));
  append_big_endian(to, row.changed.value);
  seal(to.data(), to.size());
}

Result<MemberRow> decode_member_row(std::string_view bytes) {
  PARLEY_TRY(FieldReader in, open(bytes));
  const auto role = in.integer<std::uint8_t>();
  const MemberRow row{.role = static_cast<Role>(role), .joined = {in.integer<std::uint64_t>()}};
  if (!in.complete() || !is_one_of(kRoles, role)) return StorageError::CorruptRecord;
  return row;
}

Result<GroupRow> decode_group_row(std::string_view bytes) {
  PARLEY_TRY(FieldReader in, open(bytes));
  GroupRow row;
  row.applied = {in.integer<std::uint64_t>()};
  row.members = in.integer<std::uint64_t>();
  row.owners = in.integer<std::uint64_t>();
  PARLEY_TRY(row.settings, read_settings(in));
  return row;
}

Result<UserConversationRow> decode_user_conversation_row(std::string_view bytes) {
  PARLEY_TRY(FieldReader in, open(bytes));
  UserConversationRow row;
  const auto present = in.integer<std::uint8_t>();
  row.present = present != 0;
  row.changed = {in.integer<std::uint64_t>()};
  row.epoch = {in.integer<std::uint64_t>()};
  row.name = in.rest();
  if (!in.complete() || present > 1) return StorageError::CorruptRecord;
  return row;
}

Result<UnfedRow> decode_unfed_row(std::string_view bytes) {
  PARLEY_TRY(FieldReader in, open(bytes));
  UnfedRow row;
  const auto present = in.integer<std::uint8_t>();
  row.present = present != 0;
  row.changed = {in.integer<std::uint64_t>()};
  if (!in.complete() || present > 1) return StorageError::CorruptRecord;
  return row;
}

std::string member_key(ConversationNumber conversation, std::string_view user) {
  std::string key;
  append_big_endian(key, conversation.value);
  return key.append(user.substr(0, kNameMax));
}

std::string user_conversation_key(std::string_view user, std::optional<ConversationNumber> conversation) {
  std::string key;
  PARLEY_CHECK(user.size() <= 0xFF, "a user's name is longer than 255 bytes");
  key.push_back(static_cast<char>(user.size()));
  key.append(user);
  if (conversation) append_big_endian(key, conversation->value);
  return key;
}

/// A conversation's number begins with its slot, so a slot's keys stand together.
std::string unfed_key(ConversationNumber conversation, std::string_view user) { return member_key(conversation, user); }

std::optional<DirectUsers> direct_users(std::string_view conversation) {
  constexpr std::string_view kPrefix = "dm:";
  if (!conversation.starts_with(kPrefix)) return std::nullopt;
  conversation.remove_prefix(kPrefix.size());
  const auto colon = conversation.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const DirectUsers users{conversation.substr(0, colon), conversation.substr(colon + 1)};
  if (users.first.empty() || users.first >= users.second || users.second.find(':') != std::string_view::npos) {
    return std::nullopt;
  }
  return users;
}

}  // namespace parley::format
