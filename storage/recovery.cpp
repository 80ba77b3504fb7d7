#include "storage/recovery.hpp"

#include <algorithm>
#include <map>

#include "base/log.hpp"
#include "storage/environment.hpp"
#include "storage/files.hpp"
#include "storage/format/keys.hpp"
#include "storage/format/rows.hpp"
#include "storage/log_places.hpp"
#include "storage/log_walk.hpp"
#include "storage/session_changes.hpp"
#include "storage/session_finder.hpp"
#include "storage/slot_index.hpp"
#include "storage/slot_queues.hpp"
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

using SlotRows = std::map<Slot, format::SlotRow>;

Result<SlotRows> read_slot_rows(ReadTransaction& store) {
  SlotRows rows;
  PARLEY_TRY(Cursor cursor, store.cursor(kSlots));
  Cursor::Row row;
  for (bool found = cursor.first(row); found; found = cursor.next(row)) {
    const Slot slot{format::number_from_key(row.key)};
    const auto stored = format::decode_slot_row(row.value);
    // Without it nobody knows which indexes were given: going on could give one twice.
    if (!stored) {
      log::error("a slot's row in the store is damaged", {{"slot", slot}});
      return stored.error();
    }
    rows[slot] = *stored;
  }
  if (cursor.failed()) return store.environment().translate(cursor.code(), "read the slots");
  return rows;
}

/// The unmaterialised records of each slot that no later one has replaced. A damaged record is among them where its
/// fields still say plainly that it is its slot's next.
class UnmaterialisedRecords {
 public:
  struct Note {
    Term term;              ///< 0: damaged.
    bool replicas = false;  ///< It names some.
  };
  using Queues = SlotQueues<Note>;

  static Result<UnmaterialisedRecords> read(Snapshot& snapshot, const SlotRows& rows) {
    UnmaterialisedRecords records;
    PARLEY_TRY(const Lsn watermark, read_watermark(snapshot.store));
    for (const auto& [slot, row] : rows) {
      records.queues_.begin(slot, row.last, std::max(row.through, watermark));
    }
    LogWalk walk;
    walk.begin_behind(watermark);
    PARLEY_TRY(walk.follow(snapshot.log, [&records](Lsn position, std::string_view bytes) -> Result<void> {
      records.take(position, bytes);
      return {};
    }));
    return records;
  }

  [[nodiscard]] const Queues& by_slot() const { return queues_; }
  /// In the order of the log.
  [[nodiscard]] std::vector<Lsn> positions() const {
    std::vector<Lsn> all;
    for (const Slot slot : queues_.busy()) {
      for (const Queues::Item& item : queues_.items(slot)) all.push_back(item.position);
    }
    std::ranges::sort(all);
    return all;
  }

 private:
  void take(Lsn position, std::string_view bytes) {
    const auto checked = format::decode_position(bytes);
    const auto place = checked ? checked : format::decode_trusted_position(bytes);
    if (!place || (!checked && place->index != queues_.last(place->slot).next())) return;
    queues_.add(place->slot,
                {position, place->index, {checked ? place->term : Term{0}, format::is_replicas_record(bytes)}});
  }

  Queues queues_;
};

class SessionWalk {
 public:
  SessionWalk(Snapshot& snapshot, bool with_cursors, const std::function<void(const StoredSessionView&)>& visit)
      : snapshot_(snapshot), with_cursors_(with_cursors), visit_(visit) {}

  Result<void> walk();

 private:
  Result<void> take_changes();
  Result<void> visit(std::string_view key, std::string_view bytes, const SessionChange* change);

  Snapshot& snapshot_;
  const bool with_cursors_;
  const std::function<void(const StoredSessionView&)>& visit_;
  SessionChanges changes_;
};

Result<void> SessionWalk::walk() {
  PARLEY_TRY(take_changes());
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
    PARLEY_TRY(visit(row.key, change != nullptr && change->session ? *change->session : row.value, change));
  }
  if (cursor.failed()) return snapshot_.store.environment().translate(cursor.code(), "read the sessions");
  for (const auto& [client_id, change] : fresh) {
    PARLEY_TRY(visit({}, *change->session, change));
  }
  return {};
}

Result<void> SessionWalk::visit(std::string_view key, std::string_view bytes, const SessionChange* change) {
  if (with_cursors_) return visit_session(snapshot_.store, key, bytes, change, visit_);
  const auto record = format::decode_trusted_record(bytes);
  if (!record) return record.error();
  visit_({std::get<format::SessionRecord>(record->body), {}});
  return {};
}

Result<void> SessionWalk::take_changes() {
  PARLEY_TRY(const SlotRows rows, read_slot_rows(snapshot_.store));
  PARLEY_TRY(const auto records, UnmaterialisedRecords::read(snapshot_, rows));
  for (const Lsn position : records.positions()) {
    PARLEY_TRY(const auto bytes, snapshot_.log.get(kLogTable, format::number_key(position)));
    if (!bytes) continue;
    if (const auto record = format::decode_record(*bytes)) changes_.take(*record, *bytes);
  }
  return {};
}

}  // namespace

Result<std::vector<SlotEnd>> find_slot_ends(Files& files) {
  Snapshot snapshot(files);
  PARLEY_TRY(snapshot.begun());
  PARLEY_TRY(const SlotRows rows, read_slot_rows(snapshot.store));
  PARLEY_TRY(const auto records, UnmaterialisedRecords::read(snapshot, rows));
  std::map<Slot, SlotEnd> ends;
  for (const auto& [slot, row] : rows) ends[slot] = {slot, row.term, row.last};
  for (const Slot slot : records.by_slot().busy()) {
    SlotEnd& end = ends[slot];
    end.slot = slot;
    end.last = records.by_slot().last(slot);
    for (const auto& item : records.by_slot().items(slot)) end.term = std::max(end.term, item.note.term);
  }
  std::vector<SlotEnd> result;
  for (const auto& [slot, end] : ends) result.push_back(end);
  return result;
}

namespace {

/// Where slots' logs end, as far as that can be said of a damaged log.
class LatestEnds {
 public:
  LatestEnds(const SlotRows& rows, const std::vector<format::HardStateRow>& hard_states, Lsn watermark)
      : before_(watermark) {
    for (const auto& [slot, row] : rows) {
      ends_[slot] = {.end = {slot, row.term, row.last}, .at = std::max(row.through, watermark)};
    }
    for (const format::HardStateRow& hard : hard_states) {
      End& one = ends_[hard.slot];
      one.end.slot = hard.slot;
      one.promised = hard.term;
    }
  }

  void take(Lsn position, std::string_view bytes) {
    const std::uint64_t missing = position.value - before_.value - 1;
    if (missing > 0) unknown_.push_back({.last = {position.value - 1}, .count = missing});
    before_ = position;
    if (const auto place = format::decode_position(bytes)) {
      End& one = ends_[place->slot];
      if (position <= one.at) return;
      one = {.end = {place->slot, place->term, place->index}, .at = position, .promised = one.promised};
    } else {
      take_damaged(position, format::decode_trusted_position(bytes));
    }
  }

  [[nodiscard]] std::vector<SlotEnd> list() const {
    std::vector<SlotEnd> list;
    for (const auto& [slot, one] : ends_) {
      // Any of those may have been its next one, of any term that it has promised.
      std::uint64_t further = 0;
      for (const Unknown& some : unknown_) {
        if (some.last > one.at) further += std::min(some.count, kMost - further);
      }
      list.push_back(one.end);
      list.back().last = {one.end.last.value + std::min(further, kMost - one.end.last.value)};
      if (one.vague || further > 0) list.back().term = std::max(one.end.term, one.promised);
    }
    return list;
  }

 private:
  static constexpr std::uint64_t kMost = ~std::uint64_t{0};

  struct End {
    SlotEnd end;
    Lsn at;              ///< Of the record there.
    Term promised = {};  ///< None of its records is of a later term.
    bool vague = false;
  };
  /// Missing, or of nobody knows which slot.
  struct Unknown {
    Lsn last;
    std::uint64_t count = 1;
  };

  /// With one field wrong it is the next one of a slot for which its index is: also the slot may be that field.
  void take_damaged(Lsn position, const Result<format::RecordPosition>& place) {
    bool somebodys = false;
    for (auto& [slot, one] : ends_) {
      if (!place || position <= one.at || one.end.last.next() != place->index) continue;
      one.end.last = place->index;
      one.vague = true;
      somebodys = somebodys || slot == place->slot;
    }
    if (!somebodys) unknown_.push_back({.last = position});
  }

  std::map<Slot, End> ends_;
  std::vector<Unknown> unknown_;
  Lsn before_;
};

}  // namespace

Result<std::vector<SlotEnd>> find_latest_slot_ends(Files& files) {
  PARLEY_TRY(const auto hard_states, find_hard_states(files));
  Snapshot snapshot(files);
  PARLEY_TRY(snapshot.begun());
  PARLEY_TRY(const SlotRows rows, read_slot_rows(snapshot.store));
  PARLEY_TRY(const Lsn watermark, read_watermark(snapshot.store));
  LatestEnds ends(rows, hard_states, watermark);
  LogWalk walk;
  walk.begin_behind(watermark);
  PARLEY_TRY(walk.follow(snapshot.log, [&ends](Lsn position, std::string_view bytes) -> Result<void> {
    ends.take(position, bytes);
    return {};
  }));
  return ends.list();
}

namespace {

/// What the log has beyond the row.
Result<void> add_unmaterialised(SlotState& state, ReadTransaction& log, const UnmaterialisedRecords& records) {
  const Slot slot = state.hard.slot;
  if (records.by_slot().is_new(slot)) return {};
  state.last = records.by_slot().last(slot);
  for (const auto& item : records.by_slot().items(slot)) {
    const auto& [term, replicas] = item.note;
    if (term != Term{0} && (state.terms.empty() || state.terms.back().term != term)) {
      state.terms.push_back({term, item.index});
    }
    if (!replicas) continue;
    PARLEY_TRY(const auto bytes, log.get(kLogTable, format::number_key(item.position)));
    const auto record = bytes ? format::decode_record(*bytes) : Result<format::Record>(StorageError::CorruptRecord);
    if (!record) return record.error();
    const auto& set = std::get<format::ReplicasRecord>(record->body);
    state.replicas.push_back({item.index, format::nodes_of(set.voters), format::nodes_of(set.learners)});
  }
  return {};
}

}  // namespace

Result<std::vector<SlotState>> find_slot_states(Files& files) {
  PARLEY_TRY(const auto hard_states, find_hard_states(files));
  Snapshot snapshot(files);
  PARLEY_TRY(snapshot.begun());
  PARLEY_TRY(SlotRows rows, read_slot_rows(snapshot.store));
  PARLEY_TRY(const auto records, UnmaterialisedRecords::read(snapshot, rows));
  PARLEY_TRY(const LogRange range, read_log_range(snapshot.log));
  std::map<Slot, SlotState> states;
  for (auto& [slot, row] : rows) {
    constexpr std::size_t kEveryBlock = ~std::size_t{0};
    const Lsn log_first = range.first == Lsn{0} ? Lsn{~0ULL} : range.first;
    PARLEY_TRY(const Index base, find_base(snapshot.store, slot, row, log_first, kEveryBlock));
    row.begin_behind(base);
    SlotState& state = states[slot];
    state.base = row.base;
    state.terms = std::move(row.terms);
    state.last = state.materialised = row.last;
    state.replicas = std::move(row.replicas);
  }
  for (const Slot slot : records.by_slot().busy()) states.try_emplace(slot);
  for (const format::HardStateRow& hard : hard_states) states[hard.slot].hard = hard;
  std::vector<SlotState> result;
  for (auto& [slot, state] : states) {
    state.hard.slot = slot;
    PARLEY_TRY(add_unmaterialised(state, snapshot.log, records));
    // A slot without a hard state is of a version that gave every record term 1 or the one before.
    if (!state.terms.empty()) state.hard.term = std::max(state.hard.term, state.terms.back().term);
    state.hard.term = std::max(state.hard.term, state.base.term);
    result.push_back(std::move(state));
  }
  return result;
}

Result<void> find_log_places(Files& files, LogPlaces& places) {
  Snapshot snapshot(files);
  PARLEY_TRY(snapshot.begun());
  PARLEY_TRY(const SlotRows rows, read_slot_rows(snapshot.store));
  PARLEY_TRY(const auto records, UnmaterialisedRecords::read(snapshot, rows));
  for (const Slot slot : records.by_slot().busy()) {
    for (const auto& item : records.by_slot().items(slot)) places.add(slot, item.index, item.position);
  }
  return {};
}

Result<std::vector<CommitBounds>> find_commit_bounds(Files& files) {
  PARLEY_TRY(const auto ends, find_slot_ends(files));
  PARLEY_TRY(const auto states, find_hard_states(files));
  ReadTransaction store(files.store());
  const ReadScope scope(store);
  PARLEY_TRY(scope.begun());
  PARLEY_TRY(const SlotRows rows, read_slot_rows(store));
  std::vector<CommitBounds> bounds;
  for (const SlotEnd& end : ends) {
    const auto row = rows.find(end.slot);
    const bool replicated = std::ranges::binary_search(states, end.slot, {}, &format::HardStateRow::slot);
    const Index materialised = row == rows.end() ? Index{0} : row->second.last;
    bounds.push_back({end.slot, replicated ? materialised : end.last, end.last});
  }
  return bounds;
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
  return SessionWalk(snapshot, true, visit).walk();
}

Result<void> for_each_session_record(Files& files, const std::function<void(const StoredSessionView&)>& visit) {
  Snapshot snapshot(files);
  PARLEY_TRY(snapshot.begun());
  return SessionWalk(snapshot, false, visit).walk();
}

}  // namespace parley::storage
