#include "storage/history_walk.hpp"

#include "storage/format/keys.hpp"
#include "storage/store_tables.hpp"

namespace parley::storage {

Result<History::Walk> History::Walk::begin(ReadTransaction& log, ReadTransaction& store, const TailIndex& tail,
                                           ConversationNumber number, Seq store_head, Direction direction) {
  PARLEY_TRY(const Cursor store_cursor, store.cursor(kEntries));
  PARLEY_TRY(const Cursor log_cursor, log.cursor(kLogTable));
  return Walk(log, tail, number, store_head, direction, store_cursor, log_cursor);
}

Result<std::optional<std::string_view>> History::Walk::bytes(Seq seq) {
  Cursor::Row row;
  bool found = false;
  const Cursor* used = &store_cursor_;
  if (seq <= store_head_) {
    const auto key = format::entry_key(number_, seq);
    found = placed_ && step(row) && row.key == key.bytes();
    if (!found) found = store_cursor_.seek_exactly(key, row);
    placed_ = found;
  } else {
    const auto positions = tail_.find(number_, seq, seq);
    if (positions.empty() || positions.front() == Lsn{0}) return std::optional<std::string_view>();
    found = log_cursor_.seek_exactly(format::number_key(positions.front()), row);
    used = &log_cursor_;
  }
  if (found) return std::optional<std::string_view>(row.value);
  if (used->failed()) return log_.environment().translate(used->code(), "read an entry");
  return std::optional<std::string_view>();
}

Result<std::optional<History::Walk::Item>> History::Walk::stored_item(Seq seq) {
  PARLEY_TRY(const auto found, bytes(seq));
  if (!found) return std::optional<Item>();
  const auto record = format::decode_record(*found);
  if (!record) {
    if (record.error() == make_error_code(StorageError::CorruptRecord)) return std::optional<Item>();
    return record.error();
  }
  const auto* entry = std::get_if<format::EntryRecord>(&record->body);
  if (entry == nullptr || entry->conversation != number_ || entry->seq != seq) return std::optional<Item>();
  return std::optional<Item>(Item{*found, *record});
}

Result<std::optional<History::Walk::Item>> History::Walk::item(Seq seq) {
  PARLEY_TRY(const auto found, stored_item(seq));
  const auto* tail = found ? tail_.find(number_) : nullptr;
  if (tail == nullptr || tail->amendments.empty()) return found;
  return amended(*found);
}

/// What the store has is amended there already; here it is what stands in the log behind it.
Result<std::optional<History::Walk::Item>> History::Walk::amended(Item item) {
  const format::EntryRecord& entry = item.entry();
  const bool is_message = entry.kind == format::EntryKind::Message;
  const auto& amendments = tail_.find(number_)->amendments;
  const auto found = amendments.find(is_message ? entry.seq.value : entry.ref.value);
  if (entry.redacted || found == amendments.end() || (!is_message && entry.kind != format::EntryKind::Edit))
    return item;
  if (found->second.redaction.value != 0) {
    PARLEY_TRY(const auto by, amendment(found->second.redaction));
    if (!by) return item;
    amended_ = item.bytes;
    format::redact_record(amended_, std::get<format::EntryRecord>(by->body).seq);
  } else if (is_message) {
    PARLEY_TRY(const auto by, amendment(found->second.edit));
    if (!by) return item;
    amended_ = format::encode_edited(item.record.position, entry, std::get<format::EntryRecord>(by->body));
  } else {
    return item;
  }
  PARLEY_TRY(const auto record, format::decode_trusted_record(amended_));
  return std::optional<Item>(Item{amended_, record});
}

/// Nothing when it can't be read.
Result<std::optional<format::Record>> History::Walk::amendment(Lsn position) {
  PARLEY_TRY(const auto bytes, log_.get(kLogTable, format::number_key(position)));
  const auto record = bytes ? format::decode_record(*bytes) : Result<format::Record>(StorageError::NotFound);
  const bool sound = record && std::holds_alternative<format::EntryRecord>(record->body);
  return sound ? std::optional(*record) : std::nullopt;
}

}  // namespace parley::storage
