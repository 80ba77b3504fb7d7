#pragma once

#include <cstdint>

#include "base/number.hpp"
#include "base/time.hpp"

namespace parley::replication {

/// Another replica, and as a leader sees it: how much of the log it has. Raft figure 2, thesis §10.2.1.
struct Peer {
  enum class Progress : std::uint8_t {
    Probing,      ///< Where the logs agree is not known: one AppendEntries at a time.
    Replicating,  ///< Entries are sent as they come, up to a limit.
    Snapshot,     ///< It needs what the log no longer has.
  };

  NodeId node;
  bool voter = false;
  bool granted = false;  ///< It gave its vote, or its promise of one, to this candidate.

  // -- On the leader --
  Progress progress = Progress::Probing;
  bool probe_sent = false;  ///< Probing: the question is on its way.
  bool paused = false;      ///< Its link takes no more.
  Index match;              ///< Durable there and equal to the leader's. Raft figure 2: matchIndex.
  Index next;               ///< The next entry to be sent. Raft figure 2: nextIndex.
  Index commit_known;       ///< What it has said to know as committed.
  Instant retry_at = Instant::max();
  Instant hint_at = Instant::max();

  void begin(Index next_index) { *this = {.node = node, .voter = voter, .next = next_index}; }
  /// Asks again from `from` on.
  void probe(Index from) {
    progress = Progress::Probing;
    probe_sent = false;
    next = from;
  }
  [[nodiscard]] std::uint64_t in_flight() const { return next.value - 1 - match.value; }
};

}  // namespace parley::replication
