#include "storage/slot_snapshot.hpp"

#include <algorithm>
#include <map>
#include <span>

#include "base/bytes.hpp"
#include "base/log.hpp"
#include "storage/environment.hpp"
#include "storage/files.hpp"
#include "storage/format/changes.hpp"
#include "storage/format/field_reader.hpp"
#include "storage/format/keys.hpp"
#include "storage/format/record.hpp"
#include "storage/store_tables.hpp"

namespace parley::storage {
namespace {

using Kind = SnapshotItem::Kind;
using Part = SnapshotPosition::Part;

constexpr std::size_t kKnownMax = 2'000;  ///< Conversations in one SnapshotKnown.

constexpr ConversationNumber first_of(Slot slot) { return conversation_number(slot, {0}); }

bool of_slot(std::string_view key, Slot slot) {
  return key.size() >= 8 && slot_of(ConversationNumber{load_big_endian<std::uint64_t>(key.data())}) == slot;
}

/// Of the session that a key of table `sessions` or `cursors` belongs to.
std::size_t session_key_size(std::string_view key) {
  const auto size = key.empty() ? std::size_t{0} : static_cast<unsigned char>(key.front());
  return std::min(key.size(), 1 + (size == 0xFF ? std::size_t{16} : size));
}

bool has_table(Kind kind) { return kind == Kind::Row || kind == Kind::BeginRows; }
bool has_key(Kind kind) { return kind == Kind::Row; }
bool is_empty(Kind kind) { return kind == Kind::BeginRows || kind == Kind::BeginSessions; }

}  // namespace

// -- Items

void append_item(std::string& to, const SnapshotItem& item) {
  to.push_back(static_cast<char>(item.kind));
  if (has_table(item.kind)) to.push_back(static_cast<char>(item.table));
  if (is_empty(item.kind)) return;
  if (has_key(item.kind)) {
    append_big_endian(to, static_cast<std::uint16_t>(item.key.size()));
    to.append(item.key);
  }
  append_big_endian(to, static_cast<std::uint32_t>(item.bytes.size()));
  to.append(item.bytes);
}

Result<std::vector<SnapshotItem>> decode_items(std::string_view piece) {
  std::vector<SnapshotItem> items;
  format::FieldReader in(piece);
  for (std::size_t left = piece.size(); left > 0;) {
    const auto kind = in.integer<std::uint8_t>();
    if (kind < static_cast<std::uint8_t>(Kind::Record) || kind > static_cast<std::uint8_t>(Kind::BeginSessions)) {
      return StorageError::CorruptRecord;
    }
    SnapshotItem item{.kind = static_cast<Kind>(kind), .key = {}, .bytes = {}};
    left -= 1;
    if (has_table(item.kind)) {
      item.table = in.integer<std::uint8_t>();
      left -= 1;
      if (item.table >= kSnapshotTables.size()) return StorageError::CorruptRecord;
    }
    if (has_key(item.kind)) {
      item.key = in.text(in.integer<std::uint16_t>());
      left -= 2 + item.key.size();
    }
    if (!is_empty(item.kind)) {
      item.bytes = in.text(in.integer<std::uint32_t>());
      left -= 4 + item.bytes.size();
    }
    if (in.failed()) return StorageError::CorruptRecord;
    items.push_back(item);
  }
  return items;
}

// -- Positions and what is known

std::string encode(const SnapshotPosition& position) {
  std::string bytes(1, static_cast<char>(position.part));
  if (position.part == Part::Rows) bytes.push_back(static_cast<char>(position.table));
  if (position.part != Part::Conversations) return bytes.append(position.key);
  append_big_endian(bytes, position.conversation.value);
  append_big_endian(bytes, position.seq.value);
  return bytes;
}

Result<SnapshotPosition> decode_position(std::string_view bytes, Slot slot) {
  if (bytes.empty()) return SnapshotPosition{.conversation = first_of(slot), .seq = {}, .key = {}};
  format::FieldReader in(bytes);
  const auto part = in.integer<std::uint8_t>();
  if (part < static_cast<std::uint8_t>(Part::Conversations) || part > static_cast<std::uint8_t>(Part::Users)) {
    return StorageError::CorruptRecord;
  }
  SnapshotPosition position{.part = static_cast<Part>(part), .conversation = {}, .seq = {}, .key = {}};
  if (position.part == Part::Conversations) {
    position.conversation = {in.integer<std::uint64_t>()};
    position.seq = {in.integer<std::uint64_t>()};
    if (!in.complete() || slot_of(position.conversation) != slot) return StorageError::CorruptRecord;
  } else {
    if (position.part == Part::Rows) position.table = in.integer<std::uint8_t>();
    if (in.failed() || position.table >= kSnapshotTables.size()) return StorageError::CorruptRecord;
    position.key = in.rest();
    if (position.key.size() > format::kKeySizeMax) return StorageError::CorruptRecord;
  }
  return position;
}

std::string encode(const SnapshotKnown& known) {
  std::string bytes;
  append_big_endian(bytes, known.until.value);
  for (const SnapshotKnown::Conversation& one : known.conversations) {
    append_big_endian(bytes, one.number.value);
    append_big_endian(bytes, one.head.value);
  }
  return bytes;
}

Result<SnapshotKnown> decode_known(std::string_view bytes) {
  SnapshotKnown known;
  if (bytes.empty()) return known;
  format::FieldReader in(bytes);
  known.until = {in.integer<std::uint64_t>()};
  if (in.failed() || bytes.size() % 16 != 8) return StorageError::CorruptRecord;
  known.conversations.resize(bytes.size() / 16);
  ConversationNumber before;
  for (SnapshotKnown::Conversation& one : known.conversations) {
    one.number = {in.integer<std::uint64_t>()};
    one.head = {in.integer<std::uint64_t>()};
    if (one.number <= before || one.number >= known.until) return StorageError::CorruptRecord;
    before = one.number;
  }
  return known;
}

// -- Reading

namespace {

/// One piece on its way.
class Walk {
 public:
  Walk(ReadTransaction& store, const SlotSnapshotReader::Request& request, SlotSnapshotReader::Piece& piece)
      : store_(store), request_(request), piece_(piece) {}

  Result<void> walk() {
    PARLEY_TRY(at_, decode_position(request_.position, request_.slot));
    PARLEY_TRY(known_, decode_known(request_.known));
    bool more = true;
    while (more && !full()) {
      switch (at_.part) {
        case Part::Conversations: {
          PARLEY_TRY(more, conversations());
          break;
        }
        case Part::Rows: {
          PARLEY_TRY(more, copied_rows());
          break;
        }
        case Part::Sessions: {
          PARLEY_TRY(more, sessions());
          break;
        }
        case Part::Users: {
          PARLEY_TRY(const bool left, users());
          if (!left) return {};
          more = false;
          break;
        }
      }
    }
    piece_.next = encode(at_);
    return {};
  }

 private:
  [[nodiscard]] bool full() const {
    return piece_.bytes.size() > request_.bytes_max || looked_at_ >= SlotSnapshotReader::kRowsLookedAt;
  }
  void add(const SnapshotItem& item) { append_item(piece_.bytes, item); }
  void add(std::string_view record) { add({.kind = Kind::Record, .key = {}, .bytes = record}); }
  void go_to(Part part) { at_ = {.part = part, .conversation = {}, .seq = {}, .key = {}}; }
  void go_on_at(std::string_view key) { at_.key = key; }
  Result<void> check(const Cursor& cursor, const char* doing) const {
    if (cursor.failed()) return store_.environment().translate(cursor.code(), doing);
    return {};
  }

  /// These return false when the piece ends before it is full.
  Result<bool> conversations();
  Result<bool> copied_rows();
  Result<bool> sessions();
  /// False: this was the last of all.
  Result<bool> users();
  Result<void> conversation(std::string_view bytes);
  Result<void> entries(const format::ConversationRow& row);
  Result<bool> session(std::string_view key, std::string_view bytes);
  Result<bool> cursors(std::string_view session, std::string_view from);
  void user(std::string_view key, std::string_view bytes);
  /// Calls take(key, value) -> Result<void> for the rows of `table` from at_ on, until the piece is full. False: there
  /// is no further one.
  template <class Take>
  Result<bool> rows(std::size_t table, std::string_view from, Take take);

  ReadTransaction& store_;
  const SlotSnapshotReader::Request& request_;
  SlotSnapshotReader::Piece& piece_;
  SnapshotPosition at_;
  SnapshotKnown known_;
  std::size_t looked_at_ = 0;
};

Result<bool> Walk::conversations() {
  PARLEY_TRY(Cursor cursor, store_.cursor(kConversations));
  Cursor::Row row;
  bool found = cursor.seek(format::number_key(at_.conversation), row);
  for (; found && of_slot(row.key, request_.slot); found = cursor.next(row)) {
    const ConversationNumber number{format::number_from_key(row.key)};
    if (number != at_.conversation) at_.seq = {};
    at_.conversation = number;
    if (number >= known_.until) return false;
    if (full()) return true;
    ++looked_at_;
    PARLEY_TRY(conversation(row.value));
    if (at_.conversation == number) return true;  // The piece is full, and there is more of it.
  }
  PARLEY_TRY(check(cursor, "read conversations for another replica"));
  go_to(Part::Rows);
  return true;
}

/// Moves at_ behind it, or to its first entry that found no room.
Result<void> Walk::conversation(std::string_view bytes) {
  const ConversationNumber number = at_.conversation;
  const auto row = format::decode_conversation_row(bytes);
  if (!row) {
    if (row.error() != make_error_code(StorageError::CorruptRecord)) return row.error();
    log::error("a conversation's row in the store is damaged, another replica doesn't get it",
               {{"conversation", number}});
    at_ = {.conversation = number.next(), .seq = {}, .key = {}};
    return {};
  }
  const auto known = std::ranges::lower_bound(known_.conversations, number, {}, &SnapshotKnown::Conversation::number);
  if (known != known_.conversations.end() && known->number == number) {
    at_.seq = std::max(at_.seq, known->head.next());
  } else if (at_.seq == Seq{0}) {
    const format::RecordPosition created{
        .slot = request_.slot, .term = piece_.term, .index = {number.value & 0xFFFF'FFFF'FFFFULL}};
    add(format::encode_record(created, format::ConversationRecord{.name = row->name,
                                                                  .epoch = row->epoch,
                                                                  .created = row->created,
                                                                  .type = row->type,
                                                                  .visibility = row->visibility,
                                                                  .creator = row->creator}));
  }
  return entries(*row);
}

Result<void> Walk::entries(const format::ConversationRow& row) {
  const ConversationNumber number = at_.conversation;
  if (at_.seq <= row.head) {
    PARLEY_TRY(Cursor cursor, store_.cursor(kEntries));
    Cursor::Row entry;
    bool found = cursor.seek(format::entry_key(number, std::max(at_.seq, Seq{1})), entry);
    for (; found; found = cursor.next(entry)) {
      const auto place = format::entry_place(entry.key);
      if (!place || place->conversation != number || place->seq > row.head) break;
      at_.seq = place->seq;
      if (full()) return {};
      ++looked_at_;
      add(entry.value);
    }
    PARLEY_TRY(check(cursor, "read entries for another replica"));
  }
  at_ = {.conversation = number.next(), .seq = {}, .key = {}};
  return {};
}

template <class Take>
Result<bool> Walk::rows(std::size_t table, std::string_view from, Take take) {
  PARLEY_TRY(Cursor cursor, store_.cursor(table));
  Cursor::Row row;
  for (bool found = cursor.seek(from, row); found; found = cursor.next(row)) {
    if (full()) {
      go_on_at(row.key);
      return true;
    }
    ++looked_at_;
    PARLEY_TRY(const bool more, take(row.key, row.value));
    if (!more) return false;
  }
  PARLEY_TRY(check(cursor, "read a table for another replica"));
  return false;
}

Result<bool> Walk::copied_rows() {
  // A group's row never goes, and says meanwhile who may read.
  const bool replaces = kSnapshotTables.at(at_.table) != kGroups;
  if (at_.key.empty() && replaces) add({.kind = Kind::BeginRows, .table = at_.table, .key = {}, .bytes = {}});
  const auto beginning = format::number_key(first_of(request_.slot));
  const std::string from = at_.key.empty() ? std::string(beginning.bytes()) : at_.key;
  const auto take = [&](std::string_view key, std::string_view value) -> Result<bool> {
    if (!of_slot(key, request_.slot)) return false;
    add({.kind = Kind::Row, .table = at_.table, .key = key, .bytes = value});
    return true;
  };
  PARLEY_TRY(const bool left, rows(kSnapshotTables.at(at_.table), from, take));
  if (left) return true;
  const auto next = static_cast<std::uint8_t>(at_.table + 1);
  go_to(next < kSnapshotTables.size() ? Part::Rows : Part::Sessions);
  if (next < kSnapshotTables.size()) at_.table = next;
  return true;
}

Result<bool> Walk::sessions() {
  if (at_.key.empty()) add({.kind = Kind::BeginSessions, .key = {}, .bytes = {}});
  std::string from = at_.key.empty() ? std::string(1, '\0') : at_.key;
  const std::size_t size = session_key_size(from);
  if (from.size() > size) {
    const std::string session = from.substr(0, size);
    PARLEY_TRY(const bool more, cursors(session, from));
    if (more) return true;
    from = session + '\0';
  }
  bool cut = false;
  PARLEY_TRY(const bool left, rows(kSessions, from, [&](std::string_view key, std::string_view value) -> Result<bool> {
               PARLEY_TRY(cut, session(key, value));
               return !cut;
             }));
  if (!left && !cut) go_to(Part::Users);
  return true;
}

/// True when there is more of it than the piece takes: the rest begins at at_.
Result<bool> Walk::session(std::string_view key, std::string_view bytes) {
  const auto record = format::decode_trusted_record(bytes);
  const auto* session = record ? std::get_if<format::SessionRecord>(&record->body) : nullptr;
  if (session == nullptr || stable_hash(session->client_id) % request_.slots != request_.slot.value) return false;
  add(bytes);
  return cursors(key, key);
}

/// Those of one session, from `from` on; true as session().
Result<bool> Walk::cursors(std::string_view session, std::string_view from) {
  PARLEY_TRY(Cursor cursor, store_.cursor(kCursors));
  Cursor::Row row;
  for (bool found = cursor.seek(from, row); found && row.key.starts_with(session); found = cursor.next(row)) {
    if (full()) {
      go_on_at(row.key);
      return true;
    }
    ++looked_at_;
    add(row.value);
  }
  PARLEY_TRY(check(cursor, "read cursors for another replica"));
  return false;
}

Result<bool> Walk::users() {
  const std::string from = at_.key.empty() ? std::string(1, '\0') : at_.key;
  return rows(kUserConversations, from, [&](std::string_view key, std::string_view value) -> Result<bool> {
    user(key, value);
    return true;
  });
}

void Walk::user(std::string_view key, std::string_view bytes) {
  const std::size_t size = key.empty() ? 0 : static_cast<unsigned char>(key.front());
  if (key.size() != 1 + size + 8) return;
  const std::string_view name = key.substr(1, size);
  if (stable_hash(name) % request_.slots != request_.slot.value) return;
  const auto row = format::decode_user_conversation_row(bytes);
  if (!row) return;
  const format::RecordPosition position{.slot = request_.slot, .term = piece_.term, .index = piece_.index};
  add(format::encode_record(
      position, format::UserConversationRecord{.user = name,
                                               .present = row->present,
                                               .conversation = {load_big_endian<std::uint64_t>(key.data() + 1 + size)},
                                               .epoch = row->epoch,
                                               .changed = row->changed,
                                               .name = row->name}));
}

}  // namespace

SlotSnapshotReader::SlotSnapshotReader(std::shared_ptr<Files> files)
    : files_(std::move(files)), store_(std::make_unique<ReadTransaction>(files_->store())) {}
SlotSnapshotReader::~SlotSnapshotReader() = default;

Result<SlotSnapshotReader::Piece> SlotSnapshotReader::read(const Request& request) {
  const ReadScope scope(*store_);
  PARLEY_TRY(scope.begun());
  PARLEY_TRY(const auto bytes, store_->get(kSlots, format::number_key(request.slot)));
  if (!bytes || request.slots == 0) return StorageError::NotFound;
  PARLEY_TRY(const auto row, format::decode_slot_row(*bytes));
  Piece piece{.term = row.term, .index = row.last, .bytes = {}, .next = {}};
  PARLEY_TRY(Walk(*store_, request, piece).walk());
  return piece;
}

// -- What the taker has

Result<std::string> known_of(ReadTransaction& store, Slot slot, std::string_view position) {
  PARLEY_TRY(const auto at, decode_position(position, slot));
  SnapshotKnown known;
  if (at.part != Part::Conversations) return encode(known);
  PARLEY_TRY(Cursor cursor, store.cursor(kConversations));
  Cursor::Row row;
  bool found = cursor.seek(format::number_key(at.conversation), row);
  for (; found && of_slot(row.key, slot); found = cursor.next(row)) {
    const ConversationNumber number{format::number_from_key(row.key)};
    if (known.conversations.size() == kKnownMax) {
      known.until = number;
      break;
    }
    // What can't be read is sent again: the creation is passed over, entries that are there stay.
    const auto conversation = format::decode_conversation_row(row.value);
    if (conversation) known.conversations.push_back({number, conversation->head});
  }
  if (cursor.failed()) return store.environment().translate(cursor.code(), "read what conversations there are");
  return encode(known);
}

namespace {

Result<void> erase_all(WriteTransaction& store, std::size_t table, const std::vector<std::string>& keys) {
  for (const std::string& key : keys) {
    PARLEY_TRY(store.erase(table, key));
  }
  return {};
}

}  // namespace

Result<void> erase_sessions(WriteTransaction& store, Slot slot, std::uint32_t slots) {
  std::vector<std::string> keys;
  std::vector<std::string> cursors;
  PARLEY_TRY(Cursor cursor, store.cursor(kSessions));
  PARLEY_TRY(Cursor of_session, store.cursor(kCursors));
  Cursor::Row row;
  for (bool found = cursor.first(row); found; found = cursor.next(row)) {
    const auto record = format::decode_trusted_record(row.value);
    const auto* session = record ? std::get_if<format::SessionRecord>(&record->body) : nullptr;
    if (session == nullptr || slots == 0 || stable_hash(session->client_id) % slots != slot.value) continue;
    keys.emplace_back(row.key);
    Cursor::Row one;
    for (bool more = of_session.seek(row.key, one); more && one.key.starts_with(row.key); more = of_session.next(one)) {
      cursors.emplace_back(one.key);
    }
    PARLEY_TRY(store.check(of_session, "look for cursors"));
  }
  PARLEY_TRY(store.check(cursor, "look for a slot's sessions"));
  PARLEY_TRY(erase_all(store, kCursors, cursors));
  return erase_all(store, kSessions, keys);
}

Result<void> erase_rows(WriteTransaction& store, std::size_t table, Slot slot) {
  std::vector<std::string> keys;
  PARLEY_TRY(Cursor cursor, store.cursor(table));
  Cursor::Row row;
  bool found = cursor.seek(format::number_key(first_of(slot)), row);
  for (; found && of_slot(row.key, slot); found = cursor.next(row)) keys.emplace_back(row.key);
  PARLEY_TRY(store.check(cursor, "look for a slot's rows"));
  return erase_all(store, table, keys);
}

Result<void> count_members(WriteTransaction& store, Slot slot) {
  std::map<std::string, format::GroupRow> counted;
  PARLEY_TRY(Cursor groups, store.cursor(kGroups));
  PARLEY_TRY(Cursor members, store.cursor(kMembers));
  Cursor::Row row;
  bool found = groups.seek(format::number_key(first_of(slot)), row);
  for (; found && of_slot(row.key, slot); found = groups.next(row)) {
    auto group = format::decode_group_row(row.value);
    if (!group) continue;
    const std::pair before(group->members, group->owners);
    group->members = group->owners = 0;
    Cursor::Row one;
    for (bool more = members.seek(row.key, one); more && one.key.starts_with(row.key); more = members.next(one)) {
      const auto member = format::decode_member_row(one.value);
      if (!member) continue;
      ++group->members;
      if (member->role == format::Role::Owner) ++group->owners;
    }
    PARLEY_TRY(store.check(members, "count members"));
    if (std::pair(group->members, group->owners) != before) counted.emplace(row.key, *std::move(group));
  }
  PARLEY_TRY(store.check(groups, "look for a slot's groups"));
  std::string bytes;
  for (const auto& [key, group] : counted) {
    format::encode_row(bytes, group);
    PARLEY_TRY(store.put(kGroups, key, bytes));
  }
  return {};
}

Result<void> erase_slot_index(WriteTransaction& store, Slot slot, Index last) {
  std::vector<std::string> keys;
  PARLEY_TRY(Cursor cursor, store.cursor(kSlotIndex));
  const std::uint64_t last_block = last.value / format::kSlotIndexBlock;
  Cursor::Row row;
  for (bool found = cursor.seek(format::slot_index_key(slot, 0), row); found; found = cursor.next(row)) {
    const auto place = format::slot_index_place(row.key);
    if (!place || place->slot != slot || place->block > last_block) break;
    keys.emplace_back(row.key);
  }
  PARLEY_TRY(store.check(cursor, "look for a slot's blocks"));
  return erase_all(store, kSlotIndex, keys);
}

}  // namespace parley::storage
