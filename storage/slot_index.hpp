#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.hpp"
#include "base/number.hpp"
#include "base/result.hpp"
#include "storage/environment.hpp"
#include "storage/format/keys.hpp"
#include "storage/format/rows.hpp"
#include "storage/store_tables.hpp"

/// Table `slot_index` of store.mdb: where in the log a slot's materialised records stand. Format:
/// docs/formats/store.md.
namespace parley::storage {

/// One row: the positions of kSlotIndexBlock records, 0 where none is known.
class SlotIndexBlock {
 public:
  static constexpr std::size_t kBytes = format::kSlotIndexBlock * sizeof(std::uint64_t);
  static std::uint64_t number_of(Index index) { return index.value / format::kSlotIndexBlock; }
  static Index first_of(std::uint64_t block) { return {block * format::kSlotIndexBlock}; }

  /// Anything but a whole row counts as an empty one.
  explicit SlotIndexBlock(std::optional<std::string_view> row) : bytes_(kBytes, '\0') {
    if (row && row->size() == kBytes) bytes_ = *row;
  }
  [[nodiscard]] Lsn at(Index index) const { return {load_big_endian<std::uint64_t>(bytes_.data() + offset(index))}; }
  void set(Index index, Lsn position) { store_big_endian(bytes_.data() + offset(index), position.value); }
  [[nodiscard]] const std::string& bytes() const { return bytes_; }

 private:
  static std::size_t offset(Index index) { return index.value % format::kSlotIndexBlock * sizeof(std::uint64_t); }
  std::string bytes_;
};

/// The highest index up to which nothing of the slot is found in a log that begins at `log_first`; at least the row's
/// base. Looks at no more than `blocks_max` rows.
template <class Transaction>
Result<Index> find_base(Transaction& store, Slot slot, const format::SlotRow& row, Lsn log_first,
                        std::size_t blocks_max) {
  Index base = row.base.index;
  for (std::size_t looked = 0; base < row.last && looked < blocks_max; ++looked) {
    const std::uint64_t number = SlotIndexBlock::number_of(base.next());
    PARLEY_TRY(const auto bytes, store.get(kSlotIndex, format::slot_index_key(slot, number)));
    const SlotIndexBlock block(bytes);
    const Index end = std::min(row.last, Index{SlotIndexBlock::first_of(number + 1).value - 1});
    while (base < end && block.at(base.next()) < log_first) base = base.next();
    if (base < end) break;
  }
  return base;
}

}  // namespace parley::storage
