#include "broker/shard/dismissal.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include "broker/shard/shard.hpp"
#include "mqtt/encode.hpp"

namespace parley::shard {
namespace {

constexpr Duration kInterval = std::chrono::milliseconds(20);
constexpr std::uint32_t kLooksMax = 20'000;  ///< Places that are looked at in one turn.

}  // namespace

void Dismissal::refuse_new(std::vector<std::string> references) {
  refuses_ = true;
  references_ = std::move(references);
}

void Dismissal::begin() {
  if (std::exchange(dismisses_, true)) return;
  last_run_ = shard_.now();
  allowance_ = 1;
  run_again();
}

void Dismissal::end() {
  refuses_ = false;
  dismisses_ = false;
}

std::string Dismissal::next_reference() {
  if (references_.empty()) return {};
  mqtt::PropertyWriter properties;
  properties.text(mqtt::PropertyId::ServerReference, references_[next_reference_++ % references_.size()]);
  return std::string(properties.bytes());
}

void Dismissal::run_timer() {
  timer_is_set_ = false;
  if (!dismisses_) return;
  const std::chrono::duration<double> passed = shard_.now() - std::exchange(last_run_, shard_.now());
  const double rate = shard_.options().dismissals_per_second / static_cast<double>(shard_.options().shards);
  allowance_ = std::min(allowance_ + rate * passed.count(), std::max(rate, 1.0));
  const std::uint32_t places = shard_.clients().places();
  for (std::uint32_t looked = 0; looked < std::min(places, kLooksMax) && allowance_ >= 1; ++looked) {
    Client* client = shard_.clients().find_place(next_place_ < places ? next_place_ : next_place_ = 0);
    ++next_place_;
    if (client == nullptr || !client->session->connected()) continue;
    shard_.dismiss(*client, next_reference());
    allowance_ -= 1;
  }
  run_again();
}

void Dismissal::run_again() {
  if (std::exchange(timer_is_set_, true)) return;
  shard_.timers().add({.due = shard_.now() + kInterval, .kind = TimerKind::Dismissal});
}

}  // namespace parley::shard
