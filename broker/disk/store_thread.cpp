#include "broker/disk/store_thread.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <exception>

#include "base/log.hpp"
#include "broker/disk/log_guard.hpp"
#include "storage/files.hpp"
#include "storage/log_places.hpp"

namespace parley::disk {
namespace {

constexpr Duration kRetryFirst = std::chrono::milliseconds(100);
constexpr Duration kRetryLast = std::chrono::seconds(5);
constexpr std::size_t kTrimRowsMax = 2'000;
constexpr Duration kTrimPause = std::chrono::milliseconds(5);
constexpr Duration kPurgePause = std::chrono::milliseconds(2);
constexpr Duration kPurgeWait = std::chrono::milliseconds(100);
constexpr Duration kPurgeRetry = std::chrono::seconds(5);
constexpr Duration kReadersClearedEvery = std::chrono::minutes(1);
constexpr int kNice = 10;  ///< A batch is tens of milliseconds of work that nobody waits for.

Instant now() { return std::chrono::steady_clock::now(); }

}  // namespace

StoreThread::StoreThread(std::shared_ptr<storage::Files> files, Options options, Lsn watermark, Lsn log_end,
                         StoreEventSink& sink)
    : files_(std::move(files)),
      options_(options),
      sink_(sink),
      materialiser_(files_, {.index_slots = options_.places != nullptr, .refuses_damage = options_.guard != nullptr}),
      watermark_(watermark.value),
      purge_(files_),
      trim_(files_),
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
  purge_.wanted();
  trim_.wanted();
  sink_.post(finish.shard, SnapshotFinishedEvent{token});
  return true;
}

void StoreThread::run() {
  // On Linux this is the calling thread's alone. Without it everything works, with more delay for the others.
  [[maybe_unused]] const int refused = ::setpriority(PRIO_PROCESS, 0, kNice);
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    const auto something_waits = [this] { return stopping_ || !snapshots_.empty() || target_ > watermark(); };
    if (!changed_.wait_until(lock, clean_time(now() + kReadersClearedEvery), something_waits)) {
      lock.unlock();
      purge();
      trim();
      clear_dead_readers();
      lock.lock();
      continue;
    }
    wait_for_more(lock);
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

void StoreThread::wait_for_more(std::unique_lock<std::mutex>& lock) {
  const auto enough_waits = [this] { return stopping_ || !snapshots_.empty() || unseen() >= options_.records; };
  const Instant until = now() + options_.after;
  while (!changed_.wait_until(lock, clean_time(until), enough_waits) && now() < until) {
    lock.unlock();
    purge();
    trim();
    lock.lock();
  }
}

Instant StoreThread::clean_time(Instant otherwise) const {
  if (purge_.is_due()) otherwise = std::min(purge_next_, otherwise);
  return trim_.is_due() ? std::min(trim_next_, otherwise) : otherwise;
}

void StoreThread::purge() {
  using Progress = storage::Purge::Progress;
  if (!purge_.is_due() || now() < purge_next_) return;
  const Instant begun = now();
  const auto progress = purge_.step();
  if (!progress) {
    log::warn("redacted content can't be taken out of the files yet, trying again",
              {{"error", progress.error().message()}});
    purge_next_ = now() + kPurgeRetry;
  } else if (*progress == Progress::Waits) {
    purge_next_ = now() + kPurgeWait;
  } else {
    // A quarter of the time at most, and never long at a stretch.
    purge_next_ = now() + std::max<Duration>(kPurgePause, 3 * (now() - begun));
  }
  if (progress && *progress == Progress::Finished) {
    log::info("redacted content is gone from the files",
              {{"entries", purge_.entries()}, {"pages_cleaned", purge_.pages()}});
    if (options_.counters != nullptr) options_.counters->add(Metric::PurgedByRedaction, purge_.entries());
  }
  count_purges();
}

void StoreThread::trim() {
  if (!trim_.is_due() || now() < trim_next_) return;
  const Instant begun = now();
  const auto gone = trim_.step(kTrimRowsMax);
  if (gone) {
    trim_next_ = now() + std::max<Duration>(kTrimPause, now() - begun);
    if (options_.counters != nullptr) options_.counters->add(Metric::PurgedByRetention, *gone);
  } else {
    log::warn("what retention has taken away can't be deleted yet, trying again", {{"error", gone.error().message()}});
    trim_next_ = now() + kPurgeRetry;
  }
  count_purges();
}

void StoreThread::count_purges() {
  if (options_.counters == nullptr) return;
  options_.counters->set(Metric::PurgesOfRedactions, purge_.pending());
  options_.counters->set(Metric::PurgesOfRetention, trim_.pending());
}

bool StoreThread::catch_up(Lsn target) {
  while (watermark() < target && !stopping_) {
    try {
      const auto done = materialiser_.step({.records_max = 2 * options_.records, .bytes_max = options_.bytes_max});
      if (!done && done.error() == make_error_code(StorageError::CorruptRecord) && pass_over_damage()) continue;
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

bool StoreThread::pass_over_damage() {
  if (options_.guard == nullptr || materialiser_.damaged() == Lsn{0}) return false;
  const std::string position = std::to_string(materialiser_.damaged().value);
  if (options_.guard->found({.what = "lsn " + position + ": a record is damaged"})) return false;
  materialiser_.pass_over_damage();
  return true;
}

void StoreThread::took_step(const storage::Materialiser::Done& done) {
  if (done.redactions != 0) purge_.wanted();
  if (done.retentions != 0) trim_.wanted();
  if (done.redactions != 0 || done.retentions != 0) count_purges();
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
