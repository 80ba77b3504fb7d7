#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/number.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "mqtt/message.hpp"
#include "mqtt/types.hpp"

namespace parley::routing {

/// A retained message's place among all that were published on its topic, on any node; the highest is kept.
struct RetainStamp {
  std::uint64_t time = 0;  ///< Unix microseconds, about; rises with each one.
  NodeId node;
  friend auto operator<=>(const RetainStamp&, const RetainStamp&) = default;
};

/// The last retained message of each topic. MQTT 5 §3.3.1.3. Belongs to one thread. A tree of levels, so a filter walks
/// only what it can match.
class RetainedMessages {
 public:
  struct Limits {
    std::size_t count_max = 1'000'000;
    std::size_t bytes_max = 1024ULL * 1024 * 1024;
  };

  explicit RetainedMessages(Limits limits) : limits_(limits) {}

  /// Replaces the topic's message; an empty payload removes it. Fails with QuotaExceeded when it doesn't fit, or when
  /// the topic has more than mqtt::kFilterLevelsMax levels.
  Result<void> set(const mqtt::MessagePtr& message) { return set(message, {}, 0, nullptr); }
  struct Outcome {
    bool older = false;          ///< The topic has a later one, and nothing was changed.
    std::uint64_t replaced = 0;  ///< The number of what went; 0: nothing, or it had none.
  };
  /// With the number under which the message is stored; 0: it isn't. `outcome` may be null.
  Result<void> set(const mqtt::MessagePtr& message, const RetainStamp& stamp, std::uint64_t number, Outcome* outcome);

  using Visit = std::function<void(const mqtt::MessagePtr&)>;
  /// Visits the messages that match `filter` and have not expired.
  void match(std::string_view filter, Instant now, const Visit& visit) const;

  /// With its place among all that came; see arrivals(). False ends the walk.
  using VisitSome = std::function<bool(const mqtt::MessagePtr&, std::uint64_t arrival)>;
  /// The same in pieces: visits what comes behind the topic `behind` (empty: everything), in one order that is always
  /// the same. False when `visit` has ended it.
  bool match_some(std::string_view filter, std::string_view behind, Instant now, const VisitSome& visit) const;
  /// How many have come; what comes later has a higher number.
  [[nodiscard]] std::uint64_t arrivals() const { return arrivals_; }

  /// Visits all of them, as `match` with `#` would.
  void for_each(Instant now, const std::function<void(const mqtt::MessagePtr&, const RetainStamp&)>& visit) const;

  /// Removes what has expired, `most` at a time, and adds the numbers of what was stored. Costs nothing for what has
  /// not. False when there may be more.
  bool sweep(Instant now, std::size_t most, std::vector<std::uint64_t>& numbers);

  [[nodiscard]] std::size_t size() const { return count_; }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
  struct Node {
    std::map<std::string, std::unique_ptr<Node>, std::less<>> children;
    mqtt::MessagePtr message;
    RetainStamp stamp;
    std::uint64_t number = 0;
    std::uint64_t arrival = 0;
  };

  void drop(Node& node);
  std::uint64_t remove(std::string_view topic);

  Limits limits_;
  Node root_;
  std::set<std::pair<Instant, const Node*>> expiring_;  ///< Those with a Message Expiry Interval.
  std::size_t count_ = 0;
  std::size_t bytes_ = 0;
  std::uint64_t arrivals_ = 0;
};

}  // namespace parley::routing
