#include "storage/session_finder.hpp"

#include <algorithm>
#include <map>

#include "base/bytes.hpp"
#include "base/log.hpp"
#include "storage/environment.hpp"
#include "storage/files.hpp"
#include "storage/format/keys.hpp"
#include "storage/format/rows.hpp"
#include "storage/session_changes.hpp"
#include "storage/store_tables.hpp"

namespace parley::storage {
namespace {

/// Never 0.
std::uint64_t hash_of(std::string_view client_id) { return stable_hash(client_id) | 1; }

std::uint64_t client_of(const format::Record& record) {
  if (const auto* session = std::get_if<format::SessionRecord>(&record.body)) return hash_of(session->client_id);
  if (const auto* cursor = std::get_if<format::CursorRecord>(&record.body)) return hash_of(cursor->client_id);
  if (const auto* end = std::get_if<format::SessionEndRecord>(&record.body)) return hash_of(end->client_id);
  return 0;
}

void take_cursor(std::string_view bytes, std::map<std::string_view, format::CursorRecord>& cursors) {
  const auto record = format::decode_record(bytes);
  const auto* cursor = record ? std::get_if<format::CursorRecord>(&record->body) : nullptr;
  if (cursor == nullptr) {
    log::error("a session's cursor in the store is damaged, it is lost", {{"size", bytes.size()}});
    return;
  }
  cursors[cursor->topic] = *cursor;
}

}  // namespace

Result<void> visit_session(ReadTransaction& store, std::string_view key, std::string_view bytes,
                           const SessionChange* change, const SessionVisitor& visit) {
  const auto record = format::decode_trusted_record(bytes);
  if (!record) return record.error();
  std::map<std::string_view, format::CursorRecord> cursors;
  if (!key.empty()) {
    PARLEY_TRY(Cursor cursor, store.cursor(kCursors));
    Cursor::Row row;
    for (bool found = cursor.seek(key, row); found && row.key.starts_with(key); found = cursor.next(row)) {
      take_cursor(row.value, cursors);
    }
    if (cursor.failed()) return store.environment().translate(cursor.code(), "read the cursors");
  }
  if (change != nullptr) {
    for (const auto& item : change->cursors) take_cursor(item.second, cursors);
  }
  StoredSessionView view{std::get<format::SessionRecord>(record->body), {}};
  for (const auto& item : cursors) view.cursors.push_back(item.second);
  visit(view);
  return {};
}

SessionFinder::SessionFinder(std::shared_ptr<Files> files)
    : files_(std::move(files)),
      log_(std::make_unique<ReadTransaction>(files_->log())),
      store_(std::make_unique<ReadTransaction>(files_->store())) {}
SessionFinder::~SessionFinder() = default;

Result<void> SessionFinder::find(std::string_view client_id, const SessionVisitor& visit) {
  // The log first and the store second: what is dropped from the one in between is in the other.
  const ReadScope log_scope(*log_);
  PARLEY_TRY(log_scope.begun());
  const ReadScope store_scope(*store_);
  PARLEY_TRY(store_scope.begun());
  PARLEY_TRY(follow());
  SessionChanges changes;
  for (const Lsn position : positions(hash_of(client_id))) {
    PARLEY_TRY(const auto bytes, log_->get(kLogTable, format::number_key(position)));
    if (!bytes) continue;
    if (const auto record = format::decode_record(*bytes)) changes.take(*record, *bytes);
  }
  const SessionChange* change = changes.find(client_id);
  const std::string key = format::session_key(files_->hash_key(), client_id);
  PARLEY_TRY(const auto row, store_->get(kSessions, key));
  const bool stored = row && (change == nullptr || !change->ended);
  if (change != nullptr && change->session) {
    return visit_session(*store_, stored ? std::string_view(key) : std::string_view(), *change->session, change, visit);
  }
  if (!stored) return {};
  PARLEY_TRY(const auto record, format::decode_record(*row));
  if (!std::holds_alternative<format::SessionRecord>(record.body)) return StorageError::CorruptRecord;
  return visit_session(*store_, key, *row, change, visit);
}

Result<void> SessionFinder::follow() {
  if (store_->version() != store_version_) {
    PARLEY_TRY(drop_materialised());
    store_version_ = store_->version();
  }
  PARLEY_TRY(const bool goes_on, walk_.goes_on(*log_, watermark_));
  if (!goes_on) {
    waiting_.clear();
    walk_.begin_behind(watermark_);
  }
  return walk_.follow(*log_, [this](Lsn position, std::string_view bytes) { return queue(position, bytes); });
}

Result<void> SessionFinder::drop_materialised() {
  PARLEY_TRY(watermark_, read_watermark(*store_));
  if (walk_.end() < watermark_) walk_.begin_behind(watermark_);
  PARLEY_TRY(Cursor cursor, store_->cursor(kSlots));
  Cursor::Row row;
  for (bool found = cursor.first(row); found; found = cursor.next(row)) {
    const auto slot = format::decode_slot_row(row.value);
    if (!slot) return slot.error();
    const Slot number{format::number_from_key(row.key)};
    if (!waiting_.is_new(number)) waiting_.drop_through(number, std::max(slot->through, watermark_));
  }
  if (cursor.failed()) return store_->environment().translate(cursor.code(), "read the slots");
  for (const Slot slot : waiting_.busy()) waiting_.drop_through(slot, watermark_);
  waiting_.tidy();
  return {};
}

/// As at the start: a damaged record counts where its fields say plainly that it is its slot's next.
Result<void> SessionFinder::queue(Lsn position, std::string_view bytes) {
  const auto checked = format::decode_position(bytes);
  const auto place = checked ? checked : format::decode_trusted_position(bytes);
  if (!place) return {};
  if (waiting_.is_new(place->slot)) {
    PARLEY_TRY(const auto stored, store_->get(kSlots, format::number_key(place->slot)));
    const auto row = stored ? format::decode_slot_row(*stored) : Result<format::SlotRow>(StorageError::NotFound);
    if (row) waiting_.begin(place->slot, row->last, std::max(row->through, watermark_));
  }
  if (!checked && place->index != waiting_.last(place->slot).next()) return {};
  const auto record = checked ? format::decode_trusted_record(bytes) : Result<format::Record>(checked.error());
  waiting_.add(place->slot, {position, place->index, {record ? client_of(*record) : 0}});
  return {};
}

std::vector<Lsn> SessionFinder::positions(std::uint64_t client) const {
  std::vector<Lsn> found;
  for (const Slot slot : waiting_.busy()) {
    for (const auto& item : waiting_.items(slot)) {
      if (item.note.client == client) found.push_back(item.position);
    }
  }
  std::ranges::sort(found);
  return found;
}

}  // namespace parley::storage
