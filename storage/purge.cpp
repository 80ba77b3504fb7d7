#include "storage/purge.hpp"

#include <string>

#include "base/bytes.hpp"
#include "storage/environment.hpp"
#include "storage/files.hpp"
#include "storage/format/keys.hpp"
#include "storage/format/record.hpp"
#include "storage/store_tables.hpp"

namespace parley::storage {
namespace {

constexpr std::size_t kTargetsMax = 10'000;
constexpr std::size_t kRecordsMax = 2'000;
/// Of a step: as long as it takes, nobody else writes to the file. The log is what publishers wait for.
constexpr std::size_t kLogPagesMax = 128;
constexpr std::size_t kStorePagesMax = 512;
constexpr std::string_view kMetaPurged = "purged";

}  // namespace

Purge::Purge(std::shared_ptr<Files> files)
    : files_(std::move(files)),
      log_(std::make_unique<ReadTransaction>(files_->log())),
      store_(std::make_unique<ReadTransaction>(files_->store())) {}
Purge::~Purge() = default;

std::uint64_t Purge::pending() const {
  const ReadScope scope(*store_);
  const auto count = scope.begun() ? store_->count(kScrubs) : Result<std::uint64_t>(StorageError::Failed);
  return count ? *count : 0;
}

Result<Purge::Progress> Purge::step() {
  auto progress = advance();
  if (progress) return progress;
  phase_ = Phase::Idle;
  wanted_ = true;
  scrub_.reset();
  return progress;
}

Result<Purge::Progress> Purge::advance() {
  const auto opens = [](Environment& file) { return file.reopen() ? Progress::GoesOn : Progress::Waits; };
  switch (phase_) {
    case Phase::Idle: return begin();
    case Phase::Log: {
      PARLEY_TRY(redact_in_log());
      if (next_.value == 0) phase_ = Phase::LogOpening;
      return Progress::GoesOn;
    }
    case Phase::LogOpening:
      if (opens(files_->log()) == Progress::Waits) return Progress::Waits;
      scrub_ = std::make_unique<PageScrub>(files_->log(), [](WriteTransaction& log) -> Result<void> {
        PARLEY_TRY(const auto header, log.get(kLogTable, format::number_key(kLogHeader)));
        const std::string same(header.value_or(std::string_view()));
        return log.put(kLogTable, format::number_key(kLogHeader), same);
      });
      phase_ = Phase::LogPages;
      return Progress::GoesOn;
    case Phase::StoreOpening:
      if (opens(files_->store()) == Progress::Waits) return Progress::Waits;
      scrub_ = std::make_unique<PageScrub>(files_->store(),
                                           [](WriteTransaction& store) { return store.put(kMeta, kMetaPurged, "\1"); });
      phase_ = Phase::StorePages;
      return Progress::GoesOn;
    case Phase::LogPages:
    case Phase::StorePages: {
      const bool log = phase_ == Phase::LogPages;
      PARLEY_TRY(const auto progress, scrub_->step(log ? kLogPagesMax : kStorePagesMax));
      if (progress == PageScrub::Progress::Waits) return Progress::Waits;
      if (progress == PageScrub::Progress::GoesOn) return Progress::GoesOn;
      cleaned_ += scrub_->cleaned();
      scrub_.reset();
      phase_ = log ? Phase::StoreOpening : Phase::Forgetting;
      return Progress::GoesOn;
    }
    case Phase::Forgetting: break;
  }
  PARLEY_TRY(forget());
  phase_ = Phase::Idle;
  wanted_ = true;  // More may have come.
  entries_ = targets_.size();
  pages_ = cleaned_;
  return Progress::Finished;
}

Result<Purge::Progress> Purge::begin() {
  targets_.clear();
  lowest_.clear();
  cleaned_ = 0;
  {
    const ReadScope scope(*store_);
    PARLEY_TRY(scope.begun());
    PARLEY_TRY(Cursor cursor, store_->cursor(kScrubs));
    Cursor::Row row;
    for (bool found = cursor.first(row); found && targets_.size() < kTargetsMax; found = cursor.next(row)) {
      const auto place = format::entry_place(row.key);
      if (place) targets_[{place->conversation, place->seq}] = Seq{format::number_from_key(row.value)};
    }
    if (cursor.failed()) return files_->store().translate(cursor.code(), "read what was redacted");
  }
  wanted_ = false;
  if (targets_.empty()) return Progress::Idle;
  const ReadScope scope(*log_);
  PARLEY_TRY(scope.begun());
  PARLEY_TRY(const LogRange range, read_log_range(*log_));
  next_ = range.last;
  phase_ = next_.value == 0 ? Phase::LogOpening : Phase::Log;
  return Progress::GoesOn;
}

/// Goes on towards the log's beginning.
Result<void> Purge::redact_in_log() {
  std::vector<std::pair<Lsn, Seq>> meant;
  {
    const ReadScope scope(*log_);
    PARLEY_TRY(scope.begun());
    PARLEY_TRY(Cursor cursor, log_->cursor(kLogTable));
    Cursor::Row row;
    // What was there may have been cut.
    bool found = cursor.seek(format::number_key(next_), row) && format::number_from_key(row.key) == next_.value;
    for (std::size_t looked = 0; found && looked < kRecordsMax; ++looked) {
      const Lsn position{format::number_from_key(row.key)};
      Seq by;
      if (position == kLogHeader || row.key.size() != 8) {
        found = false;
        break;
      }
      if (is_meant(row.value, by)) meant.emplace_back(position, by);
      found = cursor.previous(row);
      next_ = found && row.key.size() == 8 ? Lsn{format::number_from_key(row.key)} : Lsn{0};
    }
    if (!found) next_ = Lsn{0};
    if (cursor.failed()) return files_->log().translate(cursor.code(), "look for what was redacted");
  }
  return rewrite(meant);
}

bool Purge::is_meant(std::string_view bytes, Seq& by) {
  const auto record = format::decode_record(bytes);
  if (!record) return false;
  const auto [place, added] = lowest_.try_emplace(record->position.slot, record->position.index);
  const bool replaced = !added && record->position.index >= place->second;
  if (!replaced) place->second = record->position.index;
  const auto* entry = std::get_if<format::EntryRecord>(&record->body);
  if (entry == nullptr || entry->redacted) return false;
  if (entry->kind != format::EntryKind::Message && entry->kind != format::EntryKind::Edit) return false;
  if (replaced) return true;
  const auto target = targets_.find({entry->conversation, entry->seq});
  if (target == targets_.end()) return false;
  by = target->second;
  return true;
}

Result<void> Purge::rewrite(const std::vector<std::pair<Lsn, Seq>>& records) {
  if (records.empty()) return {};
  WriteTransaction log(files_->log());
  PARLEY_TRY(log.begin());
  for (const auto& [position, by] : records) {
    const auto key = format::number_key(position);
    PARLEY_TRY(const auto bytes, log.get(kLogTable, key));
    if (!bytes) continue;  // Cut meanwhile.
    std::string stub(*bytes);
    format::redact_record(stub, by);
    PARLEY_TRY(log.put(kLogTable, key, stub));
  }
  return log.commit();
}

Result<void> Purge::forget() {
  WriteTransaction store(files_->store());
  PARLEY_TRY(store.begin());
  for (const auto& [place, by] : targets_) {
    PARLEY_TRY(store.erase(kScrubs, format::entry_key(place.first, place.second)));
  }
  return store.commit();
}

}  // namespace parley::storage
