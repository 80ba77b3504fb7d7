#include <algorithm>

#include "tests/simulation/store.hpp"

/// The part of the store that knows of members. It keeps no tables: each question is answered from the entries.
namespace parley::simulation {

using shard::LogStoreEvents;
using shard::ShardId;

Store::Members Store::members_of(const StoredEntries& conversation, Lsn upto) {
  Members members;
  for (std::size_t i = 0; i < conversation.entries.size() && conversation.positions[i] <= upto; ++i) {
    const format::EntryRecord& entry = **conversation.entries[i];
    if (entry.kind != format::EntryKind::Member) continue;
    const auto change = format::decode_member_change(entry.payload);
    if (!change) continue;
    const std::string user(change->user);
    if (change->ends()) {
      members.erase(user);
    } else {
      format::MemberRow& member = members.try_emplace(user, format::MemberRow{.joined = entry.seq}).first->second;
      member.role = change->role;
    }
  }
  return members;
}

Store::Members Store::members(const std::string& conversation, Lsn upto) const {
  const auto found = conversations_.find(conversation);
  return found == conversations_.end() ? Members() : members_of(found->second, upto);
}

void Store::load_members(const StoredEntries& conversation, LogStoreEvents::LoadedConversation& loaded) const {
  shard::StoredConversation& stored = *loaded.conversation;
  const Members members = members_of(conversation, materialised_);
  stored.members = members.size();
  stored.owners = static_cast<std::uint64_t>(
      std::ranges::count(members, format::Role::Owner, [](const auto& one) { return one.second.role; }));
  for (std::size_t i = 0; i < conversation.entries.size(); ++i) {
    const format::EntryRecord& entry = **conversation.entries[i];
    const bool is_materialised = conversation.positions[i] <= materialised_;
    if (entry.kind == format::EntryKind::Settings && is_materialised) {
      const auto settings = format::decode_settings(entry.payload);
      stored.visibility = settings->visibility;
      stored.announce = settings->announce;
      stored.history = settings->history;
      stored.title = settings->title;
    } else if (entry.kind == format::EntryKind::Member && !is_materialised) {
      const auto known = members.find(std::string(format::decode_member_change(entry.payload)->user));
      if (known != members.end()) loaded.members.push_back({known->first, known->second});
    }
  }
}

std::optional<format::MemberRow> Store::find_member(ShardId /*shard*/, ConversationNumber conversation,
                                                    std::string_view user) {
  const StoredEntries* found = find(conversation);
  if (found == nullptr) return std::nullopt;
  const Members members = members_of(*found, materialised_);
  const auto member = members.find(std::string(user));
  return member == members.end() ? std::nullopt : std::optional(member->second);
}

std::vector<shard::StoredMember> Store::list_members(ShardId /*shard*/, ConversationNumber conversation,
                                                     std::string_view after, std::size_t count_max) {
  std::vector<shard::StoredMember> list;
  const StoredEntries* found = find(conversation);
  if (found == nullptr) return list;
  for (const auto& [user, member] : members_of(*found, materialised_)) {
    if (user > after && list.size() < count_max) list.push_back({user, member});
  }
  return list;
}

format::Mark Store::mark_of(const StoredEntries& conversation, const std::string& user, Lsn from, Lsn upto) {
  // What came in a snapshot has no place in the log, and is in the store.
  const auto within = [&](Lsn lsn) { return (lsn > from || from == Lsn{0}) && lsn <= upto; };
  format::Mark mark;
  if (const auto moves = conversation.marks.find(user); moves != conversation.marks.end()) {
    for (const auto& [lsn, moved] : moves->second) {
      if (within(lsn)) mark = format::moved(user, mark, moved);
    }
  }
  for (std::size_t i = 0; i < conversation.entries.size(); ++i) {
    const format::EntryRecord& entry = **conversation.entries[i];
    if (!within(conversation.positions[i])) continue;
    if (entry.kind == format::EntryKind::Message && entry.from == user) {
      mark = format::further(mark, {entry.seq, entry.seq});
    }
  }
  return mark;
}

format::Mark Store::mark(const std::string& conversation, const std::string& user, Lsn upto) const {
  const auto found = conversations_.find(conversation);
  return found == conversations_.end() ? format::Mark() : mark_of(found->second, user, Lsn{0}, upto);
}

void Store::apply_marks(const format::MarksRecord& record, Lsn lsn) {
  ++mark_records_;
  StoredEntries* of = find(record.conversation);
  if (of == nullptr) return violation("marks of a conversation that isn't there");
  const auto moved = format::marks_of(record.marks);
  for (const format::UserMark& one : *moved) {
    // That of a group is the first seq that isn't done.
    const Seq last = format::is_share(one.user) ? of->stored.head.next() : of->stored.head;
    if (one.mark.read > last || one.mark.delivered > last) violation("a mark beyond the head");
    of->marks[std::string(one.user)].emplace_back(lsn, one.mark);
  }
}

Result<std::optional<format::Mark>> Store::find_mark(ShardId /*shard*/, ConversationNumber conversation,
                                                     std::string_view user) {
  if (reads_fail_) return StorageError::Failed;
  const StoredEntries* found = find(conversation);
  if (found == nullptr) return std::optional<format::Mark>();
  const format::Mark mark = mark_of(*found, std::string(user), Lsn{0}, materialised_);
  return format::is_share(user) && mark == format::Mark{} ? std::nullopt : std::optional(mark);
}

shard::StoredTally Store::find_tally(ShardId /*shard*/, ConversationNumber conversation, Seq upto) {
  shard::StoredTally tally;
  const StoredEntries* found = find(conversation);
  if (found == nullptr) return tally;
  for (std::size_t i = 0; i < found->entries.size() && i < upto.value; ++i) {
    if (found->positions[i] > materialised_ || (*found->entries[i])->kind == format::EntryKind::Message) continue;
    tally = {(*found->entries[i])->seq, tally.count + 1};
  }
  return tally;
}

std::vector<shard::UnfedMember> Store::unfed_members(ShardId /*shard*/, Slot slot, std::size_t count_max) {
  std::vector<shard::UnfedMember> list;
  for (const auto& [name, conversation] : conversations_) {
    const auto& stored = conversation.stored;
    if (slot_of(stored.number) != slot) continue;
    std::map<std::string, std::pair<Seq, bool>> last;
    if (const auto users = format::direct_users(name); users && stored.type == format::ConversationType::Direct) {
      last[std::string(users->first)] = last[std::string(users->second)] = {Seq{0}, true};
    }
    for (std::size_t i = 0; i < conversation.entries.size() && conversation.positions[i] <= materialised_; ++i) {
      const format::EntryRecord& entry = **conversation.entries[i];
      if (entry.kind != format::EntryKind::Member) continue;
      const auto change = format::decode_member_change(entry.payload);
      if (change->action == format::MemberAction::Role) continue;
      last[std::string(change->user)] = {entry.seq, !change->ends()};
    }
    for (const auto& [user, change] : last) {
      const auto fed = fed_.find({stored.number, user});
      if (fed != fed_.end() && fed->second >= change.first) continue;
      if (list.size() < count_max) {
        list.push_back({user, {stored.number, name, stored.epoch, change.second, change.first}});
      }
    }
  }
  return list;
}

/// Without the allowance that the real one makes.
Store::RetentionPage Store::due_retention(ShardId /*shard*/, const RetentionRequest& request) {
  RetentionPage page;
  for (const auto& [name, conversation] : conversations_) {
    const auto& stored = conversation.stored;
    if (slot_of(stored.number) != request.slot) continue;
    format::Settings settings;
    Seq oldest = stored.oldest;
    for (const auto& entry : conversation.entries) {
      if ((*entry)->kind == format::EntryKind::Settings) settings = *format::decode_settings((*entry)->payload);
    }
    std::uint64_t age = request.age_max;
    if (settings.retention_age != 0 && (age == 0 || settings.retention_age < age)) age = settings.retention_age;
    const std::uint64_t count = settings.retention_count;
    if (count != 0 && stored.head.value > count) oldest = std::max(oldest, Seq{stored.head.value + 1 - count});
    while (age != 0 && oldest <= stored.head &&
           (*conversation.entries[oldest.value - 1])->ts.milliseconds + age < request.now.milliseconds) {
      oldest = oldest.next();
    }
    ++page.looked;
    if (oldest > stored.oldest) page.due.push_back({stored.number, name, oldest});
  }
  return page;
}

void Store::apply_user(const format::UserConversationRecord& record) {
  auto& conversations = users_[std::string(record.user)];
  const auto known = conversations.find(record.conversation);
  if (known != conversations.end() && known->second.changed >= record.changed) return;
  conversations[record.conversation] = {record.conversation, std::string(record.name), record.epoch, record.present,
                                        record.changed};
}

void Store::load_user(ShardId shard, std::string user) {
  ++reads_;
  std::vector<shard::UserConversation> list;
  if (const auto found = users_.find(user); found != users_.end()) {
    for (const auto& [number, conversation] : found->second) list.push_back(conversation);
  }
  const bool fails = reads_fail_;
  answer(shard, false, [user, list, fails](LogStoreEvents& events) {
    events.user_loaded(user, fails ? Result<std::vector<shard::UserConversation>>(StorageError::Failed) : list);
  });
}

std::vector<shard::UserConversation> Store::user_conversations(const std::string& user) const {
  std::vector<shard::UserConversation> list;
  const auto found = users_.find(user);
  if (found == users_.end()) return list;
  for (const auto& [number, conversation] : found->second) {
    if (conversation.present) list.push_back(conversation);
  }
  return list;
}

}  // namespace parley::simulation
