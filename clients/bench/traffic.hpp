#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "clients/bench/client.hpp"
#include "clients/bench/histogram.hpp"
#include "clients/bench/loop.hpp"
#include "clients/bench/tally.hpp"
#include "clients/bench/wire.hpp"

/// Publishers, their subscribers, and the flow between them.
namespace parley::bench {

/// Plain topics are `{name}/{number}`, conversations `chat/{name}-{number}/msg`; any broker may be given either.
enum class Topics : std::uint8_t { Plain, Chat };

struct TrafficShape {
  std::string name = "bench";      ///< Begins every topic and client id.
  std::vector<std::string> names;  ///< Of each stream's topic or conversation; where there are none: `{name}-{number}`.
  Topics topics = Topics::Plain;
  std::size_t streams = 50;     ///< Publishers, each with a topic of its own.
  std::size_t subscribers = 1;  ///< Of each topic.
  std::size_t unpaced = 0;      ///< So many of them hold no window open and count in no latency, however far behind.
  mqtt::Qos qos = mqtt::Qos::AtMostOnce;
  std::size_t payload_size = 200;
  std::size_t window = 100;  ///< Messages under way per publisher; the broker's Receive Maximum may lower it.
  double rate = 0;           ///< Messages a second of all publishers together; 0: as fast as the window allows.
  bool message_id = false;   ///< See PublishTemplate::Shape.
  Client::Settings client;   ///< Client id and source are set per client.
};

/// Topic of stream `number`.
std::string topic_of(const TrafficShape& shape, std::size_t number);

struct Counts {
  std::uint64_t published = 0;
  std::uint64_t acknowledged = 0;  ///< Equal to `published` at QoS 0.
  std::uint64_t refused = 0;       ///< Acknowledged with a reason code that says no.
  std::uint64_t delivered = 0;     ///< Over all subscribers, duplicates included.
  std::uint64_t missing = 0;       ///< Over all subscribers: passed over by later messages, or never came.
  std::uint64_t duplicated = 0;
  std::uint64_t reordered = 0;
  std::uint64_t foreign = 0;  ///< Not from our stream.
};

class Stream;
class Subscriber;

/// Belongs to its loop's thread. A message is under way until it is acknowledged (QoS 1 and 2) and each of its
/// subscribers has got it, so that no queue in the broker grows past streams × window and none has reason to drop.
///
/// With a rate, the schedule is fixed beforehand: message k is due at start + k/rate whether or not earlier ones have
/// arrived, it carries that time, and latency counts from there. A broker that stalls is charged for all that had to
/// wait meanwhile.
class Traffic {
 public:
  Traffic(Loop& loop, const Endpoint& endpoint, const TrafficShape& shape);
  /// Over several brokers of a cluster: publishers in turn, and each one's subscribers at the next ones.
  Traffic(Loop& loop, std::vector<Endpoint> endpoints, const TrafficShape& shape);
  ~Traffic();

  /// Connects everyone and subscribes. Throws Failure when that isn't done in a minute.
  void connect();
  /// Publishes until `until` or, with `messages` > 0, until each stream has published so many in all. Throws Failure
  /// when a client is disconnected or nothing moves for ten seconds.
  void run_until(Instant until, std::uint64_t messages = 0);
  /// Publishes only what was due before and waits until nothing is under way; what still is after `patience` without
  /// progress counts as missing.
  void drain(Duration patience);

  /// Latencies of messages due in [from, until) are recorded into `latency()`.
  void record(Instant from, Instant until);
  [[nodiscard]] const Histogram& latency() const { return latency_; }
  void forget_latency() { latency_ = {}; }
  [[nodiscard]] Counts counts() const;
  [[nodiscard]] std::uint64_t under_way() const;
  [[nodiscard]] std::size_t window() const;  ///< As granted by the broker.
  /// Messages that are due by the schedule and have not even been sent.
  [[nodiscard]] std::uint64_t behind_schedule() const;
  /// Subscriber `number` over all streams; the unpaced ones of a stream come first.
  Client& subscriber(std::size_t number);
  [[nodiscard]] const Tally& tally(std::size_t number) const;

 private:
  friend class Stream;
  friend class Subscriber;

  void take_latency(Instant intended, Instant received) {
    if (record_from_ <= intended && intended < record_until_) latency_.record(received - intended);
  }
  [[nodiscard]] std::size_t paced_subscribers() const { return shape_.subscribers - shape_.unpaced; }
  void schedule(Instant now);
  void refill(Instant now);
  void check_progress(Instant now);
  void check_clients() const;
  [[nodiscard]] Instant due(std::uint64_t number) const;
  [[nodiscard]] const Endpoint& endpoint(std::size_t place) const { return endpoints_[place % endpoints_.size()]; }

  Loop& loop_;
  std::vector<Endpoint> endpoints_;
  TrafficShape shape_;
  std::uint32_t run_;  ///< Random; see PublishTemplate::Shape.
  std::vector<std::unique_ptr<Stream>> streams_;
  std::vector<std::unique_ptr<Subscriber>> subscribers_;
  std::vector<Stream*> refillable_;
  bool publishing_ = false;
  std::uint64_t messages_max_ = 0;
  Instant schedule_start_{};
  std::uint64_t scheduled_ = 0;
  std::uint64_t moves_ = 0;  ///< Acknowledgements and deliveries.
  std::uint64_t moves_seen_ = 0;
  Instant moved_at_{};
  Instant record_from_ = Instant::max();
  Instant record_until_ = Instant::max();
  Histogram latency_;
};

/// Turns `loop` until all of `clients` are ready and subscribed. Throws Failure at the deadline or when one is refused.
void await_ready(Loop& loop, const std::vector<Client*>& clients, Instant deadline);

}  // namespace parley::bench
