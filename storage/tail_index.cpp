#include "storage/tail_index.hpp"

#include <algorithm>

#include "base/log.hpp"
#include "storage/environment.hpp"
#include "storage/format/keys.hpp"
#include "storage/format/rows.hpp"
#include "storage/store_tables.hpp"

namespace parley::storage {

Result<void> TailIndex::follow(ReadTransaction& log, ReadTransaction& store) {
  if (store.version() != store_version_) {
    PARLEY_TRY(const Lsn watermark, read_watermark(store));
    if (watermark != watermark_) {
      watermark_ = watermark;
      end_ = std::max(end_, watermark);
      drop_materialised();
    }
    store_version_ = store.version();
  }
  if (log.version() == log_version_) return {};
  PARLEY_TRY(Cursor cursor, log.cursor(kLogTable));
  Cursor::Row row;
  for (bool found = cursor.seek(format::number_key(end_.next()), row); found; found = cursor.next(row)) {
    const Lsn position{format::number_from_key(row.key)};
    PARLEY_TRY(take(position, row.value, store));
    end_ = position;
  }
  if (cursor.failed()) return log.environment().translate(cursor.code(), "follow the log");
  log_version_ = log.version();
  return {};
}

Result<void> TailIndex::take(Lsn position, std::string_view bytes, ReadTransaction& store) {
  const auto record = format::decode_record(bytes);
  if (!record && record.error() != make_error_code(StorageError::CorruptRecord)) return record.error();
  if (record) {
    if (const auto* entry = std::get_if<format::EntryRecord>(&record->body)) {
      take_entry(position, *entry);
    } else {
      take_creation(position, *record);
    }
    return {};
  }
  bool counted = false;
  if (const auto guess = format::decode_trusted_record(bytes)) {
    if (const auto* entry = std::get_if<format::EntryRecord>(&guess->body)) {
      PARLEY_TRY(counted, is_next(*entry, store));
      if (counted) take_entry(position, *entry);
    }
  }
  log::error("a record of the log is damaged, passing over it", {{"lsn", position}, {"seq_counts_as_given", counted}});
  return {};
}

void TailIndex::take_creation(Lsn position, const format::Record& record) {
  const auto* created = std::get_if<format::ConversationRecord>(&record.body);
  if (created == nullptr) return;
  const auto number = conversation_number(record.position.slot, record.position.index);
  if (!created_.try_emplace(std::string(created->name), number).second) return;
  conversations_[number].creation = Conversation::Creation{.position = position,
                                                           .name = std::string(created->name),
                                                           .epoch = created->epoch,
                                                           .created = created->created,
                                                           .type = created->type,
                                                           .visibility = created->visibility,
                                                           .creator = std::string(created->creator)};
}

void TailIndex::take_entry(Lsn position, const format::EntryRecord& entry) {
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
}

Result<bool> TailIndex::is_next(const format::EntryRecord& entry, ReadTransaction& store) const {
  if (const auto* tail = find(entry.conversation)) {
    const Seq head = tail->positions.empty() ? Seq{0} : tail->head();
    if (!tail->positions.empty() || tail->creation) return entry.seq == head.next();
  }
  PARLEY_TRY(const auto bytes, store.get(kConversations, format::number_key(entry.conversation)));
  if (!bytes) return false;
  const auto row = format::decode_conversation_row(*bytes);
  return row.has_value() && row->head.next() == entry.seq;
}

void TailIndex::drop_materialised() {
  for (auto place = conversations_.begin(); place != conversations_.end();) {
    Conversation& conversation = place->second;
    if (conversation.creation && conversation.creation->position <= watermark_) {
      created_.erase(conversation.creation->name);
      conversation.creation.reset();
    }
    // Positions ascend, but for lost ones (0), which go with the next that isn't lost.
    const auto keep = std::ranges::find_if(conversation.positions, [this](Lsn at) { return at > watermark_; });
    conversation.first.value += static_cast<std::uint64_t>(keep - conversation.positions.begin());
    conversation.positions.erase(conversation.positions.begin(), keep);
    const bool gone = conversation.positions.empty() && !conversation.creation;
    place = gone ? conversations_.erase(place) : std::next(place);
  }
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
