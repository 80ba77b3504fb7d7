#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/time.hpp"
#include "mqtt/packet.hpp"

/// An application message on its way to its receivers.
namespace parley::mqtt {

class Message;
using MessagePtr = std::shared_ptr<const Message>;

/// Immutable and shared by all receivers, on any thread. One allocation for reference count, header and bytes.
class Message {
 public:
  struct Parts {
    std::string_view topic;
    /// Property bytes as they are forwarded: Payload Format Indicator, Content Type, Response Topic, Correlation Data
    /// and user properties in their order; never Topic Alias, Subscription Identifier or Message Expiry Interval.
    std::string_view properties;
    std::string_view payload;
    Qos qos = Qos::AtMostOnce;       ///< As published; a delivery's is the lower of this and the subscription's.
    bool retain = false;             ///< As published.
    std::optional<Instant> expires;  ///< When Message Expiry Interval ends.
    bool at_once = false;            ///< The interval is 0: whoever can be sent it now gets it, and nobody later.
    std::uint64_t publisher = 0;     ///< For No Local, see publisher_of(); 0: the broker, or not known.
  };

  /// Copies `parts`. O(size).
  static MessagePtr make(const Parts& parts);
  Message(const Message&) = delete;
  Message& operator=(const Message&) = delete;

  [[nodiscard]] std::string_view topic() const { return {bytes_, topic_size_}; }
  [[nodiscard]] std::string_view properties() const { return {bytes_ + topic_size_, properties_size_}; }
  [[nodiscard]] std::string_view payload() const { return {bytes_ + topic_size_ + properties_size_, payload_size_}; }
  [[nodiscard]] Qos qos() const { return qos_; }
  [[nodiscard]] bool retain() const { return retain_; }
  [[nodiscard]] bool at_once() const { return at_once_; }
  [[nodiscard]] std::uint64_t publisher() const { return publisher_; }
  [[nodiscard]] std::optional<Instant> expires() const {
    return expires_ == kNever ? std::nullopt : std::optional(expires_);
  }
  /// Nobody is to be sent it any more who hasn't been. MQTT 5 §3.3.2.3.3.
  [[nodiscard]] bool has_expired(Instant now) const { return expires_ <= now && !at_once_; }
  [[nodiscard]] std::size_t size() const { return topic_size_ + properties_size_ + payload_size_; }

 private:
  static constexpr Instant kNever = Instant::max();

  /// The bytes are at `bytes`, which has room for them, and live as long as the message.
  Message(const Parts& parts, char* bytes);

  const char* bytes_;
  std::size_t payload_size_;
  std::uint32_t topic_size_;
  std::uint32_t properties_size_;
  std::uint64_t publisher_;
  Instant expires_;
  Qos qos_;
  bool retain_;
  bool at_once_;
};

/// What a client id is as Message::publisher: the same on each node and after each start, and never 0.
std::uint64_t publisher_of(std::string_view client_id);

/// The properties of a received PUBLISH (or will) that are forwarded, as Message::Parts::properties wants them: those
/// of `received` without Topic Alias, Subscription Identifier, Message Expiry Interval and Will Delay Interval. Uses
/// `buffer` only when something has to be left out. MQTT 5 §3.3.2.3.
std::string_view forwarded_properties(const Properties& received, std::string& buffer);

}  // namespace parley::mqtt
