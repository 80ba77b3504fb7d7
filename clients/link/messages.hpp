#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/time.hpp"
#include "mqtt/packet.hpp"

/// What goes in and out of a Client, as owned values.
namespace parley::link {

struct Options {
  std::string host = "127.0.0.1";
  std::uint16_t port = 1883;
  std::string client_id;  ///< Empty: the broker gives one.
  std::optional<std::string> user_name;
  std::optional<std::string> password;
  bool clean_start = true;              ///< Of the first connect(); later ones continue the session.
  std::uint32_t session_expiry = 0;     ///< Seconds; 0: the session ends with the connection. MQTT 5 §3.1.2.11.2.
  std::uint16_t keep_alive = 60;        ///< Seconds; 0: off.
  std::uint16_t receive_maximum = 256;  ///< QoS 1 and 2 messages that wait for receive().
  std::size_t queued_max = 1'024;       ///< Messages of any QoS that wait for receive(); then reading pauses.
  std::uint32_t packet_size_max = 4U << 20;
  Duration connect_timeout = std::chrono::seconds(10);  ///< From the name's resolution to CONNACK.
  Duration ping_timeout = std::chrono::seconds(10);
  std::vector<std::pair<std::string, std::string>> user_properties;  ///< On CONNECT.
};

struct Publication {
  std::string topic;
  std::string payload;
  mqtt::Qos qos = mqtt::Qos::AtLeastOnce;
  bool retain = false;
  std::string properties;  ///< As mqtt::PropertyWriter makes them.
};

/// A packet that answers one of ours: CONNACK, PUBACK, PUBREC, SUBACK, UNSUBACK. A refusal is an answer, too.
struct Answer {
  mqtt::ReasonCode reason = mqtt::ReasonCode::Success;  ///< The worst of `reasons` where there are several.
  std::vector<mqtt::ReasonCode> reasons;                ///< SUBACK and UNSUBACK: one for each filter.
  bool session_present = false;                         ///< CONNACK.
  std::string property_bytes;

  [[nodiscard]] bool refused() const { return mqtt::is_failure(reason); }
  /// Valid as long as this object.
  [[nodiscard]] mqtt::Properties properties() const { return mqtt::Properties::trusted(property_bytes); }
};

struct Subscription {
  std::string filter;
  mqtt::SubscriptionOptions options;
};

struct Message {
  std::string topic;
  std::string payload;
  mqtt::Qos qos = mqtt::Qos::AtMostOnce;
  bool retain = false;
  bool dup = false;
  mqtt::PacketId packet_id = 0;
  std::string property_bytes;

  [[nodiscard]] mqtt::Properties properties() const { return mqtt::Properties::trusted(property_bytes); }
};

}  // namespace parley::link
