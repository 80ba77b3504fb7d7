#include "bridge/senders.hpp"

#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstdio>
#include <random>

#include "base/aio/within.hpp"
#include "base/log.hpp"
#include "bridge/receipt.hpp"

namespace parley::bridge {
namespace {

constexpr Duration kLookPeriod = std::chrono::seconds(5);
constexpr std::size_t kReadableMax = 1'000;

std::string random_name() {
  std::random_device random;
  std::array<char, 24> text{};
  std::snprintf(text.data(), text.size(), "bridge-%08x%08x", static_cast<unsigned>(random()),
                static_cast<unsigned>(random()));
  return text.data();
}

asio::awaitable<void> close_client(std::shared_ptr<void> owner, link::Client& client) {
  co_await client.close();
  owner.reset();
}

}  // namespace

Senders::Senders(const asio::any_io_executor& executor, SenderOptions options, Metrics& metrics)
    : executor_(executor),
      options_(std::move(options)),
      metrics_(metrics),
      name_(random_name()),
      tasks_(executor),
      closing_(executor) {}

Senders::~Senders() = default;

asio::awaitable<Result<link::Answer>> Senders::publish(Credentials credentials, link::Publication publication,
                                                       bool repeatable) {
  const auto sender = take(credentials);
  if (!sender) co_return boost::system::errc::make_error_code(boost::system::errc::device_or_resource_busy);
  ++sender->users;
  link::Publication again;
  if (repeatable) again = publication;
  auto sending = send(sender, std::move(publication));
  auto answer = co_await aio::within(options_.send_limit, std::move(sending));
  const bool broke = !answer && answer.error() != boost::system::errc::timed_out && !tasks_.stopping();
  if (broke && repeatable) {
    auto sending_again = send(sender, std::move(again));
    answer = co_await aio::within(options_.send_limit, std::move(sending_again));
  }
  --sender->users;
  sender->used_last = std::chrono::steady_clock::now();
  co_return answer;
}

Right* Senders::known_right(const Credentials& credentials, const std::string& topic) {
  const auto place = senders_.find(credentials.key());
  if (place == senders_.end() || !place->second->client.connected()) return nullptr;
  const auto known = place->second->readable.find(topic);
  const Instant now = std::chrono::steady_clock::now();
  if (known == place->second->readable.end() || known->second.until <= now) return nullptr;
  place->second->used_last = now;
  return &known->second.right;
}

asio::awaitable<Result<link::Answer>> Senders::may_read(Credentials credentials, std::string topic, Place place) {
  const auto sender = take(credentials);
  if (!sender) co_return boost::system::errc::make_error_code(boost::system::errc::device_or_resource_busy);
  ++sender->users;
  auto asking = ask(sender, std::move(topic), place);
  auto answer = co_await aio::within(options_.send_limit, std::move(asking));
  --sender->users;
  sender->used_last = std::chrono::steady_clock::now();
  co_return answer;
}

/// By a subscription that is given up at once: the broker's answer to it is the one that counts for MQTT clients.
asio::awaitable<Result<link::Answer>> Senders::ask(std::shared_ptr<Sender> sender, std::string topic, Place place) {
  if (!sender->client.connected()) {
    auto connecting = connect(sender);
    auto connack = co_await std::move(connecting);
    if (!connack || connack->refused()) co_return connack;
  }
  if (topic.empty()) co_return link::Answer{};
  std::vector<link::Subscription> filters{{.filter = topic, .options = {.retain_handling = 2}}};
  auto subscribing = sender->client.subscribe(std::move(filters));
  auto suback = co_await std::move(subscribing);
  if (!suback || suback->refused()) co_return suback;
  std::vector<std::string> names{topic};
  auto unsubscribing = sender->client.unsubscribe(std::move(names));
  auto unsuback = co_await std::move(unsubscribing);
  if (!unsuback) co_return unsuback;
  if (sender->readable.size() >= kReadableMax) sender->readable.clear();
  sender->readable[std::move(topic)] = {std::chrono::steady_clock::now() + options_.asked_again,
                                        right_of(*suback, place)};
  co_return suback;
}

/// What comes between a subscription and its end is for nobody.
asio::awaitable<void> Senders::drain(std::shared_ptr<Sender> sender) {
  while (!tasks_.stopping()) {
    auto receiving = sender->client.receive();
    const auto message = co_await std::move(receiving);
    if (!message) co_return;
  }
}

/// The user's sender, or a new one; null when there are too many and none of them is idle.
std::shared_ptr<Senders::Sender> Senders::take(const Credentials& credentials) {
  const std::string key = credentials.key();
  if (const auto known = senders_.find(key); known != senders_.end()) return known->second;
  if (tasks_.stopping()) return nullptr;
  if (senders_.size() >= options_.connections_max) {
    auto oldest = senders_.end();
    for (auto place = senders_.begin(); place != senders_.end(); ++place) {
      if (place->second->users != 0) continue;
      if (oldest == senders_.end() || place->second->used_last < oldest->second->used_last) oldest = place;
    }
    if (oldest == senders_.end()) return nullptr;
    retire(oldest);
  }
  link::Options options{
      .host = options_.host, .port = options_.port, .client_id = name_ + '-' + std::to_string(++next_)};
  if (!credentials.user.empty()) options.user_name = credentials.user;
  options.password = credentials.password;
  options.connect_timeout = options_.connect_limit;
  options.user_properties.emplace_back("presence", "none");  // Who reads over HTTP isn't there.
  auto sender = std::make_shared<Sender>(executor_, std::move(options));
  senders_.emplace(key, sender);
  metrics_.senders.store(senders_.size(), std::memory_order_relaxed);
  if (!closing_idle_) {
    closing_idle_ = true;
    tasks_.spawn(close_idle());
  }
  return sender;
}

asio::awaitable<Result<link::Answer>> Senders::send(std::shared_ptr<Sender> sender, link::Publication publication) {
  if (!sender->client.connected()) {
    auto connecting = connect(sender);
    auto connack = co_await std::move(connecting);
    if (!connack || connack->refused()) co_return connack;
  }
  auto publishing = sender->client.publish(std::move(publication));
  auto answer = co_await std::move(publishing);
  co_return answer;
}

/// One of those who need the connection opens it, the others wait for that.
asio::awaitable<Result<link::Answer>> Senders::connect(std::shared_ptr<Sender> sender) {
  if (sender->connecting) {
    while (sender->connecting) {
      const bool changed = co_await sender->connected.wait();
      if (!changed) co_return asio::error::operation_aborted;
    }
    if (sender->client.connected()) co_return link::Answer{};
    co_return sender->client.error();
  }
  sender->connecting = true;
  auto opening = sender->client.connect();
  auto connack = co_await std::move(opening);
  sender->connecting = false;
  sender->readable.clear();
  if (connack && !connack->refused()) tasks_.spawn(drain(sender));
  sender->connected.notify();
  co_return connack;
}

asio::awaitable<bool> Senders::reachable() {
  auto opening = aio::connect_tcp(options_.host, options_.port);
  auto transport = co_await aio::within(std::chrono::seconds(1), std::move(opening));
  if (transport) (*transport)->close();
  co_return transport.has_value();
}

asio::awaitable<void> Senders::close_idle() {
  asio::steady_timer timer(executor_);
  while (!tasks_.stopping() && !senders_.empty()) {
    timer.expires_after(std::min(kLookPeriod, options_.idle_max));
    const auto [cancelled] = co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
    if (cancelled) break;
    const Instant now = std::chrono::steady_clock::now();
    for (auto place = senders_.begin(); place != senders_.end();) {
      const auto current = place++;
      if (current->second->users == 0 && now - current->second->used_last >= options_.idle_max) retire(current);
    }
  }
  closing_idle_ = false;
}

void Senders::retire(Table::iterator place) {
  auto sender = std::move(place->second);
  senders_.erase(place);
  metrics_.senders.store(senders_.size(), std::memory_order_relaxed);
  auto& client = sender->client;
  closing_.spawn(close_client(std::move(sender), client));
}

void Senders::stop() {
  tasks_.stop();
  while (!senders_.empty()) retire(senders_.begin());
}

asio::awaitable<void> Senders::join() {
  co_await tasks_.join();
  co_await closing_.join();
}

}  // namespace parley::bridge
