#include "broker/shard/entry_batch.hpp"

#include <algorithm>
#include <array>

#include "broker/shard/deflate.hpp"
#include "broker/shard/entry_message.hpp"
#include "mqtt/properties.hpp"

namespace parley::shard {
namespace {

/// Major types of CBOR. RFC 8949 §3.1.
enum class Cbor : std::uint8_t { Number = 0, Bytes = 2, Text = 3, Array = 4, Map = 5 };

/// RFC 8949 §3: the shortest form.
void append_head(std::string& to, Cbor type, std::uint64_t value) {
  const auto major = static_cast<unsigned>(type) << 5U;
  if (value < 24) {
    to.push_back(static_cast<char>(major | value));
    return;
  }
  unsigned size = 8;
  unsigned info = 27;
  for (unsigned i = 0; i < 3; ++i) {
    if (value < std::uint64_t{1} << (8U << i)) {
      size = 1U << i;
      info = 24 + i;
      break;
    }
  }
  to.push_back(static_cast<char>(major | info));
  for (unsigned i = size; i-- > 0;) to.push_back(static_cast<char>(value >> (8 * i)));
}

void append_text(std::string& to, std::string_view text) {
  append_head(to, Cbor::Text, text.size());
  to.append(text);
}

}  // namespace

Accepted read_accept(std::string_view value) {
  Accepted accepted;
  while (!value.empty()) {
    const auto comma = std::min(value.find(','), value.size());
    const auto word = value.substr(0, comma);
    accepted.batch = accepted.batch || word == "batch";
    accepted.deflate = accepted.deflate || word == "deflate";
    value.remove_prefix(std::min(comma + 1, value.size()));
  }
  return accepted.batch ? accepted : Accepted{};
}

std::string_view name_of(Accepted accepted) {
  if (!accepted.batch) return {};
  return accepted.deflate ? "batch,deflate" : "batch";
}

void EntryBatch::add(const format::EntryRecord& entry) {
  std::string room;
  const std::string_view payload = payload_of(entry, room);
  const auto properties = mqtt::Properties::trusted(entry.properties);
  const bool is_text = !room.empty() || properties.integer(mqtt::PropertyId::PayloadFormatIndicator) == 1U;
  const std::size_t start = items_.size();
  append_head(items_, Cbor::Array, 4);
  append_head(items_, Cbor::Number, entry.seq.value - seq_);
  append_head(items_, Cbor::Number, entry.ts.milliseconds - ts_);
  seq_ = entry.seq.value;
  ts_ = entry.ts.milliseconds;
  const auto known = std::ranges::find(names_, entry.from);
  if (known != names_.end()) {
    append_head(items_, Cbor::Number, static_cast<std::uint64_t>(known - names_.begin()));
  } else {
    names_.emplace_back(entry.from);
    append_text(items_, entry.from);
  }
  append_head(items_, is_text ? Cbor::Text : Cbor::Bytes, payload.size());
  items_.append(payload);
  const std::size_t end = items_.size();
  add_extras(entry);
  // An array of five then.
  if (items_.size() != end) ++items_[start];
  ++count_;
}

void EntryBatch::add_extras(const format::EntryRecord& entry) {
  std::string extras;
  std::uint64_t count = 0;
  const auto text = [&](std::string_view name, std::string_view value) {
    append_text(extras, name);
    append_text(extras, value);
    ++count;
  };
  const bool own = entry.id_from_client && entry.from == user_;
  if (meta_ == Meta::Full || (meta_ == Meta::Compact && own)) text("id", entry.id);
  if (entry.kind != format::EntryKind::Message) text("kind", format::name_of(entry.kind));
  if (entry.ref.value != 0) {
    append_text(extras, "ref");
    append_head(extras, Cbor::Number, entry.ref.value);
    ++count;
  }
  std::string users;
  std::uint64_t user_count = 0;
  for (const auto& property : mqtt::Properties::trusted(entry.properties)) {
    if (property.id == mqtt::PropertyId::ContentType) text("type", property.text);
    if (property.id != mqtt::PropertyId::UserProperty) continue;
    append_head(users, Cbor::Array, 2);
    append_text(users, property.name);
    append_text(users, property.text);
    ++user_count;
  }
  if (user_count != 0) {
    append_text(extras, "props");
    append_head(extras, Cbor::Array, user_count);
    extras.append(users);
    ++count;
  }
  if (count == 0) return;
  append_head(items_, Cbor::Map, count);
  items_.append(extras);
}

mqtt::MessagePtr EntryBatch::message(std::string_view root, std::string_view conversation, Accepted accepted) const {
  std::string payload;
  append_head(payload, Cbor::Array, count_);
  payload.append(items_);
  std::string_view type = "application/cbor";
  if (accepted.deflate) {
    if (auto shorter = deflated(payload); !shorter.empty()) {
      payload = std::move(shorter);
      type = "application/cbor+deflate";
    }
  }
  mqtt::PropertyWriter properties;
  properties.text(mqtt::PropertyId::ContentType, type);
  properties.user("batch", std::to_string(count_));
  const std::string topic = std::string(root).append("/").append(conversation).append("/msg");
  return mqtt::Message::make(
      {.topic = topic, .properties = properties.bytes(), .payload = payload, .qos = mqtt::Qos::ExactlyOnce});
}

}  // namespace parley::shard
