#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "base/number.hpp"
#include "base/result.hpp"
#include "base/time.hpp"

namespace parley::storage {

class Files;
class ReadTransaction;

/// When a generation of a conversation's ids is complete; two of them are always kept, so whichever of these reaches
/// further back is remembered. DESIGN §3, idempotence.
inline constexpr std::uint64_t kIdGenerationMilliseconds = 24ULL * 60 * 60 * 1000;
inline constexpr std::uint64_t kIdGenerationEntries = 1'000;

/// Brings the log into store.mdb, batch by batch, each in one transaction with its watermark: a crash between any two
/// steps leaves the store at a batch's end, and a batch that is done again changes nothing. Format:
/// docs/formats/store.md.
///
/// Belongs to one thread, the only one that writes to the store. Cost: 2 to 5 µs a record in large batches, and a dirty
/// page for each conversation touched.
class Materialiser {
 public:
  explicit Materialiser(std::shared_ptr<Files> files);
  ~Materialiser();

  struct Limits {
    std::size_t records_max = 50'000;
    std::size_t bytes_max = 32ULL << 20;  ///< Of encoded records; a batch has at least one.
  };
  struct Done {
    std::size_t records = 0;
    std::size_t bytes = 0;
    Lsn watermark;  ///< Everything up to here is in the store.
  };
  /// One batch; no records when the store has everything. A damaged record is reported with its position and passed
  /// over: its seq stays given, and reading it says that it is corrupt. Fails with DiskFull, NewerFormat, Failed, and
  /// then the store is as it was; may be tried again.
  Result<Done> step(const Limits& limits);

 private:
  class Batch;
  class Writing;

  std::shared_ptr<Files> files_;
  std::unique_ptr<ReadTransaction> log_;
  std::unique_ptr<Batch> batch_;  ///< Kept for its memory.
  /// Conversations whose ids before the given generation are to be deleted, a piece with each step.
  std::vector<std::pair<ConversationNumber, std::uint32_t>> ids_to_prune_;
};

}  // namespace parley::storage
