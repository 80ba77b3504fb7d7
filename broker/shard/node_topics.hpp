#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "broker/routing/shared_groups.hpp"
#include "broker/routing/subscription_tree.hpp"
#include "broker/shard/events.hpp"
#include "broker/shard/node_events.hpp"

namespace parley::shard {

class Shard;

/// Ordinary topics across nodes. A node tells the others which filters it wants; a message goes once to each node that
/// wants it, from the shard where it was published, and there to the shards that do. At QoS 1 and 2 it is sent again
/// over the next connection until it is taken, which includes that it is stored for that node's absent sessions; the
/// publisher's acknowledgement waits for that, kWait at most.
/// Retained messages go to all nodes, and the latest stamp wins. A shared group has one member for each other node
/// that has members. Belongs to its shard's thread; shard 0 speaks for its node where filters and retained messages
/// are concerned.
///
/// What is under way isn't stored: a node that was away for longer than kWait has missed what was published, as its
/// clients have. A broker without other nodes pays one comparison a message.
class NodeTopics {
 public:
  static constexpr Duration kWait = std::chrono::seconds(2);
  /// Waits for one node; a message more takes the place of the oldest.
  static constexpr std::size_t kPendingBytesMax = 16 * 1024 * 1024;

  explicit NodeTopics(Shard& shard) : shard_(shard) {}

  /// There are other nodes.
  [[nodiscard]] bool active() const;

  // -- Messages --
  struct Sent {
    bool matched = false;
    std::uint64_t wait = 0;  ///< For when_taken(); 0: nothing is to be waited for.
  };
  Sent publish(const mqtt::MessagePtr& message, const RetainStamp& stamp);
  /// `done` hears whether it is stored there, or was given up; false: it can't be.
  void when_taken(std::uint64_t wait, std::function<void(bool)> done);
  /// To one member of the group on that node. What isn't taken comes back to the group. For when_taken().
  std::uint64_t send_shared(std::uint32_t place, const routing::SharedGroups::Name& share,
                            const mqtt::MessagePtr& message);
  /// A number for the node, in this shard.
  std::uint32_t place_of(NodeId node) { return peer(node).place; }
  RetainStamp make_stamp();
  /// Later stamps of this node are above it.
  void observe(const RetainStamp& stamp) { last_stamp_ = std::max(last_stamp_, stamp.time); }
  /// The topic's retained message was removed later than `stamp`.
  [[nodiscard]] bool was_removed_since(std::string_view topic, const RetainStamp& stamp) const;
  /// Remembers the removal, which has this row (0: none). Returns a row that isn't needed any more, or 0.
  std::uint64_t note_removal(std::string_view topic, const RetainStamp& stamp, std::uint64_t row);
  std::uint64_t forget_removal(std::string_view topic);

  // -- What this node wants --
  void want(std::string_view filter);
  void want_no_more(std::string_view filter);
  /// Calls `then` when the other nodes know of the filter, at once if they do.
  void after_announcement(std::string_view filter, std::function<void()> then);
  void group_changed(std::string_view group, std::string_view filter);

  // -- From this node's shards --
  void interest(const NodeInterestEvent& event);
  void interest_taken(std::string_view filter);
  void filters(const NodeFiltersEvent& event);
  void filters_taken(const NodeFiltersTakenEvent& event);

  // -- From other nodes --
  void node_connected(NodeId node);
  void node_unreachable(NodeId node);
  void node_writable(NodeId node);
  void filters(NodeId from, const remote::Filters& event);
  void filters_taken(NodeId from, const remote::FiltersTaken& event);
  void group(NodeId from, const remote::Group& event);
  void message(NodeId from, const remote::Message& event);
  void message_taken(NodeId from, const remote::MessageTaken& event);
  /// A message of another node is stored where it must be, or can't be.
  void stored(std::uint64_t token, bool stored);

  void run_timer();
  void sweep();

 private:
  struct Pending {
    std::uint64_t number = 0;
    std::string bytes;
    std::uint64_t publisher = 0;
    Instant since;
    std::uint64_t wait = 0;
    routing::SharedGroups::Name share;  ///< Null: for subscribers.
    mqtt::MessagePtr message;
  };
  struct Peer {
    std::uint32_t place = 0;
    Instant gone_since = Instant::max();
    std::deque<Pending> pending;  ///< By number.
    std::size_t sent = 0;         ///< At the front of `pending`.
    std::size_t bytes = 0;
    std::set<std::string, std::less<>> filters;
    std::set<std::string, std::less<>> unconfirmed;  ///< Of `filters`: not in the pieces of a new list so far.
    std::deque<std::pair<mqtt::MessagePtr, RetainStamp>> retained;  ///< To be told; shard 0.
  };
  struct Wait {
    std::size_t open = 0;
    bool failed = false;
    std::function<void(bool)> done;
  };
  /// A filter of this node that others are being told of; shard 0.
  struct Round {
    std::uint64_t token = 0;
    Instant since;
    std::set<NodeId> nodes;
    std::vector<ShardId> shards;  ///< To be told when all have taken it.
  };
  /// A topic whose retained message is gone.
  struct Removed {
    RetainStamp stamp;
    std::uint64_t row = 0;
    Instant at;
  };
  /// What a shard of another node has sent last.
  struct Inbound {
    std::uint64_t stream = 0;
    std::uint64_t last = 0;
    struct Open {
      std::uint64_t number = 0;
      std::uint64_t token = 0;
      bool done = false;
      bool refused = false;
    };
    std::deque<Open> open;  ///< What isn't stored yet, and what is but comes behind it.
  };

  Peer& peer(NodeId node);
  [[nodiscard]] bool is_there(NodeId node, const Peer& peer) const;
  std::string encode(const mqtt::Message& message, const RetainStamp& stamp, std::uint64_t number,
                     const routing::SharedGroups::Name& share) const;
  bool drop_if_too_large(NodeId node, std::size_t size);
  bool try_send(NodeId node, std::string bytes, std::uint64_t publisher);
  void add_pending(NodeId node, Peer& peer, Pending pending);
  void pump(NodeId node, Peer& peer);
  void drop_front(Peer& peer, bool stored = true);
  void release(std::uint64_t wait, bool stored);
  bool take(const remote::Message& event, std::uint64_t token);
  void answer(const std::pair<NodeId, std::uint64_t>& sender, std::uint64_t number, bool stored);
  void begin();
  void announce(const std::string& filter, bool wanted);
  void finish(std::map<std::string, Round, std::less<>>::iterator round);
  void set_timer();
  void tell_groups(NodeId node);
  void tell_filters(NodeId node);
  void tell_retained(NodeId node);

  Shard& shard_;
  bool begun_ = false;
  bool timer_ = false;
  std::uint64_t stream_ = 0;
  std::uint64_t next_number_ = 1;
  std::uint64_t next_token_ = 1;
  std::uint64_t last_stamp_ = 0;
  routing::SubscriptionTree nodes_;  ///< Peers by place.
  std::map<NodeId, Peer> peers_;
  std::vector<NodeId> places_;
  std::map<std::uint64_t, Wait> waits_;
  routing::Matches matches_;
  std::map<std::string, std::uint32_t, std::less<>> wanted_;  ///< By this shard's subscribers: how many.
  std::map<std::string, std::vector<std::function<void()>>, std::less<>> announcing_;
  std::map<std::string, std::uint32_t, std::less<>> node_wanted_;  ///< By how many shards; shard 0.
  std::map<std::string, Round, std::less<>> rounds_;
  std::map<std::pair<NodeId, std::uint64_t>, std::size_t> relayed_;  ///< Shards that haven't taken them; shard 0.
  std::map<std::pair<NodeId, std::uint64_t>, Inbound> inbound_;      ///< By node and its shard.
  std::unordered_map<std::uint64_t, std::pair<NodeId, std::uint64_t>> storing_;  ///< Senders by token.
  std::map<std::string, Removed, std::less<>> removed_;
};

/// A retained message that takes the topic's away.
mqtt::MessagePtr removal_of(std::string_view topic);

}  // namespace parley::shard
