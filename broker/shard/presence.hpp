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
#include "broker/shard/replica_slots.hpp"
#include "broker/shard/user_feeds.hpp"
#include "mqtt/types.hpp"

namespace parley::session {
struct WillPlan;
}  // namespace parley::session

namespace parley::shard {

class Shard;
struct Client;
struct Feed;

/// Who is online, in three parts that one shard may play for different users. Belongs to its shard's thread.
///
/// - Every shard counts the connections that its users have to it, and keeps the subscriptions of its clients to
///   presence/{user}.
/// - On every node the shard where the user's slot has its home adds that up for the node, and tells the slot's leader:
///   at once that somebody has come, and everything else once a second at the most (where that is late the grace time
///   is so much shorter); and all again whenever another node leads or is connected anew. What the leader says comes
///   back the same way.
/// - The leader's shard knows what is shown (chat::UserPresence), in memory only. Within the grace time after it began
/// to
///   lead it says nothing of users that it hasn't heard of, so that none seems to go.
class Presence {
 public:
  explicit Presence(Shard& shard);

  static constexpr std::string_view kPrefix = "presence/";
  static constexpr std::size_t kStatusSizeMax = 256;
  /// `topic` begins with kPrefix.
  static std::string_view user_of(std::string_view topic) { return topic.substr(kPrefix.size()); }
  static bool is_topic(std::string_view topic) { return topic.starts_with(kPrefix) || topic == "presence"; }

  PresenceQuestions& questions() { return questions_; }

  // -- Connections of this shard --
  void connected(Client& client);
  /// `will`: of the connection, if it is to be published; null: none. One on presence/{user} is the parting status, and
  /// its delay the grace time.
  void left(Client& client, const session::WillPlan* will);
  /// A PUBLISH to presence/{user}: its status.
  chat::Refusal publish(std::string_view topic, std::string_view payload, const std::string& user);

  // -- Subscriptions of this shard's clients --
  void watch(Client& client, std::string_view filter);
  void unwatch(Client& client, std::string_view filter);
  void unwatch_all(Client& client);
  /// The subscriptions of a client that has come back.
  void resume(Client& client);
  /// Sends what is known, as retained; all of the client's with an empty filter.
  void show(Client& client, std::string_view filter);
  // -- What presence/+ sees; see Rosters --
  void enter_roster(const std::string& user, Feed& feed);
  void leave_roster(const std::string& user, const Feed& feed);
  /// As soon as it is known how the user is.
  void show_later(Client& client, const std::string& user);
  /// Now, if the client still sees the user.
  void show_now(Client& client, const std::string& user);

  // -- From this node's shards and, at a leader, from other nodes --
  void report(PresenceEvent& event);
  void follow(const PresenceFollowEvent& event);
  void shown(const PresenceShownEvent& event);
  void recheck(const PresenceRecheckEvent& event);
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
  /// Asks again whether the client may still see whom it watches.
  void recheck(Client& client);

 private:
  template <class T>
  using ByUser = std::unordered_map<std::string, T, routing::StringHash, std::equal_to<>>;

  /// Who watches others, and stops being a member of something.
  class Askers final : public UserFeeds::Watcher {
   public:
    explicit Askers(Presence& presence) : presence_(presence) {}
    void user_known(const std::string& /*user*/) override {}
    void user_unknown(const std::string& /*user*/, chat::Refusal /*why*/) override {}
    void user_changed(const std::string& user, const UserConversation& change) override {
      if (!change.present) presence_.recheck_all_of(user);
    }

   private:
    Presence& presence_;
  };

  /// A client's subscription.
  struct Watcher {
    Client* client = nullptr;
    std::string filter;
    Instant checked;  ///< 0: nothing may be sent yet, since its SUBACK comes first.
  };
  struct Watched {
    std::vector<Watcher> watchers;
    std::vector<const Feed*> rosters;  ///< Those that the user is in.
    std::optional<chat::Presence> last;

    [[nodiscard]] bool is_wanted() const { return !watchers.empty() || !rosters.empty(); }
  };
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
  void recheck();
  void recheck(Client& client, const std::string& user);
  void recheck_all_of(const std::string& asker);
  void recheck_here(const std::string& user);
  void remember(Slot slot, const std::string& user, const chat::Presence& told);
  void tell_last(Slot slot, const std::string& user, const chat::Presence& last);
  void forget_asker(Client& client);
  void want(const std::string& user, bool wanted);
  [[nodiscard]] static bool is_contact(const Client& client, const Watched& watched);
  [[nodiscard]] static std::vector<Client*> contacts(const Watched& watched);
  void send_change(Client& client, std::string_view filter, const std::string& user, const chat::Presence& presence);
  void send(Client& client, std::string_view filter, const std::string& user, const chat::Presence& presence,
            bool retain);

  Shard& shard_;
  PresenceTimer timer_;
  PresenceQuestions questions_;
  ByUser<std::uint64_t> connections_;
  ByUser<Watched> watched_;
  std::unordered_map<Client*, std::vector<std::string>> watches_;  ///< Of each client the users that it watches.
  ByUser<std::vector<Client*>> askers_;                            ///< Of each user the clients that watch somebody.
  Askers askers_watch_{*this};
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
