#include "storage/tail_index.hpp"

#include <algorithm>

#include "base/log.hpp"
#include "storage/commit_view.hpp"
#include "storage/environment.hpp"
#include "storage/format/keys.hpp"
#include "storage/format/rows.hpp"
#include "storage/store_tables.hpp"

namespace parley::storage {

Result<void> TailIndex::follow(const CommitView& commits, ReadTransaction& log, ReadTransaction& store) {
  if (store.version() != store_version_) {
    PARLEY_TRY(drop_materialised(store));
    store_version_ = store.version();
  }
  if (is_new(log)) {
    PARLEY_TRY(const bool goes_on, walk_.goes_on(log, watermark_));
    if (!goes_on) forget();
    const auto queued =
        walk_.follow(log, [&](Lsn position, std::string_view bytes) { return queue(position, bytes, store); });
    // What came before a record that can't be read is shown.
    if (!queued) {
      PARLEY_TRY(take_committed(commits, log, store));
      return queued.error();
    }
    log_version_ = log.version();
  }
  return take_committed(commits, log, store);
}

// -- From the log into the queues --

Result<void> TailIndex::queue(Lsn position, std::string_view bytes, ReadTransaction& store) {
  const auto record = format::decode_record(bytes);
  if (!record) {
    if (record.error() != make_error_code(StorageError::CorruptRecord)) return record.error();
    return queue_damaged(position, bytes, store);
  }
  const Slot slot = record->position.slot;
  if (waiting_.is_new(slot)) {
    PARLEY_TRY(begin_slot(slot, store));
  }
  Note note;
  if (const auto* entry = std::get_if<format::EntryRecord>(&record->body)) {
    note = {Kind::Entry, entry->conversation, entry->seq, entry->ts, entry->ref, entry->kind};
  } else if (std::holds_alternative<format::ConversationRecord>(record->body)) {
    note.kind = Kind::Creation;
  } else if (std::holds_alternative<format::UserConversationRecord>(record->body)) {
    note.kind = Kind::User;
  } else if (const auto* marks = std::get_if<format::MarksRecord>(&record->body)) {
    note.kind = Kind::Marks;
    note.conversation = marks->conversation;
  }
  waiting_.add(slot, {position, record->position.index, note});
  return {};
}

Result<void> TailIndex::queue_damaged(Lsn position, std::string_view bytes, ReadTransaction& store) {
  const auto guess = format::decode_trusted_record(bytes);
  const auto* entry = guess ? std::get_if<format::EntryRecord>(&guess->body) : nullptr;
  bool index_counts = false;
  if (guess) {
    const Slot slot = guess->position.slot;
    if (waiting_.is_new(slot)) {
      PARLEY_TRY(begin_slot(slot, store));
    }
    Note note;
    if (entry != nullptr)
      note = {Kind::DamagedEntry, entry->conversation, entry->seq, entry->ts, {}, format::EntryKind::Message};
    index_counts = guess->position.index == waiting_.last(slot).next();
    if (index_counts) {
      waiting_.add(slot, {position, guess->position.index, note});
    } else {
      waiting_.add_behind(slot, position, note);
    }
  }
  log::error("a record of the log is damaged, passing over it",
             {{"lsn", position}, {"index_counts_as_given", index_counts}});
  return {};
}

Result<void> TailIndex::begin_slot(Slot slot, ReadTransaction& store) {
  PARLEY_TRY(const auto bytes, store.get(kSlots, format::number_key(slot)));
  const auto row = bytes ? format::decode_slot_row(*bytes) : Result<format::SlotRow>(StorageError::NotFound);
  if (row) waiting_.begin(slot, row->last, std::max(row->through, watermark_));
  return {};
}

// -- From the queues into the conversations --

Result<void> TailIndex::take_committed(const CommitView& commits, ReadTransaction& log, ReadTransaction& store) {
  if (waiting_.empty()) return {};
  Result<void> done;
  for (const Slot slot : waiting_.busy()) {
    const auto items = waiting_.items(slot);
    const Index commit = commits.at(slot);
    std::size_t count = 0;
    while (done && count < items.size() && items[count].index <= commit) {
      done = take(items[count].position, items[count].note, log, store);
      if (done) ++count;
    }
    if (count != 0) ++changes_;
    waiting_.drop(slot, count);
  }
  waiting_.tidy();
  return done;
}

Result<void> TailIndex::take(Lsn position, const Note& note, ReadTransaction& log, ReadTransaction& store) {
  switch (note.kind) {
    case Kind::Other: break;
    case Kind::Creation: return take_creation(position, log);
    case Kind::User: return take_user(position, log);
    case Kind::Marks: marks_[note.conversation].push_back(position); break;
    case Kind::Entry: take_entry(position, note); break;
    case Kind::DamagedEntry:
      PARLEY_TRY(const bool counts, is_next(note, store));
      if (counts) take_entry(position, note);
      log::error("an entry's record is damaged", {{"lsn", position}, {"seq_counts_as_given", counts}});
      break;
  }
  return {};
}

Result<void> TailIndex::take_creation(Lsn position, ReadTransaction& log) {
  PARLEY_TRY(const auto bytes, log.get(kLogTable, format::number_key(position)));
  const auto record = bytes ? format::decode_trusted_record(*bytes) : Result<format::Record>(StorageError::NotFound);
  const auto* created = record ? std::get_if<format::ConversationRecord>(&record->body) : nullptr;
  if (created == nullptr) return StorageError::CorruptRecord;
  const auto number = conversation_number(record->position.slot, record->position.index);
  if (!created_.try_emplace(std::string(created->name), number).second) return {};
  conversations_[number].creation = Conversation::Creation{.position = position,
                                                           .name = std::string(created->name),
                                                           .epoch = created->epoch,
                                                           .created = created->created,
                                                           .type = created->type,
                                                           .visibility = created->visibility,
                                                           .creator = std::string(created->creator)};
  return {};
}

Result<void> TailIndex::take_user(Lsn position, ReadTransaction& log) {
  PARLEY_TRY(const auto bytes, log.get(kLogTable, format::number_key(position)));
  PARLEY_TRY(const auto record, bytes ? format::decode_trusted_record(*bytes) : StorageError::NotFound);
  users_.take(position, record);
  return {};
}

void TailIndex::take_entry(Lsn position, const Note& entry) {
  Conversation& conversation = conversations_[entry.conversation];
  if (conversation.positions.empty()) conversation.first = entry.seq;
  if (entry.seq.value < conversation.first.value + conversation.positions.size() && !conversation.positions.empty()) {
    log::error("an entry stands in the log twice, the first one counts",
               {{"lsn", position}, {"conversation", entry.conversation}, {"seq", entry.seq}});
    return;
  }
  // Seqs that are left out belong to records that are lost.
  constexpr std::uint64_t kLostMax = 1'000'000;
  const std::uint64_t lost = entry.seq.value - conversation.first.value - conversation.positions.size();
  if (lost > kLostMax) {
    log::error("an entry's seq is far off, passing over it",
               {{"lsn", position}, {"conversation", entry.conversation}, {"seq", entry.seq}});
    return;
  }
  conversation.positions.resize(conversation.positions.size() + lost);
  conversation.positions.push_back(position);
  conversation.last_ts = entry.ts;
  if (entry.entry_kind == format::EntryKind::Member || entry.entry_kind == format::EntryKind::Settings) {
    conversation.changes.push_back(position);
  } else if (entry.entry_kind == format::EntryKind::Edit) {
    conversation.amendments[entry.ref.value].edit = position;
  } else if (entry.entry_kind == format::EntryKind::Redact) {
    conversation.amendments[entry.ref.value].redaction = position;
  }
}

Result<bool> TailIndex::is_next(const Note& entry, ReadTransaction& store) const {
  if (const auto* tail = find(entry.conversation)) {
    const Seq head = tail->positions.empty() ? Seq{0} : tail->head();
    if (!tail->positions.empty() || tail->creation) return entry.seq == head.next();
  }
  PARLEY_TRY(const auto bytes, store.get(kConversations, format::number_key(entry.conversation)));
  if (!bytes) return false;
  const auto row = format::decode_conversation_row(*bytes);
  return row.has_value() && row->head.next() == entry.seq;
}

// -- Out again --

Result<void> TailIndex::drop_materialised(ReadTransaction& store) {
  PARLEY_TRY(watermark_, read_watermark(store));
  if (walk_.end() < watermark_) walk_.begin_behind(watermark_);
  ahead_.clear();
  PARLEY_TRY(Cursor cursor, store.cursor(kSlots));
  Cursor::Row row;
  for (bool found = cursor.first(row); found; found = cursor.next(row)) {
    const auto slot = format::decode_slot_row(row.value);
    if (slot && slot->through > watermark_) ahead_[{format::number_from_key(row.key)}] = slot->through;
  }
  if (cursor.failed()) return store.environment().translate(cursor.code(), "read the slots");
  for (const Slot slot : waiting_.busy()) waiting_.drop_through(slot, materialised(slot));
  for (const auto& [slot, through] : ahead_) waiting_.drop_through(slot, through);
  waiting_.tidy();
  drop_conversations();
  ++changes_;
  return {};
}

Lsn TailIndex::materialised(Slot slot) const {
  const auto found = ahead_.find(slot);
  return found == ahead_.end() ? watermark_ : found->second;
}

void TailIndex::drop_conversations() {
  users_.drop([this](Slot slot) { return materialised(slot); });
  for (auto place = marks_.begin(); place != marks_.end();) {
    std::erase_if(place->second, [through = materialised(slot_of(place->first))](Lsn at) { return at <= through; });
    place = place->second.empty() ? marks_.erase(place) : std::next(place);
  }
  for (auto place = conversations_.begin(); place != conversations_.end();) {
    Conversation& conversation = place->second;
    const Lsn through = materialised(slot_of(place->first));
    if (conversation.creation && conversation.creation->position <= through) {
      created_.erase(conversation.creation->name);
      conversation.creation.reset();
    }
    // Positions ascend, but for lost ones (0), which go with the next that isn't lost.
    const auto keep = std::ranges::find_if(conversation.positions, [through](Lsn at) { return at > through; });
    conversation.first.value += static_cast<std::uint64_t>(keep - conversation.positions.begin());
    conversation.positions.erase(conversation.positions.begin(), keep);
    std::erase_if(conversation.changes, [through](Lsn at) { return at <= through; });
    std::erase_if(conversation.amendments,
                  [through](const auto& one) { return one.second.edit <= through && one.second.redaction <= through; });
    const bool gone = conversation.positions.empty() && !conversation.creation;
    place = gone ? conversations_.erase(place) : std::next(place);
  }
}

void TailIndex::forget() {
  log::warn("the log was rewritten behind a place that was read, reading it again", {{"watermark", watermark_}});
  conversations_.clear();
  created_.clear();
  marks_.clear();
  users_.clear();
  waiting_.clear();
  walk_.begin_behind(watermark_);
  ++changes_;
}

std::span<const Lsn> TailIndex::marks(ConversationNumber conversation) const {
  const auto found = marks_.find(conversation);
  return found == marks_.end() ? std::span<const Lsn>() : std::span<const Lsn>(found->second);
}

std::span<const Lsn> TailIndex::find(ConversationNumber conversation, Seq first, Seq last) const {
  const Conversation* found = find(conversation);
  if (found == nullptr || found->positions.empty()) return {};
  first = std::max(first, found->first);
  last = std::min(last, found->head());
  if (first > last) return {};
  const std::size_t skip = first.value - found->first.value;
  return std::span(found->positions).subspan(skip, last.value - first.value + 1);
}

const TailIndex::Conversation* TailIndex::find(ConversationNumber conversation) const {
  const auto found = conversations_.find(conversation);
  return found == conversations_.end() ? nullptr : &found->second;
}

std::optional<ConversationNumber> TailIndex::find(std::string_view name) const {
  const auto found = created_.find(std::string(name));
  if (found == created_.end()) return std::nullopt;
  return found->second;
}

}  // namespace parley::storage
