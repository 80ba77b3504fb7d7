#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

#include "broker/chat/presence.hpp"
#include "broker/chat/refusal.hpp"
#include "broker/shard/presence_homes.hpp"
#include "broker/shard/presence_questions.hpp"
#include "broker/shard/presence_relays.hpp"
#include "broker/shard/presence_timer.hpp"
#include "broker/shard/presence_watches.hpp"

namespace parley::session {
struct WillPlan;
}  // namespace parley::session

namespace parley::shard {

class Shard;
struct Client;

/// Who is online, in parts that one shard plays for different users. Belongs to its shard's thread, and owns its parts.
///
/// - Every shard counts the connections that its users have to it, and has what its clients see: PresenceWatches.
/// - On every node the shard where the user's slot has its home adds that up for the node and tells the slot's leader;
///   what the leader says comes back the same way: PresenceRelays.
/// - The leader's shard knows what is shown: PresenceHomes.
/// - Any shard may ask whether one user may see another, and who is online: PresenceQuestions.
class Presence {
 public:
  explicit Presence(Shard& shard);

  static constexpr std::string_view kPrefix = "presence/";
  static constexpr std::size_t kStatusSizeMax = 256;
  static bool is_topic(std::string_view topic) { return topic.starts_with(kPrefix) || topic == "presence"; }
  /// `topic` begins with kPrefix.
  static std::string_view user_of(std::string_view topic) { return topic.substr(kPrefix.size()); }

  /// What can be said against a status, or a parting status, of that user.
  static chat::Refusal check(std::string_view topic, std::string_view payload, const std::string& user);

  PresenceRelays& relays() { return relays_; }
  PresenceHomes& homes() { return homes_; }
  PresenceQuestions& questions() { return questions_; }
  PresenceWatches& watches() { return watches_; }

  // -- Connections of this shard --
  void connected(Client& client);
  /// `will`: of the connection, if it is to be published; null: none. One on presence/{user} is the parting status, and
  /// its delay the grace time.
  void left(Client& client, const session::WillPlan* will);
  /// A PUBLISH to presence/{user}: its status.
  chat::Refusal publish(std::string_view topic, std::string_view payload, const std::string& user);

  // -- For more than one part --
  /// What the leader shows; or from another follower, to this node as the leader, what an earlier one has shown.
  void receive(NodeId from, const remote::PresenceShown& event);
  void leadership_changed(Slot slot, const Leadership& leadership);
  void run_timer();

 private:
  void count(Client& client, chat::PresenceReport report, bool comes);

  Shard& shard_;
  std::unordered_map<std::string, std::uint64_t> connections_;  ///< To this shard, by user.
  PresenceTimer timer_;
  PresenceRelays relays_;
  PresenceHomes homes_;
  PresenceQuestions questions_;
  PresenceWatches watches_;
};

}  // namespace parley::shard
