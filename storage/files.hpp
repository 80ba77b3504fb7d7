#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/number.hpp"
#include "base/result.hpp"
#include "storage/format/keyed_hash.hpp"

namespace parley::storage {

class CommitIndexes;
class Environment;

/// log.mdb and store.mdb of one storage shard, opened together. Shared by everybody in the process; any thread.
class Files {
 public:
  struct Options {
    std::uint64_t log_map_size = 64ULL << 30;  ///< Address space, not disk: the file grows as needed.
    std::uint64_t store_map_size = 1ULL << 40;
    unsigned readers_max = 1024;
  };

  /// For the broker, which holds the DataDirectory: opens or creates both. Throws OpenFailure: NewerFormat, ReadOnly,
  /// DiskFull, CorruptRecord (the two don't fit together), Failed.
  static std::shared_ptr<Files> open_to_write(const std::string& directory, const Options& options);
  /// For everybody else. NotFound when no broker has made them yet, NewerFormat, ReadOnly, Failed.
  static Result<std::shared_ptr<Files>> open_to_read(const std::string& directory, unsigned readers_max);
  ~Files();

  /// For the broker, once it has opened them to write and before anybody reads through them: from now on only what is
  /// committed is shown and materialised, see CommitIndexes. Throws OpenFailure.
  void keep_commit_indexes();
  /// Null in another process, and before keep_commit_indexes.
  [[nodiscard]] CommitIndexes* commit_indexes() const { return commit_indexes_.get(); }
  /// False when they were opened to read: a store from before may have no such table.
  [[nodiscard]] bool has_slot_index() const { return has_slot_index_; }
  [[nodiscard]] const std::string& directory() const { return directory_; }

  [[nodiscard]] Environment& log() const { return *log_; }
  [[nodiscard]] Environment& store() const { return *store_; }
  /// The store has everything up to here; 0 when that can't be read.
  [[nodiscard]] Lsn watermark() const;
  /// The log's last record, or the last one that the store has if that is further.
  [[nodiscard]] Lsn log_end() const;
  /// Frees the reader slots of processes that died, in both files; returns how many.
  int clear_dead_readers();
  /// Keys the hashes in store.mdb.
  [[nodiscard]] const format::HashKey& hash_key() const { return hash_key_; }

 private:
  Files(std::string directory, std::unique_ptr<Environment> log, std::unique_ptr<Environment> store);
  void prepare_log();
  void prepare_store();
  Result<void> check_formats();

  std::string directory_;
  std::unique_ptr<Environment> log_;
  std::unique_ptr<Environment> store_;
  format::HashKey hash_key_;
  bool has_slot_index_ = false;
  std::unique_ptr<CommitIndexes> commit_indexes_;
};

}  // namespace parley::storage
