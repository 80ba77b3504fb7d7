#include "base/bytes.hpp"
#include "broker/session/connection.hpp"
#include "broker/session/outbound_flow.hpp"
#include "broker/session/session.hpp"
#include "mqtt/reader.hpp"
#include "mqtt/topic.hpp"

/// Sessions as bytes. Format: docs/formats/session.md.
namespace parley::session {
namespace {

constexpr std::uint8_t kVersion = 1;

std::uint8_t options_byte(const mqtt::SubscriptionOptions& options) {
  return static_cast<std::uint8_t>(static_cast<unsigned>(options.qos) | (options.no_local ? 4U : 0U) |
                                   (options.retain_as_published ? 8U : 0U) |
                                   static_cast<unsigned>(options.retain_handling) << 4);
}

Result<mqtt::SubscriptionOptions> options_of(std::uint8_t bits) {
  if ((bits & 3) == 3 || (bits >> 4) > 2) return mqtt::ReasonCode::MalformedPacket;
  return mqtt::SubscriptionOptions{.qos = static_cast<mqtt::Qos>(bits & 3),
                                   .no_local = (bits & 4) != 0,
                                   .retain_as_published = (bits & 8) != 0,
                                   .retain_handling = static_cast<std::uint8_t>(bits >> 4)};
}

Result<Subscription> read_subscription(mqtt::Reader& reader) {
  Subscription subscription;
  PARLEY_TRY(const auto filter, reader.utf8_string());
  if (!mqtt::is_topic_filter(filter)) return mqtt::ReasonCode::MalformedPacket;
  subscription.filter = filter;
  PARLEY_TRY(const auto bits, reader.integer<std::uint8_t>());
  PARLEY_TRY(subscription.options, options_of(bits));
  PARLEY_TRY(subscription.subscription_id, reader.integer<std::uint32_t>());
  return subscription;
}

}  // namespace

std::string Session::encode_state() const {
  std::string bytes(1, static_cast<char>(kVersion));
  append_big_endian(bytes, static_cast<std::uint32_t>(subscriptions_.size()));
  for (const Subscription& subscription : subscriptions_) {
    append_big_endian(bytes, static_cast<std::uint16_t>(subscription.filter.size()));
    bytes.append(subscription.filter);
    bytes.push_back(static_cast<char>(options_byte(subscription.options)));
    append_big_endian(bytes, subscription.subscription_id);
  }
  std::string ids;
  std::uint16_t count = 0;
  for (const auto& item : inbound_.items()) {
    if (item.state != InboundIds::State::Received) continue;
    append_big_endian(ids, item.id);
    ++count;
  }
  append_big_endian(bytes, count);
  return bytes.append(ids);
}

Result<std::unique_ptr<Session>> Session::decode_state(std::string client_id, std::string user, std::uint64_t identity,
                                                       std::uint32_t expiry_interval, std::string_view state,
                                                       const Limits& limits, Counters* counters) {
  mqtt::Reader reader(state);
  PARLEY_TRY(const auto version, reader.integer<std::uint8_t>());
  if (version != kVersion) return mqtt::ReasonCode::MalformedPacket;
  auto session = std::make_unique<Session>(std::move(client_id), std::move(user), identity, limits, counters);
  session->expiry_interval_ = expiry_interval;
  PARLEY_TRY(auto count, reader.integer<std::uint32_t>());
  for (; count > 0; --count) {
    PARLEY_TRY(auto subscription, read_subscription(reader));
    session->keep_subscription(std::move(subscription));
  }
  PARLEY_TRY(auto ids, reader.integer<std::uint16_t>());
  for (; ids > 0; --ids) {
    PARLEY_TRY(const auto id, reader.integer<std::uint16_t>());
    if (id == 0 || session->inbound_.state(id) != InboundIds::State::Unknown) return mqtt::ReasonCode::MalformedPacket;
    session->inbound_.set(id, InboundIds::State::Received);
  }
  if (!reader.empty()) return mqtt::ReasonCode::MalformedPacket;
  return session;
}

}  // namespace parley::session
