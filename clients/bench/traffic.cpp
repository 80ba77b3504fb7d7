#include "clients/bench/traffic.hpp"

#include <algorithm>
#include <random>

#include "clients/bench/failure.hpp"
#include "clients/bench/stream.hpp"

namespace parley::bench {
namespace {

using namespace std::chrono_literals;

/// So many connections are made at once: fewer than a usual listen backlog holds.
constexpr std::size_t kConnectingMax = 64;
/// So many clients share one source address.
constexpr std::size_t kClientsPerSource = 10'000;
constexpr Duration kConnectPatience = 60s;
constexpr Duration kProgressPatience = 10s;
/// At QoS 0 a message that didn't arrive has been dropped, and its place in the window is free again.
constexpr Duration kDropPatience = 2s;

}  // namespace

std::string topic_of(const TrafficShape& shape, std::size_t number) {
  if (number < shape.names.size()) {
    return shape.topics == Topics::Chat ? "chat/" + shape.names[number] + "/msg" : shape.names[number];
  }
  if (shape.topics == Topics::Chat) return "chat/" + shape.name + "-" + std::to_string(number) + "/msg";
  return shape.name + "/" + std::to_string(number);
}

void await_ready(Loop& loop, const std::vector<Client*>& clients, Instant deadline) {
  const bool done = loop.run_until(
      [&clients] {
        bool all = true;
        for (const Client* client : clients) {
          if (client->closed()) throw Failure(client->error());
          all = all && client->ready() && client->pending_subscriptions() == 0;
        }
        return all;
      },
      deadline);
  if (!done) throw Failure("not all clients were connected and subscribed in time");
}

Traffic::Traffic(Loop& loop, const Endpoint& endpoint, const TrafficShape& shape)
    : Traffic(loop, std::vector{endpoint}, shape) {}

Traffic::Traffic(Loop& loop, std::vector<Endpoint> endpoints, const TrafficShape& shape)
    : loop_(loop), endpoints_(std::move(endpoints)), shape_(shape), run_(std::random_device{}()) {}

Traffic::~Traffic() = default;

void Traffic::connect() {
  const Instant deadline = Loop::now() + kConnectPatience;
  std::vector<Client*> batch;
  const auto finish_batch = [&] {
    await_ready(loop_, batch, deadline);
    batch.clear();
  };
  std::size_t connected = 0;
  const auto take = [&](Client& client) {
    batch.push_back(&client);
    shape_.client.source = static_cast<unsigned>(++connected / kClientsPerSource);
    if (batch.size() == kConnectingMax) finish_batch();
  };

  for (std::size_t i = 0; i < shape_.streams; ++i) {
    streams_.push_back(std::make_unique<Stream>(*this, endpoint(i), static_cast<std::uint32_t>(i)));
    take(streams_.back()->client());
  }
  for (std::size_t i = 0; i < shape_.streams * shape_.subscribers; ++i) {
    Stream& stream = *streams_[i / shape_.subscribers];
    const std::size_t place = stream.number() + 1 + i % shape_.subscribers;
    subscribers_.push_back(std::make_unique<Subscriber>(*this, endpoint(place), stream, i));
    take(subscribers_.back()->client());
  }
  finish_batch();
  for (auto& stream : streams_) stream->fix_window();
  for (auto& subscriber : subscribers_) {
    subscriber->client().subscribe(topic_of(shape_, subscriber->stream().number()), shape_.qos);
    batch.push_back(&subscriber->client());
    if (batch.size() == kConnectingMax) finish_batch();
  }
  finish_batch();
}

Instant Traffic::due(std::uint64_t number) const {
  const double seconds = static_cast<double>(number) / shape_.rate;
  return schedule_start_ + std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
}

void Traffic::run_until(Instant until, std::uint64_t messages) {
  publishing_ = true;
  messages_max_ = messages;
  Instant now = moved_at_ = Loop::now();
  if (schedule_start_ == Instant{}) schedule_start_ = now;
  for (auto& stream : streams_) stream->refill(now);
  while (now < until) {
    if (messages > 0 && under_way() == 0 &&
        std::ranges::all_of(streams_, [messages](const auto& stream) { return stream->sent() >= messages; })) {
      break;
    }
    schedule(now);
    refill(now);
    Instant wake = std::min(until, now + 100ms);
    if (shape_.rate > 0) wake = std::min(wake, due(scheduled_));
    loop_.turn(wake);
    now = Loop::now();
    refill(now);
    check_progress(now);
  }
  check_clients();
  publishing_ = false;
}

void Traffic::schedule(Instant now) {
  if (shape_.rate <= 0) return;
  while (due(scheduled_) <= now) {
    Stream& stream = *streams_[scheduled_ % streams_.size()];
    ++scheduled_;
    stream.refill(now);
  }
}

void Traffic::refill(Instant now) {
  for (Stream* stream : refillable_) stream->refill(now);
  refillable_.clear();
}

void Traffic::check_progress(Instant now) {
  if (moves_ != moves_seen_ || under_way() == 0) {
    moves_seen_ = moves_;
    moved_at_ = now;
    return;
  }
  check_clients();
  if (shape_.qos == mqtt::Qos::AtMostOnce && now - moved_at_ > kDropPatience) {
    for (auto& subscriber : subscribers_) subscriber->skip();
    moved_at_ = now;
  } else if (now - moved_at_ > kProgressPatience) {
    throw Failure("nothing has moved for ten seconds with " + std::to_string(under_way()) + " messages under way");
  }
}

void Traffic::check_clients() const {
  for (const auto& stream : streams_) {
    if (stream->client().closed()) throw Failure(stream->client().error());
  }
  for (const auto& subscriber : subscribers_) {
    if (subscriber->client().closed()) throw Failure(subscriber->client().error());
  }
}

void Traffic::drain(Duration patience) {
  publishing_ = false;
  Instant moved_at = Loop::now();
  std::uint64_t moves = moves_;
  while (under_way() > 0 && Loop::now() - moved_at < patience) {
    loop_.turn(Loop::now() + 10ms);
    refill(Loop::now());
    if (moves != moves_) {
      moves = moves_;
      moved_at = Loop::now();
    }
  }
  for (auto& subscriber : subscribers_) {
    if (subscriber->paced() && subscriber->tally().next() < subscriber->stream().sent()) subscriber->skip();
  }
}

void Traffic::record(Instant from, Instant until) {
  record_from_ = from;
  record_until_ = until;
  latency_.clear();
}

Counts Traffic::counts() const {
  Counts counts;
  for (const auto& stream : streams_) {
    counts.published += stream->sent();
    counts.acknowledged += stream->acknowledged();
    counts.refused += stream->refused();
  }
  for (const auto& subscriber : subscribers_) {
    counts.delivered += subscriber->tally().received();
    counts.missing += subscriber->tally().missing();
    counts.duplicated += subscriber->tally().duplicated();
    counts.reordered += subscriber->tally().reordered();
    counts.foreign += subscriber->foreign();
  }
  return counts;
}

std::uint64_t Traffic::under_way() const {
  std::uint64_t count = 0;
  for (const auto& stream : streams_) count += stream->under_way();
  return count;
}

std::size_t Traffic::window() const { return streams_.empty() ? 0 : streams_.front()->window(); }

std::uint64_t Traffic::behind_schedule() const {
  std::uint64_t sent = 0;
  for (const auto& stream : streams_) sent += stream->sent();
  return shape_.rate > 0 ? scheduled_ - sent : 0;
}

const Tally& Traffic::tally(std::size_t number) const { return subscribers_.at(number)->tally(); }

Client& Traffic::subscriber(std::size_t number) { return subscribers_.at(number)->client(); }

}  // namespace parley::bench
