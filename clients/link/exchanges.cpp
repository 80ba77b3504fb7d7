#include "clients/link/exchanges.hpp"

namespace parley::link {

using mqtt::PacketType;

bool is_publish(const Exchange& exchange) {
  return exchange.awaited != PacketType::Suback && exchange.awaited != PacketType::Unsuback;
}

std::pair<mqtt::PacketId, std::shared_ptr<Exchange>> Exchanges::open(PacketType awaited) {
  do {
    ++last_id_;
  } while (last_id_ == 0 || open_.contains(last_id_));
  auto exchange = std::make_shared<Exchange>(executor_);
  exchange->awaited = awaited;
  if (is_publish(*exchange)) ++publishes_;
  open_.emplace(last_id_, Place{.exchange = exchange, .order = next_order_});
  order_.emplace(next_order_++, last_id_);
  return {last_id_, std::move(exchange)};
}

Exchange* Exchanges::find(mqtt::PacketId id, PacketType awaited) const {
  const auto found = open_.find(id);
  if (found == open_.end() || found->second.exchange->awaited != awaited) return nullptr;
  return found->second.exchange.get();
}

void Exchanges::complete(mqtt::PacketId id) {
  const auto found = open_.find(id);
  Exchange& exchange = *found->second.exchange;
  exchange.done = true;
  exchange.changed.notify();
  if (is_publish(exchange)) --publishes_;
  order_.erase(found->second.order);
  open_.erase(found);
}

void Exchanges::fail(boost::system::error_code error, bool publishes_too) {
  for (auto place = open_.begin(); place != open_.end();) {
    const auto [id, held] = *place++;
    if (is_publish(*held.exchange) && !publishes_too) continue;
    held.exchange->error = error;
    complete(id);
  }
}

bool Exchanges::was_taken(mqtt::PacketId id) const {
  const auto found = received_.find(id);
  return found != received_.end() && found->second;
}

void Exchanges::forget_untaken() {
  std::erase_if(received_, [](const auto& received) { return !received.second; });
}

}  // namespace parley::link
