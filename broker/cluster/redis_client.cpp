#include "broker/cluster/redis_client.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

#include "base/aio/within.hpp"
#include "base/log.hpp"
#include "broker/cluster/random.hpp"

namespace parley::cluster {
namespace {

constexpr int kRedirectsMax = 5;
constexpr Duration kWatchPause = std::chrono::milliseconds(500);
/// A connection that is lost sooner was none: there is a server, but it doesn't do what is asked of it.
constexpr Duration kStoodMin = std::chrono::seconds(1);

Instant steady_now() { return std::chrono::steady_clock::now(); }

/// Errors that say: this server isn't the master any more, or not yet one again.
bool is_demoted(const RedisReply& reply) {
  const std::string_view word = reply.error_word();
  return word == "READONLY" || word == "MASTERDOWN" || word == "LOADING" || word == "NOREPLICAS" ||
         word == "CLUSTERDOWN";
}

}  // namespace

RedisClient::RedisClient(asio::any_io_executor executor, RedisOptions options, std::string home_key,
                         std::string channel, RedisClientEvents& events)
    : executor_(executor),
      options_(std::move(options)),
      home_key_(std::move(home_key)),
      channel_(std::move(channel)),
      events_(events),
      tasks_(executor),
      breaker_(options_.breaker),
      came_(executor) {}

void RedisClient::start() {
  tasks_.spawn(maintain());
  tasks_.spawn(listen());
  if (options_.topology == RedisTopology::Sentinel) tasks_.spawn(watch_sentinels());
}

asio::awaitable<void> RedisClient::stop() {
  tasks_.stop();
  connected_ = false;
  connections_.clear();
  co_await tasks_.join();
}

// -- Keeping the connection ----------------------------------------------------------------------------------------

asio::awaitable<void> RedisClient::maintain() {
  bool stood = true;  // The last connection.
  while (!tasks_.stopping()) {
    auto connecting = connect();
    const auto up = co_await std::move(connecting);
    if (tasks_.stopping()) co_return;
    if (!up) {
      ++failures_;
      breaker_.failed(steady_now(), random_number());
      const std::string error = up.error().message();
      const auto kept_back = lines_.admit(error, steady_now());
      if (kept_back) log::warn("Redis can't be used, trying again", {{"error", error}, {"unlogged", *kept_back}});
      auto pausing = pause();
      co_await std::move(pausing);
      continue;
    }
    const Instant since = steady_now();
    ++connects_;
    connected_ = true;
    came_.notify();
    if (stood) log::info("Redis is connected", {{"address", text_of(*home_)}});
    events_.redis_connected();
    const auto home = connections_.at(*home_);
    const bool lost = co_await home->wait_lost();
    connected_ = false;
    connections_.clear();
    if (!lost) co_return;
    ++failures_;
    stood = steady_now() - since >= kStoodMin;
    if (stood) log::warn("Redis is lost, going on without it and connecting again", {{"address", text_of(*home_)}});
    events_.redis_lost();
    if (stood) {
      breaker_.succeeded();
      continue;
    }
    breaker_.failed(steady_now(), random_number());
    const auto kept_back = lines_.admit("connected, and lost at once", steady_now());
    if (kept_back) {
      log::warn("Redis is connected, but lost at once, trying again",
                {{"address", text_of(*home_)}, {"unlogged", *kept_back}});
    }
    auto pausing = pause();
    co_await std::move(pausing);
  }
}

asio::awaitable<void> RedisClient::pause() {
  const Instant due = std::max(breaker_.again(), steady_now() + options_.breaker.pause_min / 2);
  asio::steady_timer timer(executor_, due);
  [[maybe_unused]] const auto over = co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
}

asio::awaitable<Result<void>> RedisClient::connect() {
  connections_.clear();
  auto finding = find_home();
  const auto home = co_await std::move(finding);
  if (!home) co_return home.error();
  auto opening = connection_to(*home);
  const auto connection = co_await std::move(opening);
  if (!connection) co_return connection.error();
  auto checking = check_role(*connection);
  const auto checked = co_await std::move(checking);
  if (!checked) {
    connections_.erase(*home);
    co_return checked;
  }
  home_ = *home;
  co_return Result<void>();
}

/// ROLE must say master: a sentinel may be behind, and a server that was master may have come back as a replica.
asio::awaitable<Result<void>> RedisClient::check_role(RedisConnection* connection) {
  RedisCommand command{"ROLE"};
  auto calling = connection->call(std::move(command));
  const auto reply = co_await std::move(calling);
  if (!reply) co_return reply.error();
  if (reply->elements.empty()) co_return RedisError::UnexpectedReply;
  if (reply->elements.front().text != "master") co_return RedisError::NoMaster;
  co_return Result<void>();
}

/// The open connection to this server, or a new one.
asio::awaitable<Result<RedisConnection*>> RedisClient::connection_to(RedisAddress address) {
  const auto known = connections_.find(address);
  if (known != connections_.end() && known->second->is_open()) co_return known->second.get();
  if (!opening_.insert(address).second) co_return RedisError::Unavailable;  // Another call is at it.
  auto connection = std::make_shared<RedisConnection>(executor_, options_.limits);
  auto opening = connection->open(address, options_.login);
  const auto opened = co_await std::move(opening);
  opening_.erase(address);
  if (!opened) co_return opened.error();
  RedisConnection* raw = connection.get();
  connections_[address] = std::move(connection);
  co_return raw;
}

/// The second connection: what is published. It is only ever a hint, so losing it loses nothing.
asio::awaitable<void> RedisClient::listen() {
  while (!tasks_.stopping()) {
    if (!connected_) {
      const bool came = co_await came_.wait();
      if (!came) co_return;
      continue;
    }
    RedisConnection connection(executor_, options_.limits);
    auto opening = connection.open(*home_, options_.login);
    const auto opened = co_await std::move(opening);
    if (opened) {
      auto subscribing =
          connection.subscribe(channel_, [this](std::string_view message) { events_.redis_published(message); });
      const auto subscribed = co_await std::move(subscribing);
      if (subscribed) {
        const bool lost = co_await connection.wait_lost();
        if (!lost) co_return;
      }
    }
    asio::steady_timer timer(executor_, kWatchPause);
    [[maybe_unused]] const auto over = co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
  }
}

void RedisClient::lose_home(std::string_view why) {
  if (!home_) return;
  const auto home = connections_.find(*home_);
  if (home == connections_.end()) return;
  if (const auto kept_back = turning_lines_.admit(why, steady_now())) {
    log::info("turning away from a Redis server",
              {{"address", text_of(*home_)}, {"why", why}, {"unlogged", *kept_back}});
  }
  home->second->drop(RedisError::ConnectionLost);
}

// -- Topology ------------------------------------------------------------------------------------------------------

asio::awaitable<Result<RedisAddress>> RedisClient::find_home() {
  if (options_.addresses.empty()) co_return RedisError::Unavailable;
  if (options_.topology == RedisTopology::Sentinel) {
    auto asking = ask_sentinels();
    auto master = co_await std::move(asking);
    co_return master;
  }
  if (options_.topology == RedisTopology::Cluster) {
    auto reading = read_slots();
    auto home = co_await std::move(reading);
    co_return home;
  }
  co_return options_.addresses.front();
}

asio::awaitable<Result<RedisAddress>> RedisClient::ask_sentinels() {
  Result<RedisAddress> answer = RedisError::NoMaster;
  for (const RedisAddress& sentinel : options_.addresses) {
    auto asking = ask_sentinel(sentinel);
    answer = co_await std::move(asking);
    if (answer) co_return answer;
  }
  co_return answer;
}

asio::awaitable<Result<RedisAddress>> RedisClient::ask_sentinel(RedisAddress sentinel) {
  RedisConnection connection(executor_, options_.limits);
  auto opening = connection.open(std::move(sentinel), options_.sentinel_login);
  const auto opened = co_await std::move(opening);
  if (!opened) co_return opened.error();
  RedisCommand command{"SENTINEL", "GET-MASTER-ADDR-BY-NAME", options_.master};
  auto calling = connection.call(std::move(command));
  const auto reply = co_await std::move(calling);
  if (!reply) co_return reply.error();
  if (reply->elements.size() != 2) co_return RedisError::NoMaster;
  const std::string& port = reply->elements[1].text;
  const auto number = std::strtoul(port.c_str(), nullptr, 10);
  if (number == 0 || number > UINT16_MAX) co_return RedisError::UnexpectedReply;
  co_return RedisAddress{.host = reply->elements[0].text, .port = static_cast<std::uint16_t>(number)};
}

/// Hears of a failover before the old master's connection breaks, which it may not do for long.
asio::awaitable<void> RedisClient::watch_sentinels() {
  for (std::size_t turn = 0; !tasks_.stopping(); ++turn) {
    RedisConnection connection(executor_, options_.limits);
    auto opening = connection.open(options_.addresses[turn % options_.addresses.size()], options_.sentinel_login);
    const auto opened = co_await std::move(opening);
    if (opened) {
      const std::string prefix = options_.master + " ";
      auto subscribing = connection.subscribe("+switch-master", [this, prefix](std::string_view message) {
        if (message.starts_with(prefix)) lose_home("the sentinels have switched masters");
      });
      const auto subscribed = co_await std::move(subscribing);
      if (subscribed) {
        const bool lost = co_await connection.wait_lost();
        if (!lost) co_return;
      }
    }
    asio::steady_timer timer(executor_, kWatchPause);
    [[maybe_unused]] const auto over = co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
  }
}

/// Asks one server after the other, those first that were known last.
asio::awaitable<Result<RedisAddress>> RedisClient::read_slots() {
  Result<RedisAddress> home = RedisError::SlotsUncovered;
  std::vector<RedisAddress> servers = options_.addresses;
  const auto last = slots_.find(home_key_);
  if (last) servers.push_back(*last);
  for (const RedisAddress& server : servers) {
    auto opening = connection_to(server);
    const auto connection = co_await std::move(opening);
    if (!connection) {
      home = connection.error();
      continue;
    }
    RedisCommand command{"CLUSTER", "SLOTS"};
    auto calling = (*connection)->call(std::move(command));
    const auto reply = co_await std::move(calling);
    if (!reply) {
      home = reply.error();
      continue;
    }
    auto slots = RedisSlots::read(*reply, server);
    if (!slots) {
      home = slots.error();
      continue;
    }
    slots_ = *std::move(slots);
    const auto owner = slots_.find(home_key_);
    if (owner) co_return *owner;
    home = RedisError::SlotsUncovered;
  }
  co_return home;
}

// -- Calls ---------------------------------------------------------------------------------------------------------

std::optional<RedisAddress> RedisClient::address_of(const std::string& key) const {
  return options_.topology == RedisTopology::Cluster ? slots_.find(key) : home_;
}

asio::awaitable<Result<std::vector<RedisReply>>> RedisClient::call(std::vector<RedisRequest> requests) {
  if (!connected_) co_return RedisError::Unavailable;
  auto routing = route(std::move(requests));
  auto replies = co_await aio::within(options_.limits.call_timeout, std::move(routing));
  if (replies) co_return replies;
  if (replies.error() != boost::system::errc::timed_out) co_return replies.error();
  co_return RedisError::TimedOut;
}

asio::awaitable<Result<RedisReply>> RedisClient::call(RedisRequest request) {
  std::vector<RedisRequest> requests;
  requests.push_back(std::move(request));
  auto calling = call(std::move(requests));
  auto replies = co_await std::move(calling);
  if (!replies) co_return replies.error();
  co_return std::move(replies->front());
}

asio::awaitable<Result<RedisClient::Replies>> RedisClient::route(std::vector<RedisRequest> requests) {
  struct Share {
    std::vector<std::size_t> places;
    std::vector<RedisCommand> commands;
  };
  std::map<RedisAddress, Share> shares;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const auto address = address_of(requests[i].key);
    if (!address) co_return RedisError::SlotsUncovered;
    Share& share = shares[*address];
    share.places.push_back(i);
    share.commands.push_back(std::move(requests[i].command));
  }
  Replies all(requests.size());
  for (auto& [address, share] : shares) {
    auto calling = call_server(address, std::move(share.commands), false);
    auto replies = co_await std::move(calling);
    if (!replies) co_return replies.error();
    for (std::size_t i = 0; i < share.places.size(); ++i) all[share.places[i]] = std::move((*replies)[i]);
  }
  co_return all;
}

/// All commands go to one server; when it says that another one has the keys, all go there.
asio::awaitable<Result<RedisClient::Replies>> RedisClient::call_server(RedisAddress address,
                                                                       std::vector<RedisCommand> commands,
                                                                       bool asking) {
  for (int redirects = 0; redirects <= kRedirectsMax; ++redirects) {
    auto opening = connection_to(address);
    const auto connection = co_await std::move(opening);
    if (!connection) {
      const auto error = connection.error();
      if (options_.topology == RedisTopology::Cluster) {
        auto reading = read_slots();  // For the next call: the server may have been replaced.
        [[maybe_unused]] const auto read = co_await std::move(reading);
      }
      co_return error;
    }
    const std::shared_ptr<RedisConnection> held = connections_.at(address);
    std::vector<RedisCommand> sent;
    for (const RedisCommand& command : commands) {
      if (asking) sent.push_back({"ASKING"});
      sent.push_back(command);
    }
    auto calling = held->call(std::move(sent));
    auto replies = co_await std::move(calling);
    if (!replies) co_return replies.error();
    if (asking) {
      Replies real;
      for (std::size_t i = 1; i < replies->size(); i += 2) real.push_back(std::move((*replies)[i]));
      *replies = std::move(real);
    }
    std::optional<Redirect> redirect;
    for (const RedisReply& reply : *replies) {
      if (!redirect) redirect = read_redirect(reply, address);
      if (!is_demoted(reply)) continue;
      held->drop(RedisError::ConnectionLost);
      lose_home("it is not a master that serves");
      co_return RedisError::Unavailable;
    }
    if (!redirect) co_return std::move(*replies);
    if (!redirect->ask) slots_.move(redirect->slot, redirect->to);
    asking = redirect->ask;
    address = redirect->to;
  }
  co_return RedisError::TooManyRedirects;
}

}  // namespace parley::cluster
