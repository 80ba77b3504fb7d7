#pragma once

#include <cstdint>
#include <string>

namespace parley::storage {

/// A broker's data directory, held exclusively while this object lives: an flock on its file `lock`, which the system
/// gives back however the process ends. Readers don't take it. Any thread.
class DataDirectory {
 public:
  /// Makes the directory and that of its storage shard if they aren't there. Throws OpenFailure: InUse, ReadOnly,
  /// Failed.
  explicit DataDirectory(std::string path);
  ~DataDirectory();
  DataDirectory(const DataDirectory&) = delete;
  DataDirectory& operator=(const DataDirectory&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
  int lock_ = -1;
};

/// Where storage shard `number` of a data directory has its two files. There is one shard, 0, for now.
std::string storage_directory(const std::string& data_dir, std::uint32_t number = 0);

}  // namespace parley::storage
