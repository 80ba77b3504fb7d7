#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "broker/disk/store_event.hpp"
#include "broker/shard/ports.hpp"
#include "storage/plain_file.hpp"

namespace parley::disk {

/// The thread that commits to plain.mdb. Whatever arrives while it waits for the disk goes into the next commit.
class PlainThread {
 public:
  /// Throws storage::OpenFailure. `sink` lives longer than this.
  PlainThread(const std::string& directory, std::uint64_t map_size, StoreEventSink& sink);
  ~PlainThread();

  /// Any thread. Answered by a PlainWrittenEvent.
  void write(shard::PlainBatch batch);
  std::uint64_t next_number() { return file_.next_number(); }
  /// Start-up: every row of a table.
  Result<void> visit(shard::PlainTable table, const std::function<void(std::string_view, std::string_view)>& visit) {
    return file_.visit(static_cast<std::size_t>(table), visit);
  }
  /// Ends once everything handed over is answered.
  void stop();

 private:
  void run();
  void commit(std::vector<shard::PlainBatch>& group);
  Result<void> write_together(std::span<const shard::PlainBatch> group);
  void report(const Result<void>& outcome);

  storage::PlainFile file_;
  StoreEventSink& sink_;
  std::vector<storage::PlainFile::Change> changes_;
  bool failing_ = false;

  std::mutex mutex_;  ///< Guards the rest; nothing else is taken under it.
  std::condition_variable arrived_;
  std::deque<shard::PlainBatch> waiting_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace parley::disk
