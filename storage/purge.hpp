#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/number.hpp"
#include "base/result.hpp"
#include "storage/page_scrub.hpp"

namespace parley::storage {

class Files;
class ReadTransaction;

/// Takes what was redacted out of the files. The materialiser has put stubs into the store and noted in table `scrubs`
/// what they replace; here the records in the log follow, and then both files are cleaned of what is left of the
/// originals: see PageScrub. What was noted is forgotten when that is done, so that nothing is after a crash. Format:
/// docs/formats/store.md "Redactions".
///
/// Belongs to the thread of the materialiser. All redactions that are there when it begins go in one pass; a pass reads
/// all of the log and all pages of the store that are in use or free, in small steps.
class Purge {
 public:
  explicit Purge(std::shared_ptr<Files> files);
  ~Purge();

  /// Something was redacted.
  void wanted() { wanted_ = true; }
  /// Whether step() has something to do; true at first, for what was left before a restart.
  [[nodiscard]] bool is_due() const { return wanted_ || phase_ != Phase::Idle; }

  enum class Progress : std::uint8_t { GoesOn, Waits, Finished, Idle };
  /// A millisecond or so of work. Fails with Failed, DiskFull; the pass then begins again with the next call.
  Result<Progress> step();
  /// Of the last pass that was finished: entries whose content is gone, and pages of which something was cleaned.
  [[nodiscard]] std::size_t entries() const { return entries_; }
  [[nodiscard]] std::size_t pages() const { return pages_; }
  /// Entries whose content is to be taken out still; 0 when that can't be read.
  [[nodiscard]] std::uint64_t pending() const;

 private:
  enum class Phase : std::uint8_t { Idle, Log, LogOpening, LogPages, StoreOpening, StorePages, Forgetting };
  using Place = std::pair<ConversationNumber, Seq>;

  Result<Progress> advance();
  Result<Progress> begin();
  Result<void> redact_in_log();
  bool is_meant(std::string_view bytes, Seq& by);
  Result<void> rewrite(const std::vector<std::pair<Lsn, Seq>>& records);
  Result<void> forget();

  std::shared_ptr<Files> files_;
  std::unique_ptr<ReadTransaction> log_;
  std::unique_ptr<ReadTransaction> store_;
  bool wanted_ = true;
  Phase phase_ = Phase::Idle;
  std::map<Place, Seq> targets_;  ///< With the redaction of each.
  Lsn next_;                      ///< The log is read from its end; this record is next.
  /// Of each slot the lowest index behind next_: at or above it a record was replaced by a later one, and its content
  /// may have been sent again.
  std::unordered_map<Slot, Index> lowest_;
  std::unique_ptr<PageScrub> scrub_;
  std::size_t cleaned_ = 0;
  std::size_t entries_ = 0;
  std::size_t pages_ = 0;
};

}  // namespace parley::storage
