#include "clients/bench/stream.hpp"

#include <algorithm>
#include <bit>

namespace parley::bench {
namespace {

Client::Settings client_settings(const TrafficShape& shape, const std::string& role, std::size_t number) {
  Client::Settings settings = shape.client;
  settings.client_id = shape.name + "-" + role + "-" + std::to_string(number);
  return settings;
}

}  // namespace

Stream::Stream(Traffic& traffic, const Endpoint& endpoint, std::uint32_t number)
    : traffic_(traffic),
      number_(number),
      needs_acks_(traffic.shape_.qos != mqtt::Qos::AtMostOnce),
      template_({.topic = topic_of(traffic.shape_, number),
                 .qos = traffic.shape_.qos,
                 .version = traffic.shape_.client.version,
                 .payload_size = traffic.shape_.payload_size,
                 .message_id = traffic.shape_.message_id,
                 .run = traffic.run_}),
      client_(traffic.loop_, endpoint, client_settings(traffic.shape_, "pub", number), *this) {
  fix_window();
}

void Stream::fix_window() {
  window_ = std::max<std::size_t>(traffic_.shape_.window, 1);
  if (needs_acks_) window_ = std::min<std::size_t>(window_, client_.receive_max());
  arrived_.assign(std::bit_ceil(window_), 0);
}

std::uint64_t Stream::under_way() const {
  const std::uint64_t everywhere = traffic_.paced_subscribers() > 0 ? everywhere_ : sent_;
  return sent_ - std::min(acknowledged(), everywhere);
}

void Stream::on_acknowledged(mqtt::PacketId /*packet_id*/, mqtt::ReasonCode reason) {
  ++acknowledged_;
  ++traffic_.moves_;
  if (mqtt::is_failure(reason)) ++refused_;
  if (!refillable_) {
    refillable_ = true;
    traffic_.refillable_.push_back(this);
  }
}

void Stream::passed(std::uint64_t first, std::uint64_t end) {
  const std::size_t mask = arrived_.size() - 1;
  for (std::uint64_t sequence = first; sequence < std::min(end, sent_); ++sequence) ++arrived_[sequence & mask];
  while (everywhere_ < sent_ && arrived_[everywhere_ & mask] == traffic_.paced_subscribers()) {
    arrived_[everywhere_ & mask] = 0;
    ++everywhere_;
  }
  if (!refillable_) {
    refillable_ = true;
    traffic_.refillable_.push_back(this);
  }
}

void Stream::refill(Instant now) {
  refillable_ = false;
  const bool paced = traffic_.shape_.rate > 0;
  if (!traffic_.publishing_ && !paced) return;
  const std::uint64_t streams = traffic_.streams_.size();
  // Message k belongs to stream k modulo streams.
  const std::uint64_t due = paced ? (traffic_.scheduled_ + streams - 1 - number_) / streams : sent_ + window_;
  const std::uint64_t end = traffic_.messages_max_ > 0 ? std::min(due, traffic_.messages_max_) : due;
  while (sent_ < end && under_way() < window_) {
    const Instant intended = paced ? traffic_.due(sent_ * streams + number_) : now;
    client_.publish(template_, {.stream = number_, .sequence = sent_, .intended = intended});
    ++sent_;
  }
}

Subscriber::Subscriber(Traffic& traffic, const Endpoint& endpoint, Stream& stream, std::size_t number)
    : traffic_(traffic),
      stream_(stream),
      paced_(number % traffic.shape_.subscribers >= traffic.shape_.unpaced),
      client_(traffic.loop_, endpoint, client_settings(traffic.shape_, "sub", number), *this) {}

void Subscriber::on_delivery(const Delivery& delivery) {
  const auto stamp = read_stamp(delivery.payload);
  if (!stamp || stamp->stream != stream_.number() || stamp->sequence >= stream_.sent()) {
    ++foreign_;
    return;
  }
  ++traffic_.moves_;
  const std::uint64_t before = tally_.next();
  const bool further = tally_.accept(stamp->sequence);
  if (!paced_) return;
  traffic_.take_latency(stamp->intended, delivery.received);
  if (further) stream_.passed(before, tally_.next());
}

void Subscriber::skip() {
  const std::uint64_t before = tally_.next();
  tally_.skip_to(stream_.sent());
  if (paced_) stream_.passed(before, tally_.next());
}

}  // namespace parley::bench
