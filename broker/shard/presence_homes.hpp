#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/map_sweep.hpp"
#include "broker/chat/presence.hpp"
#include "broker/routing/subscription_tree.hpp"
#include "broker/shard/events.hpp"
#include "broker/shard/node_events.hpp"
#include "broker/shard/presence_timer.hpp"
#include "broker/shard/replica_slots.hpp"

namespace parley::shard {

class Shard;

/// The users whose slots are led here: what is shown of each (chat::UserPresence), in memory only, and the nodes that
/// follow it. Belongs to its shard's thread.
///
/// Followers hear of a user once a second at the most. Within the grace time after this node began to lead they hear
/// nothing of users that it hasn't heard of, so that none seems to go. Memory: about 350 bytes a user and its status;
/// those that are offline and that nobody follows are forgotten once there are many.
class PresenceHomes {
 public:
  /// This node among the followers.
  class LocalFollower {
   public:
    virtual ~LocalFollower() = default;
    virtual void told(const std::string& user, const chat::Presence& presence) = 0;
    /// The user is no member of some conversation any more.
    virtual void recheck(const std::string& user) = 0;
  };

  PresenceHomes(Shard& shard, PresenceTimer& timer, LocalFollower& here) : shard_(shard), timer_(timer), here_(here) {}

  // -- What a node has of a user, and whether it wants to hear of it; the slot is led here --
  void take(NodeId node, const std::string& user, chat::PresenceReport report);
  void follow(NodeId node, const std::string& user, bool wanted);
  /// What an earlier leader has told. Later it is known better here.
  void remember(const std::string& user, const chat::Presence& told);

  // -- The same from other nodes, which may hear that this one leads before it does --
  void receive(NodeId from, const remote::PresenceReport& event);
  void receive(NodeId from, const remote::PresenceFollow& event);
  void receive(NodeId from, const remote::PresenceShown& event);

  /// Who of some users is online; asked of another node where that leads.
  void asked(const OnlineAskEvent& event);
  /// The log says that the user is no member of some conversation any more.
  void user_left(std::string_view user);

  void leadership_changed(Slot slot, const Leadership& leadership);
  void node_unreachable(NodeId node);
  /// Returns when to come back.
  std::optional<Instant> run_timer();
  /// Once there are many, forgets of the next `most` those of whom nobody needs to know that they are away. True at the
  /// end of a round.
  bool sweep(std::size_t most);

 private:
  struct Home {
    chat::UserPresence presence;
    std::vector<NodeId> followers;
    std::optional<chat::Presence> told;
    Instant told_at;
    bool untold = false;
  };
  /// What a node has said to the leader that this one has been elected to be, before it leads.
  struct Early {
    NodeId from;
    Instant came;
    std::function<void()> take;
  };

  [[nodiscard]] Slot slot_of(std::string_view user) const;
  [[nodiscard]] bool is_settled(Slot slot) const;
  void settle(Slot slot);
  void look_at(Instant due, const std::string& user);
  void once_led(Slot slot, NodeId from, std::function<void()> take);
  void take_early(Slot slot);
  void tell(const std::string& user, Home& home);
  void tell(NodeId node, const std::string& user, const chat::Presence& presence);

  Shard& shard_;
  PresenceTimer& timer_;
  LocalFollower& here_;
  std::unordered_map<std::string, Home, routing::StringHash, std::equal_to<>> homes_;
  MapSweep sweep_;                           ///< Through `homes_`.
  std::multimap<Instant, std::string> due_;  ///< Homes to be looked at.
  std::map<Slot, Instant> led_since_;        ///< Slots led here.
  std::map<Slot, std::vector<Early>> early_;
  std::size_t early_count_ = 0;
  std::multimap<Instant, Slot> settles_;  ///< When they may say of whom they haven't heard.
};

}  // namespace parley::shard
