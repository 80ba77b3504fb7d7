#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/bytes.hpp"
#include "mqtt/packet.hpp"
#include "mqtt/topic.hpp"

/// Which subscribers want a topic. Pure.
namespace parley::routing {

/// Whom a subscription belongs to; its meaning is the caller's.
using SubscriberId = std::uint32_t;

/// One subscriber of a topic, with its overlapping subscriptions brought together (MQTT 5 §3.3.4): the highest QoS, and
/// all Subscription Identifiers.
struct Match {
  SubscriberId subscriber = 0;
  mqtt::SubscriptionOptions options;
  std::uint32_t subscription_id = 0;  ///< The first identifier; 0: none.
  std::uint32_t more_begin = 0;       ///< Further identifiers: Matches::more_ids[more_begin, more_end).
  std::uint32_t more_end = 0;
};

/// Reused by the caller, so that a match allocates nothing in steady state.
struct Matches {
  std::vector<Match> list;
  std::vector<std::uint32_t> more_ids;

  void clear() {
    list.clear();
    more_ids.clear();
  }
};

/// Lets a map of strings be searched by view.
struct StringHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const { return static_cast<std::size_t>(stable_hash(text)); }
};

/// Filters and their subscribers. Belongs to one thread. Filters without wildcards stand in one hash map, the others in
/// a tree of levels, so a topic costs one lookup and a walk over the wildcards that can match it. Levels that only one
/// branch has are kept together. Memory: about 150 bytes a filter, 250 with wildcards, and 16 for each subscriber of
/// it. The walk goes one call deeper for each branching: a filter with wildcards and more than mqtt::kFilterLevelsMax
/// levels is not taken.
class SubscriptionTree {
 public:
  /// True when the subscriber has this filter now and didn't; where it did its options are replaced.
  bool add(std::string_view filter, SubscriberId subscriber, mqtt::SubscriptionOptions options,
           std::uint32_t subscription_id);
  bool remove(std::string_view filter, SubscriberId subscriber);
  /// Whether a subscriber is the one that has published what is matched.
  using IsPublisher = std::function<bool(SubscriberId)>;
  /// Every subscriber of `topic` once. `is_publisher`, where there is one, is asked of subscriptions with No Local: its
  /// own count for nothing. MQTT 5 §3.8.3.1.
  void match(std::string_view topic, Matches& out, const IsPublisher& is_publisher = nullptr) const;
  /// True when somebody wants `topic`.
  [[nodiscard]] bool has_match(std::string_view topic) const;
  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] std::size_t size() const { return size_; }  ///< Subscriptions.

 private:
  struct Subscriber {
    SubscriberId id = 0;
    std::uint32_t subscription_id = 0;
    mqtt::SubscriptionOptions options;
  };
  using Subscribers = std::vector<Subscriber>;

  /// Without subscribers it has two children at least, but for the root.
  struct Node {
    std::map<std::string, std::unique_ptr<Node>, std::less<>> children;  ///< By the level that follows.
    Subscribers subscribers;
    std::string tail;  ///< The levels between that by which the parent knows it and its own: "/b/+" of "a/b/+".
    /// Of the levels in `text`, which begins like a tail, those that it shares with this tail: so many bytes.
    [[nodiscard]] std::size_t shared_with(std::string_view text) const;
  };

  static void split(Node& node, std::size_t at);
  static void join_only_child(Node& node);
  template <class Visit>
  static void walk(const Node& node, mqtt::Levels rest, bool first_of_system_topic, Visit& visit);
  template <class Visit>
  static void enter(const Node& node, mqtt::Levels rest, Visit& visit);
  template <class Visit>
  void visit_matches(std::string_view topic, Visit visit) const;
  static bool insert(Subscribers& subscribers, Subscriber subscriber);
  static bool erase(Subscribers& subscribers, SubscriberId subscriber);

  std::unordered_map<std::string, Subscribers, StringHash, std::equal_to<>> exact_;
  Node root_;
  std::size_t wildcards_ = 0;
  std::size_t size_ = 0;
};

}  // namespace parley::routing
