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

Result<std::optional<History::Walk::Item>> History::Walk::item(Seq seq) {
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

}  // namespace parley::storage
