#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "broker/chat/presence.hpp"
#include "broker/routing/subscription_tree.hpp"
#include "broker/shard/events.hpp"
#include "broker/shard/node_events.hpp"
#include "broker/shard/presence_questions.hpp"
#include "broker/shard/presence_timer.hpp"
#include "broker/shard/presence_watches.hpp"
#include "broker/shard/replica_slots.hpp"
#include "broker/shard/user_feeds.hpp"
#include "mqtt/types.hpp"

namespace parley::session {
struct WillPlan;
}  // namespace parley::session

namespace parley::shard {

class Shard;
struct Client;

/// Who is online, in three parts that one shard may play for different users. Belongs to its shard's thread.
///
/// - Every shard counts the connections that its users have to it; for what its clients see, see PresenceWatches.
/// - On every node the shard where the user's slot has its home adds that up for the node, and tells the slot's leader:
///   at once that somebody has come, and everything else once a second at the most (where that is late the grace time
///   is so much shorter); and all again whenever another node leads or is connected anew. What the leader says comes
///   back the same way.
/// - The leader's shard knows what is shown (chat::UserPresence), in memory only. Within the grace time after it began
///   to lead it says nothing of users that it hasn't heard of, so that none seems to go.
class Presence {
 public:
  explicit Presence(Shard& shard);

  static constexpr std::string_view kPrefix = "presence/";
  static constexpr std::size_t kStatusSizeMax = 256;
  /// `topic` begins with kPrefix.
  static std::string_view user_of(std::string_view topic) { return topic.substr(kPrefix.size()); }
  static bool is_topic(std::string_view topic) { return topic.starts_with(kPrefix) || topic == "presence"; }

  PresenceQuestions& questions() { return questions_; }
  PresenceWatches& watches() { return watches_; }

  // -- Connections of this shard --
  void connected(Client& client);
  /// `will`: of the connection, if it is to be published; null: none. One on presence/{user} is the parting status, and
  /// its delay the grace time.
  void left(Client& client, const session::WillPlan* will);
  /// A PUBLISH to presence/{user}: its status.
  chat::Refusal publish(std::string_view topic, std::string_view payload, const std::string& user);

  // -- From this node's shards and, at a leader, from other nodes --
  void report(PresenceEvent& event);
  void follow(const PresenceFollowEvent& event);
  void asked(const OnlineAskEvent& event);

  void receive(NodeId from, const remote::PresenceReport& event);
  void receive(NodeId from, const remote::PresenceFollow& event);
  void receive(NodeId from, const remote::PresenceShown& event);
  void receive(const remote::PresenceRecheck& event);
  /// The log of a slot that is led here says that the user is no member of some conversation any more.
  void user_left(std::string_view user);

  void leadership_changed(Slot slot, const Leadership& leadership);
  void node_connected(NodeId node);
  void node_unreachable(NodeId node);
  void run_timer();
  void sweep();

 private:
  template <class T>
  using ByUser = std::unordered_map<std::string, T, routing::StringHash, std::equal_to<>>;

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
  /// A user whose slot is led here.
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
  static chat::Refusal check(std::string_view topic, std::string_view payload, const std::string& user);
  void count(Client& client, chat::PresenceReport report, bool comes);
  void tell_leader(const std::string& user, Relayed& relayed);
  void follow_leader(const std::string& user, Relayed& relayed);
  void tell_again(Slot slot);
  void forget_if_unused(const std::string& user);
  void take(NodeId node, const std::string& user, chat::PresenceReport report);
  void once_led(Slot slot, NodeId from, std::function<void()> take);
  void take_early(Slot slot);
  void add_follower(NodeId node, const std::string& user, bool wanted);
  void told_by_leader(const std::string& user, const chat::Presence& presence);
  void tell(const std::string& user, Home& home);
  void tell(NodeId node, const std::string& user, const chat::Presence& presence);
  [[nodiscard]] bool is_settled(Slot slot) const;
  void settle(Slot slot);
  void recheck_here(const std::string& user);
  void remember(Slot slot, const std::string& user, const chat::Presence& told);
  void tell_last(Slot slot, const std::string& user, const chat::Presence& last);

  Shard& shard_;
  PresenceTimer timer_;
  PresenceQuestions questions_;
  PresenceWatches watches_;
  ByUser<std::uint64_t> connections_;
  ByUser<Relayed> relayed_;
  std::multimap<Instant, std::string> untold_;  ///< When relayed users are to be told of to the leader.
  ByUser<Home> homes_;
  std::multimap<Instant, std::string> due_;  ///< Homes to be looked at.
  std::map<Slot, Instant> led_since_;        ///< Slots led here.
  std::map<Slot, std::vector<Early>> early_;
  std::size_t early_count_ = 0;
  std::multimap<Instant, Slot> settles_;  ///< When they may say of whom they haven't heard.
};

}  // namespace parley::shard
