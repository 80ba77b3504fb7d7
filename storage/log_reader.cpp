#include "storage/log_reader.hpp"

#include <algorithm>

#include "base/log.hpp"
#include "storage/environment.hpp"
#include "storage/files.hpp"
#include "storage/format/keys.hpp"
#include "storage/format/record.hpp"
#include "storage/log_places.hpp"
#include "storage/slot_index.hpp"
#include "storage/store_tables.hpp"

namespace parley::storage {
namespace {

constexpr std::size_t kRecordsMax = 4'096;

}  // namespace

LogReader::LogReader(std::shared_ptr<Files> files, const LogPlaces& places)
    : files_(std::move(files)),
      places_(places),
      log_(std::make_unique<ReadTransaction>(files_->log())),
      store_(std::make_unique<ReadTransaction>(files_->store())) {}
LogReader::~LogReader() = default;

/// The places first and the store second: what is dropped from the one in between is in the other.
Result<std::vector<Lsn>> LogReader::find(Slot slot, Index first, Index last) {
  std::vector<Lsn> positions = places_.find(slot, first, last, kRecordsMax);
  if (!positions.empty()) return positions;
  const ReadScope scope(*store_);
  PARLEY_TRY(scope.begun());
  PARLEY_TRY(const auto bytes, store_->get(kSlots, format::number_key(slot)));
  if (!bytes) return positions;
  PARLEY_TRY(const auto row, format::decode_slot_row(*bytes));
  if (first <= row.base.index) return positions;
  last = std::min(last, row.last);
  while (first <= last && positions.size() < kRecordsMax) {
    const std::uint64_t number = SlotIndexBlock::number_of(first);
    PARLEY_TRY(const auto stored, store_->get(kSlotIndex, format::slot_index_key(slot, number)));
    const SlotIndexBlock block(stored);
    for (; first <= last && SlotIndexBlock::number_of(first) == number; first = first.next()) {
      if (block.at(first) == Lsn{0}) return positions;
      positions.push_back(block.at(first));
    }
  }
  return positions;
}

Result<std::vector<std::string>> LogReader::read(Slot slot, Index first, Index last, std::size_t bytes_max) {
  PARLEY_TRY(const auto positions, find(slot, first, last));
  const ReadScope scope(*log_);
  PARLEY_TRY(scope.begun());
  std::vector<std::string> records;
  Result<void> why = StorageError::NotFound;
  std::size_t bytes = 0;
  Index index = first;
  for (const Lsn position : positions) {
    if (bytes > bytes_max) break;
    PARLEY_TRY(const auto record, log_->get(kLogTable, format::number_key(position)));
    if (!record) break;
    const auto place = format::decode_position(*record);
    if (!place || place->slot != slot || place->index != index) {
      log::error("a record that another replica needs is damaged",
                 {{"lsn", position}, {"slot", slot}, {"index", index}});
      why = place ? Result<void>(StorageError::CorruptRecord) : Result<void>(place.error());
      break;
    }
    bytes += record->size();
    records.emplace_back(*record);
    index = index.next();
  }
  if (records.empty()) return why.error();
  return records;
}

}  // namespace parley::storage
