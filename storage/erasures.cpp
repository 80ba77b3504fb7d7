#include "storage/erasures.hpp"

#include <algorithm>

#include "storage/environment.hpp"
#include "storage/files.hpp"
#include "storage/format/changes.hpp"
#include "storage/format/keys.hpp"
#include "storage/format/rows.hpp"
#include "storage/store_tables.hpp"

namespace parley::storage {
namespace {

constexpr ConversationNumber first_of(Slot slot) { return conversation_number(slot, Index{0}); }

/// A row is the record that was last.
std::optional<StoredErasure> erasure_of(std::string_view row) {
  const auto record = format::decode_record(row);
  const auto* erasure = record ? std::get_if<format::ErasureRecord>(&record->body) : nullptr;
  if (erasure == nullptr) return std::nullopt;
  return StoredErasure{.slot = record->position.slot,
                       .user = std::string(erasure->user),
                       .started = erasure->started,
                       .state = erasure->state,
                       .conversation = erasure->conversation,
                       .seq = erasure->seq,
                       .redacted = erasure->redacted};
}

bool is_further(const format::ErasureRecord& one, const StoredErasure& other) {
  if (one.started != other.started) return one.started > other.started;
  if (one.state != other.state) return one.state > other.state;
  return std::pair(one.conversation, one.seq) > std::pair(other.conversation, other.seq);
}

/// Of the conversations in [begin, end).
Result<void> forget_marks(WriteTransaction& store, std::string_view user, ConversationNumber begin,
                          ConversationNumber end) {
  PARLEY_TRY(Cursor cursor, store.cursor(kConversations));
  Cursor::Row row;
  for (bool found = cursor.seek(format::number_key(begin), row); found; found = cursor.next(row)) {
    const ConversationNumber number{format::number_from_key(row.key)};
    if (number >= end) break;
    PARLEY_TRY(store.erase(kMarks, format::member_key(number, user)));
  }
  return store.check(cursor, "forget marks");
}

Result<void> forget_conversations(WriteTransaction& store, std::string_view user) {
  const std::string prefix = format::user_conversation_key(user, std::nullopt);
  PARLEY_TRY(Cursor cursor, store.cursor(kUserConversations));
  Cursor::Row row;
  while (cursor.seek(prefix, row) && row.key.starts_with(prefix)) {
    if (const int code = cursor.erase(); code != 0) {
      return store.environment().translate(code, "forget a user's conversations");
    }
  }
  return store.check(cursor, "forget a user's conversations");
}

}  // namespace

std::string erasure_key(Slot slot, std::string_view user) { return format::member_key(first_of(slot), user); }

void ErasureChanges::take(const format::Record& record) {
  const auto* erasure = std::get_if<format::ErasureRecord>(&record.body);
  // In the order of the log, in which they only go forward.
  if (erasure != nullptr) changes_.insert_or_assign({record.position.slot, erasure->user}, *erasure);
  const auto* user = std::get_if<format::UserConversationRecord>(&record.body);
  if (user != nullptr && !user->present) left_.emplace_back(record.position.slot, *user);
}

void ErasureChanges::clear() {
  changes_.clear();
  left_.clear();
}

Result<void> ErasureChanges::write(WriteTransaction& store) const {
  using State = format::ErasureState;
  for (const auto& [place, erasure] : changes_) {
    const auto& [slot, user] = place;
    const std::string key = erasure_key(slot, user);
    PARLEY_TRY(const auto bytes, store.get(kErasures, key));
    const auto before = bytes ? erasure_of(*bytes) : std::nullopt;
    if (before && !is_further(erasure, *before)) continue;
    const bool goes_on = before && before->started == erasure.started;
    const ConversationNumber begin = goes_on ? std::max(before->conversation, first_of(slot)) : first_of(slot);
    if (erasure.state == State::Open) {
      PARLEY_TRY(forget_marks(store, user, begin, erasure.conversation));
    } else if (!goes_on || before->state == State::Open) {
      PARLEY_TRY(forget_marks(store, user, begin, first_of({slot.value + 1})));
    }
    if (erasure.state == State::Finished) {
      PARLEY_TRY(forget_conversations(store, user));
    }
    if (erasure.state == State::Forgotten) {
      PARLEY_TRY(store.erase(kErasures, key));
    } else {
      PARLEY_TRY(store.put(kErasures, key, format::encode_record({.slot = slot, .term = {}, .index = {}}, erasure)));
    }
  }
  return write_left(store);
}

/// That an erased user has left somewhere may be told to the user's slot when all is over.
Result<void> ErasureChanges::write_left(WriteTransaction& store) const {
  for (const auto& [slot, left] : left_) {
    PARLEY_TRY(const auto bytes, store.get(kErasures, erasure_key(slot, left.user)));
    const auto erasure = bytes ? erasure_of(*bytes) : std::nullopt;
    if (!erasure || erasure->state != format::ErasureState::Finished) continue;
    const std::string key = format::user_conversation_key(left.user, left.conversation);
    PARLEY_TRY(const auto row, store.get(kUserConversations, key));
    const auto known = row ? format::decode_user_conversation_row(*row) : StorageError::NotFound;
    if (known && !known->present) {
      PARLEY_TRY(store.erase(kUserConversations, key));
    }
  }
  return {};
}

Erasures::Erasures(std::shared_ptr<Files> files)
    : files_(std::move(files)), store_(std::make_unique<ReadTransaction>(files_->store())) {}
Erasures::~Erasures() = default;

Result<std::vector<StoredErasure>> Erasures::list(std::optional<Slot> slot) {
  std::vector<StoredErasure> list;
  const ReadScope scope(*store_);
  PARLEY_TRY(scope.begun());
  PARLEY_TRY(const std::uint64_t rows, store_->count(kErasures));
  if (rows == 0) return list;
  PARLEY_TRY(Cursor cursor, store_->cursor(kErasures));
  const auto first = format::number_key(first_of(slot.value_or(Slot{0})));
  const ConversationNumber end = slot ? first_of({slot->value + 1}) : ConversationNumber{~std::uint64_t{0}};
  Cursor::Row row;
  for (bool found = cursor.seek(first, row); found; found = cursor.next(row)) {
    if (ConversationNumber{format::number_from_key(row.key.substr(0, 8))} >= end) break;
    if (auto erasure = erasure_of(row.value)) list.push_back(*std::move(erasure));
  }
  if (cursor.failed()) return files_->store().translate(cursor.code(), "read erasures");
  return list;
}

Result<Erasures::Page> Erasures::find(const Request& request) {
  Page page{.found = {}, .conversation = std::max(request.conversation, first_of(request.slot)), .seq = request.seq};
  std::size_t looked = 0;
  const ReadScope scope(*store_);
  PARLEY_TRY(scope.begun());
  PARLEY_TRY(Cursor cursor, store_->cursor(kConversations));
  Cursor::Row row;
  for (bool found = cursor.seek(format::number_key(page.conversation), row); found; found = cursor.next(row)) {
    const ConversationNumber number{format::number_from_key(row.key)};
    if (slot_of(number) != request.slot) break;
    if (number != page.conversation) page.seq = {};
    page.conversation = number;
    if (looked++ >= request.rows_max) return page;
    const auto conversation = format::decode_conversation_row(row.value);
    if (!conversation) continue;
    PARLEY_TRY(const auto member, store_->get(kMembers, format::member_key(number, request.user)));
    Found here{
        .number = number, .name = std::string(conversation->name), .is_member = member.has_value(), .messages = {}};
    PARLEY_TRY(const bool all, find_in(request, here, conversation->oldest, page, looked));
    if (here.is_member || !here.messages.empty()) page.found.push_back(std::move(here));
    if (!all) return page;
  }
  if (cursor.failed()) return files_->store().translate(cursor.code(), "look for what is a user's");
  page.conversation = {};
  page.seq = {};
  return page;
}

/// False when there may be more in the conversation: page.seq says where to go on.
Result<bool> Erasures::find_in(const Request& request, Found& found, Seq oldest, Page& page, std::size_t& looked) {
  PARLEY_TRY(Cursor cursor, store_->cursor(kEntries));
  Cursor::Row row;
  bool there = cursor.seek(format::entry_key(found.number, std::max(page.seq, oldest)), row);
  for (; there; there = cursor.next(row)) {
    const auto place = format::entry_place(row.key);
    if (!place || place->conversation != found.number) break;
    page.seq = place->seq;
    if (looked++ >= request.rows_max || found.messages.size() >= request.messages_max) return false;
    const auto record = format::decode_trusted_record(row.value);
    const auto* entry = record ? std::get_if<format::EntryRecord>(&record->body) : nullptr;
    if (entry == nullptr || entry->kind != format::EntryKind::Message || entry->redacted) continue;
    if (entry->from == request.user) found.messages.push_back(place->seq);
  }
  if (cursor.failed()) return files_->store().translate(cursor.code(), "look for what a user has sent");
  return true;
}

Result<Erasures::Sessions> Erasures::sessions(std::string_view user, const std::string& from, std::size_t rows_max) {
  Sessions sessions;
  const ReadScope scope(*store_);
  PARLEY_TRY(scope.begun());
  PARLEY_TRY(Cursor cursor, store_->cursor(kSessions));
  Cursor::Row row;
  std::size_t looked = 0;
  for (bool found = from.empty() ? cursor.first(row) : cursor.seek(from, row); found; found = cursor.next(row)) {
    if (looked++ >= rows_max) {
      sessions.next = row.key;
      return sessions;
    }
    const auto record = format::decode_record(row.value);
    const auto* session = record ? std::get_if<format::SessionRecord>(&record->body) : nullptr;
    if (session != nullptr && session->user == user) sessions.client_ids.emplace_back(session->client_id);
  }
  if (cursor.failed()) return files_->store().translate(cursor.code(), "look for a user's sessions");
  return sessions;
}

}  // namespace parley::storage
