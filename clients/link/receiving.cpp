#include <algorithm>
#include <boost/asio/error.hpp>

#include "clients/link/client.hpp"

// What comes from the broker, packet by packet.

namespace parley::link {
namespace {

using mqtt::PacketType;
using mqtt::ReasonCode;

constexpr std::size_t kReadSize = 16 * 1024;

}  // namespace

asio::awaitable<void> Client::read() {
  while (connected()) {
    const auto handled = handle_input();
    if (!handled) {
      lose(handled.error());
      co_return;
    }
    if (inbox_.size() >= options_.queued_max) {
      reading_paused_ = true;
      const bool taken = co_await inbox_taken_.wait();
      if (!taken) co_return;
      reading_paused_ = inbox_.size() >= options_.queued_max;
      continue;
    }
    const auto filled = co_await fill_input();
    if (!filled) {
      lose(filled.error());
      co_return;
    }
  }
}

/// Reads more bytes behind those that are there.
asio::awaitable<Result<std::size_t>> Client::fill_input() {
  input_.erase(0, std::exchange(input_begin_, 0));
  const std::size_t size = input_.size();
  // A large packet doubles the buffer, so that it is copied a few times only.
  input_.resize(size + std::max(kReadSize, size));
  const std::span<char> room(input_.data() + size, input_.size() - size);
  auto count = co_await transport_->read_some(room);
  input_.resize(size + (count ? *count : 0));
  co_return count;
}

Result<void> Client::handle_input() {
  while (connected() && inbox_.size() < options_.queued_max) {
    PARLEY_TRY(const auto frame, mqtt::next_frame(std::string_view(input_).substr(input_begin_), limits()));
    if (!frame) return {};
    PARLEY_TRY(handle(*frame));
    input_begin_ += frame->size;
  }
  return {};
}

Result<void> Client::handle(const mqtt::Frame& frame) {
  PARLEY_TRY(const auto packet, mqtt::decode(frame, mqtt::ProtocolVersion::V5, limits()));
  if (const auto* publish = std::get_if<mqtt::Publish>(&packet)) {
    handle_publish(*publish);
    return {};
  }
  if (const auto* ack = std::get_if<mqtt::Ack>(&packet)) return handle_ack(*ack);
  if (const auto* suback = std::get_if<mqtt::Suback>(&packet)) return handle_answer(*suback, PacketType::Suback);
  if (const auto* unsuback = std::get_if<mqtt::Unsuback>(&packet)) {
    return handle_answer(*unsuback, PacketType::Unsuback);
  }
  if (std::holds_alternative<mqtt::Pingresp>(packet)) {
    ping_unanswered_ = false;
    return {};
  }
  if (const auto* disconnect = std::get_if<mqtt::Disconnect>(&packet)) {
    if (disconnect->reason == ReasonCode::Success) return asio::error::make_error_code(asio::error::eof);
    return disconnect->reason;
  }
  return ReasonCode::ProtocolError;
}

void Client::handle_publish(const mqtt::Publish& publish) {
  if (publish.qos == mqtt::Qos::ExactlyOnce && !exchanges_.receive(publish.packet_id)) {
    if (exchanges_.was_taken(publish.packet_id)) {
      send(mqtt::Ack{.type = PacketType::Pubrec, .packet_id = publish.packet_id});
    }
    return;
  }
  inbox_.push_back({.message = {.topic = std::string(publish.topic),
                                .payload = std::string(publish.payload),
                                .qos = publish.qos,
                                .retain = publish.retain,
                                .dup = publish.dup,
                                .packet_id = publish.packet_id,
                                .property_bytes = std::string(publish.properties.bytes())},
                    .connection = connection_});
  inbox_changed_.notify();
}

void Client::acknowledge(const Waiting& waiting) {
  if (!connected() || waiting.connection != connection_) return;
  const mqtt::PacketId id = waiting.message.packet_id;
  switch (waiting.message.qos) {
    case mqtt::Qos::AtMostOnce: return;
    case mqtt::Qos::AtLeastOnce: send(mqtt::Ack{.type = PacketType::Puback, .packet_id = id}); return;
    case mqtt::Qos::ExactlyOnce: break;
  }
  exchanges_.taken(id);
  send(mqtt::Ack{.type = PacketType::Pubrec, .packet_id = id});
}

/// MQTT 5 §4.3.
Result<void> Client::handle_ack(const mqtt::Ack& ack) {
  switch (ack.type) {
    case PacketType::Pubrec: handle_pubrec(ack); return {};
    case PacketType::Pubrel: {
      const bool known = exchanges_.release(ack.packet_id);
      send(mqtt::Ack{.type = PacketType::Pubcomp,
                     .packet_id = ack.packet_id,
                     .reason = known ? ReasonCode::Success : ReasonCode::PacketIdentifierNotFound});
      return {};
    }
    default: break;
  }
  Exchange* exchange = exchanges_.find(ack.packet_id, ack.type);
  if (exchange == nullptr) return ReasonCode::ProtocolError;
  if (ack.type == PacketType::Puback) {
    exchange->answer = {.reason = ack.reason, .property_bytes = std::string(ack.properties.bytes())};
  }
  exchanges_.complete(ack.packet_id);
  publish_ended_.notify();
  return {};
}

void Client::handle_pubrec(const mqtt::Ack& ack) {
  Exchange* exchange = exchanges_.find(ack.packet_id, PacketType::Pubrec);
  if (exchange == nullptr) {
    const bool released = exchanges_.find(ack.packet_id, PacketType::Pubcomp) != nullptr;
    send(mqtt::Ack{.type = PacketType::Pubrel,
                   .packet_id = ack.packet_id,
                   .reason = released ? ReasonCode::Success : ReasonCode::PacketIdentifierNotFound});
    return;
  }
  exchange->answer = {.reason = ack.reason, .property_bytes = std::string(ack.properties.bytes())};
  if (mqtt::is_failure(ack.reason)) {
    exchanges_.complete(ack.packet_id);
    publish_ended_.notify();
    return;
  }
  exchange->awaited = PacketType::Pubcomp;
  exchange->publication.reset();
  send(mqtt::Ack{.type = PacketType::Pubrel, .packet_id = ack.packet_id});
}

template <class Packet>
Result<void> Client::handle_answer(const Packet& packet, PacketType type) {
  Exchange* exchange = exchanges_.find(packet.packet_id, type);
  if (exchange == nullptr) return ReasonCode::ProtocolError;
  exchange->answer = {.reasons = packet.reasons, .property_bytes = std::string(packet.properties.bytes())};
  if (!packet.reasons.empty()) exchange->answer.reason = *std::ranges::max_element(packet.reasons);
  exchanges_.complete(packet.packet_id);
  return {};
}

}  // namespace parley::link
