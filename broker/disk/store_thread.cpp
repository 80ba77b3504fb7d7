#include "broker/disk/store_thread.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <exception>

#include "base/log.hpp"
#include "storage/files.hpp"
#include "storage/log_places.hpp"

namespace parley::disk {
namespace {

constexpr Duration kRetryFirst = std::chrono::milliseconds(100);
constexpr Duration kRetryLast = std::chrono::seconds(5);
constexpr Duration kReadersClearedEvery = std::chrono::minutes(1);
constexpr int kNice = 10;  ///< A batch is tens of milliseconds of work that nobody waits for.

Instant now() { return std::chrono::steady_clock::now(); }

}  // namespace

StoreThread::StoreThread(std::shared_ptr<storage::Files> files, Options options, Lsn watermark, Lsn log_end,
                         StoreEventSink& sink)
    : files_(std::move(files)),
      options_(options),
      sink_(sink),
      materialiser_(files_, {.index_slots = options_.places != nullptr}),
      watermark_(watermark.value),
      readers_cleared_(now()),
      target_(std::max(log_end, watermark)),
      seen_(watermark),
      thread_([this] { run(); }) {}

StoreThread::~StoreThread() { stop(); }

void StoreThread::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void StoreThread::log_grew(Lsn end) {
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    const bool idle = target_ == watermark();
    target_ = end;
    wake = idle || unseen() >= options_.records;
  }
  if (wake) changed_.notify_one();
}

void StoreThread::add(Snapshot snapshot) {
  {
    const std::lock_guard lock(mutex_);
    snapshots_.push_back(std::move(snapshot));
  }
  changed_.notify_one();
}

bool StoreThread::take_snapshots() {
  while (!stopping_) {
    std::unique_lock lock(mutex_);
    if (snapshots_.empty()) return true;
    const Snapshot snapshot = std::move(snapshots_.front());
    snapshots_.pop_front();
    lock.unlock();
    if (std::visit([this](const auto& one) { return carry_out(one); }, snapshot)) continue;
    lock.lock();
    snapshots_.push_front(snapshot);
    return false;
  }
  return true;
}

bool StoreThread::carry_out(const TakeSnapshot& take) {
  Result<std::string> known = StorageError::Failed;
  try {
    known = materialiser_.take_snapshot({.slot = take.request.slot,
                                         .slots = take.request.slots,
                                         .bytes = take.request.piece,
                                         .next = take.request.next});
  } catch (const std::exception& error) {
    log::error("taking a slot's history in failed", {{"slot", take.request.slot}, {"error", error.what()}});
  }
  sink_.post(take.shard, SnapshotTakenEvent{take.request.token, std::move(known)});
  return true;
}

bool StoreThread::carry_out(const FinishSnapshot& finish) {
  const auto& [token, slot, base, replicas] = finish.request;
  const auto done = materialiser_.finish_snapshot({.slot = slot,
                                                   .term = base.term,
                                                   .index = base.index,
                                                   .replicas = {replicas.index, replicas.voters, replicas.learners}});
  if (!done) {
    log::error("a slot's history can't be completed, trying again",
               {{"slot", slot}, {"error", done.error().message()}});
    return false;
  }
  if (options_.places != nullptr) options_.places->drop(slot, {~std::uint64_t{0}});
  sink_.post(finish.shard, SnapshotFinishedEvent{token});
  return true;
}

void StoreThread::run() {
  // On Linux this is the calling thread's alone. Without it everything works, with more delay for the others.
  [[maybe_unused]] const int refused = ::setpriority(PRIO_PROCESS, 0, kNice);
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    const auto something_waits = [this] { return stopping_ || !snapshots_.empty() || target_ > watermark(); };
    if (!changed_.wait_for(lock, kReadersClearedEvery, something_waits)) {
      lock.unlock();
      clear_dead_readers();
      lock.lock();
      continue;
    }
    const auto enough_waits = [this] { return stopping_ || !snapshots_.empty() || unseen() >= options_.records; };
    changed_.wait_for(lock, options_.after, enough_waits);
    if (!snapshots_.empty()) {
      lock.unlock();
      const bool taken = take_snapshots();
      lock.lock();
      if (!taken) changed_.wait_for(lock, kRetryFirst, [this] { return stopping_.load(); });
      // What the log has for the store comes in between, however many pieces come.
      if (unseen() < options_.records && now() < next_batch_) continue;
    }
    next_batch_ = now() + options_.after;
    const Lsn target = target_;
    seen_ = target;
    lock.unlock();
    const bool done = catch_up(target);
    clear_dead_readers();
    lock.lock();
    if (done) continue;
    seen_ = watermark();
    changed_.wait_for(lock, retry_after_, [this] { return stopping_.load(); });
  }
}

bool StoreThread::catch_up(Lsn target) {
  while (watermark() < target && !stopping_) {
    try {
      const auto done = materialiser_.step({.records_max = 2 * options_.records, .bytes_max = options_.bytes_max});
      if (!done) {
        report_failure(done.error());
        return false;
      }
      const bool moved = done->watermark != watermark();
      took_step(*done);
      // The rest isn't committed, or the log ends earlier than was said: nothing of it is lost.
      if (done->records == 0 && !moved) return true;
    } catch (const std::exception& error) {
      log::error("materialising failed", {{"error", error.what()}});
      report_failure(StorageError::Failed);
      return false;
    }
  }
  return true;
}

void StoreThread::took_step(const storage::Materialiser::Done& done) {
  if (failing_) log::info("the store takes entries again", {{"watermark", done.watermark}});
  failing_ = false;
  retry_after_ = {};
  if (options_.places != nullptr) {
    for (const auto& [slot, index] : done.slots) options_.places->drop(slot, index);
  }
  if (done.watermark == watermark()) return;
  watermark_.store(done.watermark.value, std::memory_order_release);
  for (shard::ShardId shard = 0; shard < options_.shards; ++shard) {
    sink_.post(shard, MaterialisedEvent{done.watermark});
  }
}

void StoreThread::report_failure(boost::system::error_code error) {
  if (!failing_) {
    log::error("the store takes no entries, they stay in the log until it does",
               {{"error", error.message()}, {"watermark", watermark()}});
  }
  failing_ = true;
  retry_after_ = std::clamp(retry_after_ * 2, kRetryFirst, kRetryLast);
}

void StoreThread::clear_dead_readers() {
  if (now() - readers_cleared_ < kReadersClearedEvery) return;
  readers_cleared_ = now();
  if (const int dead = files_->clear_dead_readers(); dead > 0) {
    log::info("freed the places of readers that died", {{"readers", dead}});
  }
}

}  // namespace parley::disk
