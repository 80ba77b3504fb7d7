#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/metrics.hpp"
#include "base/time.hpp"
#include "broker/routing/retained_messages.hpp"
#include "mqtt/message.hpp"

namespace parley::shard {

class Shard;

/// An average that forgets: what a minute has brought, over the last one, five and fifteen.
class LoadAverages {
 public:
  static constexpr std::array<std::uint32_t, 3> kMinutes{1, 5, 15};

  /// `count` were counted in the `passed` since the last call.
  void add(std::uint64_t count, Duration passed);
  /// A minute, in the order of kMinutes.
  [[nodiscard]] const std::array<double, 3>& values() const { return values_; }

 private:
  std::array<double, 3> values_{};
};

/// `$SYS/broker/…` with mosquitto's names, of this node: the first shard publishes what all have counted, every
/// ShardOptions::system_interval. Not stored, not told to other nodes, not in the limits of retained messages; each
/// shard keeps the last ones for those who subscribe later. Belongs to its shard's thread.
class SystemTopics {
 public:
  using Messages = std::shared_ptr<const std::vector<mqtt::MessagePtr>>;

  explicit SystemTopics(Shard& shard) : shard_(shard) {}

  /// The first turn: the first shard publishes, and sees to it that run_timer() is called.
  void start();
  void run_timer();
  /// What the first shard has published, for this shard's clients.
  void receive(const Messages& messages);
  /// Visits what was published last and matches.
  void match(std::string_view filter, const std::function<void(const mqtt::MessagePtr&)>& visit) const;

 private:
  void publish();
  void add(std::string_view name, const std::string& value);
  void add_loads(const Totals& totals, Duration passed);

  Shard& shard_;
  routing::RetainedMessages kept_{{}};
  // -- The first shard's --
  Instant began_;
  Instant published_;
  std::uint64_t clients_most_ = 0;
  Totals before_;
  std::vector<LoadAverages> loads_;
  std::vector<mqtt::MessagePtr> messages_;
};

}  // namespace parley::shard
