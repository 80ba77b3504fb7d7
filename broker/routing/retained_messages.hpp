#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "base/time.hpp"
#include "mqtt/message.hpp"
#include "mqtt/types.hpp"

namespace parley::routing {

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
  Result<void> set(const mqtt::MessagePtr& message);

  using Visit = std::function<void(const mqtt::MessagePtr&)>;
  /// Visits the messages that match `filter` and have not expired.
  void match(std::string_view filter, Instant now, const Visit& visit) const;

  /// Removes what has expired.
  void sweep(Instant now);

  [[nodiscard]] std::size_t size() const { return count_; }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
  struct Node {
    std::map<std::string, std::unique_ptr<Node>, std::less<>> children;
    mqtt::MessagePtr message;
  };

  void drop(Node& node);
  bool sweep(Node& node, Instant now);

  Limits limits_;
  Node root_;
  std::size_t count_ = 0;
  std::size_t bytes_ = 0;
};

}  // namespace parley::routing
