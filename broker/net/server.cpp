#include "broker/net/server.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <exception>
#include <utility>

#include "base/log.hpp"

namespace parley::net {

Server::Server(const WorkerOptions& options, const shard::ShardOptions& shard_options, shard::LogStore& store,
               shard::PeerNodes& nodes, shard::Authenticator& authenticator) {
  std::vector<Worker*> all;
  for (shard::ShardId id = 0; id < shard_options.shards; ++id) {
    workers_.push_back(std::make_unique<Worker>(
        id, Worker::Context{options, shard_options, store, nodes, authenticator, crowds_, handshakes_}));
    all.push_back(workers_.back().get());
  }
  for (auto& worker : workers_) worker->meet(all);
}

Server::~Server() {
  stop();
  handshakes_.stop();
  for (const auto& listener : listeners_) {
    if (listener->settings.scheme == config::Scheme::Unix) ::unlink(listener->settings.path.c_str());
  }
}

Result<std::uint16_t> Server::listen(const config::Listener& listener) {
  auto profile = std::make_unique<ListenerProfile>(static_cast<std::uint16_t>(listeners_.size()), listener);
  profile->is_ready = &ready_;
  if (listener.scheme == config::Scheme::Unix) {
    PARLEY_TRY(listen_unix(*profile));
    listeners_.push_back(std::move(profile));
    return std::uint16_t{0};
  }
  PARLEY_TRY(auto first, listen_on(listener.address.host, listener.address.port));
  for (std::size_t i = 1; i < workers_.size(); ++i) {
    PARLEY_TRY(auto further, listen_beside(first));
    workers_[i]->add_listener(std::move(further), *profile);
  }
  const std::uint16_t bound = local_port(first.number());
  workers_.front()->add_listener(std::move(first), *profile);
  listeners_.push_back(std::move(profile));
  return bound;
}

/// Such a socket can't be bound twice: each worker has a descriptor of the same one.
Result<std::uint16_t> Server::listen_unix(const ListenerProfile& profile) {
  PARLEY_TRY(auto socket, listen_on_unix(profile.settings.path));
  for (auto& worker : workers_) {
    Descriptor copy(::fcntl(socket.number(), F_DUPFD_CLOEXEC, 0));
    if (!copy.is_open()) return last_error();
    worker->add_listener(std::move(copy), profile);
  }
  return std::uint16_t{0};
}

void Server::reload() {
  for (const auto& listener : listeners_) {
    if (!listener->tls) continue;
    const std::string url = config::url_of(listener->settings);
    try {
      listener->tls->reload();
      log::info("certificates are loaded again", {{"listener", url}});
    } catch (const std::exception& error) {
      log::error("certificates can't be loaded, the old ones stay", {{"listener", url}, {"error", error.what()}});
    }
  }
}

void Server::start() {
  for (auto& worker : workers_) worker->tell_peers();
  const bool secure = std::ranges::any_of(listeners_, [](const auto& listener) { return listener->tls != nullptr; });
  if (secure) handshakes_.start(static_cast<unsigned>(std::max<std::size_t>(1, workers_.size() / 2)));
  for (auto& worker : workers_) {
    threads_.emplace_back([&worker = *worker] { worker.run(); });
    ::pthread_setname_np(threads_.back().native_handle(), "worker");
  }
}

void Server::stop() {
  if (threads_.empty()) return;
  for (auto& worker : workers_) worker->mailbox().send_stop();
  for (auto& thread : threads_) thread.join();
  threads_.clear();
}

}  // namespace parley::net
