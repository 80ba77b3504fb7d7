#include "storage/materialiser_batch.hpp"

#include <algorithm>
#include <queue>
#include <tuple>

#include "base/log.hpp"
#include "storage/format/keys.hpp"
#include "storage/store_tables.hpp"

namespace parley::storage {

/// The next record of one slot.
struct Materialiser::Batch::Next {
  Lsn position;
  Slot slot;
  std::size_t place;  ///< Among the slot's that wait.
  /// For a heap with the lowest position on top.
  bool operator<(const Next& other) const { return position > other.position; }
};

void Materialiser::Batch::clear() {
  items_.clear();
  amendments_.clear();
  retentions_.clear();
  created_.clear();
  damaged_.clear();
  sessions_.clear();
  members_.clear();
  marks_.clear();
  erasures_.clear();
  slots_.clear();
  places_.clear();
  counts_.clear();
  records_ = 0;
  bytes_ = 0;
}

Result<void> Materialiser::Batch::read(ReadTransaction& log, const Waiting& waiting, const CommitView& commits,
                                       const Limits& limits, const format::HashKey& hash_key) {
  clear();
  std::priority_queue<Next> heap;
  const auto push = [&](Slot slot, std::size_t place) {
    const auto items = waiting.items(slot);
    if (place < items.size() && items[place].index <= commits.at(slot)) {
      heap.push({items[place].position, slot, place});
    }
  };
  for (const Slot slot : waiting.busy()) push(slot, 0);
  PARLEY_TRY(Cursor cursor, log.cursor(kLogTable));
  Cursor::Row row;
  Lsn before;
  while (!heap.empty() && records_ < limits.records_max && bytes_ < limits.bytes_max) {
    const Next next = heap.top();
    heap.pop();
    const auto key = format::number_key(next.position);
    const bool neighbours = before.value != 0 && next.position == before.next();
    if (!(neighbours ? cursor.next(row) && row.key == key.bytes() : cursor.seek_exactly(key, row))) {
      log::error("a record that was read before is gone from the log", {{"lsn", next.position}});
      return StorageError::Failed;
    }
    before = next.position;
    PARLEY_TRY(take(next.slot, waiting.items(next.slot)[next.place], row.value, hash_key));
    ++records_;
    bytes_ += row.value.size();
    counts_[next.slot] = next.place + 1;
    push(next.slot, next.place + 1);
  }
  return {};
}

Result<void> Materialiser::Batch::read_snapshot(std::span<const std::string_view> records, Slot slot,
                                                const format::HashKey& hash_key) {
  clear();
  for (const std::string_view bytes : records) {
    const auto place = format::decode_trusted_position(bytes);
    const auto record = format::decode_trusted_record(bytes);
    const auto* entry = record ? std::get_if<format::EntryRecord>(&record->body) : nullptr;
    const bool belongs = place && place->slot == slot && (entry == nullptr || slot_of(entry->conversation) == slot);
    if (!belongs) return StorageError::CorruptRecord;
    PARLEY_TRY(take(slot, {}, bytes, hash_key));
    ++records_;
    bytes_ += bytes.size();
  }
  // Where the slot's log is doesn't change with them.
  slots_.clear();
  places_.clear();
  return {};
}

Result<void> Materialiser::Batch::take(Slot slot, const Waiting::Item& item, std::string_view bytes,
                                       const format::HashKey& hash_key) {
  const auto record = format::decode_record(bytes);
  if (!record && record.error() != make_error_code(StorageError::CorruptRecord)) return record.error();
  format::SlotRow& row = slots_[slot];
  row.last = item.index;
  row.through = item.position;
  auto& places = places_[slot];
  if (places.empty() || places.back().index < item.index) places.push_back({item.index, item.position});
  if (!record) {
    take_damaged(item.position, bytes);
    return {};
  }
  // A damaged term isn't believed.
  row.term = record->position.term;
  if (row.terms.empty() || row.terms.back().term != row.term) row.terms.push_back({row.term, item.index});
  const Lsn position = item.position;
  members_.take(*record);
  marks_.take(*record);
  erasures_.take(*record);
  if (const auto* entry = std::get_if<format::EntryRecord>(&record->body)) {
    const bool has_id = entry->id_from_client;
    items_.push_back({entry->conversation, entry->seq, entry->ts,
                      has_id ? format::id_hash(hash_key, entry->from, entry->id) : 0, has_id, bytes});
    const bool amends = entry->kind == format::EntryKind::Edit || entry->kind == format::EntryKind::Redact;
    if (amends && entry->ref < entry->seq) amendments_.push_back({entry->conversation, *entry});
  } else if (const auto* created = std::get_if<format::ConversationRecord>(&record->body)) {
    created_.push_back({position, conversation_number(record->position.slot, record->position.index), *created});
  } else if (const auto* retention = std::get_if<format::RetentionRecord>(&record->body)) {
    retentions_.push_back(*retention);
  } else if (const auto* set = std::get_if<format::ReplicasRecord>(&record->body)) {
    row.replicas.push_back({item.index, format::nodes_of(set->voters), format::nodes_of(set->learners)});
  } else {
    sessions_.take(*record, bytes);
  }
  return {};
}

void Materialiser::Batch::take_damaged(Lsn position, std::string_view bytes) {
  Damaged damaged{.position = position, .conversation = {}, .seq = {}, .bytes = bytes};
  const auto guess = format::decode_trusted_record(bytes);
  if (const auto* entry = guess ? std::get_if<format::EntryRecord>(&guess->body) : nullptr) {
    damaged.conversation = entry->conversation;
    damaged.seq = entry->seq;
  }
  damaged_.push_back(damaged);
}

void Materialiser::Batch::sort() {
  const auto place = [](const Item& item) { return std::tuple(item.conversation, item.seq); };
  std::ranges::stable_sort(items_, {}, place);
  std::ranges::stable_sort(amendments_, {},
                           [](const Amendment& one) { return std::tuple(one.conversation, one.entry.seq); });
}

Seq Materialiser::Batch::highest(ConversationNumber conversation) const {
  Seq highest;
  for (const Item& item : items_) {
    if (item.conversation == conversation) highest = std::max(highest, item.seq);
  }
  return highest;
}

}  // namespace parley::storage
