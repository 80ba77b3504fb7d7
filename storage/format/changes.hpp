#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/number.hpp"
#include "base/result.hpp"
#include "storage/format/error.hpp"
#include "storage/format/record.hpp"

/// What entries of kind Member and Settings say, and the rows that the store makes of them. Pure: bytes to values and
/// back. Formats: docs/formats/log.md, docs/formats/store.md.
namespace parley::format {

enum class Role : std::uint8_t { Member = 1, Moderator = 2, Owner = 3 };
enum class MemberAction : std::uint8_t { Join = 1, Leave = 2, Add = 3, Remove = 4, Role = 5 };
/// What of the time before its joining a new member may read.
enum class HistoryRule : std::uint8_t { Joined = 1, All = 2 };

/// As in JSON.
std::string_view name_of(Role role);
std::string_view name_of(MemberAction action);
std::string_view name_of(HistoryRule rule);
std::string_view name_of(Visibility visibility);
std::string_view name_of(ConversationType type);

/// Payload of an entry of kind Member. The entry's `from` is who did it.
struct MemberChange {
  MemberAction action = MemberAction::Join;
  Role role = Role::Member;  ///< From now on; of one who goes: the one it had.
  std::string_view user;
  friend bool operator==(const MemberChange&, const MemberChange&) = default;
  /// True when the user is no member any more.
  [[nodiscard]] bool ends() const { return action == MemberAction::Leave || action == MemberAction::Remove; }
};

/// Payload of an entry of kind Settings: all of them, as they are from now on.
struct Settings {
  Visibility visibility = Visibility::Public;
  bool announce = false;  ///< Only owners and moderators post.
  HistoryRule history = HistoryRule::Joined;
  std::string title;
  friend bool operator==(const Settings&, const Settings&) = default;
};

std::string encode_change(const MemberChange& change);
std::string encode_change(const Settings& settings);
/// Fail with CorruptRecord.
Result<MemberChange> decode_member_change(std::string_view payload);
Result<Settings> decode_settings(std::string_view payload);

/// Table `members`, by conversation and user.
struct MemberRow {
  Role role = Role::Member;
  Seq joined;  ///< Of the entry that made it a member.
  friend bool operator==(const MemberRow&, const MemberRow&) = default;
};

/// Table `groups`, by conversation: what its member and settings entries have come to. Without a row there was none.
struct GroupRow {
  Seq applied;  ///< The last of them; earlier ones change nothing any more.
  std::uint64_t members = 0;
  std::uint64_t owners = 0;
  Settings settings;
  friend bool operator==(const GroupRow&, const GroupRow&) = default;
};

/// Table `user_conversations`, by user and conversation.
struct UserConversationRow {
  bool present = false;  ///< False: was a member once.
  Seq changed;           ///< The member entry that said so; for one that is present the one that made it a member.
  Epoch epoch;
  std::string_view name;
};

/// Table `unfed`, by slot, conversation and user: a change that the user's slot may not know yet.
struct UnfedRow {
  bool present = false;
  Seq changed;
};

/// The same as values that outlive what they were read from.
struct StoredMember {
  std::string user;
  MemberRow member;
};
/// A conversation among a user's own, as the user's slot knows it.
struct UserConversation {
  ConversationNumber number;
  std::string name;
  Epoch epoch;
  bool present = false;  ///< As in the row.
  Seq changed;
};
/// A change of membership that a user's slot may not know yet.
struct UnfedMember {
  std::string user;
  UserConversation conversation;
};

void encode_row(std::string& to, const MemberRow& row);
void encode_row(std::string& to, const GroupRow& row);
void encode_row(std::string& to, const UserConversationRow& row);
void encode_row(std::string& to, const UnfedRow& row);
/// They fail like decode_record.
Result<MemberRow> decode_member_row(std::string_view bytes);
Result<GroupRow> decode_group_row(std::string_view bytes);
Result<UserConversationRow> decode_user_conversation_row(std::string_view bytes);
Result<UnfedRow> decode_unfed_row(std::string_view bytes);

/// Of table `members`: the conversation, then the user's name.
std::string member_key(ConversationNumber conversation, std::string_view user);
/// Of table `user_conversations`: size and bytes of the user's name, then the conversation. Without one: what all keys
/// of the user begin with.
std::string user_conversation_key(std::string_view user, std::optional<ConversationNumber> conversation);
/// Of table `unfed`.
std::string unfed_key(ConversationNumber conversation, std::string_view user);

/// The two users of a direct conversation `dm:A:B`, A < B bytewise and neither with a `:`. Nothing for other names.
struct DirectUsers {
  std::string_view first;
  std::string_view second;
};
std::optional<DirectUsers> direct_users(std::string_view conversation);

}  // namespace parley::format
