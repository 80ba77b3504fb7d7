#include "storage/id_finder.hpp"

#include "storage/environment.hpp"
#include "storage/files.hpp"
#include "storage/format/keys.hpp"
#include "storage/format/rows.hpp"
#include "storage/store_tables.hpp"

namespace parley::storage {

IdFinder::IdFinder(std::shared_ptr<Files> files)
    : files_(std::move(files)), store_(std::make_unique<ReadTransaction>(files_->store())) {}
IdFinder::~IdFinder() = default;

Result<std::optional<IdFinder::Use>> IdFinder::find(ConversationNumber conversation, std::string_view from,
                                                    std::string_view id) {
  const ReadScope scope(*store_);
  PARLEY_TRY(scope.begun());
  PARLEY_TRY(const auto bytes, store_->get(kConversations, format::number_key(conversation)));
  if (!bytes) return std::optional<Use>();
  const auto row = format::decode_conversation_row(*bytes);
  const std::uint32_t newest = row ? row->ids.generation : 0;
  const std::uint64_t hash = format::id_hash(files_->hash_key(), from, id);
  for (std::uint32_t back = 0; back <= 1 && back <= newest; ++back) {
    PARLEY_TRY(const auto found, store_->get(kIds, format::id_key(conversation, newest - back, hash)));
    const auto row_found = found ? format::decode_id_row(*found) : Result<format::IdRow>(StorageError::NotFound);
    if (!row_found) continue;
    Use use{row_found->seq, row_found->ts};
    PARLEY_TRY(const bool same, is_use(conversation, use, from, id));
    if (same) return std::optional(use);
  }
  return std::optional<Use>();
}

/// The hash is 64 bits, so the entry has the last word; one that is gone or can't be read doesn't object.
Result<bool> IdFinder::is_use(ConversationNumber conversation, Use& use, std::string_view from, std::string_view id) {
  PARLEY_TRY(const auto bytes, store_->get(kEntries, format::entry_key(conversation, use.seq)));
  const auto record = bytes ? format::decode_record(*bytes) : Result<format::Record>(StorageError::NotFound);
  if (!record) return true;
  const auto* entry = std::get_if<format::EntryRecord>(&record->body);
  if (entry == nullptr) return true;
  use.kind = entry->kind;
  return entry->from == from && entry->id == id;
}

}  // namespace parley::storage
