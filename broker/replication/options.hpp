#pragma once

#include <cstdint>

#include "base/time.hpp"

namespace parley::replication {

/// How patient slots are and how much they send ahead. One instance outlives all slots.
struct Options {
  /// A follower that knows no leader waits so long before it stands, a candidate for votes, a leader without majority
  /// before it steps down, a transfer before it is given up.
  Duration election_timeout = std::chrono::milliseconds(500);
  /// Each of these waits is longer by a random part of this. One whose leader is lost waits only for this part.
  Duration election_spread = std::chrono::milliseconds(300);
  /// A peer that doesn't answer is asked again.
  Duration retry_interval = std::chrono::milliseconds(500);
  /// When a slot has gone quiet, followers are told so much later how far it is committed.
  Duration commit_hint_delay = std::chrono::milliseconds(20);
  std::uint64_t entries_per_append = 256;
  std::uint64_t entries_in_flight = 4'096;  ///< Per peer: sent and not acknowledged.
  std::uint64_t promotion_lag = 1'024;      ///< A learner that is further behind doesn't become a voter.
};

/// See node_health.hpp. Small against Options::election_timeout together with `timeout`.
struct HeartbeatOptions {
  Duration interval = std::chrono::milliseconds(100);
  /// A node that hasn't answered a heartbeat of the last so long counts as unreachable. More than
  /// three intervals: an answer waits for the other's next heartbeat.
  Duration timeout = std::chrono::milliseconds(1'000);
};

}  // namespace parley::replication
