#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/number.hpp"
#include "base/result.hpp"
#include "storage/format/rows.hpp"
#include "storage/store_tables.hpp"

/// A slot's history on its way to a replica that is behind the log: read piece by piece from one node's store, taken in
/// by another one's (Materialiser::take_snapshot). Format: docs/formats/snapshot.md.
namespace parley::storage {

class Files;
class ReadTransaction;
class WriteTransaction;

/// Tables that don't follow from the log alone, or not from what stores have kept of it: they are copied row by row.
/// Keys begin with a conversation's number, and doing again what the log says changes a row only forward. New ones come
/// at the end.
inline constexpr std::array kSnapshotTables{kUnfed, kGroups, kMembers, kMarks, kErasures};

/// One element of a piece; views the piece's bytes.
struct SnapshotItem {
  enum class Kind : std::uint8_t {
    Record = 1,         ///< As it would stand in the log.
    Row = 2,            ///< Of one of kSnapshotTables.
    BeginRows = 3,      ///< What the taker has of the slot in that table goes.
    BeginSessions = 4,  ///< The same for `sessions` and `cursors`.
  };
  Kind kind = Kind::Record;
  std::uint8_t table = 0;  ///< Of rows: its place in kSnapshotTables.
  std::string_view key;    ///< Of a row.
  std::string_view bytes;
  friend bool operator==(const SnapshotItem&, const SnapshotItem&) = default;
};
void append_item(std::string& to, const SnapshotItem& item);
/// Fails with CorruptRecord.
Result<std::vector<SnapshotItem>> decode_items(std::string_view piece);

/// Where a reading goes on.
struct SnapshotPosition {
  enum class Part : std::uint8_t { Conversations = 1, Rows = 2, Sessions = 3, Users = 4 };
  Part part = Part::Conversations;
  ConversationNumber conversation;  ///< Conversations: the first one that isn't done …
  Seq seq;                          ///< … and its first entry that isn't; 0: it hasn't begun.
  std::uint8_t table = 0;           ///< Rows: which of kSnapshotTables.
  std::string key;  ///< Else: the first row of the table that isn't done, or of a session's cursors; empty: not begun.
  friend bool operator==(const SnapshotPosition&, const SnapshotPosition&) = default;
};
std::string encode(const SnapshotPosition& position);
/// Empty bytes are the beginning. Fails with CorruptRecord.
Result<SnapshotPosition> decode_position(std::string_view bytes, Slot slot);

/// What the taker has already, from a position on.
struct SnapshotKnown {
  struct Conversation {
    ConversationNumber number;
    Seq head;
    friend bool operator==(const Conversation&, const Conversation&) = default;
  };
  ConversationNumber until{~std::uint64_t{0}};  ///< Nothing is said of this one and those behind it.
  std::vector<Conversation> conversations;      ///< Ascending; those below `until` that aren't here it doesn't have.
  friend bool operator==(const SnapshotKnown&, const SnapshotKnown&) = default;
};
std::string encode(const SnapshotKnown& known);
/// Fails with CorruptRecord.
Result<SnapshotKnown> decode_known(std::string_view bytes);

/// Reads pieces. Belongs to one thread. Nothing is kept between two pieces, here or in the file: each is what the store
/// has when it is read, at least what it had at the piece before. Whoever puts all of them together and then the slot's
/// log behind the place that was named with the first one has the slot as it is, since every change that a later piece
/// shows, or doesn't show, is in that log, and doing it again changes nothing.
///
/// Cost: sessions and users' conversations aren't sorted by slot, so all of them are looked through, at most
/// kRowsLookedAt a piece.
class SlotSnapshotReader {
 public:
  explicit SlotSnapshotReader(std::shared_ptr<Files> files);
  ~SlotSnapshotReader();

  struct Request {
    Slot slot;
    std::uint32_t slots = 256;  ///< Of the cluster.
    std::string_view position;  ///< Empty: from the beginning.
    std::string_view known;     ///< From known_of() of the one who wants it.
    std::size_t bytes_max = 512 * 1024;
  };
  struct Piece {
    Term term;  ///< The last record of the slot that was in the store …
    Index index;
    std::string bytes;  ///< Ends with the item that exceeds `bytes_max`.
    std::string next;   ///< Position of the next piece; empty: this was the last one.
  };
  /// Fails with NotFound when the store has nothing of the slot, CorruptRecord for a position or knowledge that is
  /// none, Failed.
  Result<Piece> read(const Request& request);

  static constexpr std::size_t kRowsLookedAt = 20'000;

 private:
  std::shared_ptr<Files> files_;
  std::unique_ptr<ReadTransaction> store_;
};

/// What the store has of the slot from `position` on, as SlotSnapshotReader wants to be told. Fails as read().
Result<std::string> known_of(ReadTransaction& store, Slot slot, std::string_view position);
/// Takes all sessions of the slot away, with their cursors.
Result<void> erase_sessions(WriteTransaction& store, Slot slot, std::uint32_t slots);
/// Takes all rows of the slot from a table whose keys begin with a conversation's number.
Result<void> erase_rows(WriteTransaction& store, std::size_t table, Slot slot);
/// Brings the numbers of members and owners in the slot's group rows to what its member rows say: both were copied, but
/// not in one moment.
Result<void> count_members(WriteTransaction& store, Slot slot);
/// Takes all rows of the slot up to `last` from table `slot_index`.
Result<void> erase_slot_index(WriteTransaction& store, Slot slot, Index last);

}  // namespace parley::storage
