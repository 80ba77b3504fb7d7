#include "storage/members.hpp"

#include "base/bytes.hpp"
#include "base/log.hpp"
#include "storage/environment.hpp"
#include "storage/files.hpp"
#include "storage/format/keys.hpp"
#include "storage/format/rows.hpp"
#include "storage/store_tables.hpp"

namespace parley::storage {

Members::Members(std::shared_ptr<Files> files)
    : files_(std::move(files)), store_(std::make_unique<ReadTransaction>(files_->store())) {}
Members::~Members() = default;

Result<std::optional<format::MemberRow>> Members::find(ConversationNumber conversation, std::string_view user) {
  const ReadScope scope(*store_);
  PARLEY_TRY(scope.begun());
  PARLEY_TRY(const auto bytes, store_->get(kMembers, format::member_key(conversation, user)));
  if (!bytes) return std::optional<format::MemberRow>();
  PARLEY_TRY(const auto row, format::decode_member_row(*bytes));
  return std::optional<format::MemberRow>(row);
}

Result<std::vector<format::StoredMember>> Members::list(ConversationNumber conversation, std::string_view after,
                                                        std::size_t count_max) {
  const ReadScope scope(*store_);
  PARLEY_TRY(scope.begun());
  PARLEY_TRY(Cursor cursor, store_->cursor(kMembers));
  const std::string first = format::member_key(conversation, after);
  const std::string_view prefix = std::string_view(first).substr(0, sizeof(std::uint64_t));
  std::vector<format::StoredMember> listed;
  Cursor::Row row;
  for (bool found = cursor.seek(first, row); found && listed.size() < count_max && row.key.starts_with(prefix);
       found = cursor.next(row)) {
    if (!after.empty() && row.key == first) continue;
    const auto member = format::decode_member_row(row.value);
    if (member) listed.push_back({std::string(row.key.substr(prefix.size())), *member});
  }
  if (cursor.failed()) return files_->store().translate(cursor.code(), "list members");
  return listed;
}

Result<std::optional<format::Mark>> Members::find_mark(ConversationNumber conversation, std::string_view user) {
  const ReadScope scope(*store_);
  PARLEY_TRY(scope.begun());
  PARLEY_TRY(const auto bytes, store_->get(kMarks, format::member_key(conversation, user)));
  if (!bytes) return std::optional<format::Mark>();
  PARLEY_TRY(const auto row, format::decode_mark_row(*bytes));
  return std::optional<format::Mark>(row);
}

Result<Members::Tally> Members::find_tally(ConversationNumber conversation, Seq upto) {
  const ReadScope scope(*store_);
  PARLEY_TRY(scope.begun());
  PARLEY_TRY(Cursor cursor, store_->cursor(kTallies));
  const auto key = format::entry_key(conversation, upto);
  Cursor::Row row;
  bool found = cursor.seek(key, row);
  if (cursor.failed()) return files_->store().translate(cursor.code(), "count messages");
  if (!found || row.key != key.bytes()) found = found ? cursor.previous(row) : cursor.last(row);
  if (cursor.failed()) return files_->store().translate(cursor.code(), "count messages");
  const auto place = found ? format::entry_place(row.key) : std::nullopt;
  if (!place || place->conversation != conversation || place->seq == Seq{0}) return Tally{};
  PARLEY_TRY(const auto tally, format::decode_tally_row(row.value));
  return Tally{place->seq, tally.count};
}

Result<std::vector<format::UnfedMember>> Members::unfed(Slot slot, std::size_t count_max) {
  const ReadScope scope(*store_);
  PARLEY_TRY(scope.begun());
  PARLEY_TRY(Cursor cursor, store_->cursor(kUnfed));
  const std::string first = format::unfed_key(conversation_number(slot, Index{0}), "");
  std::vector<format::UnfedMember> list;
  Cursor::Row row;
  for (bool found = cursor.seek(first, row); found && list.size() < count_max; found = cursor.next(row)) {
    const ConversationNumber number{row.key.size() < 8 ? 0 : load_big_endian<std::uint64_t>(row.key.data())};
    if (row.key.size() < 8 || slot_of(number) != slot) break;
    const auto unfed = format::decode_unfed_row(row.value);
    PARLEY_TRY(const auto bytes, store_->get(kConversations, format::number_key(number)));
    const auto conversation = bytes ? format::decode_conversation_row(*bytes) : StorageError::NotFound;
    if (!unfed || !conversation) continue;
    list.push_back({std::string(row.key.substr(8)),
                    {number, std::string(conversation->name), conversation->epoch, unfed->present, unfed->changed}});
  }
  if (cursor.failed()) return files_->store().translate(cursor.code(), "look for what users aren't told yet");
  return list;
}

Result<void> read_user_conversations(ReadTransaction& store, std::string_view user,
                                     std::vector<format::UserConversation>& to) {
  PARLEY_TRY(Cursor cursor, store.cursor(kUserConversations));
  const std::string prefix = format::user_conversation_key(user, std::nullopt);
  Cursor::Row row;
  for (bool found = cursor.seek(prefix, row); found && row.key.starts_with(prefix); found = cursor.next(row)) {
    if (row.key.size() != prefix.size() + 8) continue;
    const auto decoded = format::decode_user_conversation_row(row.value);
    if (!decoded) continue;
    const ConversationNumber number{load_big_endian<std::uint64_t>(row.key.data() + prefix.size())};
    to.push_back({number, std::string(decoded->name), decoded->epoch, decoded->present, decoded->changed});
  }
  if (cursor.failed()) return store.environment().translate(cursor.code(), "list a user's conversations");
  return {};
}

}  // namespace parley::storage
