#include "storage/materialiser_batch.hpp"

#include <algorithm>
#include <tuple>

#include "base/log.hpp"
#include "storage/format/keys.hpp"
#include "storage/store_tables.hpp"

namespace parley::storage {

void Materialiser::Batch::clear(Lsn watermark) {
  items_.clear();
  created_.clear();
  damaged_.clear();
  sessions_.clear();
  slots_.clear();
  extent_ = {.watermark = watermark};
}

Result<void> Materialiser::Batch::read(ReadTransaction& log, Lsn watermark, const Limits& limits,
                                       const format::HashKey& hash_key) {
  clear(watermark);
  PARLEY_TRY(Cursor cursor, log.cursor(kLogTable));
  Cursor::Row row;
  for (bool found = cursor.seek(format::number_key(watermark.next()), row);
       found && extent_.records < limits.records_max && extent_.bytes < limits.bytes_max; found = cursor.next(row)) {
    const Lsn position{format::number_from_key(row.key)};
    PARLEY_TRY(take(position, row.value, hash_key));
    ++extent_.records;
    extent_.bytes += row.value.size();
    extent_.watermark = position;
  }
  if (cursor.failed()) return log.environment().translate(cursor.code(), "read the log");
  return {};
}

Result<void> Materialiser::Batch::take(Lsn position, std::string_view bytes, const format::HashKey& hash_key) {
  const auto record = format::decode_record(bytes);
  if (!record) {
    if (record.error() != make_error_code(StorageError::CorruptRecord)) return record.error();
    Damaged damaged{.position = position, .bytes = bytes};
    if (const auto guess = format::decode_trusted_record(bytes)) {
      damaged.slot_position = guess->position;
      if (const auto* entry = std::get_if<format::EntryRecord>(&guess->body)) {
        damaged.conversation = entry->conversation;
        damaged.seq = entry->seq;
      }
    }
    damaged_.push_back(damaged);
    return {};
  }
  format::SlotRow& slot = slots_[record->position.slot];
  slot = {std::max(slot.term, record->position.term), std::max(slot.last, record->position.index)};
  if (const auto* entry = std::get_if<format::EntryRecord>(&record->body)) {
    const bool has_id = entry->id_from_client;
    items_.push_back({entry->conversation, entry->seq, entry->ts,
                      has_id ? format::id_hash(hash_key, entry->from, entry->id) : 0, has_id, bytes});
  } else if (const auto* created = std::get_if<format::ConversationRecord>(&record->body)) {
    created_.push_back({position, conversation_number(record->position.slot, record->position.index), *created});
  } else {
    sessions_.take(*record, bytes);
  }
  return {};
}

void Materialiser::Batch::sort() {
  const auto place = [](const Item& item) { return std::tuple(item.conversation, item.seq); };
  std::ranges::stable_sort(items_, {}, place);
}

Seq Materialiser::Batch::highest(ConversationNumber conversation) const {
  Seq highest;
  for (const Item& item : items_) {
    if (item.conversation == conversation) highest = std::max(highest, item.seq);
  }
  return highest;
}

}  // namespace parley::storage
