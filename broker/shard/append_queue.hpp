#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "broker/replication/slot.hpp"
#include "broker/shard/ports.hpp"

namespace parley::shard {

/// What this shard has handed to the log and not heard of yet: a turn's records and hard states make one batch. Who
/// waits for them is no matter of this class. Belongs to its shard.
class AppendQueue {
 public:
  /// One slot's records in a batch, each one behind the one before it.
  struct Run {
    Slot slot;
    replication::LogGeneration generation;
    Index first;
    Index last;
  };
  struct Batch {
    std::uint64_t ticket = 0;
    std::vector<Run> runs;
    std::vector<format::HardStateRow> hard_states;
  };

  AppendQueue(ShardId shard, LogStore& store, std::uint32_t slots) : shard_(shard), store_(store), open_runs_(slots) {}

  /// Returns the record's place among the batch's records.
  std::uint32_t add(Slot slot, replication::LogGeneration generation, Index index,
                    std::shared_ptr<const std::string> record);
  void add(const format::HardStateRow& hard_state) { batch_.hard_states.push_back(hard_state); }
  /// Hands what was added to the store.
  void flush();

  /// Takes out what was stored with `ticket`; empty when it was taken out before.
  Batch take(std::uint64_t ticket);
  /// The same after a failure, with everything behind it, which fails, too. A new generation begins.
  std::vector<Batch> take_failed(std::uint64_t ticket);

  /// Records of the slot are on their way.
  [[nodiscard]] bool has(Slot slot) const;
  [[nodiscard]] bool empty() const { return under_way_.empty() && batch_.runs.empty() && batch_.hard_states.empty(); }

 private:
  /// Where a slot's records of the batch that is being collected go on.
  struct OpenRun {
    std::uint64_t ticket = 0;
    std::size_t run = 0;
  };

  ShardId shard_;
  LogStore& store_;
  std::vector<OpenRun> open_runs_;  ///< By slot.
  std::uint64_t generation_ = 1;
  Batch batch_{.ticket = 1, .runs = {}, .hard_states = {}};
  std::vector<std::shared_ptr<const std::string>> records_;  ///< Of `batch_`.
  std::vector<Batch> under_way_;                             ///< By ticket.
};

}  // namespace parley::shard
