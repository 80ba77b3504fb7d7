#pragma once

#include <array>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "mqtt/types.hpp"

/// MQTT 5 properties. On receive they stay in the packet's bytes, validated once against the table and then looked up;
/// on send they are built as bytes.
namespace parley::mqtt {

/// MQTT 5 §2.2.2.2.
enum class PropertyId : std::uint8_t {
  PayloadFormatIndicator = 0x01,
  MessageExpiryInterval = 0x02,
  ContentType = 0x03,
  ResponseTopic = 0x08,
  CorrelationData = 0x09,
  SubscriptionIdentifier = 0x0B,
  SessionExpiryInterval = 0x11,
  AssignedClientIdentifier = 0x12,
  ServerKeepAlive = 0x13,
  AuthenticationMethod = 0x15,
  AuthenticationData = 0x16,
  RequestProblemInformation = 0x17,
  WillDelayInterval = 0x18,
  RequestResponseInformation = 0x19,
  ResponseInformation = 0x1A,
  ServerReference = 0x1C,
  ReasonString = 0x1F,
  ReceiveMaximum = 0x21,
  TopicAliasMaximum = 0x22,
  TopicAlias = 0x23,
  MaximumQos = 0x24,
  RetainAvailable = 0x25,
  UserProperty = 0x26,
  MaximumPacketSize = 0x27,
  WildcardSubscriptionAvailable = 0x28,
  SubscriptionIdentifierAvailable = 0x29,
  SharedSubscriptionAvailable = 0x2A,
};

/// The places a property list can stand in: bit n is packet type n, bit 0 the will in CONNECT.
enum class PropertyPlace : std::uint16_t {
  Will = 1 << 0,
  Connect = 1 << 1,
  Connack = 1 << 2,
  Publish = 1 << 3,
  Puback = 1 << 4,
  Pubrec = 1 << 5,
  Pubrel = 1 << 6,
  Pubcomp = 1 << 7,
  Subscribe = 1 << 8,
  Suback = 1 << 9,
  Unsubscribe = 1 << 10,
  Unsuback = 1 << 11,
  Disconnect = 1 << 14,
  Auth = 1 << 15,
};

struct UserProperty {
  std::string_view name;
  std::string_view value;
  friend bool operator==(const UserProperty&, const UserProperty&) = default;
};

/// A validated property list: a view of its bytes (without the length), owned by whoever owns the packet's bytes.
class Properties {
 public:
  Properties() = default;

  /// Checks the whole list: known identifiers, allowed in `place`, values well formed and in range, nothing twice that
  /// may stand once. Fails with MalformedPacket or ProtocolError. MQTT 5 §2.2.2.
  static Result<Properties> validate(std::string_view bytes, PropertyPlace place);
  /// For bytes that `validate` has passed before, such as those inside a Message.
  static Properties trusted(std::string_view bytes);

  [[nodiscard]] bool empty() const { return bytes_.empty(); }
  [[nodiscard]] std::string_view bytes() const { return bytes_; }

  /// The value of a Byte, Two Byte, Four Byte or Variable Byte Integer property. O(length of the list).
  [[nodiscard]] std::optional<std::uint32_t> integer(PropertyId id) const;
  /// The value of a string or binary property.
  [[nodiscard]] std::optional<std::string_view> text(PropertyId id) const;
  /// The first user property of that name.
  [[nodiscard]] std::optional<std::string_view> user(std::string_view name) const;

  /// One property as it stands: `raw` is identifier and value together.
  struct Item {
    PropertyId id{};
    std::uint32_t integer = 0;  ///< For integer properties.
    std::string_view text;      ///< For strings, binary data and the value of a user property.
    std::string_view name;      ///< For user properties.
    std::string_view raw;
  };
  class Iterator {
   public:
    using value_type = Item;
    using difference_type = std::ptrdiff_t;
    Iterator() = default;
    explicit Iterator(std::string_view rest) : rest_(rest) { load(); }
    const Item& operator*() const { return item_; }
    const Item* operator->() const { return &item_; }
    Iterator& operator++() {
      rest_.remove_prefix(item_.raw.size());
      load();
      return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t) const { return rest_.empty(); }

   private:
    void load();
    std::string_view rest_;
    Item item_;
  };
  [[nodiscard]] Iterator begin() const { return Iterator(bytes_); }
  [[nodiscard]] std::default_sentinel_t end() const { return {}; }

 private:
  explicit Properties(std::string_view bytes) : bytes_(bytes) {}
  std::string_view bytes_;
};

/// Builds the bytes of a property list (without the length). Callers keep to the table; the encoders assert nothing,
/// but text of more than 65,535 bytes is cut, so that the list stays whole.
class PropertyWriter {
 public:
  PropertyWriter& integer(PropertyId id, std::uint32_t value);  ///< The width comes from the table.
  PropertyWriter& text(PropertyId id, std::string_view value);
  PropertyWriter& user(std::string_view name, std::string_view value);
  PropertyWriter& raw(std::string_view item);  ///< A Properties::Item::raw.

  [[nodiscard]] bool empty() const { return bytes_.empty(); }
  [[nodiscard]] std::string_view bytes() const { return bytes_; }
  [[nodiscard]] std::string take() && { return std::move(bytes_); }
  void clear() { bytes_.clear(); }

 private:
  void append(std::string_view value);

  std::string bytes_;
};

}  // namespace parley::mqtt
