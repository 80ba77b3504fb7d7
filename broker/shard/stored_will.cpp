#include "broker/shard/stored_will.hpp"

#include <chrono>

#include "base/bytes.hpp"
#include "mqtt/properties.hpp"
#include "mqtt/topic.hpp"
#include "storage/format/error.hpp"
#include "storage/format/field_reader.hpp"

namespace parley::shard {
namespace {

/// A state alone begins with a lower one.
constexpr char kWithWill = 3;
constexpr std::uint8_t kQosBits = 3;
constexpr std::uint8_t kRetain = 4;
/// Message Expiry Interval 0, where the field's 0 says that there is none.
constexpr std::string_view kExpiresAtOnce("\x02\0\0\0\0", 5);

Result<mqtt::Properties> read_properties(std::string_view bytes) {
  auto properties = mqtt::Properties::validate(bytes, mqtt::PropertyPlace::Will);
  if (!properties) return StorageError::CorruptRecord;
  return properties;
}

Result<session::WillPlan> read_will(std::string_view bytes) {
  format::FieldReader reader(bytes);
  session::WillPlan will;
  will.id = reader.integer<std::uint64_t>();
  will.delay = std::chrono::seconds(reader.integer<std::uint32_t>());
  const auto interval = reader.integer<std::uint32_t>();
  if (interval != 0) will.expiry_interval = interval;
  const auto bits = reader.integer<std::uint8_t>();
  mqtt::Message::Parts parts{.topic = {},
                             .properties = {},
                             .payload = {},
                             .qos = static_cast<mqtt::Qos>(bits & kQosBits),
                             .retain = (bits & kRetain) != 0};
  parts.topic = reader.text(reader.integer<std::uint16_t>());
  parts.properties = reader.text(reader.integer<std::uint32_t>());
  parts.payload = reader.rest();
  const bool plausible = will.id != 0 && bits <= (kQosBits | kRetain) && (bits & kQosBits) != kQosBits;
  if (!reader.complete() || !plausible || !mqtt::is_topic_name(parts.topic)) return StorageError::CorruptRecord;
  PARLEY_TRY(const auto properties, read_properties(parts.properties));
  if (properties.integer(mqtt::PropertyId::MessageExpiryInterval)) {
    if (interval != 0 || !parts.properties.starts_with(kExpiresAtOnce)) return StorageError::CorruptRecord;
    will.expiry_interval = 0;
    parts.properties.remove_prefix(kExpiresAtOnce.size());
  }
  will.message = mqtt::Message::make(parts);
  return will;
}

}  // namespace

std::string with_will(const session::WillPlan& will, std::string_view state) {
  const mqtt::Message& message = *will.message;
  std::string body;
  append_big_endian(body, will.id);
  append_big_endian(body,
                    static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::seconds>(will.delay).count()));
  append_big_endian(body, will.expiry_interval.value_or(0));
  body.push_back(static_cast<char>(static_cast<unsigned>(message.qos()) | (message.retain() ? kRetain : 0U)));
  append_big_endian(body, static_cast<std::uint16_t>(message.topic().size()));
  body.append(message.topic());
  const std::string_view expiry = will.expiry_interval == 0U ? kExpiresAtOnce : std::string_view();
  append_big_endian(body, static_cast<std::uint32_t>(expiry.size() + message.properties().size()));
  body.append(expiry);
  body.append(message.properties());
  body.append(message.payload());
  std::string bytes(1, kWithWill);
  append_big_endian(bytes, static_cast<std::uint32_t>(body.size()));
  return bytes.append(body).append(state);
}

Result<StateWithWill> split_will(std::string_view bytes) {
  if (bytes.empty() || bytes.front() != kWithWill) return StateWithWill{.state = bytes, .will = {}};
  format::FieldReader reader(bytes.substr(1));
  const auto will = reader.text(reader.integer<std::uint32_t>());
  StateWithWill split{.state = reader.rest(), .will = {}};
  if (reader.failed()) return StorageError::CorruptRecord;
  PARLEY_TRY(split.will, read_will(will));
  return split;
}

std::string_view without_will(std::string_view bytes) {
  if (bytes.empty() || bytes.front() != kWithWill) return bytes;
  format::FieldReader reader(bytes.substr(1));
  reader.text(reader.integer<std::uint32_t>());
  return reader.rest();
}

}  // namespace parley::shard
