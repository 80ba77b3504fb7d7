#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "broker/chat/presence.hpp"
#include "broker/routing/subscription_tree.hpp"
#include "broker/shard/events.hpp"
#include "broker/shard/presence_homes.hpp"
#include "broker/shard/presence_timer.hpp"

namespace parley::shard {

class Shard;

/// Between this node's shards and the leaders of the users' slots, for the users whose home shard this is. Belongs to
/// its shard's thread.
///
/// It adds up the connections of a user to the node, and tells the slot's leader: at once that somebody has come, and
/// everything else once a second at the most (where that is late the grace time is so much shorter); and all again
/// whenever another node leads or is connected anew. What the leader says comes back the same way, to the shards that
/// follow the user.
class PresenceRelays final : public PresenceHomes::LocalFollower {
 public:
  /// `homes`: of the slots that this node leads.
  PresenceRelays(Shard& shard, PresenceTimer& timer, PresenceHomes& homes)
      : shard_(shard), timer_(timer), homes_(homes) {}

  // -- From this node's shards --
  void report(PresenceEvent& event);
  void follow(const PresenceFollowEvent& event);

  // -- From the leader --
  void told(const std::string& user, const chat::Presence& presence) override;
  void recheck(const std::string& user) override;

  /// Another node leads, or this one.
  void tell_again(Slot slot);
  void node_connected(NodeId node);
  /// Returns when to come back.
  std::optional<Instant> run_timer();

 private:
  /// What this node's shards say and want to know of a user.
  struct Relayed {
    std::vector<std::pair<ShardId, std::uint64_t>> devices;
    chat::PresenceReport next;  ///< Not told yet, but for the number of devices.
    std::string status;         ///< As last set here.
    Timestamp status_at;
    std::uint64_t told_devices = 0;
    bool untold = false;
    bool follows = false;  ///< The leader knows of `followers`.
    Instant told;
    Instant due;   ///< When what is untold is told.
    Instant left;  ///< When the last device here left, if that is untold.
    std::vector<ShardId> followers;
    std::optional<chat::Presence> last;  ///< As the leader has said.

    [[nodiscard]] std::uint64_t count() const;
  };

  [[nodiscard]] Slot slot_of(std::string_view user) const;
  void tell_leader(const std::string& user, Relayed& relayed);
  void follow_leader(const std::string& user, Relayed& relayed);
  void tell_last(Slot slot, const std::string& user, const chat::Presence& last);
  void forget_if_unused(const std::string& user);

  Shard& shard_;
  PresenceTimer& timer_;
  PresenceHomes& homes_;
  std::unordered_map<std::string, Relayed, routing::StringHash, std::equal_to<>> relayed_;
  std::multimap<Instant, std::string> untold_;  ///< When relayed users are to be told of to the leader.
};

}  // namespace parley::shard
