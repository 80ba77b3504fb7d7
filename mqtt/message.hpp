#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/time.hpp"
#include "mqtt/packet.hpp"

/// An application message on its way to its receivers.
namespace parley::mqtt {

/// Immutable and shared by all receivers, on any thread. One allocation for the bytes.
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
    std::uint64_t publisher = 0;     ///< Identity of the publishing session, for No Local; 0: the broker.
  };

  explicit Message(const Parts& parts)
      : topic_size_(static_cast<std::uint32_t>(parts.topic.size())),
        properties_size_(static_cast<std::uint32_t>(parts.properties.size())),
        qos_(parts.qos),
        retain_(parts.retain),
        publisher_(parts.publisher),
        expires_(parts.expires) {
    bytes_.reserve(parts.topic.size() + parts.properties.size() + parts.payload.size());
    bytes_.append(parts.topic).append(parts.properties).append(parts.payload);
  }

  [[nodiscard]] std::string_view topic() const { return std::string_view(bytes_).substr(0, topic_size_); }
  [[nodiscard]] std::string_view properties() const {
    return std::string_view(bytes_).substr(topic_size_, properties_size_);
  }
  [[nodiscard]] std::string_view payload() const {
    return std::string_view(bytes_).substr(topic_size_ + properties_size_);
  }
  [[nodiscard]] Qos qos() const { return qos_; }
  [[nodiscard]] bool retain() const { return retain_; }
  [[nodiscard]] std::uint64_t publisher() const { return publisher_; }
  [[nodiscard]] std::optional<Instant> expires() const { return expires_; }
  [[nodiscard]] std::size_t size() const { return bytes_.size(); }

 private:
  std::string bytes_;
  std::uint32_t topic_size_;
  std::uint32_t properties_size_;
  Qos qos_;
  bool retain_;
  std::uint64_t publisher_;
  std::optional<Instant> expires_;
};

using MessagePtr = std::shared_ptr<const Message>;

/// The properties of a received PUBLISH (or will) that are forwarded, as Message::Parts::properties wants them: those
/// of `received` without Topic Alias, Subscription Identifier, Message Expiry Interval and Will Delay Interval. Uses
/// `buffer` only when something has to be left out. MQTT 5 §3.3.2.3.
std::string_view forwarded_properties(const Properties& received, std::string& buffer);

}  // namespace parley::mqtt
