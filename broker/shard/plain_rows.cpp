#include "broker/shard/plain_rows.hpp"

#include <chrono>

#include "base/bytes.hpp"
#include "mqtt/topic.hpp"
#include "storage/format/field_reader.hpp"
#include "storage/format/sealed.hpp"

namespace parley::shard {
namespace {

constexpr std::uint8_t kVersion = 1;
/// Of a retained message whose publisher is known.
constexpr std::uint8_t kVersionWithPublisher = 2;
/// Unix milliseconds; the longest interval from now ends in 2163.
constexpr std::uint64_t kExpiryMax = std::uint64_t{1} << 43;
constexpr std::uint8_t kQosBits = 3;
constexpr std::uint8_t kRetain = 4;
constexpr std::uint8_t kShared = 8;

std::string begin_row(std::uint8_t version = kVersion) {
  std::string row(format::kSealSize, '\0');
  row[format::kVersionOffset] = static_cast<char>(version);
  return row;
}

std::string sealed(std::string row) {
  format::seal(row.data(), row.size());
  return row;
}

Result<format::FieldReader> open_row(std::string_view row, std::uint8_t version = kVersion) {
  PARLEY_TRY(format::check_seal(row, version));
  return format::FieldReader(row.substr(format::kSealSize));
}

/// Wall time in milliseconds; 0: never.
std::uint64_t stored_expiry(const mqtt::Message& message, Moment moment) {
  if (!message.expires()) return 0;
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(*message.expires() - moment.now).count();
  const auto at = static_cast<std::int64_t>(moment.wall.milliseconds) + left;
  return at > 0 ? static_cast<std::uint64_t>(at) : 1;
}

void append_target(std::string& row, const PlainTarget& target) {
  append_big_endian(row, target.queue);
  row.push_back(static_cast<char>(static_cast<unsigned>(target.qos) | (target.retain ? kRetain : 0U) |
                                  (target.share ? kShared : 0U)));
  append_big_endian(row, static_cast<std::uint16_t>(target.subscription_ids.size()));
  for (const std::uint32_t id : target.subscription_ids) append_big_endian(row, id);
  if (!target.share) return;
  append_big_endian(row, static_cast<std::uint16_t>(target.share->size()));
  row.append(*target.share);
}

Result<PlainTarget> read_target(format::FieldReader& reader) {
  PlainTarget target;
  target.queue = reader.integer<std::uint64_t>();
  const auto bits = reader.integer<std::uint8_t>();
  const bool plausible = bits <= (kQosBits | kRetain | kShared) && (bits & kQosBits) != kQosBits;
  if (target.queue == 0 || !plausible) return StorageError::CorruptRecord;
  target.qos = static_cast<mqtt::Qos>(bits & kQosBits);
  target.retain = (bits & kRetain) != 0;
  for (auto ids = reader.integer<std::uint16_t>(); ids > 0 && !reader.failed(); --ids) {
    target.subscription_ids.push_back(reader.integer<std::uint32_t>());
  }
  if ((bits & kShared) != 0) {
    target.share = std::make_shared<const std::string>(reader.text(reader.integer<std::uint16_t>()));
  }
  return target;
}

void append_message(std::string& row, const mqtt::Message& message, std::span<const PlainTarget> targets,
                    PlainOrigin origin, Moment moment) {
  row.push_back(static_cast<char>(static_cast<unsigned>(message.qos()) | (message.retain() ? kRetain : 0U)));
  append_big_endian(row, stored_expiry(message, moment));
  append_big_endian(row, static_cast<std::uint16_t>(message.topic().size()));
  row.append(message.topic());
  append_big_endian(row, static_cast<std::uint32_t>(message.properties().size()));
  row.append(message.properties());
  append_big_endian(row, origin.queue);
  append_big_endian(row, origin.id);
  append_big_endian(row, static_cast<std::uint32_t>(targets.size()));
  for (const PlainTarget& target : targets) append_target(row, target);
  row.append(message.payload());
}

Result<PlainMessageRow> read_message(format::FieldReader& reader, Moment moment, std::uint64_t publisher = 0) {
  PlainMessageRow decoded;
  mqtt::Message::Parts parts{.topic = {}, .properties = {}, .payload = {}, .publisher = publisher};
  const auto bits = reader.integer<std::uint8_t>();
  if (bits > (kQosBits | kRetain) || (bits & kQosBits) == kQosBits) return StorageError::CorruptRecord;
  parts.qos = static_cast<mqtt::Qos>(bits & kQosBits);
  parts.retain = (bits & kRetain) != 0;
  const auto expires = reader.integer<std::uint64_t>();
  if (expires > kExpiryMax) return StorageError::CorruptRecord;
  if (expires != 0) {
    const auto left = static_cast<std::int64_t>(expires) - static_cast<std::int64_t>(moment.wall.milliseconds);
    parts.expires = moment.now + std::chrono::milliseconds(left);
  }
  parts.topic = reader.text(reader.integer<std::uint16_t>());
  parts.properties = reader.text(reader.integer<std::uint32_t>());
  decoded.origin.queue = reader.integer<std::uint64_t>();
  decoded.origin.id = reader.integer<std::uint16_t>();
  for (auto count = reader.integer<std::uint32_t>(); count > 0; --count) {
    PARLEY_TRY(auto target, read_target(reader));
    decoded.targets.push_back(std::move(target));
  }
  parts.payload = reader.rest();
  if (!reader.complete() || !mqtt::is_topic_name(parts.topic)) return StorageError::CorruptRecord;
  decoded.message = mqtt::Message::make(parts);
  return decoded;
}

}  // namespace

std::string encode_message(const mqtt::Message& message, std::span<const PlainTarget> targets, PlainOrigin origin,
                           Moment moment) {
  std::string row = begin_row();
  row.reserve(64 + message.size() + targets.size() * 16);
  append_message(row, message, targets, origin, moment);
  return sealed(std::move(row));
}

Result<PlainMessageRow> decode_message(std::string_view row, Moment moment) {
  PARLEY_TRY(auto reader, open_row(row));
  return read_message(reader, moment);
}

std::string encode_retained(const mqtt::Message& message, const routing::RetainStamp& stamp, Moment moment) {
  const bool has_publisher = message.publisher() != 0;
  std::string row = begin_row(has_publisher ? kVersionWithPublisher : kVersion);
  row.reserve(88 + message.size());
  append_big_endian(row, stamp.time);
  append_big_endian(row, stamp.node.value);
  if (has_publisher) append_big_endian(row, message.publisher());
  append_message(row, message, {}, {}, moment);
  return sealed(std::move(row));
}

Result<PlainRetainedRow> decode_retained(std::string_view row, Moment moment) {
  PARLEY_TRY(auto reader, open_row(row, kVersionWithPublisher));
  const bool has_publisher = static_cast<std::uint8_t>(row[format::kVersionOffset]) == kVersionWithPublisher;
  PlainRetainedRow decoded;
  decoded.stamp.time = reader.integer<std::uint64_t>();
  decoded.stamp.node = {reader.integer<decltype(NodeId::value)>()};
  const std::uint64_t publisher = has_publisher ? reader.integer<std::uint64_t>() : 0;
  if (has_publisher && publisher == 0) return StorageError::CorruptRecord;
  PARLEY_TRY(auto read, read_message(reader, moment, publisher));
  if (!read.targets.empty() || read.origin != PlainOrigin{}) return StorageError::CorruptRecord;
  decoded.message = std::move(read.message);
  return decoded;
}

std::string encode_queue(const PlainQueueRow& queue) {
  std::string row = begin_row();
  append_big_endian(row, queue.settled);
  row.append(queue.client_id);
  return sealed(std::move(row));
}

Result<PlainQueueRow> decode_queue(std::string_view row) {
  PARLEY_TRY(auto reader, open_row(row));
  PlainQueueRow queue;
  queue.settled = reader.integer<std::uint64_t>();
  queue.client_id = reader.rest();
  if (!reader.complete() || queue.client_id.empty()) return StorageError::CorruptRecord;
  return queue;
}

std::string encode_outbound(const PlainOutboundRow& outbound) {
  std::string row = begin_row();
  append_big_endian(row, outbound.number);
  row.push_back(outbound.received ? '\1' : '\0');
  return sealed(std::move(row));
}

Result<PlainOutboundRow> decode_outbound(std::string_view row) {
  PARLEY_TRY(auto reader, open_row(row));
  PlainOutboundRow outbound;
  outbound.number = reader.integer<std::uint64_t>();
  const auto received = reader.integer<std::uint8_t>();
  outbound.received = received == 1;
  if (!reader.complete() || received > 1) return StorageError::CorruptRecord;
  return outbound;
}

std::string number_key(std::uint64_t number) {
  std::string key;
  append_big_endian(key, number);
  return key;
}

std::string flow_key(std::uint64_t queue, mqtt::PacketId id) {
  std::string key = number_key(queue);
  append_big_endian(key, id);
  return key;
}

std::uint64_t number_of_key(std::string_view key) {
  return key.size() < 8 ? 0 : load_big_endian<std::uint64_t>(key.data());
}

mqtt::PacketId id_of_key(std::string_view key) {
  return key.size() != 10 ? mqtt::PacketId{0} : load_big_endian<std::uint16_t>(key.data() + 8);
}

}  // namespace parley::shard
