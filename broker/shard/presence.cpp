#include "broker/shard/presence.hpp"

#include <algorithm>
#include <utility>

#include "base/name.hpp"
#include "broker/shard/presence_events.hpp"
#include "broker/shard/shard.hpp"
#include "mqtt/utf8.hpp"

namespace parley::shard {

using chat::Refusal;

Presence::Presence(Shard& shard)
    : shard_(shard),
      timer_(shard.timers()),
      relays_(shard, timer_, homes_),
      homes_(shard, timer_, relays_),
      questions_(shard, timer_),
      watches_(shard, questions_) {}

// -- Connections --

void Presence::connected(Client& client) { count(client, {}, true); }

void Presence::left(Client& client, const session::WillPlan* will) {
  watches_.unwatch_all(client);
  if (!std::exchange(client.is_present, false)) return;
  chat::PresenceReport report;
  const std::string& user = client.session->user();
  if (will != nullptr && check(will->message->topic(), will->message->payload(), user) == Refusal::None) {
    report.parting = will->message->payload();
    const Duration lasts = std::chrono::seconds(client.session->expiry_interval());
    const Duration delay = std::min(will->delay, lasts);
    if (delay > Duration::zero()) report.grace = delay;
  }
  count(client, std::move(report), false);
}

void Presence::count(Client& client, chat::PresenceReport report, bool comes) {
  const std::string& user = client.session->user();
  std::uint64_t& connections = connections_[user];
  connections += comes ? 1 : 0;
  connections -= !comes && connections > 0 ? 1 : 0;
  report.devices = connections;
  if (connections == 0) connections_.erase(user);
  shard_.send(home_of_name(user, shard_.options()), PeerEvent{PresenceEvent{user, shard_.id(), std::move(report)}});
}

Refusal Presence::check(std::string_view topic, std::string_view payload, const std::string& user) {
  if (!topic.starts_with(kPrefix) || !is_name(user_of(topic))) return Refusal::InvalidTopic;
  if (user_of(topic) != user) return Refusal::NotAuthorized;
  if (payload.size() > kStatusSizeMax) return Refusal::TooLarge;
  return mqtt::is_mqtt_utf8(payload) ? Refusal::None : Refusal::InvalidPayload;
}

Refusal Presence::publish(std::string_view topic, std::string_view payload, const std::string& user) {
  const Refusal refusal = check(topic, payload, user);
  if (refusal != Refusal::None) return refusal;
  const auto connections = connections_.find(user);
  chat::PresenceReport report;
  report.devices = connections == connections_.end() ? 0 : connections->second;
  report.status = payload;
  report.status_at = shard_.wall();
  shard_.send(home_of_name(user, shard_.options()), PeerEvent{PresenceEvent{user, shard_.id(), std::move(report)}});
  return Refusal::None;
}

// -- For more than one part --

void Presence::receive(NodeId from, const remote::PresenceShown& event) {
  const std::string user(event.user);
  const auto leadership = shard_.replicas().leadership(slot_of_name(user, shard_.options()));
  if (leadership.state == Leadership::State::Elsewhere && leadership.node == from) {
    relays_.told(user, remote::presence_of(event));
  } else {
    homes_.receive(from, event);
  }
}

void Presence::leadership_changed(Slot slot, const Leadership& leadership) {
  homes_.leadership_changed(slot, leadership);
  if (leadership.state == Leadership::State::Nobody) return;
  relays_.tell_again(slot);
  questions_.leader_known(slot);
}

void Presence::run_timer() {
  timer_.rang(shard_.now());
  Instant next = Instant::max();
  for (const auto& due : {homes_.run_timer(), relays_.run_timer(), questions_.run_timer()}) {
    next = std::min(next, due.value_or(Instant::max()));
  }
  if (next != Instant::max()) timer_.start(next);
}

}  // namespace parley::shard
