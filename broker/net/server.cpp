#include "broker/net/server.hpp"

#include <pthread.h>

#include <utility>

namespace parley::net {

Server::Server(const WorkerOptions& options, const shard::ShardOptions& shard_options, shard::LogStore& store) {
  std::vector<Worker*> all;
  for (shard::ShardId id = 0; id < shard_options.shards; ++id) {
    workers_.push_back(std::make_unique<Worker>(id, Worker::Context{options, shard_options, store, connections_}));
    all.push_back(workers_.back().get());
  }
  for (auto& worker : workers_) worker->meet(all);
}

Server::~Server() { stop(); }

Result<std::uint16_t> Server::listen(const std::string& host, std::uint16_t port) {
  PARLEY_TRY(auto first, listen_on(host, port));
  for (std::size_t i = 1; i < workers_.size(); ++i) {
    PARLEY_TRY(auto further, listen_beside(first));
    workers_[i]->add_listener(std::move(further));
  }
  const std::uint16_t bound = local_port(first.number());
  workers_.front()->add_listener(std::move(first));
  return bound;
}

void Server::start() {
  for (auto& worker : workers_) worker->tell_peers();
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
