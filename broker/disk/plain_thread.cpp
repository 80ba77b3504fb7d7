#include "broker/disk/plain_thread.hpp"

#include <exception>
#include <utility>

#include "base/log.hpp"

namespace parley::disk {
namespace {

constexpr std::size_t kGroupChangesMax = 8'192;

}  // namespace

PlainThread::PlainThread(const std::string& directory, std::uint64_t map_size, StoreEventSink& sink)
    : file_(directory, map_size), sink_(sink), thread_([this] { run(); }) {}

PlainThread::~PlainThread() { stop(); }

void PlainThread::write(shard::PlainBatch batch) {
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(batch));
  }
  arrived_.notify_one();
}

void PlainThread::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  arrived_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void PlainThread::run() {
  std::vector<shard::PlainBatch> group;
  std::unique_lock lock(mutex_);
  for (;;) {
    arrived_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
    if (waiting_.empty()) return;
    std::size_t changes = 0;
    while (!waiting_.empty() && changes < kGroupChangesMax) {
      changes += waiting_.front().changes.size();
      group.push_back(std::move(waiting_.front()));
      waiting_.pop_front();
    }
    lock.unlock();
    commit(group);
    group.clear();
    lock.lock();
  }
}

void PlainThread::commit(std::vector<shard::PlainBatch>& group) {
  const auto together = write_together(group);
  report(together);
  for (const shard::PlainBatch& batch : group) {
    // One batch may be too much for a disk that has room for the others.
    const bool alone = !together && group.size() > 1;
    sink_.post(batch.shard, PlainWrittenEvent{batch.ticket, alone ? write_together({&batch, 1}) : together});
  }
}

Result<void> PlainThread::write_together(std::span<const shard::PlainBatch> group) {
  changes_.clear();
  for (const shard::PlainBatch& batch : group) {
    for (const shard::PlainChange& change : batch.changes) {
      changes_.push_back({static_cast<std::size_t>(change.table), change.key,
                          change.value ? std::optional<std::string_view>(*change.value) : std::nullopt});
    }
  }
  try {
    return file_.write(changes_);
  } catch (const std::exception& error) {
    log::error("writing to plain.mdb failed", {{"error", error.what()}});
    return StorageError::Failed;
  }
}

/// One line when it begins and one when it is over.
void PlainThread::report(const Result<void>& outcome) {
  const bool fails = !outcome.has_value();
  if (std::exchange(failing_, fails) == fails) return;
  if (fails) {
    log::error("messages of ordinary topics can't be stored, refusing them until they can",
               {{"error", outcome.error().message()}});
  } else {
    log::info("messages of ordinary topics are stored again");
  }
}

}  // namespace parley::disk
