#include "broker/shard/throttling.hpp"

#include <algorithm>
#include <utility>

#include "base/log.hpp"
#include "broker/shard/shard.hpp"

namespace parley::shard {
namespace {

/// A client that waits isn't woken for each packet.
constexpr Duration kPauseMin = std::chrono::milliseconds(20);
/// Whoever kept within its limits for so long begins anew.
constexpr Duration kRest = std::chrono::seconds(1);

/// What a packet with filters counts for: about one for each of them.
std::uint64_t control_cost(const mqtt::Frame& frame) {
  const bool has_filters = frame.type == mqtt::PacketType::Subscribe || frame.type == mqtt::PacketType::Unsubscribe;
  return has_filters ? 1 + frame.size / 64 : 1;
}

bool is_control(mqtt::PacketType type) {
  using Type = mqtt::PacketType;
  return type == Type::Subscribe || type == Type::Unsubscribe || type == Type::Pingreq || type == Type::Auth;
}

}  // namespace

Throttling::Throttling(Shard& shard)
    : shard_(shard),
      limits_(shard.options().rates),
      is_limited_(limits_.messages.is_limited() || limits_.bytes.is_limited() || limits_.user_messages.is_limited() ||
                  limits_.user_bytes.is_limited() || limits_.control.is_limited()) {}

Throttling::Verdict Throttling::admit(Client& client, const mqtt::Frame& frame) {
  if (!is_limited_) return Verdict::Go;
  const Instant now = shard_.now();
  Throttle& throttle = client.throttle;
  UserAccount* account = client.account.get();
  Duration wait{};
  Metric which = Metric::LimitThrottled;
  const auto look = [&](const auto& bucket, const Rate& rate, Metric limit) {
    if (!rate.is_limited() || bucket.wait(rate, now) <= wait) return;
    wait = bucket.wait(rate, now);
    which = limit;
  };
  const auto charge = [&](auto& bucket, const Rate& rate, std::uint64_t amount) {
    if (rate.is_limited()) bucket.take(rate, now, amount);
  };
  const bool is_message = frame.type == mqtt::PacketType::Publish;
  if (is_message) look(throttle.messages, limits_.messages, Metric::LimitThrottled);
  if (is_message && account != nullptr) look(account->messages, limits_.user_messages, Metric::LimitThrottledUser);
  if (is_control(frame.type)) look(throttle.control, limits_.control, Metric::LimitThrottledControl);
  look(throttle.bytes, limits_.bytes, Metric::LimitThrottled);
  if (account != nullptr) look(account->bytes, limits_.user_bytes, Metric::LimitThrottledUser);
  if (wait > Duration::zero()) return hold(client, wait, which);
  if (is_message) charge(throttle.messages, limits_.messages, 1);
  if (is_message && account != nullptr) charge(account->messages, limits_.user_messages, 1);
  if (is_control(frame.type)) charge(throttle.control, limits_.control, control_cost(frame));
  charge(throttle.bytes, limits_.bytes, frame.size);
  if (account != nullptr) charge(account->bytes, limits_.user_bytes, frame.size);
  return Verdict::Go;
}

Throttling::Verdict Throttling::hold(Client& client, Duration wait, Metric limit) {
  Throttle& throttle = client.throttle;
  const Instant now = shard_.now();
  if (throttle.last == Instant{} || now - throttle.last > kRest) throttle.since = now;
  throttle.last = now + wait;
  shard_.limit_reached(limit, client);
  if (limits_.patience > Duration::zero() && now - throttle.since >= limits_.patience) {
    shard_.counters().add(Metric::LimitThrottleTime);
    log::info("client goes on sending too much, closing its connection",
              {{"client_id", client.session->client_id()},
               {"address", shard_.links().address(client.connection)},
               {"limit", value_of_label(metric_rules()[static_cast<std::size_t>(limit)])}});
    shard_.close_client(client, limit == Metric::LimitThrottledUser ? mqtt::ReasonCode::QuotaExceeded
                                                                    : mqtt::ReasonCode::MessageRateTooHigh);
    return Verdict::Cut;
  }
  throttle.resume_at = now + std::max(wait, kPauseMin);
  shard_.links().pause(client.connection);
  shard_.schedule(client);
  return Verdict::Wait;
}

void Throttling::look(Client& client) {
  if (client.throttle.resume_at > shard_.now()) return;
  client.throttle.resume_at = Instant::max();
  client.session->heard(shard_.now());
  shard_.links().resume(client.connection);
}

}  // namespace parley::shard
