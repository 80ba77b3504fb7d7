#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/number.hpp"
#include "base/time.hpp"
#include "broker/session/journal.hpp"
#include "mqtt/message.hpp"

namespace parley::session {

/// What is needed to send a message again.
struct Outgoing {
  mqtt::MessagePtr message;  ///< Null for an entry: the log has it.
  mqtt::Qos qos = mqtt::Qos::AtMostOnce;
  bool retain = false;
  std::vector<std::uint32_t> subscription_ids;
  std::shared_ptr<const std::string> share;  ///< The shared subscription it is for.
  StoredMessagePtr stored;                   ///< Null: kept in memory only.
};

/// A QoS 1 or 2 message under way to the client.
struct InFlight {
  enum class State : std::uint8_t { AwaitingPuback, AwaitingPubrec, AwaitingPubcomp, Done };

  Outgoing outgoing;
  State state = State::AwaitingPuback;
  bool sent_here = false;     ///< On the current connection.
  bool held = false;          ///< PUBLISH or PUBREL waits for the journal; at QoS 1 for a PUBLISH before it.
  bool written = false;       ///< Has left at least once, so the next time it is a duplicate.
  std::uint16_t pubrels = 0;  ///< Due on the current connection once the journal has answered.
  std::uint32_t cursor = 0;
  std::uint32_t cursor_generation = 0;  ///< 0: an ordinary message.
  std::uint32_t batched = 0;            ///< Entries before `seq` that are in the same message.
  Seq seq;
  std::uint64_t number = 0;  ///< Of a stored message …
  std::uint64_t passes = 0;  ///< … and the last of those that need nothing more once this one is settled.
};

/// Outbound QoS 1 and 2 messages in the order they were sent, and ordinary ones that wait. Packet ids are given
/// consecutively and messages leave at the front only, so that a packet id says where its message stands. MQTT 5 §4.4,
/// §4.6.
class OutboundFlow {
 public:
  [[nodiscard]] std::size_t size() const { return count_; }
  [[nodiscard]] bool empty() const { return count_ == 0; }
  InFlight& operator[](std::size_t position) { return ring_[(first_ + position) & (ring_.size() - 1)]; }
  [[nodiscard]] mqtt::PacketId id_at(std::size_t position) const {
    return static_cast<mqtt::PacketId>((first_id_ - 1U + position) % kIds + 1U);
  }
  /// Where the message with this packet id stands, if it is under way.
  [[nodiscard]] std::optional<std::size_t> find(mqtt::PacketId id) const {
    if (count_ == 0 || id == 0) return std::nullopt;
    const std::size_t position = (id + kIds - first_id_) % kIds;
    return position < count_ ? std::optional(position) : std::nullopt;
  }
  [[nodiscard]] InFlight& back() { return (*this)[count_ - 1]; }
  /// The packet id of the next message, while nothing is under way.
  void begin_ids_at(mqtt::PacketId id) { first_id_ = id; }
  /// The new message's packet id is id_at(size() - 1).
  void push(InFlight message) {
    if (count_ == ring_.size()) grow();
    ring_[(first_ + count_) & (ring_.size() - 1)] = std::move(message);
    ++count_;
  }
  void pop() {
    ring_[first_] = {};
    first_ = (first_ + 1) & (ring_.size() - 1);
    first_id_ = static_cast<mqtt::PacketId>(first_id_ % kIds + 1U);
    --count_;
  }

  std::size_t resend_at = 0;    ///< Messages from here on were sent on an earlier connection only.
  std::size_t outstanding = 0;  ///< Sent on this connection and not settled: the used part of Receive Maximum.
  std::size_t held = 0;         ///< PUBLISH packets that are held.

  // -- Ordinary messages that wait for the window or the client --
  std::vector<Outgoing> queue;
  std::size_t queue_first = 0;
  std::size_t queue_bytes = 0;

  [[nodiscard]] std::size_t queued() const { return queue.size() - queue_first; }
  void enqueue(Outgoing outgoing) {
    queue_bytes += outgoing.message->size();
    queue.push_back(std::move(outgoing));
  }
  /// Drops those of the queue for which `wanted` is true, in order.
  template <class Wanted>
  void remove_queued(Wanted wanted) {
    std::size_t kept = queue_first;
    for (std::size_t i = queue_first; i < queue.size(); ++i) {
      const std::size_t size = queue[i].message->size();
      if (wanted(queue[i])) {
        queue_bytes -= size;
      } else {
        if (kept != i) queue[kept] = std::move(queue[i]);
        ++kept;
      }
    }
    queue.resize(kept);
  }
  [[nodiscard]] const Outgoing& front_of_queue() const { return queue[queue_first]; }
  Outgoing dequeue() {
    Outgoing outgoing = std::move(queue[queue_first++]);
    queue_bytes -= outgoing.message->size();
    if (queue_first == queue.size()) {
      queue = {};
      queue_first = 0;
    } else if (queue_first >= 1024) {
      queue.erase(queue.begin(), queue.begin() + static_cast<std::ptrdiff_t>(queue_first));
      queue_first = 0;
    }
    return outgoing;
  }

 private:
  static constexpr std::size_t kIds = 65'535;  ///< Packet ids 1 … 65,535.

  void grow() {
    std::vector<InFlight> larger(ring_.empty() ? 8 : ring_.size() * 2);
    for (std::size_t i = 0; i < count_; ++i) larger[i] = std::move((*this)[i]);
    ring_ = std::move(larger);
    first_ = 0;
  }

  std::vector<InFlight> ring_;  ///< Its size is a power of two.
  std::size_t first_ = 0;
  std::size_t count_ = 0;
  mqtt::PacketId first_id_ = 1;
};

}  // namespace parley::session
