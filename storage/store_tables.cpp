#include "storage/store_tables.hpp"

#include <algorithm>

#include "storage/format/keys.hpp"
#include "storage/format/rows.hpp"

namespace parley::storage {
namespace {

template <class Transaction>
Result<Lsn> watermark_in(Transaction& store) {
  PARLEY_TRY(const auto row, store.get(kMeta, kMetaWatermark));
  if (!row) return Lsn{0};
  if (row->size() != 8) return StorageError::CorruptRecord;
  return Lsn{format::number_from_key(*row)};
}

}  // namespace

Result<Lsn> read_watermark(ReadTransaction& store) { return watermark_in(store); }
Result<Lsn> read_watermark(WriteTransaction& store) { return watermark_in(store); }

Result<Lsn> read_store_end(ReadTransaction& store) {
  PARLEY_TRY(Lsn end, read_watermark(store));
  PARLEY_TRY(Cursor cursor, store.cursor(kSlots));
  Cursor::Row row;
  for (bool found = cursor.first(row); found; found = cursor.next(row)) {
    if (const auto slot = format::decode_slot_row(row.value)) end = std::max(end, slot->through);
  }
  if (cursor.failed()) return store.environment().translate(cursor.code(), "read the slots");
  return end;
}

Result<LogRange> read_log_range(ReadTransaction& log) {
  PARLEY_TRY(Cursor cursor, log.cursor(kLogTable));
  Cursor::Row row;
  LogRange range;
  if (cursor.seek(format::number_key(kLogHeader.next()), row)) {
    range.first = {format::number_from_key(row.key)};
    if (cursor.last(row)) range.last = {format::number_from_key(row.key)};
  }
  if (cursor.failed()) return log.environment().translate(cursor.code(), "find the log's end");
  return range;
}

}  // namespace parley::storage
