#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <variant>

#include "base/metrics.hpp"
#include "base/number.hpp"
#include "base/time.hpp"
#include "broker/disk/store_event.hpp"
#include "storage/materialiser.hpp"
#include "storage/purge.hpp"
#include "storage/retention.hpp"

namespace parley::storage {
class Files;
class LogPlaces;
}  // namespace parley::storage

namespace parley::disk {

class LogGuard;

/// The thread that brings the log into store.mdb: lazily, so that batches are large and many entries share a page, but
/// never long behind what is committed. It also takes in what other nodes send of slots whose log this one can't
/// follow, and frees the reader slots of processes that died.
class StoreThread {
 public:
  struct Options {
    std::uint32_t shards = 1;
    std::size_t records = 20'000;              ///< Begins once so many wait …
    Duration after = std::chrono::seconds(1);  ///< … or the first has waited for so long.
    std::size_t bytes_max = 32ULL << 20;
    storage::LogPlaces* places = nullptr;  ///< Loses what was materialised. Records are indexed if there is one.
    Counters* counters = nullptr;          ///< For this thread alone.
    LogGuard* guard = nullptr;             ///< Is told of damage in the log; null: it is passed over.
  };

  /// `log_end`: what is in the log already. Throws nothing but what starting a thread throws.
  StoreThread(std::shared_ptr<storage::Files> files, Options options, Lsn watermark, Lsn log_end, StoreEventSink& sink);
  ~StoreThread();

  /// From the log's thread, after each commit. Wakes this one only when there is something to do or to wait for.
  void log_grew(Lsn end);
  struct TakeSnapshot {
    shard::ShardId shard = 0;
    shard::LogStore::SnapshotTakeRequest request;
  };
  struct FinishSnapshot {
    shard::ShardId shard = 0;
    shard::LogStore::SnapshotFinishRequest request;
  };
  using Snapshot = std::variant<TakeSnapshot, FinishSnapshot>;
  /// Any thread. Answered by an event of that kind.
  void add(Snapshot snapshot);
  /// Ends after the batch under way.
  void stop();

  [[nodiscard]] Lsn watermark() const { return {watermark_.load(std::memory_order_acquire)}; }

 private:
  void run();
  /// Until a batch is worth its commit. Purges meanwhile.
  void wait_for_more(std::unique_lock<std::mutex>& lock);
  /// When to wake up for purge() or trim(), if `otherwise` isn't earlier.
  [[nodiscard]] Instant clean_time(Instant otherwise) const;
  /// Materialises until `target`; false when it should be tried again later.
  bool catch_up(Lsn target);
  /// A step has found damage: false when the node stops because of it.
  bool pass_over_damage();
  void took_step(const storage::Materialiser::Done& done);
  /// A step, if it is time for one.
  void purge();
  void trim();
  void count_purges();
  void report_failure(boost::system::error_code error);
  /// Those that wait; false when one must be tried again later.
  bool take_snapshots();
  bool carry_out(const TakeSnapshot& take);
  bool carry_out(const FinishSnapshot& finish);
  void clear_dead_readers();
  /// Records that have come since it last went through those that wait; some of these may not be committed yet.
  [[nodiscard]] std::uint64_t unseen() const { return target_.value - std::min(target_, seen_).value; }

  std::shared_ptr<storage::Files> files_;
  const Options options_;
  StoreEventSink& sink_;
  storage::Materialiser materialiser_;
  std::atomic<std::uint64_t> watermark_;
  storage::Purge purge_;
  Instant purge_next_{};  ///< Not before.
  storage::Trim trim_;
  Instant trim_next_{};
  bool failing_ = false;
  Duration retry_after_{};
  Instant readers_cleared_{};
  Instant next_batch_{};  ///< Snapshots put it off no longer.

  std::mutex mutex_;  ///< Guards target_, seen_ and snapshots_; nothing else is taken under it.
  std::condition_variable changed_;
  Lsn target_;
  Lsn seen_;
  std::deque<Snapshot> snapshots_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace parley::disk
