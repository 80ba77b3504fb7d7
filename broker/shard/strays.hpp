#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_set>

#include "broker/shard/node_events.hpp"
#include "broker/shard/ports.hpp"

namespace parley::shard {

class Shard;

/// Sessions that are this node's by their records and that it doesn't know of: what it knows was restored at the start,
/// when its replica was behind, or its log lost. Once the records are here the slots' leaders hear that the clients
/// have left, as of any other session from before the start, and do what is due: see Orphans. Belongs to its shard's
/// thread.
class Strays {
 public:
  explicit Strays(Shard& shard) : shard_(shard) {}

  /// See ReplicaEvents.
  void complete(Slot slot);
  /// This node asks for the session: whatever is written of it from now on isn't from before the start.
  void claimed(Slot slot, const std::string& client_id);
  void sessions_listed(std::uint64_t token, const Result<SessionList>& listed);
  /// The leader has done what was due.
  void settled(const remote::Settled& event);
  void run_timer();

 private:
  struct Stray {
    Slot slot;
    std::uint64_t generation = 0;
    Timestamp left;
    Instant end;  ///< Of the session.
    Instant due;  ///< When the leader is told.
    Duration again{};
  };

  void look();
  void add(const SessionList::One& one);
  /// False when it isn't a stray any more.
  bool tell(const std::string& client_id, Stray& stray);
  void set_timer();

  Shard& shard_;
  std::set<Slot> slots_;  ///< Whose sessions are to be looked at.
  std::set<Slot> done_;   ///< Whose sessions were.
  /// Hashes of the client ids of the others that this node has asked for since the start.
  std::unordered_set<std::uint64_t> claimed_;
  std::optional<Instant> look_at_;
  std::uint64_t looking_ = 0;  ///< Token of the walk under way; 0: none.
  std::map<std::string, Stray> strays_;
  std::optional<Instant> timer_;
};

}  // namespace parley::shard
