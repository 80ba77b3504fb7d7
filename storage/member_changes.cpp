#include "storage/member_changes.hpp"

#include <map>
#include <optional>

#include "base/log.hpp"
#include "storage/environment.hpp"
#include "storage/format/keys.hpp"
#include "storage/format/rows.hpp"
#include "storage/store_tables.hpp"

namespace parley::storage {
namespace {

/// One conversation's members on their way into the store.
class Writing {
 public:
  Writing(WriteTransaction& store, ConversationNumber number) : store_(store), number_(number) {}

  Result<void> begin() {
    PARLEY_TRY(const auto bytes, store_.get(kGroups, format::number_key(number_)));
    if (bytes) {
      PARLEY_TRY(group_, format::decode_group_row(*bytes));
      return {};
    }
    PARLEY_TRY(const auto conversation, store_.get(kConversations, format::number_key(number_)));
    const auto row = conversation ? format::decode_conversation_row(*conversation) : StorageError::NotFound;
    if (row) group_.settings.visibility = row->visibility;
    return {};
  }

  Result<void> take(const format::EntryRecord& entry) {
    if (entry.seq <= group_.applied) return {};
    group_.applied = entry.seq;
    if (entry.kind == format::EntryKind::Settings) {
      auto settings = format::decode_settings(entry.payload);
      if (!settings) return damaged(entry);
      group_.settings = *std::move(settings);
      return {};
    }
    const auto change = format::decode_member_change(entry.payload);
    if (!change) return damaged(entry);
    return take(entry, *change);
  }

  Result<void> end() {
    format::encode_row(row_, group_);
    return store_.put(kGroups, format::number_key(number_), row_);
  }

 private:
  Result<void> take(const format::EntryRecord& entry, const format::MemberChange& change) {
    const std::string key = format::member_key(number_, change.user);
    PARLEY_TRY(const auto bytes, store_.get(kMembers, key));
    const auto before = bytes ? format::decode_member_row(*bytes) : StorageError::NotFound;
    if (before) count(*before, -1);
    if (change.ends()) {
      PARLEY_TRY(store_.erase(kMembers, key));
    } else {
      const format::MemberRow member{.role = change.role, .joined = before ? before->joined : entry.seq};
      count(member, 1);
      format::encode_row(row_, member);
      PARLEY_TRY(store_.put(kMembers, key, row_));
    }
    if (change.action == format::MemberAction::Role) return {};
    format::encode_row(row_, format::UnfedRow{.present = !change.ends(), .changed = entry.seq});
    return store_.put(kUnfed, format::unfed_key(number_, change.user), row_);
  }

  void count(const format::MemberRow& member, int by) {
    group_.members += static_cast<std::uint64_t>(by);
    if (member.role == format::Role::Owner) group_.owners += static_cast<std::uint64_t>(by);
  }

  Result<void> damaged(const format::EntryRecord& entry) const {
    log::error("a member or settings entry can't be read, passing over it",
               {{"conversation", number_}, {"seq", entry.seq}});
    return {};
  }

  WriteTransaction& store_;
  ConversationNumber number_;
  format::GroupRow group_;
  std::string row_;
};

}  // namespace

void MemberChanges::take(const format::Record& record) {
  if (const auto* entry = std::get_if<format::EntryRecord>(&record.body)) {
    const bool changes = entry->kind == format::EntryKind::Member || entry->kind == format::EntryKind::Settings;
    if (changes) entries_.push_back(*entry);
  } else if (const auto* user = std::get_if<format::UserConversationRecord>(&record.body)) {
    users_.push_back(*user);
  } else if (const auto* fed = std::get_if<format::FedRecord>(&record.body)) {
    fed_.push_back(*fed);
  } else if (const auto* created = std::get_if<format::ConversationRecord>(&record.body)) {
    const auto users = format::direct_users(created->name);
    if (!users || created->type != format::ConversationType::Direct) return;
    direct_.push_back({conversation_number(record.position.slot, record.position.index), *users});
  }
}

void MemberChanges::clear() {
  direct_.clear();
  entries_.clear();
  users_.clear();
  fed_.clear();
}

Result<void> MemberChanges::write(WriteTransaction& store) const {
  PARLEY_TRY(write_direct(store));
  PARLEY_TRY(write_entries(store));
  PARLEY_TRY(write_users(store));
  return write_fed(store);
}

Result<void> MemberChanges::write_direct(WriteTransaction& store) const {
  std::string row;
  format::encode_row(row, format::UnfedRow{.present = true, .changed = Seq{0}});
  for (const Direct& direct : direct_) {
    for (const std::string_view user : {direct.users.first, direct.users.second}) {
      PARLEY_TRY(store.put(kUnfed, format::unfed_key(direct.number, user), row));
    }
  }
  return {};
}

Result<void> MemberChanges::write_entries(WriteTransaction& store) const {
  std::map<ConversationNumber, std::vector<const format::EntryRecord*>> by_conversation;
  for (const format::EntryRecord& entry : entries_) by_conversation[entry.conversation].push_back(&entry);
  for (const auto& [number, entries] : by_conversation) {
    Writing writing(store, number);
    PARLEY_TRY(writing.begin());
    for (const format::EntryRecord* entry : entries) {
      PARLEY_TRY(writing.take(*entry));
    }
    PARLEY_TRY(writing.end());
  }
  return {};
}

Result<void> MemberChanges::write_users(WriteTransaction& store) const {
  std::string row;
  for (const format::UserConversationRecord& user : users_) {
    const std::string key = format::user_conversation_key(user.user, user.conversation);
    PARLEY_TRY(const auto bytes, store.get(kUserConversations, key));
    const auto before = bytes ? format::decode_user_conversation_row(*bytes) : StorageError::NotFound;
    if (before && before->changed >= user.changed) continue;
    format::encode_row(row,
                       format::UserConversationRow{
                           .present = user.present, .changed = user.changed, .epoch = user.epoch, .name = user.name});
    PARLEY_TRY(store.put(kUserConversations, key, row));
  }
  return {};
}

Result<void> MemberChanges::write_fed(WriteTransaction& store) const {
  for (const format::FedRecord& fed : fed_) {
    const std::string key = format::unfed_key(fed.conversation, fed.user);
    PARLEY_TRY(const auto bytes, store.get(kUnfed, key));
    const auto row = bytes ? format::decode_unfed_row(*bytes) : StorageError::NotFound;
    if (row && row->changed <= fed.changed) {
      PARLEY_TRY(store.erase(kUnfed, key));
    }
  }
  return {};
}

}  // namespace parley::storage
