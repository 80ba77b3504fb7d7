#include "broker/disk/read_threads.hpp"

#include <algorithm>
#include <exception>

#include "base/log.hpp"
#include "storage/history.hpp"

namespace parley::disk {
namespace {

shard::StoredConversation stored(storage::ConversationState state) {
  return {.number = state.number,
          .name = std::move(state.name),
          .epoch = state.epoch,
          .oldest = state.oldest,
          .head = state.head,
          .last_ts = state.last_ts,
          .type = state.type,
          .visibility = state.visibility};
}

Result<shard::LogStoreEvents::LoadedConversation> load_from(storage::History& history, const std::string& name) {
  PARLEY_TRY(auto found, history.load(name));
  shard::LogStoreEvents::LoadedConversation loaded;
  loaded.name = name;
  if (found.conversation) loaded.conversation = stored(std::move(*found.conversation));
  loaded.unmaterialised = std::move(found.unmaterialised);
  loaded.log_end = found.log_end;
  return loaded;
}

Result<shard::ReadPage> read_from(storage::History& history, const shard::LogStore::ReadRequest& request) {
  PARLEY_TRY(auto page, history.read(request.conversation, {request.first, request.last},
                                     {.entries_max = request.entries_max, .bytes_max = request.bytes_max},
                                     storage::Direction::Ascending));
  return shard::ReadPage{.entries = std::move(page.entries), .corrupt = std::move(page.corrupt)};
}

/// What the work throws (out of memory) is a failed answer, not the end of the thread.
template <class Function>
auto guarded(Function function) -> decltype(function()) {
  try {
    return function();
  } catch (const std::exception& error) {
    log::error("reading failed", {{"error", error.what()}});
    return StorageError::Failed;
  }
}

}  // namespace

ReadThreads::ReadThreads(const std::shared_ptr<storage::Files>& files, unsigned count, StoreEventSink& sink)
    : sink_(sink) {
  for (unsigned i = 0; i < std::max(count, 1U); ++i) {
    histories_.push_back(std::make_unique<storage::History>(files));
    threads_.emplace_back([this, history = histories_.back().get()] { run(*history); });
  }
}

ReadThreads::~ReadThreads() { stop(); }

void ReadThreads::add(Work work) {
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(work));
  }
  arrived_.notify_one();
}

void ReadThreads::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  arrived_.notify_all();
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

void ReadThreads::run(storage::History& history) {
  std::unique_lock lock(mutex_);
  while (true) {
    arrived_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
    if (waiting_.empty()) return;
    Work work = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    std::visit([this, &history](auto& one) { carry_out(history, one); }, work);
    lock.lock();
  }
}

void ReadThreads::carry_out(storage::History& history, Load& load) {
  auto loaded = guarded([&history, &load] { return load_from(history, load.name); });
  sink_.post(load.shard, LoadedEvent{std::move(load.name), std::move(loaded)});
}

void ReadThreads::carry_out(storage::History& history, Read& read) {
  auto page = guarded([&history, &read] { return read_from(history, read.request); });
  sink_.post(read.shard, EntriesReadEvent{read.request.token, std::move(page)});
}

}  // namespace parley::disk
