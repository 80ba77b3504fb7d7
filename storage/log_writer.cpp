#include "storage/log_writer.hpp"

#include <algorithm>
#include <optional>

#include "base/check.hpp"
#include "base/log.hpp"
#include "storage/environment.hpp"
#include "storage/files.hpp"
#include "storage/format/keys.hpp"
#include "storage/format/record.hpp"
#include "storage/open_failure.hpp"
#include "storage/store_tables.hpp"

namespace parley::storage {
namespace {

Result<LogRange> log_range(Environment& log) {
  ReadTransaction transaction(log);
  const ReadScope scope(transaction);
  PARLEY_TRY(scope.begun());
  return read_log_range(transaction);
}

Result<Lsn> end_of(Environment& store) {
  ReadTransaction transaction(store);
  const ReadScope scope(transaction);
  PARLEY_TRY(scope.begun());
  return read_store_end(transaction);
}

/// The record's own time, if it has one.
std::optional<Timestamp> time_of(std::string_view bytes) {
  const auto record = format::decode_trusted_record(bytes);
  if (!record) return std::nullopt;
  if (const auto* entry = std::get_if<format::EntryRecord>(&record->body)) return entry->ts;
  if (const auto* created = std::get_if<format::ConversationRecord>(&record->body)) return created->created;
  return std::nullopt;
}

/// Of the first record that has one, among so many; else later than any.
Timestamp first_time(Cursor& cursor, std::size_t records_max) {
  Cursor::Row row;
  bool found = cursor.seek(format::number_key(kLogHeader.next()), row);
  for (std::size_t looked = 0; found && looked < records_max; ++looked, found = cursor.next(row)) {
    if (const auto time = time_of(row.value)) return *time;
  }
  return {~std::uint64_t{0} - 1};
}

}  // namespace

LogWriter::LogWriter(std::shared_ptr<Files> files) : files_(std::move(files)) {
  const auto range = log_range(files_->log());
  const auto store_end = end_of(files_->store());
  if (!range || !store_end) throw OpenFailure(StorageError::Failed, files_->log().path() + " has no readable end");
  // The log may be cut or lost, but no position is ever given twice.
  end_ = std::max(range->last, *store_end);
}

Result<Lsn> LogWriter::append(std::span<const std::string_view> records,
                              std::span<const format::HardStateRow> hard_states) {
  PARLEY_CHECK(!records.empty() || !hard_states.empty(), "nothing is appended to the log");
  WriteTransaction transaction(files_->log());
  auto done = transaction.begin();
  bool committing = false;
  if (done) done = write(transaction, records, hard_states);
  if (done) {
    committing = true;
    done = transaction.commit();
  }
  if (!done && transaction.environment_stopped()) {
    // With a surplus behind the end nobody can tell which of the two appends it is: then this one failed, too.
    PARLEY_TRY(const bool stored, reopen(transaction.opening(), committing && !surplus_ ? records.size() : 0));
    if (stored) done = {};
  }
  if (!done) return done.error();
  surplus_ = false;
  const Lsn first = end_.next();
  end_.value += records.size();
  return first;
}

Result<void> LogWriter::write(WriteTransaction& transaction, std::span<const std::string_view> records,
                              std::span<const format::HardStateRow> hard_states) {
  PARLEY_TRY(Cursor cursor, transaction.cursor(kLogTable));
  if (surplus_) {
    Cursor::Row row;
    while (cursor.seek(format::number_key(end_.next()), row)) {
      if (const int code = cursor.erase(); code != 0) return transaction.environment().translate(code, "erase");
    }
    PARLEY_TRY(transaction.check(cursor, "look behind the log's end"));
  }
  Lsn position = end_;
  for (const std::string_view record : records) {
    position = position.next();
    cursor.put(format::number_key(position), record, MDB_APPEND);
    PARLEY_TRY(transaction.check(cursor, "append to the log"));
  }
  for (const format::HardStateRow& state : hard_states) {
    format::encode_row(row_, state);
    PARLEY_TRY(transaction.put(kLogTable, format::hard_state_key(state.slot), row_));
  }
  return {};
}

/// LMDB stopped while it wrote its meta page: whether the commit is in the file shows only when it is opened again. The
/// `count` records that are there then and can be synced are stored; else the next append takes away what is there.
Result<bool> LogWriter::reopen(std::uint64_t opening, std::size_t count) {
  log::error("LMDB stopped after a failed commit, opening the log again", {{"file", files_->log().path()}});
  surplus_ = true;
  PARLEY_TRY(files_->log().revive(opening));
  PARLEY_TRY(const LogRange range, log_range(files_->log()));
  if (count == 0 || range.last.value != end_.value + count) return false;
  PARLEY_TRY(files_->log().sync());
  return true;
}

Result<std::size_t> LogWriter::cut(const CutRule& rule) {
  WriteTransaction transaction(files_->log());
  PARLEY_TRY(transaction.begin());
  PARLEY_TRY(Cursor cursor, transaction.cursor(kLogTable));
  PARLEY_TRY(std::uint64_t size, transaction.size(kLogTable));
  const Lsn last = std::min(rule.watermark, Lsn{end_.value == 0 ? 0 : end_.value - 1});
  std::size_t gone = 0;
  Timestamp time = first_time(cursor, rule.records_max);
  Cursor::Row row;
  while (gone < rule.records_max && cursor.seek(format::number_key(kLogHeader.next()), row)) {
    const Lsn position{format::number_from_key(row.key)};
    time = time_of(row.value).value_or(time);
    const bool too_large = rule.size_max != 0 && size > rule.size_max;
    if (position > last || (time >= rule.older_than && !too_large)) break;
    size -= std::min<std::uint64_t>(size, row.value.size());
    if (const int code = cursor.erase(); code != 0) return transaction.environment().translate(code, "cut the log");
    ++gone;
  }
  PARLEY_TRY(transaction.check(cursor, "cut the log"));
  if (gone == 0) return gone;
  const auto committed = transaction.commit();
  if (committed) return gone;
  if (transaction.environment_stopped()) {
    PARLEY_TRY(files_->log().revive(transaction.opening()));
  }
  return committed.error();
}

}  // namespace parley::storage
