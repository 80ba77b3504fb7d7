#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "broker/routing/retained_messages.hpp"
#include "broker/routing/shared_groups.hpp"
#include "broker/routing/subscription_tree.hpp"
#include "broker/session/session.hpp"
#include "broker/shard/events.hpp"
#include "broker/shard/node_topics.hpp"

namespace parley::shard {

class Shard;
struct Client;

/// Ordinary topics across the shards of the node. A shard routes to its own clients; the others are told which filters
/// it wants, and post what matches. Retained messages are known to every shard. A shared group is kept by one shard,
/// which chooses the member. Belongs to its shard's thread.
class PlainTopics {
 public:
  explicit PlainTopics(Shard& shard);

  /// What became of a publication.
  struct Published {
    bool matched = false;           ///< Somebody has a matching subscription.
    bool refused = false;           ///< It can't be retained, and nobody has got it.
    std::uint64_t publication = 0;  ///< Not 0: Publishing::stored is called once it is stored where it must be.
  };
  /// Routes a client's (or the broker's) message to everybody, on this node and the others. `origin` and `repeated`:
  /// see PlainOrigin.
  Published publish(const mqtt::MessagePtr& message, PlainOrigin origin = {}, bool repeated = false);
  /// A message that another shard has published: for this shard's clients only.
  void publish_here(const PublishEvent& event);
  /// For this shard's clients and the groups that it keeps, and nobody else. QoS 0 only.
  void deliver_on_shard(const mqtt::MessagePtr& message);
  /// A message that another node has sent: for this node's subscribers, or (retained) only to be kept. With a token:
  /// true means that NodeTopics::stored is called with it, false that there is nothing to wait for.
  bool publish_from_node(const mqtt::MessagePtr& message, const RetainStamp& stamp, bool subscribers,
                         std::uint64_t token);
  /// Another node has chosen this one for the group. `token` as above.
  bool share_here(const routing::SharedGroups::Name& share, const mqtt::MessagePtr& message, std::uint64_t token);
  /// Nobody has taken it over; the group chooses anew.
  void give_back(const routing::SharedGroups::Name& share, const mqtt::MessagePtr& message);
  /// Part of a publication is stored, or can't be.
  void stored(std::uint64_t publication, bool stored);

  /// `announced` (if any) is called once every shard knows of the filter, perhaps at once.
  void subscribe(Client& client, const session::Subscription& subscription, std::function<void()> announced);
  void unsubscribe(Client& client, std::string_view filter);
  /// The retained messages for a new subscription. MQTT 5 §3.3.1.3.
  void send_retained(Client& client, const session::Subscription& subscription);
  /// One of them.
  void show_retained(Client& client, const session::Subscription& subscription, const mqtt::MessagePtr& message);
  [[nodiscard]] const routing::RetainedMessages& retained() const { return retained_; }

  void interest(InterestEvent& event);
  void interest_taken(std::uint64_t token);
  void shared_member(SharedMemberEvent& event);
  void shared_delivery(const SharedDeliveryEvent& event);
  void shared_return(const SharedReturnEvent& event);
  void group_elsewhere(const NodeGroupEvent& event);
  /// To the shard that keeps the group.
  void pass_on(NodeGroupEvent event);
  /// The node is gone, or tells its groups anew; `place` as NodeTopics has it.
  void groups_gone(std::uint32_t place);
  routing::SharedGroups::Standing members_here(std::string_view group, std::string_view filter) {
    return groups_.standing(group, filter);
  }
  /// Of the groups that this shard keeps.
  [[nodiscard]] std::vector<routing::SharedGroups::Name> groups() const { return groups_.names(); }
  void for_each_retained(const std::function<void(const mqtt::MessagePtr&, const RetainStamp&)>& visit) const;
  /// The client has a connection now, or none: its groups choose accordingly.
  void connected(Client& client, bool connected);
  /// Gives back to its groups what the client has not taken over: of this subscription what is not sent yet, of all
  /// (empty) what it has not acknowledged. MQTT 5 §4.8.2.
  void return_shared(Client& client, std::string_view subscription);

  /// Removes retained messages that have expired, `most` at a time. False when there are more.
  bool sweep(std::size_t most);

  // -- Before the first turn --
  void restore_retained(std::uint64_t number, const RetainStamp& stamp, const mqtt::MessagePtr& message);
  /// A message with this origin is stored already.
  void restore_origin(PlainOrigin origin) { restored_origins_.insert(origin); }

 private:
  /// One message on its way through this shard: what has to be stored of it, and who waits for that.
  struct Routing {
    bool waits = false;  ///< Somebody wants to hear that it is stored.
    PlainOrigin origin;
    bool skips_lasting = false;  ///< Lasting sessions of this shard have it from before a crash.
    bool keeps = false;          ///< Rows of this turn belong to it.
    std::uint64_t publication = 0;
    std::uint32_t open = 0;  ///< What is waited for.
    session::StoredMessagePtr stored;
    std::vector<PlainTarget> targets;
    std::vector<std::uint64_t> elsewhere;  ///< Other nodes that are to take it; see NodeTopics::when_taken.
  };
  /// Who waits for a publication: another shard, another node, or (neither) one of this shard's clients.
  struct Waiter {
    StoredReply shard = {};
    std::uint64_t node_token = 0;
  };
  struct Publication {
    std::uint32_t open = 0;
    bool failed = false;
    Waiter waiter;
  };
  struct Kept {
    bool older = false;
    std::array<std::uint64_t, 2> replaced{};  ///< Rows that go; 0: none.
  };
  void begin(bool waits, PlainOrigin origin = {}, bool repeated = false);
  /// The publication, or 0 when there is nothing to wait for.
  std::uint64_t finish(const mqtt::MessagePtr& message, Waiter waiter);
  void answer(StoredReply reply, bool stored);
  /// For another shard that is to answer, too.
  StoredReply expect_answer();
  void expect_node(std::uint64_t wait);

  Published publish_on_node(PublishEvent event);
  bool deliver_here(const mqtt::MessagePtr& message, bool with_groups);
  void deliver(Client& client, const mqtt::MessagePtr& message, const mqtt::SubscriptionOptions& options,
               std::span<const std::uint32_t> subscription_ids, const routing::SharedGroups::Name& share = nullptr);
  void hand_over(Client& client, const mqtt::MessagePtr& message, mqtt::Qos qos, bool retain,
                 std::span<const std::uint32_t> subscription_ids, const routing::SharedGroups::Name& share);
  void want(std::string_view filter, std::function<void()> announced);
  void after_announcement(std::string_view filter, std::function<void()> then);
  void want_no_more(std::string_view filter);
  bool store_retained(const PublishEvent& event);
  bool keep(const mqtt::MessagePtr& message, const RetainStamp& stamp, std::uint64_t number, Kept& kept);
  [[nodiscard]] bool keeps_retained(std::string_view topic) const;
  void to_group(const routing::SharedGroups::Name& share, const mqtt::MessagePtr& message, bool here_only);
  void deliver_shared(const SharedDeliveryEvent& event);
  void count_retained();
  void send_to_member(const routing::SharedGroups::Member& member, const routing::SharedGroups::Name& share,
                      const mqtt::MessagePtr& message);
  void join_group(const SharedMemberEvent& event);
  void leave_group(const SharedMemberEvent& event);
  [[nodiscard]] ShardId keeper_of(std::string_view group, std::string_view filter) const;
  std::uint64_t await(std::size_t answers, std::function<void()> done);

  struct Awaited {
    std::size_t answers = 0;
    std::vector<std::function<void()>> done;
  };
  /// A filter that the other shards were told of.
  struct Wanted {
    std::uint32_t users = 0;
    std::uint64_t token = 0;  ///< Of `awaited_` until they have all answered.
  };

  Shard& shard_;
  routing::SubscriptionTree here_;       ///< This shard's clients by place.
  routing::SubscriptionTree elsewhere_;  ///< Other shards by id.
  routing::SharedGroups groups_;         ///< Groups kept here; members as member ids.
  routing::RetainedMessages retained_;
  std::unordered_map<std::string, Wanted> wanted_;
  std::unordered_map<std::uint64_t, Awaited> awaited_;
  std::uint64_t next_token_ = 1;
  routing::Matches matches_;
  routing::Matches elsewhere_matches_;
  std::vector<std::uint32_t> ids_;
  Routing routing_;
  std::unordered_map<std::uint64_t, Publication> publications_;
  std::uint64_t next_publication_ = 1;
  std::set<PlainOrigin> restored_origins_;
};

}  // namespace parley::shard
