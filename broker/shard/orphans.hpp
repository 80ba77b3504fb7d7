#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "broker/shard/node_events.hpp"
#include "broker/shard/ports.hpp"

namespace parley::shard {

class Shard;

/// Sessions that no node looks after: those of dead nodes, in the slots that are led here. Their wills are published
/// when they are due (MQTT 5 §3.1.2.5, §3.1.3.2.2), and their records end with their expiry interval, both counted from
/// the node's death, or from when the client left. Belongs to its shard's thread.
///
/// A node counts as dead when it was unreachable for ShardOptions::node_timeout, or comes back as another process. The
/// leader finds its sessions with one walk over all that are stored, when a node goes or the leadership is new; what a
/// node that has restarted still knows it tells by Left. A client that comes back anywhere ends all that.
///
/// Memory: about 250 bytes a session with something to come.
class Orphans {
 public:
  explicit Orphans(Shard& shard) : shard_(shard) {}

  // -- Changes --
  void node_reachable(NodeId node);
  void node_unreachable(NodeId node);
  void leadership_changed(Slot slot, bool here);
  void run_timer();
  /// Somebody looks after it again.
  void forget(const std::string& client_id);

  /// From a node that has restarted: of a session that it had before.
  void left(NodeId from, const remote::Left& event);
  void sessions_listed(std::uint64_t token, const Result<SessionList>& listed);

  /// What of a session is due, as it is stored now; called while nobody else decides about it. `done` is called once,
  /// perhaps at once.
  void settle(const std::string& client_id, std::uint64_t generation, const std::optional<StoredSession>& stored,
              std::function<void()> done);

  [[nodiscard]] std::size_t size() const { return orphans_.size(); }

 private:
  struct Orphan {
    Slot slot;
    NodeId node;
    std::uint64_t generation = 0;
    Instant since;  ///< Since when it counts as left.
    Instant due;
    bool told = false;  ///< By its node itself, which so doesn't have it.
  };
  using ByClient = std::map<std::string, Orphan>;

  void tell(const std::string& client_id, const Orphan& orphan, bool ended);
  void look_later();
  void look();
  void add(const SessionList::One& one);
  void put(const std::string& client_id, Orphan orphan);
  void put_off(const std::string& client_id, Instant due);
  void remove(ByClient::iterator one);
  void write(const std::string& client_id, const StoredSession& stored, bool ends, std::function<void()> done);
  [[nodiscard]] Instant death_of(NodeId node);
  [[nodiscard]] Instant since_of(Timestamp disconnected, Instant death) const;
  void set_timer();

  Shard& shard_;
  ByClient orphans_;
  std::set<std::pair<Instant, std::string>> by_due_;
  std::map<NodeId, Instant> gone_;                ///< Nodes that are away, since when.
  std::map<NodeId, std::uint64_t> incarnations_;  ///< Of those that were seen.
  std::optional<Instant> look_at_;                ///< When to walk over the sessions.
  std::uint64_t looking_ = 0;                     ///< Token of the walk under way; 0: none.
  std::optional<Instant> timer_;
};

}  // namespace parley::shard
