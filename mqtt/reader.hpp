#pragma once

#include <cstdint>
#include <string_view>

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "mqtt/types.hpp"
#include "mqtt/utf8.hpp"

namespace parley::mqtt {

/// Takes the data types of MQTT 5 §1.5 off the front of a packet's body. Whatever doesn't fit is a Malformed Packet.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}

  [[nodiscard]] bool empty() const { return rest_.empty(); }
  [[nodiscard]] std::string_view rest() const { return rest_; }

  template <class Integer>
  Result<Integer> integer() {
    if (rest_.size() < sizeof(Integer)) return ReasonCode::MalformedPacket;
    const auto value = load_big_endian<Integer>(rest_.data());
    rest_.remove_prefix(sizeof(Integer));
    return value;
  }

  /// At most four bytes, no more than needed. §1.5.5.
  Result<std::uint32_t> variable_byte_integer() {
    std::uint32_t value = 0;
    for (std::uint32_t i = 0; i < 4; ++i) {
      if (i >= rest_.size()) return ReasonCode::MalformedPacket;
      const auto byte = static_cast<unsigned char>(rest_[i]);
      value |= static_cast<std::uint32_t>(byte & 0x7F) << (7 * i);
      if ((byte & 0x80) != 0) continue;
      if (byte == 0 && i > 0) return ReasonCode::MalformedPacket;
      rest_.remove_prefix(i + 1);
      return value;
    }
    return ReasonCode::MalformedPacket;
  }

  Result<std::string_view> bytes(std::size_t count) {
    if (rest_.size() < count) return ReasonCode::MalformedPacket;
    const auto taken = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return taken;
  }

  /// §1.5.6.
  Result<std::string_view> binary() {
    PARLEY_TRY(const auto size, integer<std::uint16_t>());
    return bytes(size);
  }

  /// §1.5.4.
  Result<std::string_view> utf8_string() {
    PARLEY_TRY(const auto text, binary());
    if (!is_mqtt_utf8(text)) return ReasonCode::MalformedPacket;
    return text;
  }

 private:
  std::string_view rest_;
};

}  // namespace parley::mqtt
