#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "broker/net/worker.hpp"

namespace parley::net {

/// The workers of a node. Built and driven by `main`.
class Server {
 public:
  /// `shard_options.shards` workers, not running yet. All arguments live longer.
  Server(const WorkerOptions& options, const shard::ShardOptions& shard_options, shard::LogStore& store);
  /// Stops, if that wasn't done.
  ~Server();

  /// Only before start().
  shard::Shard& shard(shard::ShardId id) { return workers_[id]->shard(); }
  /// The port it listens on (another one than asked for when that is 0). Only before start(). Fails with the system's
  /// error.
  Result<std::uint16_t> listen(const std::string& host, std::uint16_t port);

  void start();
  /// Any thread, between start() and stop().
  void send(shard::ShardId target, std::unique_ptr<Letter> letter) {
    workers_[target]->mailbox().send(std::move(letter));
  }
  /// Says goodbye to every client, writes what must be kept, waits for the threads. Bounded by stop_timeout.
  void stop();

 private:
  std::atomic<std::size_t> connections_ = 0;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<std::thread> threads_;
};

}  // namespace parley::net
