#include "storage/retention.hpp"

#include <algorithm>

#include "storage/environment.hpp"
#include "storage/files.hpp"
#include "storage/format/changes.hpp"
#include "storage/format/keys.hpp"
#include "storage/format/record.hpp"
#include "storage/format/rows.hpp"
#include "storage/store_tables.hpp"

namespace parley::storage {

Retention::Retention(std::shared_ptr<Files> files)
    : files_(std::move(files)), store_(std::make_unique<ReadTransaction>(files_->store())) {}
Retention::~Retention() = default;

Result<Retention::Page> Retention::find(Slot slot, ConversationNumber after, Timestamp now, std::uint64_t age_max,
                                        std::size_t count_max) {
  Page page;
  const ReadScope scope(*store_);
  PARLEY_TRY(scope.begun());
  PARLEY_TRY(Cursor cursor, store_->cursor(kConversations));
  Cursor::Row row;
  const ConversationNumber first = std::max(after.next(), conversation_number(slot, Index{0}));
  for (bool found = cursor.seek(format::number_key(first), row); found; found = cursor.next(row)) {
    const ConversationNumber number{format::number_from_key(row.key)};
    if (slot_of(number) != slot) break;
    if (page.looked == count_max) return page;
    ++page.looked;
    page.next = number;
    const auto conversation = format::decode_conversation_row(row.value);
    if (!conversation || conversation->oldest > conversation->head) continue;
    PARLEY_TRY(const Rule rule, rule_of(number, age_max));
    Seq oldest = conversation->oldest;
    const std::uint64_t there = conversation->head.value + 1 - oldest.value;
    if (rule.count != 0 && there > rule.count + rule.count / 16) {
      oldest = {conversation->head.value + 1 - rule.count};
    }
    if (rule.age != 0 && now.milliseconds > rule.age + rule.age / 16) {
      PARLEY_TRY(const Timestamp begun, time_of(number, oldest));
      if (begun.milliseconds < now.milliseconds - rule.age - rule.age / 16) {
        PARLEY_TRY(oldest, first_since(number, oldest, conversation->head, {now.milliseconds - rule.age}));
      }
    }
    if (oldest > conversation->oldest) page.due.push_back({number, std::string(conversation->name), oldest});
  }
  if (cursor.failed()) return files_->store().translate(cursor.code(), "look for what is old");
  page.next = {};
  return page;
}

Result<Retention::Rule> Retention::rule_of(ConversationNumber number, std::uint64_t age_max) {
  Rule rule{.age = age_max, .count = 0};
  PARLEY_TRY(const auto bytes, store_->get(kGroups, format::number_key(number)));
  const auto group = bytes ? format::decode_group_row(*bytes) : Result<format::GroupRow>(StorageError::NotFound);
  if (!group) return rule;
  const std::uint64_t own = group->settings.retention_age;
  if (own != 0 && (rule.age == 0 || own < rule.age)) rule.age = own;
  rule.count = group->settings.retention_count;
  return rule;
}

/// 0 when it can't be read: older than everything.
Result<Timestamp> Retention::time_of(ConversationNumber number, Seq seq) {
  PARLEY_TRY(const auto bytes, store_->get(kEntries, format::entry_key(number, seq)));
  const auto record = bytes ? format::decode_record(*bytes) : Result<format::Record>(StorageError::NotFound);
  const auto* entry = record ? std::get_if<format::EntryRecord>(&record->body) : nullptr;
  return entry != nullptr ? entry->ts : Timestamp{};
}

/// head + 1 when there is none.
Result<Seq> Retention::first_since(ConversationNumber number, Seq first, Seq head, Timestamp time) {
  Seq high = head.next();
  while (first < high) {
    const Seq middle{first.value + (high.value - first.value) / 2};
    // What can't be read has no time: the next one that can tells for both.
    Seq readable = middle;
    PARLEY_TRY(Timestamp at, time_of(number, readable));
    while (at.milliseconds == 0 && readable.next() < high) {
      readable = readable.next();
      PARLEY_TRY(at, time_of(number, readable));
    }
    if (at < time) {
      first = readable.next();
    } else {
      high = middle;
    }
  }
  return first;
}

Trim::Trim(std::shared_ptr<Files> files)
    : files_(std::move(files)), store_(std::make_unique<ReadTransaction>(files_->store())) {}
Trim::~Trim() = default;

std::uint64_t Trim::pending() const {
  const ReadScope scope(*store_);
  const auto count = scope.begun() ? store_->count(kTrims) : Result<std::uint64_t>(StorageError::Failed);
  return count ? *count : 0;
}

Result<std::size_t> Trim::step(std::size_t rows_max) {
  WriteTransaction store(files_->store());
  PARLEY_TRY(store.begin());
  PARLEY_TRY(Cursor trims, store.cursor(kTrims));
  Cursor::Row row;
  if (!trims.first(row)) {
    PARLEY_TRY(store.check(trims, "look for what is to be deleted"));
    wanted_ = false;
    return std::size_t{0};
  }
  const ConversationNumber number{format::number_from_key(row.key)};
  PARLEY_TRY(const auto bytes, store.get(kConversations, format::number_key(number)));
  const auto conversation = bytes ? format::decode_conversation_row(*bytes) : StorageError::NotFound;
  const Seq oldest = conversation ? conversation->oldest : Seq{0};
  std::size_t gone = 0;
  for (const Table table : {kEntries, kAmendments}) {
    PARLEY_TRY(Cursor cursor, store.cursor(table));
    while (gone < rows_max && cursor.seek(format::entry_key(number, Seq{0}), row)) {
      const auto place = format::entry_place(row.key.substr(0, 16));
      if (!place || place->conversation != number || place->seq >= oldest) break;
      if (const int code = cursor.erase(); code != 0) return files_->store().translate(code, "delete entries");
      ++gone;
    }
    PARLEY_TRY(store.check(cursor, "look for what is to be deleted"));
  }
  if (gone < rows_max) {
    PARLEY_TRY(store.erase(kTrims, format::number_key(number)));
  }
  PARLEY_TRY(store.commit());
  return gone;
}

}  // namespace parley::storage
