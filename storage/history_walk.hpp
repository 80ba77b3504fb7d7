#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/number.hpp"
#include "base/result.hpp"
#include "storage/environment.hpp"
#include "storage/format/record.hpp"
#include "storage/history.hpp"
#include "storage/tail_index.hpp"

namespace parley::storage {

/// One conversation's entries by seq, wherever they are, within one snapshot. Neighbours in the direction of the walk
/// cost one step in the store, everything else a search.
class History::Walk {
 public:
  static Result<Walk> begin(ReadTransaction& log, ReadTransaction& store, const TailIndex& tail,
                            ConversationNumber number, Seq store_head, Direction direction);

  /// The whole record, or nothing when it is lost. Valid as long as the snapshot. Fails with Failed.
  Result<std::optional<std::string_view>> bytes(Seq seq);

  struct Item {
    std::string_view bytes;
    format::Record record;
    [[nodiscard]] const format::EntryRecord& entry() const { return std::get<format::EntryRecord>(record.body); }
  };
  /// Checked and decoded, as its edits and redaction have made it; nothing when it is lost or damaged. Valid until the
  /// next call.
  Result<std::optional<Item>> item(Seq seq);

 private:
  Walk(ReadTransaction& log, const TailIndex& tail, ConversationNumber number, Seq store_head, Direction direction,
       Cursor store_cursor, Cursor log_cursor)
      : log_(log),
        tail_(tail),
        number_(number),
        store_head_(store_head),
        direction_(direction),
        store_cursor_(store_cursor),
        log_cursor_(log_cursor) {}
  Result<std::optional<Item>> stored_item(Seq seq);
  Result<std::optional<Item>> amended(Item item);
  Result<std::optional<format::Record>> amendment(Lsn position);
  bool step(Cursor::Row& row) {
    return direction_ == Direction::Ascending ? store_cursor_.next(row) : store_cursor_.previous(row);
  }

  ReadTransaction& log_;
  const TailIndex& tail_;
  ConversationNumber number_;
  Seq store_head_;
  Direction direction_;
  Cursor store_cursor_;
  Cursor log_cursor_;
  std::string amended_;  ///< What item() gave out, where it isn't stored like that.
  bool placed_ = false;  ///< The store's cursor stands on the entry asked for last.
};

}  // namespace parley::storage
