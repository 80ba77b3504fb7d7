#include "storage/verify.hpp"

#include <functional>
#include <string_view>

#include "storage/environment.hpp"
#include "storage/files.hpp"
#include "storage/format/keys.hpp"
#include "storage/format/record.hpp"
#include "storage/format/rows.hpp"
#include "storage/slot_index.hpp"
#include "storage/store_tables.hpp"

namespace parley::storage {
namespace {

constexpr std::size_t kRowsPerSnapshot = 10'000;
constexpr std::size_t kProblemsKept = 1'000;

std::string text(const char* what, std::uint64_t number) { return what + (" " + std::to_string(number)); }

class Walk {
 public:
  Result<VerifyReport> walk(Files& files) {
    PARLEY_TRY(each_row(files.log(), kLogTable, [this](auto&, auto& row) { log_record(row); }));
    PARLEY_TRY(each_row(files.store(), kConversations, [this](auto&, auto& row) { conversation(row); }));
    PARLEY_TRY(each_row(files.store(), kEntries, [this](auto& store, auto& row) { entry(store, row); }));
    PARLEY_TRY(each_row(files.store(), kNames, [this](auto& store, auto& row) { name(store, row); }));
    PARLEY_TRY(each_row(files.store(), kIds, [this](auto& store, auto& row) { id(store, row); }));
    PARLEY_TRY(each_row(files.store(), kSessions, [this](auto&, auto& row) {
      ++report_.sessions;
      record_of<format::SessionRecord>(row, "sessions");
    }));
    PARLEY_TRY(each_row(files.store(), kCursors, [this](auto&, auto& row) {
      ++report_.cursors;
      record_of<format::CursorRecord>(row, "cursors");
    }));
    PARLEY_TRY(each_row(files.store(), kSlots, [this](auto&, auto& row) { slot(row); }));
    if (files.has_slot_index()) {
      PARLEY_TRY(each_row(files.store(), kSlotIndex, [this](auto&, auto& row) { slot_index(row); }));
    }
    return std::move(report_);
  }

 private:
  using Row = Cursor::Row;
  using Look = std::function<void(ReadTransaction&, const Row&)>;

  Result<void> each_row(Environment& environment, std::size_t table, const Look& look);
  void problem(const char* table, std::string position, std::string what);
  void log_record(const Row& row);
  void conversation(const Row& row);
  void entry(ReadTransaction& store, const Row& row);
  void name(ReadTransaction& store, const Row& row);
  void id(ReadTransaction& store, const Row& row);
  void slot(const Row& row);
  void slot_index(const Row& row);
  template <class Record>
  void record_of(const Row& row, const char* table);

  VerifyReport report_;
  Lsn last_lsn_;
  ConversationNumber conversation_;
  Seq last_seq_;
};

Result<void> Walk::each_row(Environment& environment, std::size_t table, const Look& look) {
  ReadTransaction transaction(environment);
  std::string last;
  for (bool more = true; more;) {
    const ReadScope scope(transaction);
    PARLEY_TRY(scope.begun());
    PARLEY_TRY(Cursor cursor, transaction.cursor(table));
    Row row;
    more = last.empty() ? cursor.first(row) : cursor.seek(last, row);
    if (more && row.key == last) more = cursor.next(row);
    for (std::size_t count = 0; more; more = cursor.next(row)) {
      report_.bytes += row.key.size() + row.value.size();
      look(transaction, row);
      if (++count == kRowsPerSnapshot) {
        last = row.key;
        break;
      }
    }
    if (cursor.failed()) return environment.translate(cursor.code(), "verify");
  }
  return {};
}

void Walk::problem(const char* table, std::string position, std::string what) {
  if (++report_.problems_total > kProblemsKept) return;
  report_.problems.push_back({*table == '\0' ? "log.mdb" : "store.mdb", table, std::move(position), std::move(what)});
}

void Walk::log_record(const Row& row) {
  if (const auto slot = format::hard_state_slot(row.key)) {
    ++report_.hard_states;
    const auto state = format::decode_hard_state_row(row.value);
    if (!state) problem("", text("hard state of slot", slot->value), state.error().message());
    if (state && state->slot != *slot)
      problem("", text("hard state of slot", slot->value), "another slot's stands there");
    return;
  }
  const Lsn position{format::number_from_key(row.key)};
  if (position == kLogHeader) return;
  ++report_.log_records;
  if (last_lsn_.value != 0 && position != last_lsn_.next()) {
    problem("", text("lsn", last_lsn_.value + 1), "missing, up to " + text("lsn", position.value - 1));
  }
  last_lsn_ = position;
  const auto record = format::decode_record(row.value);
  if (!record) problem("", text("lsn", position.value), record.error().message());
}

void Walk::conversation(const Row& row) {
  ++report_.conversations;
  const auto decoded = format::decode_conversation_row(row.value);
  if (!decoded) {
    problem("conversations", text("conversation", format::number_from_key(row.key)), decoded.error().message());
  }
}

void Walk::entry(ReadTransaction& store, const Row& row) {
  ++report_.entries;
  const auto place = format::entry_place(row.key);
  if (!place) return problem("entries", "a key of " + std::to_string(row.key.size()) + " bytes", "not an entry's key");
  const std::string position = text("conversation", place->conversation.value) + ", " + text("seq", place->seq.value);
  if (place->conversation == conversation_) {
    if (place->seq != last_seq_.next()) problem("entries", position, "the entry before it is missing");
  } else if (const auto bytes = store.get(kConversations, format::number_key(place->conversation)); bytes && !*bytes) {
    problem("entries", position, "there is no such conversation");
  }
  conversation_ = place->conversation;
  last_seq_ = place->seq;
  const auto record = format::decode_record(row.value);
  if (!record) return problem("entries", position, record.error().message());
  const auto* entry = std::get_if<format::EntryRecord>(&record->body);
  if (entry == nullptr || entry->conversation != place->conversation || entry->seq != place->seq) {
    problem("entries", position, "another record stands there");
  }
}

void Walk::name(ReadTransaction& store, const Row& row) {
  ++report_.names;
  const auto bytes = store.get(kConversations, row.value);
  const auto decoded = bytes && *bytes ? format::decode_conversation_row(**bytes)
                                       : Result<format::ConversationRow>(StorageError::NotFound);
  if (decoded && decoded->name == row.key) return;
  problem("names", "a name of " + std::to_string(row.key.size()) + " bytes",
          decoded ? "its conversation has another name" : decoded.error().message());
}

void Walk::id(ReadTransaction& store, const Row& row) {
  ++report_.ids;
  const auto decoded = format::decode_id_row(row.value);
  const ConversationNumber number{format::number_from_key(row.key.substr(0, 8))};
  const auto bytes = store.get(kConversations, format::number_key(number));
  if (!decoded || (bytes && !*bytes)) {
    problem("ids", text("conversation", number.value),
            decoded ? "there is no such conversation" : decoded.error().message());
  }
}

void Walk::slot_index(const Row& row) {
  ++report_.slot_index_rows;
  const auto place = format::slot_index_place(row.key);
  if (!place || row.value.size() != SlotIndexBlock::kBytes) {
    problem("slot_index", place ? text("slot", place->slot.value) : "a key of another size",
            "not a block of positions");
  }
}

void Walk::slot(const Row& row) {
  ++report_.slots;
  const auto decoded = format::decode_slot_row(row.value);
  if (!decoded) problem("slots", text("slot", format::number_from_key(row.key)), decoded.error().message());
}

template <class Record>
void Walk::record_of(const Row& row, const char* table) {
  const auto record = format::decode_record(row.value);
  if (!record || !std::holds_alternative<Record>(record->body)) {
    problem(table, "row " + std::to_string(report_.sessions + report_.cursors),
            record ? "another record stands there" : record.error().message());
  }
}

}  // namespace

Result<VerifyReport> verify(Files& files) { return Walk().walk(files); }

}  // namespace parley::storage
