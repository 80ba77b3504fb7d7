#include "storage/materialiser.hpp"

#include <algorithm>
#include <optional>
#include <span>
#include <string>

#include "base/bytes.hpp"
#include "base/log.hpp"
#include "storage/environment.hpp"
#include "storage/files.hpp"
#include "storage/format/keys.hpp"
#include "storage/format/rows.hpp"
#include "storage/format/sealed.hpp"
#include "storage/materialiser_batch.hpp"
#include "storage/slot_index.hpp"
#include "storage/slot_snapshot.hpp"
#include "storage/store_tables.hpp"

namespace parley::storage {

/// One batch on its way into the store: which tables it changes, in which order, within one transaction.
class Materialiser::Writing {
 public:
  Writing(Materialiser& owner, WriteTransaction& store, Lsn log_first)
      : batch_(*owner.batch_),
        store_(store),
        log_first_(log_first),
        index_slots_(owner.options_.index_slots),
        hash_key_(owner.files_->hash_key()),
        ids_to_prune_(owner.ids_to_prune_) {}

  /// `watermark`: once this is done.
  Result<void> write(Lsn watermark) {
    PARLEY_TRY(write_created());
    PARLEY_TRY(count_damaged());
    batch_.sort();
    PARLEY_TRY(write_entries());
    PARLEY_TRY(write_amendments());
    PARLEY_TRY(write_retentions());
    PARLEY_TRY(batch_.members().write(store_));
    PARLEY_TRY(batch_.marks().write(store_));
    PARLEY_TRY(batch_.erasures().write(store_));
    PARLEY_TRY(write_ids());
    PARLEY_TRY(prune_ids());
    for (const auto& [client_id, change] : batch_.sessions().clients()) {
      PARLEY_TRY(write_session(client_id, change));
    }
    PARLEY_TRY(write_slots());
    return store_.put(kMeta, kMetaWatermark, format::number_key(watermark));
  }
  [[nodiscard]] std::size_t redactions() const { return redactions_; }

 private:
  struct NewId {
    ConversationNumber conversation;
    std::uint32_t generation;
    std::uint64_t hash;
    format::IdRow row;
  };
  using Items = std::span<const Batch::Item>;

  Result<void> write_created();
  Result<void> count_damaged();
  Result<void> write_entries();
  Result<void> write_conversation(Items items);
  void take_ids(Items items, format::ConversationRow& row);
  Result<void> write_amendments();
  Result<void> write_retentions();
  Result<void> edit(ConversationNumber conversation, const format::EntryRecord& entry);
  Result<void> redact(ConversationNumber conversation, const format::EntryRecord& entry);
  Result<void> redact_row(ConversationNumber conversation, Seq seq, Seq by);
  Result<void> write_ids();
  Result<void> prune_ids();
  Result<void> write_session(std::string_view client_id, const SessionChange& change);
  Result<void> erase_cursors(std::string_view session_key);
  Result<void> write_slots();
  static void add_news(format::SlotRow& row, const format::SlotRow& news, bool indexed);
  Result<void> index_records(Slot slot, std::span<const Batch::Place> places);
  Result<void> move_base(Slot slot, format::SlotRow& row);

  Batch& batch_;
  WriteTransaction& store_;
  const Lsn log_first_;  ///< The log's first record.
  const bool index_slots_;
  const format::HashKey& hash_key_;
  std::vector<std::pair<ConversationNumber, std::uint32_t>>& ids_to_prune_;
  std::vector<NewId> ids_;
  std::size_t redactions_ = 0;
  std::string row_;  ///< Encoded here.
};

Result<void> Materialiser::Writing::write_created() {
  for (const Batch::Created& created : batch_.created()) {
    const auto key = format::number_key(created.number);
    PARLEY_TRY(const auto named, store_.get(kNames, created.record.name));
    if (named && *named != key.bytes()) {
      log::error("a second conversation of the same name is in the log, the first one keeps the name",
                 {{"lsn", created.position}, {"conversation", created.number}});
    } else if (!named) {
      PARLEY_TRY(store_.put(kNames, created.record.name, key));
    }
    PARLEY_TRY(const auto row, store_.get(kConversations, key));
    if (row) continue;  // Done before.
    format::encode_row(row_, format::ConversationRow{.name = created.record.name,
                                                     .epoch = created.record.epoch,
                                                     .created = created.record.created,
                                                     .last_ts = created.record.created,
                                                     .type = created.record.type,
                                                     .visibility = created.record.visibility,
                                                     .creator = created.record.creator});
    PARLEY_TRY(store_.put(kConversations, key, row_));
  }
  return {};
}

/// The same rule as in the TailIndex: where a damaged record's fields still say plainly whose next entry it is, its seq
/// counts as given. Its bytes are stored there, and whoever reads them finds that they are damaged.
Result<void> Materialiser::Writing::count_damaged() {
  for (const Batch::Damaged& damaged : batch_.damaged()) {
    bool counted = false;
    if (damaged.conversation.value != 0) {
      PARLEY_TRY(const auto bytes, store_.get(kConversations, format::number_key(damaged.conversation)));
      const auto row = bytes ? format::decode_conversation_row(*bytes) : StorageError::NotFound;
      // What came after it in the log may show that it was given, too.
      counted = row.has_value() && damaged.seq > row->head &&
                damaged.seq <= std::max(row->head, batch_.highest(damaged.conversation)).next();
      if (counted) batch_.count(damaged);
    }
    log::error("a record of the log is damaged, going on behind it",
               {{"lsn", damaged.position}, {"seq_counts_as_given", counted}});
  }
  return {};
}

Result<void> Materialiser::Writing::write_entries() {
  const Items items(batch_.items());
  PARLEY_TRY(Cursor cursor, store_.cursor(kEntries));
  for (std::size_t begin = 0; begin < items.size();) {
    std::size_t end = begin;
    for (; end < items.size() && items[end].conversation == items[begin].conversation; ++end) {
      // One that is there stays: it is the same, or the first of two.
      const int code =
          cursor.put(format::entry_key(items[end].conversation, items[end].seq), items[end].bytes, MDB_NOOVERWRITE);
      if (code != MDB_SUCCESS && code != MDB_KEYEXIST) return store_.environment().translate(code, "write entries");
    }
    PARLEY_TRY(write_conversation(items.subspan(begin, end - begin)));
    begin = end;
  }
  return {};
}

Result<void> Materialiser::Writing::write_conversation(Items items) {
  const auto key = format::number_key(items.front().conversation);
  PARLEY_TRY(const auto bytes, store_.get(kConversations, key));
  if (!bytes) {
    log::error("entries of a conversation that nobody has created, keeping them unreachable",
               {{"conversation", items.front().conversation}, {"first", items.front().seq}, {"count", items.size()}});
    return {};
  }
  auto row = format::decode_conversation_row(*bytes);
  if (!row) {
    if (row.error() != make_error_code(StorageError::CorruptRecord)) return row.error();
    log::error("a conversation's row in the store is damaged, its head doesn't move",
               {{"conversation", items.front().conversation}, {"first", items.front().seq}, {"count", items.size()}});
    return {};
  }
  take_ids(items, *row);
  row->head = std::max(row->head, items.back().seq);
  for (const Batch::Item& item : items) row->last_ts = std::max(row->last_ts, item.ts);
  format::encode_row(row_, *row);
  return store_.put(kConversations, key, row_);
}

void Materialiser::Writing::take_ids(Items items, format::ConversationRow& row) {
  format::ConversationRow::Ids& ids = row.ids;
  for (const Batch::Item& item : items) {
    if (item.ts.milliseconds == 0) continue;  // Damaged.
    if (ids.started.milliseconds == 0) ids = {.generation = 0, .first = item.seq, .started = item.ts};
    if (item.seq.value >= ids.first.value + kIdGenerationEntries &&
        item.ts.milliseconds >= ids.started.milliseconds + kIdGenerationMilliseconds) {
      ids = {ids.generation + 1, item.seq, item.ts, ids.first};
      if (ids.generation >= 2) ids_to_prune_.emplace_back(item.conversation, ids.generation - 1);
    }
    if (!item.has_id || item.seq < ids.previous_first) continue;
    const std::uint32_t generation = item.seq >= ids.first ? ids.generation : ids.generation - 1;
    ids_.push_back({item.conversation, generation, item.id_hash, {item.seq, item.ts}});
  }
}

Result<void> Materialiser::Writing::write_amendments() {
  for (const Batch::Amendment& one : batch_.amendments()) {
    PARLEY_TRY(one.entry.kind == format::EntryKind::Edit ? edit(one.conversation, one.entry)
                                                         : redact(one.conversation, one.entry));
  }
  return {};
}

/// The message's row gets the content of its latest edit.
Result<void> Materialiser::Writing::edit(ConversationNumber conversation, const format::EntryRecord& entry) {
  PARLEY_TRY(store_.put(kAmendments, format::amendment_key(conversation, entry.ref, entry.seq), {}));
  const auto key = format::entry_key(conversation, entry.ref);
  PARLEY_TRY(const auto bytes, store_.get(kEntries, key));
  const auto record = bytes ? format::decode_record(*bytes) : Result<format::Record>(StorageError::NotFound);
  const auto* message = record ? std::get_if<format::EntryRecord>(&record->body) : nullptr;
  if (message == nullptr || message->kind != format::EntryKind::Message) return {};
  if (message->redacted) return redact_row(conversation, entry.seq, message->ref);
  if (message->ref >= entry.seq || entry.redacted) return {};  // Done before.
  return store_.put(kEntries, key, format::encode_edited(record->position, *message, entry));
}

Result<void> Materialiser::Writing::redact(ConversationNumber conversation, const format::EntryRecord& entry) {
  ++redactions_;
  PARLEY_TRY(redact_row(conversation, entry.ref, entry.seq));
  PARLEY_TRY(Cursor cursor, store_.cursor(kAmendments));
  Cursor::Row row;
  const auto first = format::amendment_key(conversation, entry.ref, Seq{0});
  const std::string_view prefix = first.bytes().substr(0, 16);
  std::vector<Seq> edits;
  for (bool found = cursor.seek(first, row); found && row.key.starts_with(prefix); found = cursor.next(row)) {
    edits.push_back(format::amendment_seq(row.key));
  }
  PARLEY_TRY(store_.check(cursor, "look for edits"));
  for (const Seq edit : edits) {
    PARLEY_TRY(redact_row(conversation, edit, entry.seq));
  }
  return {};
}

/// Over the original, and of its size, so that nothing of it stays in the page; Purge cleans where it stood before.
Result<void> Materialiser::Writing::redact_row(ConversationNumber conversation, Seq seq, Seq by) {
  const auto key = format::entry_key(conversation, seq);
  PARLEY_TRY(const auto bytes, store_.get(kEntries, key));
  const auto record = bytes ? format::decode_record(*bytes) : Result<format::Record>(StorageError::NotFound);
  const auto* entry = record ? std::get_if<format::EntryRecord>(&record->body) : nullptr;
  if (entry != nullptr && entry->kind != format::EntryKind::Message && entry->kind != format::EntryKind::Edit)
    return {};
  if (entry != nullptr && !entry->redacted) {
    row_ = *bytes;
    format::redact_record(row_, by);
    PARLEY_TRY(store_.put(kEntries, key, row_));
  } else if (bytes && entry == nullptr) {
    // Damaged, but there: nothing of it stays either.
    row_.assign(bytes->size(), '\0');
    PARLEY_TRY(store_.put(kEntries, key, row_));
  }
  return store_.put(kScrubs, key, format::number_key(by));
}

/// From now on nobody sees what is before it; Trim deletes it.
Result<void> Materialiser::Writing::write_retentions() {
  for (const format::RetentionRecord& retention : batch_.retentions()) {
    const auto key = format::number_key(retention.conversation);
    PARLEY_TRY(const auto bytes, store_.get(kConversations, key));
    auto row = bytes ? format::decode_conversation_row(*bytes) : StorageError::NotFound;
    if (!row || retention.oldest <= row->oldest) continue;
    row->oldest = retention.oldest;  // From another node's store it may come before the entries.
    format::encode_row(row_, *row);
    PARLEY_TRY(store_.put(kConversations, key, row_));
    PARLEY_TRY(store_.put(kTrims, key, {}));
  }
  return {};
}

Result<void> Materialiser::Writing::write_ids() {
  const auto place = [](const NewId& id) { return std::tuple(id.conversation, id.generation, id.hash); };
  std::ranges::stable_sort(ids_, {}, place);
  PARLEY_TRY(Cursor cursor, store_.cursor(kIds));
  Cursor::Row there;
  for (const NewId& id : ids_) {
    const auto key = format::id_key(id.conversation, id.generation, id.hash);
    format::encode_row(row_, id.row);
    int code = cursor.put(key, row_, MDB_NOOVERWRITE);
    if (code == MDB_KEYEXIST && cursor.seek_exactly(key, there)) {
      // Used again after it was forgotten: the later use counts.
      const auto earlier = format::decode_id_row(there.value);
      code = earlier && earlier->seq >= id.row.seq ? MDB_SUCCESS : cursor.put(key, row_);
    }
    if (code != MDB_SUCCESS) return store_.environment().translate(code, "write ids");
  }
  return {};
}

/// A generation can be large: a piece of it goes with each batch.
Result<void> Materialiser::Writing::prune_ids() {
  std::size_t left = 1'000 + 2 * batch_.records();
  PARLEY_TRY(Cursor cursor, store_.cursor(kIds));
  while (!ids_to_prune_.empty() && left > 0) {
    const auto [conversation, kept] = ids_to_prune_.back();
    const auto behind = format::id_key(conversation, kept, 0);
    Cursor::Row row;
    while (left > 0 && cursor.seek(format::id_key(conversation, 0, 0), row) && row.key < behind.bytes()) {
      if (const int code = cursor.erase(); code != 0) return store_.environment().translate(code, "erase ids");
      --left;
    }
    PARLEY_TRY(store_.check(cursor, "look for old ids"));
    if (left > 0) ids_to_prune_.pop_back();
  }
  return {};
}

Result<void> Materialiser::Writing::write_session(std::string_view client_id, const SessionChange& change) {
  const std::string key = format::session_key(hash_key_, client_id);
  if (change.ended) {
    PARLEY_TRY(store_.erase(kSessions, key));
    PARLEY_TRY(erase_cursors(key));
  }
  if (change.session) {
    PARLEY_TRY(store_.put(kSessions, key, *change.session));
  } else {
    PARLEY_TRY(const auto session, store_.get(kSessions, key));
    if (!session) return {};
  }
  for (const auto& [topic, bytes] : change.cursors) {
    PARLEY_TRY(store_.put(kCursors, format::cursor_key(hash_key_, client_id, topic), bytes));
  }
  return {};
}

Result<void> Materialiser::Writing::erase_cursors(std::string_view session_key) {
  PARLEY_TRY(Cursor cursor, store_.cursor(kCursors));
  Cursor::Row row;
  while (cursor.seek(session_key, row) && row.key.starts_with(session_key)) {
    if (const int code = cursor.erase(); code != 0) return store_.environment().translate(code, "erase cursors");
  }
  return store_.check(cursor, "look for cursors");
}

Result<void> Materialiser::Writing::write_slots() {
  for (const auto& [slot, news] : batch_.slots()) {
    const auto key = format::number_key(slot);
    PARLEY_TRY(const auto bytes, store_.get(kSlots, key));
    const auto before = bytes ? format::decode_slot_row(*bytes) : Result<format::SlotRow>(StorageError::NotFound);
    format::SlotRow row = before ? *before : format::SlotRow{};
    add_news(row, news, index_slots_);
    if (index_slots_) {
      PARLEY_TRY(index_records(slot, batch_.places(slot)));
      PARLEY_TRY(move_base(slot, row));
    }
    format::encode_row(row_, row);
    PARLEY_TRY(store_.put(kSlots, key, row_));
  }
  return {};
}

void Materialiser::Writing::add_news(format::SlotRow& row, const format::SlotRow& news, bool indexed) {
  row.term = std::max(row.term, news.term);
  row.last = news.last;
  row.through = news.through;
  for (const auto& run : news.terms) {
    if (row.terms.empty() || row.terms.back().term != run.term) row.terms.push_back(run);
  }
  row.replicas.insert(row.replicas.end(), news.replicas.begin(), news.replicas.end());
  if (!indexed) {
    row.begin_behind(row.last);
    row.base.term = row.term;
  }
}

Result<void> Materialiser::Writing::index_records(Slot slot, std::span<const Batch::Place> places) {
  for (std::size_t at = 0; at < places.size();) {
    const std::uint64_t number = SlotIndexBlock::number_of(places[at].index);
    const auto key = format::slot_index_key(slot, number);
    PARLEY_TRY(const auto stored, store_.get(kSlotIndex, key));
    SlotIndexBlock block(stored);
    for (; at < places.size() && SlotIndexBlock::number_of(places[at].index) == number; ++at) {
      block.set(places[at].index, places[at].position);
    }
    PARLEY_TRY(store_.put(kSlotIndex, key, block.bytes()));
  }
  return {};
}

/// What was cut from the log since then is not in the index any longer.
Result<void> Materialiser::Writing::move_base(Slot slot, format::SlotRow& row) {
  constexpr std::size_t kBlocksMax = 16;
  const std::uint64_t before = SlotIndexBlock::number_of(row.base.index.next());
  PARLEY_TRY(const Index base, find_base(store_, slot, row, log_first_, kBlocksMax));
  row.begin_behind(base);
  for (std::uint64_t block = before; block < SlotIndexBlock::number_of(base.next()); ++block) {
    PARLEY_TRY(store_.erase(kSlotIndex, format::slot_index_key(slot, block)));
  }
  return {};
}

Materialiser::Materialiser(std::shared_ptr<Files> files, const Options& options)
    : files_(std::move(files)),
      options_(options),
      refuses_damage_(options.refuses_damage),
      commits_(files_),
      log_(std::make_unique<ReadTransaction>(files_->log())),
      batch_(std::make_unique<Batch>()) {}
Materialiser::~Materialiser() = default;

Result<Materialiser::Done> Materialiser::step(const Limits& limits) {
  damaged_ = {};
  PARLEY_TRY(commits_.read());
  const ReadScope log_scope(*log_);
  PARLEY_TRY(log_scope.begun());
  WriteTransaction store(files_->store());
  auto done = store.begin();
  Lsn watermark;
  std::size_t redactions = 0;
  if (done) {
    PARLEY_TRY(const Lsn before, read_watermark(store));
    PARLEY_TRY(scan(before, store));
    PARLEY_TRY(batch_->read(*log_, waiting_, commits_, limits, files_->hash_key()));
    if (refuses_damage_) {
      PARLEY_TRY(refuse_damage());
    }
    watermark = watermark_after_batch();
    if (batch_->records() == 0 && watermark == before) return Done{.watermark = watermark, .slots = {}};
    const auto pruning_before = ids_to_prune_;
    PARLEY_TRY(const LogRange range, read_log_range(*log_));
    Writing writing(*this, store, range.first);
    done = writing.write(watermark);
    redactions = writing.redactions();
    if (done) done = store.commit();
    if (!done) ids_to_prune_ = pruning_before;
  }
  if (done) {
    watermark_ = watermark;
    drop_batch();
    Done result{.records = batch_->records(),
                .bytes = batch_->bytes(),
                .redactions = redactions,
                .retentions = batch_->retentions().size(),
                .watermark = watermark,
                .slots = {}};
    for (const auto& [slot, row] : batch_->slots()) result.slots.emplace_back(slot, row.last);
    return result;
  }
  if (store.environment_stopped()) {
    // Whether the batch is in the file or not: the watermark tells, and the next step goes on from there.
    PARLEY_TRY(files_->store().revive(store.opening()));
    forget();
  }
  return done.error();
}

/// A record whose checksum is right and that isn't understood is no fault of the disk: every replica has it.
Result<void> Materialiser::refuse_damage() {
  for (const Batch::Damaged& damaged : batch_->damaged()) {
    constexpr std::uint8_t kAnyVersion = 0xFF;
    if (format::check_seal(damaged.bytes, kAnyVersion)) continue;
    damaged_ = damaged.position;
    return StorageError::CorruptRecord;
  }
  return {};
}

// -- What waits --

Result<void> Materialiser::scan(Lsn watermark, WriteTransaction& store) {
  PARLEY_TRY(const bool goes_on, walk_.goes_on(*log_, watermark));
  if (!goes_on || watermark != watermark_) {
    forget();
    watermark_ = watermark;
    walk_.begin_behind(watermark);
  }
  return walk_.follow(*log_, [&](Lsn position, std::string_view bytes) { return queue(position, bytes, store); });
}

Result<void> Materialiser::queue(Lsn position, std::string_view bytes, WriteTransaction& store) {
  const auto checked = format::decode_position(bytes);
  if (!checked && checked.error() != make_error_code(StorageError::CorruptRecord)) return checked.error();
  const auto place = checked ? checked : format::decode_trusted_position(bytes);
  if (place && waiting_.is_new(place->slot)) {
    PARLEY_TRY(begin_slot(place->slot, store));
  }
  if (checked || (place && place->index == waiting_.last(place->slot).next())) {
    waiting_.add(place->slot, {position, place->index, {}});
  } else if (place) {
    waiting_.add_behind(place->slot, position, {});
  }
  return {};
}

Result<void> Materialiser::begin_slot(Slot slot, WriteTransaction& store) {
  PARLEY_TRY(const auto bytes, store.get(kSlots, format::number_key(slot)));
  const auto row = bytes ? format::decode_slot_row(*bytes) : Result<format::SlotRow>(StorageError::NotFound);
  if (row) waiting_.begin(slot, row->last, row->through);
  return {};
}

Lsn Materialiser::watermark_after_batch() const {
  Lsn watermark = walk_.end();
  for (const Slot slot : waiting_.busy()) {
    const auto items = waiting_.items(slot);
    const auto count = batch_->counts().find(slot);
    const std::size_t done = count == batch_->counts().end() ? 0 : count->second;
    if (done < items.size()) watermark = std::min(watermark, Lsn{items[done].position.value - 1});
  }
  return watermark;
}

void Materialiser::drop_batch() {
  for (const auto& [slot, count] : batch_->counts()) waiting_.drop(slot, count);
  waiting_.tidy();
}

// -- Snapshots --

Result<std::string> Materialiser::take_snapshot(const SnapshotPiece& piece) {
  if (!piece.bytes.empty()) {
    WriteTransaction store(files_->store());
    auto done = store.begin();
    if (done) done = write_snapshot(piece, store);
    if (done) done = store.commit();
    if (!done) return failed(store, done.error());
  }
  ReadTransaction store(files_->store());
  const ReadScope scope(store);
  PARLEY_TRY(scope.begun());
  return known_of(store, piece.slot, piece.next);
}

Result<void> Materialiser::write_snapshot(const SnapshotPiece& piece, WriteTransaction& store) {
  PARLEY_TRY(const auto items, decode_items(piece.bytes));
  std::vector<std::string_view> records;
  for (const SnapshotItem& item : items) {
    if (item.kind == SnapshotItem::Kind::Record) records.push_back(item.bytes);
    if (item.kind == SnapshotItem::Kind::BeginSessions) {
      PARLEY_TRY(erase_sessions(store, piece.slot, piece.slots));
    }
  }
  PARLEY_TRY(batch_->read_snapshot(records, piece.slot, files_->hash_key()));
  PARLEY_TRY(const Lsn watermark, read_watermark(store));
  PARLEY_TRY(Writing(*this, store, {}).write(watermark));
  // Last, since entries make such rows, too.
  for (const SnapshotItem& item : items) {
    const std::size_t table = kSnapshotTables.at(item.table);
    if (item.kind == SnapshotItem::Kind::BeginRows) {
      PARLEY_TRY(erase_rows(store, table, piece.slot));
    } else if (item.kind == SnapshotItem::Kind::Row) {
      const bool belongs = item.key.size() >= 8 && item.key.size() <= format::kKeySizeMax &&
                           slot_of({load_big_endian<std::uint64_t>(item.key.data())}) == piece.slot;
      if (!belongs) return StorageError::CorruptRecord;
      PARLEY_TRY(store.put(table, item.key, item.bytes));
    }
  }
  return {};
}

Result<void> Materialiser::finish_snapshot(const SnapshotEnd& end) {
  Lsn log_last;
  {
    // Before the store's transaction, as everywhere: the log first.
    const ReadScope scope(*log_);
    PARLEY_TRY(scope.begun());
    PARLEY_TRY(const LogRange range, read_log_range(*log_));
    log_last = range.last;
  }
  WriteTransaction store(files_->store());
  auto done = store.begin();
  if (done) done = write_snapshot_end(end, log_last, store);
  if (done) done = store.commit();
  if (!done) return failed(store, done.error());
  return {};
}

Result<void> Materialiser::write_snapshot_end(const SnapshotEnd& end, Lsn log_last, WriteTransaction& store) {
  const auto key = format::number_key(end.slot);
  PARLEY_TRY(const auto before, store.get(kSlots, key));
  if (before) {
    PARLEY_TRY(const auto row, format::decode_slot_row(*before));
    if (row.last >= end.index) return {};  // Done before.
  }
  PARLEY_TRY(const Lsn watermark, read_watermark(store));
  const Lsn through = std::max(log_last, watermark);
  format::SlotRow row{.term = end.term,
                      .last = end.index,
                      .through = through,
                      .base = {end.term, end.index},
                      .terms = {},
                      .replicas = {}};
  if (!end.replicas.voters.empty()) row.replicas.push_back(end.replicas);
  std::string bytes;
  format::encode_row(bytes, row);
  PARLEY_TRY(store.put(kSlots, key, bytes));
  PARLEY_TRY(erase_slot_index(store, end.slot, end.index));
  PARLEY_TRY(count_members(store, end.slot));
  waiting_.begin(end.slot, end.index, through);
  waiting_.drop_through(end.slot, through);
  waiting_.tidy();
  return {};
}

/// What waits may be wrong now: it is read again.
boost::system::error_code Materialiser::failed(const WriteTransaction& store, boost::system::error_code why) {
  if (store.environment_stopped()) {
    if (const auto revived = files_->store().revive(store.opening()); !revived) why = revived.error();
  }
  forget();
  return why;
}

/// The next step reads the log again from the store's watermark.
void Materialiser::forget() {
  waiting_.clear();
  watermark_ = {};
  walk_.begin_behind({});
}

}  // namespace parley::storage
