#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "base/number.hpp"
#include "base/result.hpp"

namespace parley::storage {

class Files;
class LogPlaces;
class ReadTransaction;

/// Reads a slot's log by index, committed or not, for replicas that are behind. Belongs to one thread. Cost: a point
/// read in the mapped file for each record.
class LogReader {
 public:
  /// `places` has what the store hasn't, and outlives this.
  LogReader(std::shared_ptr<Files> files, const LogPlaces& places);
  ~LogReader();

  /// Records [first, last], encoded as they stand in the log, without a hole from `first` on; ends once `bytes_max` is
  /// exceeded, or earlier. NotFound when `first` isn't in the log, or not any more; CorruptRecord when it is damaged.
  Result<std::vector<std::string>> read(Slot slot, Index first, Index last, std::size_t bytes_max);

 private:
  Result<std::vector<Lsn>> find(Slot slot, Index first, Index last);

  std::shared_ptr<Files> files_;
  const LogPlaces& places_;
  std::unique_ptr<ReadTransaction> log_;
  std::unique_ptr<ReadTransaction> store_;
};

}  // namespace parley::storage
