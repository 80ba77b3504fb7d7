#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "broker/shard/events.hpp"
#include "broker/shard/ports.hpp"

/// What this shard has handed to the log and not heard of yet.
namespace parley::shard {

struct Hosted;

/// An entry that becomes visible when its record is durable.
struct EntryWaiting {
  Hosted* hosted = nullptr;
  format::EntryPtr entry;
  Origin origin;
};
/// A conversation that exists when its record is durable.
struct CreationWaiting {
  Hosted* hosted = nullptr;
};
/// Anything rarer.
using CallbackWaiting = std::function<void(Result<void>)>;

using Waiting = std::variant<EntryWaiting, CreationWaiting, CallbackWaiting>;

/// Where each slot's log ends: durable, and with what is under way.
struct SlotEnd {
  Term term{1};
  Index last;
  Index durable;
};

/// Collects a turn's records into one batch, and keeps who waits for them. Belongs to its shard.
class AppendQueue {
 public:
  AppendQueue(ShardId shard, LogStore& store, std::uint32_t slots) : shard_(shard), store_(store), ends_(slots) {}

  void restore(Slot slot, Term term, Index last);

  /// The next position of the slot's log; the record that takes it must be added next.
  format::RecordPosition next_position(Slot slot);
  void add(Slot slot, std::shared_ptr<const std::string> record, Waiting waiting);
  /// Hands the turn's records to the store.
  void flush();

  /// Records under way and their bytes, for backpressure.
  [[nodiscard]] std::size_t pending_bytes() const { return pending_bytes_; }
  [[nodiscard]] bool empty() const { return pending_.empty() && batch_.empty(); }

  /// Takes out who waited for `ticket`, in order of addition. After a failure everything that is under way is taken
  /// out, the slots' ends go back to what is durable, and a new generation begins.
  std::vector<Waiting> settle(std::uint64_t ticket, bool stored);

 private:
  struct Item {
    Slot slot;
    std::size_t size = 0;
    Waiting waiting;
  };
  struct Ticket {
    std::uint64_t ticket = 0;
    std::uint64_t generation = 0;
    std::vector<Item> items;
  };

  ShardId shard_;
  LogStore& store_;
  std::vector<SlotEnd> ends_;
  std::uint64_t next_ticket_ = 1;
  std::uint64_t generation_ = 1;
  std::vector<std::shared_ptr<const std::string>> batch_;
  std::vector<Item> batch_items_;
  std::vector<Ticket> pending_;  ///< In ticket order; settled ones leave from the front.
  std::size_t pending_bytes_ = 0;
};

}  // namespace parley::shard
