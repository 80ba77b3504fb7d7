#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/number.hpp"
#include "base/result.hpp"

namespace parley::storage {

/// Between which indexes a slot's log is known to be committed, by what log and store have; see find_commit_bounds.
struct CommitBounds {
  Slot slot;
  Index lowest;
  Index highest;
};

/// Where the file is.
std::string commit_path(const std::string& directory);

/// Up to which index each slot's log is committed, in a small file that the broker writes and every reader of the
/// history maps: the log also has records that may yet be replaced, and nobody may be shown those. Format:
/// docs/formats/commit.md.
///
/// After a restart or power loss the file may be behind what was committed, never ahead of it. It is never synced.
///
/// One thread of the broker may raise a slot, any thread of any process may read it at any time. A read or a raise is
/// one access to memory.
class CommitIndexes {
 public:
  /// In a storage shard's `directory`, for the broker. What is outside a slot's bounds, as in a directory put together
  /// from two backups, is brought inside. A file that can't be used is made anew. Throws OpenFailure.
  static std::unique_ptr<CommitIndexes> open_to_write(const std::string& directory,
                                                      std::span<const CommitBounds> bounds);
  /// Fails with NotFound, CorruptRecord, NewerFormat, Failed. A broker that makes the file anew makes another one: to
  /// be opened again with the log.
  static Result<std::unique_ptr<CommitIndexes>> open_to_read(const std::string& directory);
  ~CommitIndexes();
  CommitIndexes(const CommitIndexes&) = delete;
  CommitIndexes& operator=(const CommitIndexes&) = delete;

  /// 0: nothing of it is known to be committed. Whoever reads this and then begins a snapshot of the log finds the
  /// records up to there in it, or in the store.
  [[nodiscard]] Index at(Slot slot) const;
  /// at() of every slot up to the highest that was ever raised. 0.5 ns a slot.
  void read(std::vector<Index>& to) const;
  /// `index` is committed and durable here. Never lowers. Only when opened to write.
  void raise(Slot slot, Index index);

 private:
  explicit CommitIndexes(std::uint64_t* words) : words_(words) {}
  static Result<std::unique_ptr<CommitIndexes>> map(int file, bool to_write);

  void set(Slot slot, Index index);

  std::uint64_t* words_;  ///< The mapped file: the header's eight, then one a slot.
};

}  // namespace parley::storage
