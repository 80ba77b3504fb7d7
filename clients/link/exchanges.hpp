#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <cstddef>
#include <map>
#include <memory>
#include <optional>

#include "base/aio/event.hpp"
#include "clients/link/messages.hpp"

namespace parley::link {

/// One packet of ours that waits for its answer, and who waits for that.
struct Exchange {
  explicit Exchange(const boost::asio::any_io_executor& executor) : changed(executor) {}

  mqtt::PacketType awaited = mqtt::PacketType::Puback;
  std::optional<Publication> publication;  ///< To be sent again on the session's next connection; gone after PUBREC.
  Answer answer;
  boost::system::error_code error;
  bool done = false;
  aio::Event changed;
};

/// What a session must remember of both directions while packets are under way: packet ids, unanswered packets, QoS 2
/// messages that were received and not released. No I/O. Belongs to the client's thread.
class Exchanges {
 public:
  explicit Exchanges(boost::asio::any_io_executor executor) : executor_(std::move(executor)) {}

  /// A new exchange and its packet id. The caller keeps to the broker's Receive Maximum, so an id is always free.
  std::pair<mqtt::PacketId, std::shared_ptr<Exchange>> open(mqtt::PacketType awaited);

  /// The exchange that waits for this packet; null when there is none.
  [[nodiscard]] Exchange* find(mqtt::PacketId id, mqtt::PacketType awaited) const;
  /// Ends it and wakes who waits.
  void complete(mqtt::PacketId id);
  /// Ends all, or only those that a lost connection ends for good: everything but publishes of a session that goes on.
  void fail(boost::system::error_code error, bool publishes_too);

  /// Publishes under way, in the order in which they were sent first: bounded by the broker's Receive Maximum.
  [[nodiscard]] std::size_t publishes() const { return publishes_; }
  [[nodiscard]] const std::map<std::uint64_t, mqtt::PacketId>& in_order() const { return order_; }
  [[nodiscard]] Exchange& at(mqtt::PacketId id) const { return *open_.at(id).exchange; }

  /// QoS 2 messages that were received: false when that packet id is known already. MQTT 5 §4.3.3.
  bool receive(mqtt::PacketId id) { return received_.emplace(id, false).second; }
  void taken(mqtt::PacketId id) { received_[id] = true; }
  [[nodiscard]] bool was_taken(mqtt::PacketId id) const;
  bool release(mqtt::PacketId id) { return received_.erase(id) != 0; }
  /// Forgets received messages that nobody took: the broker sends them again.
  void forget_untaken();
  void forget_received() { received_.clear(); }

 private:
  struct Place {
    std::shared_ptr<Exchange> exchange;
    std::uint64_t order;
  };
  boost::asio::any_io_executor executor_;
  std::map<mqtt::PacketId, Place> open_;
  std::map<std::uint64_t, mqtt::PacketId> order_;
  std::map<mqtt::PacketId, bool> received_;  ///< Whether receive() has handed it out.
  std::uint64_t next_order_ = 0;
  std::size_t publishes_ = 0;
  mqtt::PacketId last_id_ = 0;
};

/// True when the exchange is that of a PUBLISH.
bool is_publish(const Exchange& exchange);

}  // namespace parley::link
