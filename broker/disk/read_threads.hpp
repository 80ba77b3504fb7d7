#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "broker/disk/store_event.hpp"
#include "broker/shard/ports.hpp"

namespace parley::storage {
class Files;
class History;
}  // namespace parley::storage

namespace parley::disk {

/// The threads that load conversations and read entries, each with its own view of the history. Whoever is free takes
/// what has waited longest.
class ReadThreads {
 public:
  ReadThreads(const std::shared_ptr<storage::Files>& files, unsigned count, StoreEventSink& sink);
  ~ReadThreads();

  struct Load {
    shard::ShardId shard = 0;
    std::string name;
  };
  struct Read {
    shard::ShardId shard = 0;
    shard::LogStore::ReadRequest request;
  };
  using Work = std::variant<Load, Read>;

  /// Any thread. Answered by a LoadedEvent or EntriesReadEvent.
  void add(Work work);
  /// Ends once everything handed over is answered.
  void stop();

 private:
  void run(storage::History& history);
  void carry_out(storage::History& history, Load& load);
  void carry_out(storage::History& history, Read& read);

  StoreEventSink& sink_;
  std::mutex mutex_;  ///< Guards the rest; nothing else is taken under it.
  std::condition_variable arrived_;
  std::deque<Work> waiting_;
  bool stopping_ = false;
  std::vector<std::unique_ptr<storage::History>> histories_;
  std::vector<std::thread> threads_;
};

}  // namespace parley::disk
