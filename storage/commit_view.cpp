#include "storage/commit_view.hpp"

#include <sys/stat.h>

#include <cerrno>

#include "base/log.hpp"
#include "storage/commit_indexes.hpp"
#include "storage/files.hpp"
#include "storage/format/error.hpp"

namespace parley::storage {

CommitView::CommitView(std::shared_ptr<Files> files) : files_(std::move(files)) {}
CommitView::~CommitView() = default;

Result<void> CommitView::read() {
  const CommitIndexes* indexes = files_->commit_indexes();
  if (indexes == nullptr) {
    PARLEY_TRY(follow_file());
    indexes = mapped_.get();
  } else {
    everything_ = false;
  }
  if (indexes != nullptr) indexes->read(indexes_);
  return {};
}

Result<void> CommitView::follow_file() {
  struct stat status {};
  if (::stat(commit_path(files_->directory()).c_str(), &status) != 0) {
    // One that was there and is gone was taken away under a running broker: what was mapped is still right.
    if (errno != ENOENT) return StorageError::Failed;
    return {};
  }
  if (status.st_dev == device_ && status.st_ino == file_) return {};
  auto opened = CommitIndexes::open_to_read(files_->directory());
  if (!opened && opened.error() != make_error_code(StorageError::CorruptRecord)) return opened.error();
  device_ = status.st_dev;
  file_ = status.st_ino;
  everything_ = false;
  indexes_.clear();
  mapped_ = opened ? std::move(*opened) : nullptr;
  if (!mapped_) {
    log::error("the file of commit indexes is damaged, showing only what is in the store until a broker makes it anew",
               {{"file", commit_path(files_->directory())}});
  }
  return {};
}

}  // namespace parley::storage
