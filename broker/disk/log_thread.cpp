#include "broker/disk/log_thread.hpp"

#include <exception>

#include "base/check.hpp"
#include "base/log.hpp"
#include "storage/log_places.hpp"

namespace parley::disk {
namespace {

constexpr Duration kIdleWait = std::chrono::seconds(10);
constexpr std::size_t kCutRecordsMax = 5'000;

Instant now() { return std::chrono::steady_clock::now(); }

std::uint64_t wall_milliseconds() {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(since).count());
}

}  // namespace

LogThread::LogThread(storage::LogWriter writer, Options options, StoreThread& store, StoreEventSink& sink)
    : writer_(std::move(writer)),
      options_(options),
      store_(store),
      sink_(sink),
      end_(writer_.end().value),
      answers_(options.shards),
      failed_generations_(options.shards),
      next_cut_(now() + options_.cut_every),
      thread_([this] { run(); }) {}

LogThread::~LogThread() { stop(); }

void LogThread::append(shard::AppendBatch batch) {
  PARLEY_CHECK(batch.shard < options_.shards, "a batch comes from a shard that the disk wasn't told of");
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(batch));
    wake = std::exchange(sleeping_, false);
  }
  if (wake) arrived_.notify_one();
}

void LogThread::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  arrived_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void LogThread::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_ || !waiting_.empty()) {
    const bool arrived = wait_for_group(lock);
    if (arrived) take_group();
    lock.unlock();
    if (arrived) commit_group();
    cut_if_due();
    lock.lock();
  }
}

bool LogThread::wait_for_group(std::unique_lock<std::mutex>& lock) {
  sleeping_ = waiting_.empty();
  arrived_.wait_for(lock, kIdleWait, [this] { return stopping_ || !waiting_.empty(); });
  sleeping_ = false;
  return !waiting_.empty();
}

void LogThread::take_group() {
  std::size_t records = 0;
  std::size_t bytes = 0;
  do {
    records += waiting_.front().records.size();
    for (const auto& record : waiting_.front().records) bytes += record->size();
    group_.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  } while (!waiting_.empty() && records + waiting_.front().records.size() <= options_.group_records_max &&
           bytes < options_.group_bytes_max);
}

bool LogThread::is_behind_failure(const shard::AppendBatch& batch) const {
  return batch.generation <= failed_generations_[batch.shard];
}

void LogThread::commit_group() {
  records_.clear();
  hard_states_.clear();
  for (const shard::AppendBatch& batch : group_) {
    if (is_behind_failure(batch)) continue;
    for (const auto& record : batch.records) records_.push_back(*record);
    hard_states_.insert(hard_states_.end(), batch.hard_states.begin(), batch.hard_states.end());
  }
  const Result<Lsn> first = append_group();
  if (!records_.empty() || !hard_states_.empty()) report(first);
  answer_group(first);
  group_.clear();
}

Result<Lsn> LogThread::append_group() {
  if (records_.empty() && hard_states_.empty()) return writer_.end().next();
  try {
    auto first = writer_.append(records_, hard_states_);
    if (first) {
      if (options_.places != nullptr) options_.places->add(records_, *first);
      end_.store(writer_.end().value, std::memory_order_release);
      store_.log_grew(writer_.end());
    }
    return first;
  } catch (const std::exception& error) {
    log::error("appending to the log failed", {{"error", error.what()}});
    return StorageError::Failed;
  }
}

void LogThread::answer_group(const Result<Lsn>& first) {
  Lsn position = first ? *first : Lsn{};
  for (const shard::AppendBatch& batch : group_) {
    Result<Lsn> answer = first;
    if (is_behind_failure(batch)) {
      answer = StorageError::Failed;
    } else if (first) {
      answer = position;
      position.value += batch.records.size();
    } else {
      failed_generations_[batch.shard] = batch.generation;
    }
    answers_[batch.shard].batches.push_back({batch.ticket, answer});
  }
  for (shard::ShardId shard = 0; shard < options_.shards; ++shard) {
    if (answers_[shard].batches.empty()) continue;
    sink_.post(shard, std::exchange(answers_[shard], {}));
  }
}

void LogThread::report(const Result<Lsn>& first) {
  if (first.has_value() != failing_) return;
  failing_ = !first;
  if (failing_) {
    log::error("the log takes no records, refusing sends until it does", {{"error", first.error().message()}});
  } else {
    log::info("the log takes records again", {{"lsn", *first}});
  }
}

void LogThread::cut_if_due() {
  if (now() < next_cut_) return;
  const std::uint64_t wall = wall_milliseconds();
  const auto retention =
      static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(options_.retention).count());
  const Lsn watermark = store_.watermark();
  const auto gone = writer_.cut({.watermark = watermark,
                                 .older_than = {wall > retention ? wall - retention : 0},
                                 .size_max = options_.size_max,
                                 .records_max = kCutRecordsMax});
  if (gone && *gone != 0) {
    log::debug("the log was cut", {{"records", *gone}, {"watermark", watermark}, {"end", writer_.end()}});
  }
  next_cut_ = now() + (gone && *gone == kCutRecordsMax ? options_.cut_every / 10 : options_.cut_every);
}

}  // namespace parley::disk
