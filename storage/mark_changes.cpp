#include "storage/mark_changes.hpp"

#include <algorithm>
#include <optional>
#include <string>

#include "storage/environment.hpp"
#include "storage/format/changes.hpp"
#include "storage/format/keys.hpp"
#include "storage/format/rows.hpp"
#include "storage/store_tables.hpp"

namespace parley::storage {
namespace {

/// Whether the users who send there are members. Asked of one conversation after the other.
class Membership {
 public:
  explicit Membership(WriteTransaction& store) : store_(store) {}

  Result<bool> has(ConversationNumber number, std::string_view key) {
    PARLEY_TRY(const auto member, store_.get(kMembers, key));
    if (member) return true;
    if (number != number_) {
      number_ = number;
      PARLEY_TRY(const auto bytes, store_.get(kConversations, format::number_key(number)));
      const auto row = bytes ? format::decode_conversation_row(*bytes) : StorageError::NotFound;
      is_direct_ = row && row->type == format::ConversationType::Direct;
    }
    return is_direct_;
  }

 private:
  WriteTransaction& store_;
  ConversationNumber number_;
  bool is_direct_ = false;
};

}  // namespace

void MarkChanges::take(const format::Record& record) {
  if (const auto* entry = std::get_if<format::EntryRecord>(&record.body)) {
    if (entry->kind != format::EntryKind::Message) {
      no_messages_.emplace_back(entry->conversation, entry->seq);
    } else {
      Change& change = marks_[{entry->conversation, entry->from}];
      change.sent = std::max(change.sent, entry->seq);
    }
  } else if (const auto* moved = std::get_if<format::MarksRecord>(&record.body)) {
    for (const format::UserMark& one : format::marks_of(moved->marks).value_or(std::vector<format::UserMark>())) {
      Change& change = marks_[{moved->conversation, one.user}];
      change.told = format::moved(one.user, change.told, one.mark);
    }
  }
}

void MarkChanges::clear() {
  marks_.clear();
  no_messages_.clear();
}

Result<void> MarkChanges::write(WriteTransaction& store) const {
  PARLEY_TRY(write_marks(store));
  return write_tallies(store);
}

Result<void> MarkChanges::write_marks(WriteTransaction& store) const {
  std::string row;
  Membership membership(store);
  for (const auto& [place, change] : marks_) {
    const std::string key = format::member_key(place.first, place.second);
    format::Mark mark = change.told;
    if (change.sent > mark.read) {
      PARLEY_TRY(const bool is_member, membership.has(place.first, key));
      if (is_member) mark = format::further(mark, {change.sent, change.sent});
    }
    PARLEY_TRY(const auto bytes, store.get(kMarks, key));
    const auto before = bytes ? format::decode_mark_row(*bytes) : StorageError::NotFound;
    if (before) mark = format::moved(place.second, *before, mark);
    if (mark == (before ? *before : format::Mark{})) continue;
    if (mark == format::Mark{}) {
      PARLEY_TRY(store.erase(kMarks, key));
      continue;
    }
    format::encode_row(row, mark);
    PARLEY_TRY(store.put(kMarks, key, row));
  }
  return {};
}

Result<void> MarkChanges::write_tallies(WriteTransaction& store) const {
  std::string row;
  for (const auto& [number, seq] : no_messages_) {
    const auto key = format::entry_key(number, seq);
    PARLEY_TRY(const auto known, store.get(kTallies, key));
    if (known) continue;
    // Under seq 0: how many there are.
    const auto total_key = format::entry_key(number, Seq{0});
    PARLEY_TRY(const auto bytes, store.get(kTallies, total_key));
    const auto total = bytes ? format::decode_tally_row(*bytes) : StorageError::NotFound;
    format::encode_row(row, format::TallyRow{total ? total->count + 1 : 1});
    PARLEY_TRY(store.put(kTallies, key, row));
    PARLEY_TRY(store.put(kTallies, total_key, row));
  }
  return {};
}

}  // namespace parley::storage
