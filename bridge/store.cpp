#include "bridge/store.hpp"

#include "storage/data_directory.hpp"

namespace parley::bridge {

Store::Store(std::string data_dir, unsigned readers_max)
    : directory_(storage::storage_directory(data_dir)), readers_max_(readers_max) {}

Result<void> Store::open() {
  const std::lock_guard lock(mutex_);
  if (files_) return {};
  PARLEY_TRY(files_, storage::Files::open_to_read(directory_, readers_max_));
  return {};
}

std::shared_ptr<storage::Files> Store::files() const {
  const std::lock_guard lock(mutex_);
  return files_;
}

storage::History* Reader::history() {
  if (!history_) {
    auto files = store_.files();
    if (files) history_ = std::make_unique<storage::History>(std::move(files));
  }
  return history_.get();
}

}  // namespace parley::bridge
