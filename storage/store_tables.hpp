#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/number.hpp"
#include "base/result.hpp"
#include "storage/environment.hpp"

/// The tables of the two files and the rows that everybody needs. Formats: docs/formats/log.md, docs/formats/store.md.
namespace parley::storage {

/// log.mdb is one table: record `Lsn`, and under 0 the file's own row.
inline constexpr std::size_t kLogTable = 0;
inline constexpr Lsn kLogHeader{0};

/// Tables of store.mdb, in the order they are opened in.
enum Table : std::size_t {
  kEntries,
  kConversations,
  kNames,
  kIds,
  kSessions,
  kCursors,
  kSlots,
  kMeta,
  kMembers,
  kGroups,
  kUserConversations,
  kUnfed,
  kSlotIndex,
  kAmendments,
  kScrubs,
  kTrims,
  kMarks,
  kTallies,
  kErasures
};
inline constexpr const char* kTableNames[] = {
    "entries", "conversations",      "names", "ids",        "sessions",   "cursors", "slots", "meta",  "members",
    "groups",  "user_conversations", "unfed", "slot_index", "amendments", "scrubs",  "trims", "marks", "tallies",
    "erasures"};
/// Those that readers in other processes want.
inline constexpr std::size_t kTablesToRead = kSlotIndex;

inline constexpr std::uint32_t kFormatVersion = 1;
inline constexpr std::string_view kMetaFormat = "format";
inline constexpr std::string_view kMetaWatermark = "watermark";
inline constexpr std::string_view kMetaHashKey = "hash key";

/// Everything up to there is in store.mdb.
Result<Lsn> read_watermark(ReadTransaction& store);
Result<Lsn> read_watermark(WriteTransaction& store);

/// The last position that anything in the store is from. Slots that have no majority for a while hold the watermark
/// back, while those of others behind it are in the store. O(slots).
Result<Lsn> read_store_end(ReadTransaction& store);

/// First and last record of the log; both 0 when there is none.
struct LogRange {
  Lsn first;
  Lsn last;
};
Result<LogRange> read_log_range(ReadTransaction& log);
/// Where the log has no record at all, nothing of it is waited for: the watermark becomes the store's end.
Result<void> forget_what_the_log_lacks(Environment& log, Environment& store);

}  // namespace parley::storage
