#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <variant>
#include <vector>

#include "broker/replication/slot.hpp"
#include "tests/simulation/dice.hpp"

/// A simulated disk: what slots hand to it is lost, late or refused unless it was synced. Used by cluster.hpp.
namespace parley::replication::simulation {

using parley::simulation::Dice;

/// What stands for a record: nobody gives one payload twice.
struct Entry {
  Term term;
  std::uint64_t payload = 0;
  std::shared_ptr<const ReplicaSet> replicas;  ///< Set when it names one.
};

/// A slot's log from its base on.
struct Log {
  LogPosition base;
  ReplicasAt replicas;  ///< In force at the base.
  std::vector<Entry> entries;

  [[nodiscard]] Index last() const { return {base.index.value + entries.size()}; }
  [[nodiscard]] const Entry& at(Index index) const { return entries.at(index.value - base.index.value - 1); }
  [[nodiscard]] std::optional<Term> term_at(Index index) const;
  /// As a log on disk is read: what stands at or above `first` is replaced. False when there would be a hole.
  bool write(Index first, std::span<const Entry> written);
  void truncate_after(Index last);
  void cut(Index upto);
  /// A snapshot: the log begins after `position`; its rest stays when it goes on from there.
  void reset(LogPosition position, const ReplicasAt& at_position);
  [[nodiscard]] std::span<const Entry> range(Index first, Index last) const;
  /// Voters of the smallest of its replica sets in which `voter` is one.
  [[nodiscard]] std::size_t smallest_set_with(NodeId voter) const;
  /// The same of the largest; 0: it is in none.
  [[nodiscard]] std::size_t largest_set_with(NodeId voter) const;
};

/// A slot as it survives a crash.
struct StoredSlot {
  HardState hard;
  Log log;
  Index commit;  ///< What the history has materialised.
  Term lost_before;
  LogPosition lost_upto;

  [[nodiscard]] SlotState state() const;
  /// Nothing of it is lost, or everything is back.
  [[nodiscard]] bool whole() const;
  /// Where the log ends, or has ended: what its vote goes by.
  [[nodiscard]] LogPosition remembered() const;
};

struct Snapshot {
  LogPosition position;
  ReplicasAt replicas;
};

/// In the order in which a slot asked for it.
struct HardStateWrite {
  HardState state;
};
struct AppendWrite {
  LogGeneration generation;
  Index first;
  std::vector<Entry> entries;
};
struct SnapshotWrite {
  Snapshot snapshot;
};
struct Write {
  std::size_t slot = 0;
  std::variant<HardStateWrite, AppendWrite, SnapshotWrite> what;
};

/// To be told to the slot, in this order.
struct Report {
  std::size_t slot = 0;
  Write done;
  bool stored = true;
};

/// One node's.
class Disk {
 public:
  Disk(Dice& dice, std::size_t slots) : dice_(dice), slots_(slots), failed_(slots) {}

  void hand(Write write) { waiting_.push_back(std::move(write)); }
  [[nodiscard]] bool busy() const { return !waiting_.empty(); }
  /// Makes some of what waits durable; or refuses it, while `full`.
  void sync(bool full);
  /// What has happened since; told late, and lost in a crash.
  std::deque<Report>& reports() { return reports_; }
  /// Of what waits, the first few survive, the last of those perhaps in part.
  void crash();
  /// A log that can't be read any more: what the history has materialised is left, and the terms, in which nothing was
  /// promised yet, and where the log ended, or (`vaguely`) a place behind that.
  void lose_logs(bool vaguely);
  /// An empty directory.
  void replace();
  StoredSlot& slot(std::size_t slot) { return slots_[slot]; }
  [[nodiscard]] const StoredSlot& slot(std::size_t slot) const { return slots_[slot]; }
  [[nodiscard]] bool sound() const { return sound_; }

 private:
  void store(const Write& write);

  Dice& dice_;
  std::vector<StoredSlot> slots_;
  std::vector<LogGeneration> failed_;  ///< Per slot: writes up to this generation are refused untried.
  std::deque<Write> waiting_;
  std::deque<Report> reports_;
  bool sound_ = true;
};

}  // namespace parley::replication::simulation
