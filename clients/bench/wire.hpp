#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/output.hpp"
#include "clients/bench/stamp.hpp"
#include "mqtt/decode.hpp"
#include "mqtt/packet.hpp"

/// The two packets that a benchmark sends and gets a million times, without the general codec's checks. Everything else
/// goes through mqtt/.
namespace parley::bench {

/// What a receiver needs of a PUBLISH; `payload` lies in the frame's bytes.
struct Delivery {
  mqtt::Qos qos = mqtt::Qos::AtMostOnce;
  bool dup = false;
  mqtt::PacketId packet_id = 0;
  std::string_view payload;
  Instant received{};  ///< When its bytes were read; set by the client.
};

/// Reads a PUBLISH by its lengths alone: neither UTF-8 nor properties are checked. Nothing when a length leads out of
/// the frame. MQTT 5 §3.3.
std::optional<Delivery> read_delivery(const mqtt::Frame& frame, mqtt::ProtocolVersion version);

/// A PUBLISH that is the same every time except for packet id, message id and stamp.
class PublishTemplate {
 public:
  struct Shape {
    std::string topic;
    mqtt::Qos qos = mqtt::Qos::AtMostOnce;
    mqtt::ProtocolVersion version = mqtt::ProtocolVersion::V5;
    std::size_t payload_size = 200;  ///< At least kStampSize.
    bool message_id = false;         ///< A user property `id` that differs in every message; MQTT 5 only.
    std::uint32_t run = 0;           ///< Begins the id, so that a later run isn't taken for a repetition of this one.
  };

  /// Throws Failure when the payload has no room for a stamp.
  explicit PublishTemplate(const Shape& shape);

  [[nodiscard]] std::size_t size() const { return bytes_.size(); }
  /// Appends one message; `packet_id` is ignored at QoS 0.
  void append(Output& to, mqtt::PacketId packet_id, const Stamp& stamp) {
    if (packet_id_at_ != 0) store_big_endian(bytes_.data() + packet_id_at_, packet_id);
    if (message_id_at_ != 0) write_message_id(bytes_.data() + message_id_at_, stamp);
    write_stamp(bytes_.data() + stamp_at_, stamp);
    to.append(bytes_);
  }

 private:
  static constexpr std::size_t kRunSize = 8;
  static constexpr std::size_t kMessageIdSize = kRunSize + 24;
  /// What follows the run.
  static void write_message_id(char* to, const Stamp& stamp);

  std::string bytes_;
  std::size_t packet_id_at_ = 0;
  std::size_t message_id_at_ = 0;
  std::size_t stamp_at_ = 0;
};

}  // namespace parley::bench
