#pragma once

#include <boost/system/error_code.hpp>

/// Why stored bytes can't be used or storage can't answer; shared by storage/format and storage.
namespace parley {

enum class StorageError {
  CorruptRecord = 1,  ///< A checksum or length doesn't match; the position stands in the log line.
  NewerFormat,        ///< Written by a newer Parley.
  NotFound,
  DiskFull,  ///< ENOSPC, a quota, or the map's size limit. Passes when there is room.
  ReadOnly,  ///< The directory or file can't be written.
  InUse,     ///< Another broker has this data directory.
  Failed,    ///< Any other error of LMDB or the system.
};

const boost::system::error_category& storage_category();
inline boost::system::error_code make_error_code(StorageError error) {
  return {static_cast<int>(error), storage_category()};
}

}  // namespace parley

template <>
struct boost::system::is_error_code_enum<parley::StorageError> : std::true_type {};
