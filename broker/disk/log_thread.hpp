#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string_view>
#include <thread>
#include <vector>

#include "base/number.hpp"
#include "base/time.hpp"
#include "broker/disk/store_event.hpp"
#include "broker/disk/store_thread.hpp"
#include "broker/shard/ports.hpp"
#include "storage/log_writer.hpp"

namespace parley::storage {
class LogPlaces;
}

namespace parley::disk {

/// The thread that commits to log.mdb. Whatever arrives while it waits for the disk goes into the next commit; a lone
/// batch waits for nobody. Between commits it cuts what the log needs no longer.
class LogThread {
 public:
  struct Options {
    std::uint32_t shards = 1;
    storage::LogPlaces* places = nullptr;  ///< Where appended records stand is told to, if there is one.
    std::size_t group_records_max = 4096;
    std::size_t group_bytes_max = 8ULL << 20;
    Duration retention = std::chrono::hours(24);
    std::uint64_t size_max = 8ULL << 30;
    Duration cut_every = std::chrono::seconds(1);  ///< A tenth of it while there is more to cut.
  };

  /// Throws storage::OpenFailure. `store` and `sink` live longer than this.
  LogThread(storage::LogWriter writer, Options options, StoreThread& store, StoreEventSink& sink);
  ~LogThread();

  /// Any thread. Answered by an AppendedEvent.
  void append(shard::AppendBatch batch);
  /// Ends once everything handed over is answered.
  void stop();

  [[nodiscard]] Lsn end() const { return {end_.load(std::memory_order_acquire)}; }

 private:
  using Group = std::vector<shard::AppendBatch>;

  void run();
  /// False when there was nothing for a while.
  bool wait_for_group(std::unique_lock<std::mutex>& lock);
  void take_group();
  void commit_group();
  Result<Lsn> append_group();
  void answer_group(const Result<Lsn>& first);
  void report(const Result<Lsn>& first);
  void cut_if_due();
  /// The batch comes behind one of its shard's that failed.
  [[nodiscard]] bool is_behind_failure(const shard::AppendBatch& batch) const;

  storage::LogWriter writer_;
  const Options options_;
  StoreThread& store_;
  StoreEventSink& sink_;
  std::atomic<std::uint64_t> end_;

  // Of this thread only; kept between groups for their memory.
  Group group_;
  std::vector<std::string_view> records_;
  std::vector<format::HardStateRow> hard_states_;
  std::vector<AppendedEvent> answers_;             ///< By shard.
  std::vector<std::uint64_t> failed_generations_;  ///< By shard; 0: none has failed.
  bool failing_ = false;
  Instant next_cut_;

  std::mutex mutex_;  ///< Guards the rest; nothing else is taken under it.
  std::condition_variable arrived_;
  std::deque<shard::AppendBatch> waiting_;
  bool sleeping_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace parley::disk
