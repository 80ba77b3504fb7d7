#pragma once

#include <variant>
#include <vector>

#include "base/number.hpp"
#include "broker/replication/messages.hpp"

namespace parley::replication {

/// What a replica promises over restarts. Raft figure 2, persistent state.
struct HardState {
  Term term;
  NodeId vote;  ///< 0: none in this term.
  friend bool operator==(const HardState&, const HardState&) = default;
};

/// Make it durable and call Slot::hard_state_synced; a newer one replaces it. Repeat it until it succeeds: what depends
/// on it waits inside the Slot.
struct PersistHardState {
  HardState state;
};

/// May be lost. Never carries records.
struct Send {
  NodeId to;
  PeerMessage message;
};

/// Send `message` with the records of [first, last]: of what was proposed, or from the log. It may go in several pieces
/// (see part_of), in order. What can't be sent is told by Slot::append_unsent, or is lost as any message.
struct SendAppend {
  NodeId to;
  parley::Slot slot;
  Term term;
  AppendEntries message;
  Index first;
  Index last;
};
/// The piece [first, last] of `whole`, which it contains.
PeerMessage part_of(const SendAppend& whole, Index first, Index last);

/// Entries from here on are gone: a follower's that contradict the leader's, whose Append for the same place comes
/// next, or those that the disk refused. None of them was ever said to be committed; who waits for them gets a refusal.
struct Truncate {
  Index from;
};

/// Hand the records [first, last] of the AppendEntries that is being received to the disk. They replace whatever stands
/// at or above `first`, also after a restart, by their place after it in the node's log.
struct Append {
  Index first;
  Index last;
};

/// Everything up to here will be in every later history of the slot, and is durable here: show it, acknowledge it.
struct Committed {
  Index upto;
};

/// Hand a NoOp record at `no_op` to the disk, before any proposal: everything older is committed with it. Raft §8.
struct BecameLeader {
  Term term;
  Index no_op;
};

/// No proposals any more. What is above the commit index may or may not be committed by the next leader.
struct SteppedDown {
  Term term;  ///< The one that was led.
};

/// 0: not known who leads.
struct LeaderChanged {
  Term term;
  NodeId leader;
};

/// The replica needs what the log no longer has. It gets nothing until Slot::snapshot_sent.
struct NeedSnapshot {
  NodeId to;
};

/// Holds from now on; Slot::replicas() is the set. May be taken back by a Truncate until its index is committed.
struct ReplicasChanged {
  Index index;
};

/// `from`, as leader, contradicts what is committed here: somebody has lost what it had synced. Nothing of it was
/// taken; an operator has to look.
struct Diverged {
  NodeId from;
  Index index;
};

using Action = std::variant<PersistHardState, Send, SendAppend, Truncate, Append, Committed, BecameLeader, SteppedDown,
                            LeaderChanged, NeedSnapshot, ReplicasChanged, Diverged>;

/// What a slot asks of its shell, in order; an action later in the list may rely on the earlier ones. Cleared and
/// reused by the caller, so that a message allocates nothing.
using Actions = std::vector<Action>;

}  // namespace parley::replication
