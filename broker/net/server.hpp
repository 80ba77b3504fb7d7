#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "broker/net/worker.hpp"

namespace parley::net {

/// The workers of a node. Built and driven by `main`, which has the process ignore SIGPIPE: OpenSSL writes to sockets
/// that may be closed.
class Server {
 public:
  /// `shard_options.shards` workers, not running yet. All arguments live longer; `shard_options` has Metrics.
  Server(const WorkerOptions& options, const shard::ShardOptions& shard_options, shard::LogStore& store,
         shard::PeerNodes& nodes, shard::Authenticator& authenticator);
  /// Stops, if that wasn't done.
  ~Server();

  /// Only before start().
  shard::Shard& shard(shard::ShardId id) { return workers_[id]->shard(); }
  /// The port it listens on (another one than asked for when that is 0; 0 for a Unix socket). Only before start().
  /// Fails with the system's error; throws ConfigError when its certificates are no good.
  Result<std::uint16_t> listen(const config::Listener& listener);
  /// Reads certificates again; which can't be read is logged, and the old ones stay. The thread of `main`.
  void reload();

  /// What load balancers are told; any thread.
  void set_ready(bool ready) { ready_.store(ready, std::memory_order_relaxed); }

  void start();
  /// Any thread, between start() and stop().
  void send(shard::ShardId target, std::unique_ptr<Letter> letter) {
    workers_[target]->mailbox().send(std::move(letter));
  }
  /// Says goodbye to every client, writes what must be kept, waits for the threads. Bounded by stop_timeout.
  void stop();

 private:
  Result<std::uint16_t> listen_unix(const ListenerProfile& profile);

  Crowds crowds_;
  std::atomic<bool> ready_ = true;
  std::vector<std::unique_ptr<ListenerProfile>> listeners_;
  HandshakePool handshakes_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<std::thread> threads_;
};

}  // namespace parley::net
