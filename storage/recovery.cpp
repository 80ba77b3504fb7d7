#include "storage/recovery.hpp"

#include <algorithm>
#include <map>

#include "base/log.hpp"
#include "storage/environment.hpp"
#include "storage/files.hpp"
#include "storage/format/keys.hpp"
#include "storage/format/rows.hpp"
#include "storage/session_changes.hpp"
#include "storage/store_tables.hpp"

namespace parley::storage {
namespace {

/// One snapshot of both files.
struct Snapshot {
  explicit Snapshot(Files& files) : log(files.log()), store(files.store()), log_scope(log), store_scope(store) {}
  Result<void> begun() const { return log_scope.begun() ? store_scope.begun() : log_scope.begun(); }

  ReadTransaction log;
  ReadTransaction store;
  ReadScope log_scope;
  ReadScope store_scope;
};

/// Calls take(position, bytes) for each record that isn't materialised.
template <class Take>
Result<void> for_each_unmaterialised(Snapshot& snapshot, Take take) {
  PARLEY_TRY(const Lsn watermark, read_watermark(snapshot.store));
  PARLEY_TRY(Cursor cursor, snapshot.log.cursor(kLogTable));
  Cursor::Row row;
  for (bool found = cursor.seek(format::number_key(watermark.next()), row); found; found = cursor.next(row)) {
    take(Lsn{format::number_from_key(row.key)}, row.value);
  }
  if (cursor.failed()) return snapshot.log.environment().translate(cursor.code(), "read the log");
  return {};
}

using Ends = std::map<Slot, SlotEnd>;

void take_position(Ends& ends, std::string_view bytes) {
  const auto checked = format::decode_record(bytes);
  const auto record = checked ? checked : format::decode_trusted_record(bytes);
  if (!record) return;
  const format::RecordPosition& position = record->position;
  const auto place = ends.find(position.slot);
  const Index last = place == ends.end() ? Index{0} : place->second.last;
  if (!checked && last.next() != position.index) return;
  SlotEnd& end = ends[position.slot];
  // A damaged term isn't believed.
  end = {position.slot, checked ? std::max(end.term, position.term) : end.term, std::max(end.last, position.index)};
}

class SessionWalk {
 public:
  SessionWalk(Snapshot& snapshot, const std::function<void(const StoredSessionView&)>& visit)
      : snapshot_(snapshot), visit_(visit) {}

  Result<void> walk();

 private:
  Result<void> visit_one(std::string_view key, std::string_view bytes, const SessionChange* change);
  void take_cursor(std::string_view bytes, std::map<std::string_view, format::CursorRecord>& cursors);

  Snapshot& snapshot_;
  const std::function<void(const StoredSessionView&)>& visit_;
  SessionChanges changes_;
};

Result<void> SessionWalk::walk() {
  PARLEY_TRY(for_each_unmaterialised(snapshot_, [this](Lsn, std::string_view bytes) {
    if (const auto record = format::decode_record(bytes)) changes_.take(*record, bytes);
  }));
  PARLEY_TRY(Cursor cursor, snapshot_.store.cursor(kSessions));
  std::map<std::string_view, const SessionChange*> fresh;
  for (const auto& [client_id, change] : changes_.clients()) {
    if (change.session) fresh.emplace(client_id, &change);
  }
  Cursor::Row row;
  for (bool found = cursor.first(row); found; found = cursor.next(row)) {
    const auto record = format::decode_record(row.value);
    const auto* session = record ? std::get_if<format::SessionRecord>(&record->body) : nullptr;
    if (session == nullptr) {
      log::error("a session in the store is damaged, it is lost", {{"key", row.key}});
      continue;
    }
    const SessionChange* change = changes_.find(session->client_id);
    if (change != nullptr && change->ended) continue;
    fresh.erase(session->client_id);
    PARLEY_TRY(visit_one(row.key, change != nullptr && change->session ? *change->session : row.value, change));
  }
  if (cursor.failed()) return snapshot_.store.environment().translate(cursor.code(), "read the sessions");
  for (const auto& [client_id, change] : fresh) {
    PARLEY_TRY(visit_one({}, *change->session, change));
  }
  return {};
}

/// `key`: of its row in the store, whose cursors belong to it; none when it is new.
Result<void> SessionWalk::visit_one(std::string_view key, std::string_view bytes, const SessionChange* change) {
  const auto record = format::decode_trusted_record(bytes);
  if (!record) return record.error();
  std::map<std::string_view, format::CursorRecord> cursors;
  if (!key.empty()) {
    PARLEY_TRY(Cursor cursor, snapshot_.store.cursor(kCursors));
    Cursor::Row row;
    for (bool found = cursor.seek(key, row); found && row.key.starts_with(key); found = cursor.next(row)) {
      take_cursor(row.value, cursors);
    }
    if (cursor.failed()) return snapshot_.store.environment().translate(cursor.code(), "read the cursors");
  }
  if (change != nullptr) {
    for (const auto& item : change->cursors) take_cursor(item.second, cursors);
  }
  StoredSessionView view{std::get<format::SessionRecord>(record->body), {}};
  for (const auto& item : cursors) view.cursors.push_back(item.second);
  visit_(view);
  return {};
}

void SessionWalk::take_cursor(std::string_view bytes, std::map<std::string_view, format::CursorRecord>& cursors) {
  const auto record = format::decode_record(bytes);
  const auto* cursor = record ? std::get_if<format::CursorRecord>(&record->body) : nullptr;
  if (cursor == nullptr) {
    log::error("a session's cursor in the store is damaged, it is lost", {{"size", bytes.size()}});
    return;
  }
  cursors[cursor->topic] = *cursor;
}

}  // namespace

Result<std::vector<SlotEnd>> find_slot_ends(Files& files) {
  Snapshot snapshot(files);
  PARLEY_TRY(snapshot.begun());
  Ends ends;
  PARLEY_TRY(Cursor cursor, snapshot.store.cursor(kSlots));
  Cursor::Row row;
  for (bool found = cursor.first(row); found; found = cursor.next(row)) {
    const Slot slot{format::number_from_key(row.key)};
    const auto stored = format::decode_slot_row(row.value);
    // Without it nobody knows which indexes were given: going on could give one twice.
    if (!stored) {
      log::error("a slot's row in the store is damaged", {{"slot", slot}});
      return stored.error();
    }
    ends[slot] = {slot, stored->term, stored->last};
  }
  if (cursor.failed()) return snapshot.store.environment().translate(cursor.code(), "read the slots");
  PARLEY_TRY(for_each_unmaterialised(snapshot, [&ends](Lsn, std::string_view bytes) { take_position(ends, bytes); }));
  std::vector<SlotEnd> result;
  for (const auto& [slot, end] : ends) result.push_back(end);
  return result;
}

Result<std::vector<format::HardStateRow>> find_hard_states(Files& files) {
  ReadTransaction log(files.log());
  const ReadScope scope(log);
  PARLEY_TRY(scope.begun());
  PARLEY_TRY(Cursor cursor, log.cursor(kLogTable));
  std::vector<format::HardStateRow> states;
  Cursor::Row row;
  for (bool found = cursor.seek(format::hard_state_key({0}), row); found; found = cursor.next(row)) {
    const auto slot = format::hard_state_slot(row.key);
    if (!slot) break;
    auto state = format::decode_hard_state_row(row.value);
    if (state && state->slot != *slot) state = StorageError::CorruptRecord;
    if (!state) {
      log::error("a slot's hard state is damaged, the node can't know for whom it voted", {{"slot", *slot}});
      return state.error();
    }
    states.push_back(*state);
  }
  if (cursor.failed()) return log.environment().translate(cursor.code(), "read the hard states");
  return states;
}

Result<void> for_each_session(Files& files, const std::function<void(const StoredSessionView&)>& visit) {
  Snapshot snapshot(files);
  PARLEY_TRY(snapshot.begun());
  return SessionWalk(snapshot, visit).walk();
}

}  // namespace parley::storage
