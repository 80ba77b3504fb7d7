#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "broker/replication/replica_set.hpp"
#include "broker/replication/term_history.hpp"
#include "broker/shard/node_events.hpp"
#include "broker/shard/options.hpp"
#include "broker/shard/ports.hpp"

namespace parley::shard {

/// Brings up this shard's replicas whose log ends before their leader's begins: asks the leader for what its store has
/// of the slot, piece by piece, and hands each to this node's store. Belongs to its shard's thread.
///
/// While this goes on the replica is where it was: it answers, votes and promises by its log, which stays. Only the
/// last step moves it, in one transaction of the store; from the moment it is asked for until it is done the slot is
/// closed(), and whatever comes for it is passed over like a message that was lost. What stops in between (a crash, a
/// leader that changes, a link) begins anew with the leader's next offer, and entries that have come don't come again.
///
/// Memory: one piece for each of kTransfersMax slots, and a few words for each slot that waits its turn.
class SnapshotTaking {
 public:
  static constexpr std::size_t kTransfersMax = 2;

  SnapshotTaking(ShardId shard, const ShardOptions& options, LogStore& store, PeerNodes& nodes)
      : shard_(shard), options_(options), store_(store), nodes_(nodes) {}

  // -- From the leader --
  void offered(NodeId from, const remote::SnapshotOffer& offer, Instant now);
  void page(NodeId from, const remote::SnapshotPage& page, Instant now);
  void node_unreachable(NodeId node, Instant now);

  // -- From the store --
  void taken(std::uint64_t token, const Result<std::string>& known, Instant now);
  /// What the slot's replica goes on from.
  struct Finished {
    Slot slot;
    NodeId leader;
    replication::LogPosition at;
    replication::ReplicasAt replicas;
  };
  std::optional<Finished> finished(std::uint64_t token, Instant now);

  // -- Time --
  void tick(Instant now);
  [[nodiscard]] std::optional<Instant> next_due() const;

  // -- The last step --
  /// Slots of which everything was taken. Each is to be finished, or dropped when it doesn't need it any more.
  [[nodiscard]] std::vector<Finished> complete() const;
  /// Nothing of the slot may be on its way to the log.
  void finish(Slot slot);
  void drop(Slot slot, Instant now);
  [[nodiscard]] bool closed(Slot slot) const;

 private:
  enum class Step : std::uint8_t {
    Taking,     ///< The store has a piece, or was asked what it knows.
    Waiting,    ///< For its share of the rate.
    Asked,      ///< The leader was.
    Complete,   ///< Everything was taken.
    Finishing,  ///< The store makes the last step.
  };
  struct Transfer {
    NodeId leader;
    Term term;
    Step step = Step::Taking;
    std::uint64_t token = 0;  ///< Of the question that is open, to the store or to the leader.
    std::string position;
    std::string known;
    bool last = false;  ///< No piece comes after the one that is being taken.
    bool placed = false;
    replication::LogPosition at;  ///< Of the first piece.
    replication::ReplicasAt replicas;
    Instant again_at = Instant::max();
    unsigned asked = 0;  ///< How often for the same piece.
  };
  struct Offer {
    NodeId leader;
    Term term;
  };

  void begin_some(Instant now);
  void take(Slot slot, Transfer& transfer, std::string_view piece);
  void ask(Slot slot, Transfer& transfer, Instant now);
  void pay(std::size_t bytes, Instant now);

  ShardId shard_;
  const ShardOptions& options_;
  LogStore& store_;
  PeerNodes& nodes_;
  std::map<Slot, Transfer> transfers_;
  std::map<Slot, Offer> offers_;  ///< That wait for their turn.
  std::uint64_t next_token_ = 1;
  Instant paid_until_{};        ///< What was sent so far has used up the rate until then.
  bool failing_ = false;        ///< The store has taken nothing the last time; was logged.
  std::size_t brought_up_ = 0;  ///< Since there was nothing to do.
};

}  // namespace parley::shard
