#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "broker/replication/slot.hpp"
#include "broker/shard/replica_slots.hpp"
#include "broker/shard/waiting.hpp"

namespace parley::shard {

/// One slot's replica with what its shell knows of it. For ReplicaSlots alone.
struct ReplicaSlots::Replica {
  Replica(std::uint32_t at, replication::Slot slot) : place(at), core(std::move(slot)) {}

  const std::uint32_t place;
  replication::Slot core;
  WaitingRecords waiting;
  bool ready = false;     ///< Leads, and its term's first record is committed.
  bool complete = false;  ///< See ReplicaEvents::complete.
  bool proposed = false;  ///< In `proposed_`.
  bool changed = false;   ///< In `changed_`.
  Leadership told;
  Instant due = Instant::max();  ///< The earliest of its times in `due_`.
  replication::HardState asked;  ///< The last one that was to be made durable.
  Instant persist_at = Instant::max();
  std::vector<NodeId> unread;  ///< Replicas that get nothing until `resume_at`.
  Instant resume_at = Instant::max();

  [[nodiscard]] Instant next_due() const {
    // A slot that this node has never heard of waits for nothing.
    const bool stranger = core.replicas().voters.empty() && core.leader() == NodeId{};
    return std::min({stranger ? Instant::max() : core.deadline(), persist_at, resume_at});
  }
};

}  // namespace parley::shard
