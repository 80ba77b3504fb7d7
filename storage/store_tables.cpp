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

Result<void> forget_what_the_log_lacks(Environment& log, Environment& store) {
  Lsn end;
  {
    ReadTransaction log_now(log);
    ReadTransaction store_now(store);
    const ReadScope log_scope(log_now);
    const ReadScope store_scope(store_now);
    PARLEY_TRY(log_scope.begun());
    PARLEY_TRY(store_scope.begun());
    PARLEY_TRY(const LogRange range, read_log_range(log_now));
    PARLEY_TRY(const Lsn watermark, read_watermark(store_now));
    PARLEY_TRY(end, read_store_end(store_now));
    if (range.first != Lsn{0} || end <= watermark) return {};
  }
  WriteTransaction writing(store);
  PARLEY_TRY(writing.begin());
  PARLEY_TRY(writing.put(kMeta, kMetaWatermark, format::number_key(end)));
  return writing.commit();
}

}  // namespace parley::storage
