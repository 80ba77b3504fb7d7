#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "base/number.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "storage/commit_view.hpp"
#include "storage/format/rows.hpp"
#include "storage/log_walk.hpp"
#include "storage/slot_queues.hpp"

namespace parley::storage {

class Files;
class ReadTransaction;
class WriteTransaction;

/// When a generation of a conversation's ids is complete; two of them are always kept, so whichever of these reaches
/// further back is remembered. DESIGN §3, idempotence.
inline constexpr std::uint64_t kIdGenerationMilliseconds = 24ULL * 60 * 60 * 1000;
inline constexpr std::uint64_t kIdGenerationEntries = 1'000;

/// Brings what is committed of the log into store.mdb, batch by batch, each in one transaction with its watermark: a
/// crash between any two steps leaves the store at a batch's end, and a batch that is done again changes nothing.
/// Format: docs/formats/store.md.
///
/// A slot without a majority holds up nobody but the watermark, which stays before its first record that isn't
/// committed; the store's slot rows say what of the others is done.
///
/// Belongs to one thread, the only one that writes to the store. Cost: 2 to 5 µs a record in large batches, and a dirty
/// page for each conversation touched. Memory: 24 bytes for each record of the log that isn't materialised.
class Materialiser {
 public:
  struct Options {
    /// Of a node that has others: keeps where each slot's records stand in the log, for LogReader and find_slot_states.
    bool index_slots = false;
    /// Of a node whose slots others keep, too: step() fails with CorruptRecord instead of passing over a record with a
    /// wrong checksum.
    bool refuses_damage = false;
  };
  explicit Materialiser(std::shared_ptr<Files> files) : Materialiser(std::move(files), Options{}) {}
  Materialiser(std::shared_ptr<Files> files, const Options& options);
  ~Materialiser();

  struct Limits {
    std::size_t records_max = 50'000;
    std::size_t bytes_max = 32ULL << 20;  ///< Of encoded records; a batch has at least one.
  };
  struct Done {
    std::size_t records = 0;
    std::size_t bytes = 0;
    std::size_t redactions = 0;                 ///< Of them; see Purge.
    std::size_t retentions = 0;                 ///< The same; see Trim.
    Lsn watermark;                              ///< Everything up to here is in the store, or was replaced.
    std::vector<std::pair<Slot, Index>> slots;  ///< Whose records up to there are in the store now.
  };
  /// One batch; no records when the store has everything that is committed. A damaged record is reported with its
  /// position and passed over: its seq stays given, and reading it says that it is corrupt. Fails with DiskFull,
  /// NewerFormat, Failed, and then the store is as it was; may be tried again.
  Result<Done> step(const Limits& limits);
  /// From now on damage isn't refused.
  void pass_over_damage() { refuses_damage_ = false; }
  /// Where the record stands because of which step() has failed with CorruptRecord; 0: it was for another reason.
  [[nodiscard]] Lsn damaged() const { return damaged_; }

  // -- What another node's store has of a slot whose log this one can't follow any more: see SlotSnapshotReader --
  struct SnapshotPiece {
    Slot slot;
    std::uint32_t slots = 256;  ///< Of the cluster.
    std::string_view bytes;     ///< Items; none: only the answer is wanted.
    std::string_view next;      ///< Position of the piece that will be asked for next.
  };
  /// Takes it in, in one transaction, as if it had come by the log, and returns what the store has from `next` on
  /// (known_of). Taken twice it changes nothing. The slot's row stays: until finish_snapshot the replica is where it
  /// was, with more in its store than its log says. Fails as step(), and with CorruptRecord for what is no piece.
  Result<std::string> take_snapshot(const SnapshotPiece& piece);
  struct SnapshotEnd {
    Slot slot;
    Term term;
    Index index;
    format::SlotRow::Replicas replicas;  ///< In force there; without voters: none was ever named.
  };
  /// Everything up to (`term`, `index`) was taken: the slot's log begins after it, and what the log has of it so far is
  /// replaced. No record of the slot may be on its way to the log. After a failure it may be done or not: to be called
  /// again until it succeeds.
  Result<void> finish_snapshot(const SnapshotEnd& end);

 private:
  class Batch;
  class Writing;
  /// Nothing needs to be known of a record that waits.
  struct Nothing {};
  using Waiting = SlotQueues<Nothing>;

  /// Queues what is new in the log. `watermark`: of the store.
  Result<void> scan(Lsn watermark, WriteTransaction& store);
  Result<void> queue(Lsn position, std::string_view bytes, WriteTransaction& store);
  Result<void> begin_slot(Slot slot, WriteTransaction& store);
  /// Where it is once the batch is done.
  [[nodiscard]] Lsn watermark_after_batch() const;
  void drop_batch();
  void forget();
  Result<void> write_snapshot(const SnapshotPiece& piece, WriteTransaction& store);
  Result<void> write_snapshot_end(const SnapshotEnd& end, Lsn log_last, WriteTransaction& store);
  Result<void> refuse_damage();
  boost::system::error_code failed(const WriteTransaction& store, boost::system::error_code why);

  std::shared_ptr<Files> files_;
  const Options options_;
  bool refuses_damage_;
  Lsn damaged_;
  CommitView commits_;
  std::unique_ptr<ReadTransaction> log_;
  Waiting waiting_;
  LogWalk walk_;
  Lsn watermark_;                 ///< As this one has left it.
  std::unique_ptr<Batch> batch_;  ///< Kept for its memory.
  /// Conversations whose ids before the given generation are to be deleted, a piece with each step.
  std::vector<std::pair<ConversationNumber, std::uint32_t>> ids_to_prune_;
};

}  // namespace parley::storage
