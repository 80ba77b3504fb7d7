#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "base/result.hpp"
#include "storage/files.hpp"
#include "storage/history.hpp"

/// The node's history files, opened once for all workers, as soon as a broker has made them.
namespace parley::bridge {

class Store {
 public:
  Store(std::string data_dir, unsigned readers_max);

  /// Opens the files, once. NotFound while no broker has made them; other errors as storage::History::open. Any thread.
  Result<void> open();
  /// Null until open() has succeeded. Any thread.
  [[nodiscard]] std::shared_ptr<storage::Files> files() const;

 private:
  const std::string directory_;
  const unsigned readers_max_;
  mutable std::mutex mutex_;  ///< Guards files_; nothing is taken after it.
  std::shared_ptr<storage::Files> files_;
};

/// One worker's view of it. Belongs to its worker's thread.
class Reader {
 public:
  explicit Reader(const Store& store) : store_(store) {}

  /// Null while there is nothing to read.
  storage::History* history();

 private:
  const Store& store_;
  std::unique_ptr<storage::History> history_;
};

}  // namespace parley::bridge
