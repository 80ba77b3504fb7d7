#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "base/number.hpp"
#include "base/result.hpp"

namespace parley::storage {

class CommitIndexes;
class Files;

/// The commit indexes as one reader has read them. Belongs to one thread.
///
/// To be read before the snapshot of the log that it is used for: then everything up to at() is in that snapshot, or in
/// a store that is looked at later, and nothing that is will ever be replaced.
///
/// Without a file of commit indexes everything is committed: a log that no broker has opened which keeps one.
class CommitView {
 public:
  explicit CommitView(std::shared_ptr<Files> files);
  ~CommitView();

  /// In the broker a tenth of a microsecond; in another process a microsecond more, for a look whether the file is
  /// still the one that the broker writes. A damaged file is reported once, and then nothing is known to be committed
  /// until the broker has made it anew. Fails with NewerFormat, Failed.
  Result<void> read();
  [[nodiscard]] Index at(Slot slot) const {
    if (everything_) return {~0ULL};
    return slot.value < indexes_.size() ? indexes_[slot.value] : Index{0};
  }

 private:
  Result<void> follow_file();

  std::shared_ptr<Files> files_;
  std::unique_ptr<CommitIndexes> mapped_;  ///< Null in the broker, whose Files have it.
  dev_t device_ = 0;
  ino_t file_ = 0;  ///< Which file was looked at last; 0: none.
  bool everything_ = true;
  std::vector<Index> indexes_;
};

}  // namespace parley::storage
