#include "broker/disk/read_threads.hpp"

#include <algorithm>
#include <exception>

#include "base/log.hpp"
#include "broker/disk/log_guard.hpp"
#include "broker/shard/session_list.hpp"
#include "storage/erasures.hpp"
#include "storage/history.hpp"
#include "storage/log_reader.hpp"
#include "storage/recovery.hpp"
#include "storage/slot_snapshot.hpp"

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
          .visibility = state.visibility,
          .members = state.members,
          .owners = state.owners,
          .announce = state.announce,
          .history = state.history,
          .title = std::move(state.title)};
}

Result<shard::LogStoreEvents::LoadedConversation> load_from(storage::History& history, const std::string& name) {
  PARLEY_TRY(auto found, history.load(name));
  shard::LogStoreEvents::LoadedConversation loaded;
  loaded.name = name;
  if (found.conversation) loaded.conversation = stored(std::move(*found.conversation));
  loaded.unmaterialised = std::move(found.unmaterialised);
  loaded.members = std::move(found.members);
  for (auto& [user, mark] : found.marks) loaded.marks.push_back({user, mark});
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

Result<shard::LogPage> read_log_from(storage::LogReader& log, const shard::LogStore::LogReadRequest& request) {
  PARLEY_TRY(auto records, log.read(request.slot, request.first, request.last, request.bytes_max));
  shard::LogPage page;
  page.records.reserve(records.size());
  for (std::string& record : records) {
    page.records.push_back(std::make_shared<const std::string>(std::move(record)));
  }
  return page;
}

Result<shard::SnapshotPiece> read_snapshot_from(storage::SlotSnapshotReader& snapshots,
                                                const shard::LogStore::SnapshotReadRequest& request) {
  PARLEY_TRY(auto piece, snapshots.read({.slot = request.slot,
                                         .slots = request.slots,
                                         .position = request.position,
                                         .known = request.known,
                                         .bytes_max = request.bytes_max}));
  return shard::SnapshotPiece{
      .at = {.term = piece.term, .index = piece.index}, .bytes = std::move(piece.bytes), .next = std::move(piece.next)};
}

Result<shard::ErasurePage> find_erasure(storage::Erasures& erasures, shard::LogStore::ErasureRequest& request) {
  PARLEY_TRY(auto found, erasures.find({.slot = request.slot,
                                        .user = std::move(request.user),
                                        .conversation = request.conversation,
                                        .seq = request.seq,
                                        .rows_max = request.rows_max,
                                        .messages_max = request.messages_max}));
  shard::ErasurePage page{.found = {}, .conversation = found.conversation, .seq = found.seq};
  for (auto& one : found.found) page.found.push_back({std::move(one.name), one.is_member, std::move(one.messages)});
  return page;
}

}  // namespace

struct ReadThreads::Readers {
  storage::History history;
  storage::LogReader log;
  storage::SlotSnapshotReader snapshots;
  storage::SessionFinder sessions;
  std::shared_ptr<storage::Files> files;
  storage::Erasures erasures;
};

ReadThreads::ReadThreads(const std::shared_ptr<storage::Files>& files, const storage::LogPlaces& places, unsigned count,
                         LogGuard* guard, StoreEventSink& sink)
    : guard_(guard), sink_(sink) {
  for (unsigned i = 0; i < std::max(count, 1U); ++i) {
    readers_.push_back(std::unique_ptr<Readers>(new Readers{.history = storage::History(files),
                                                            .log = storage::LogReader(files, places),
                                                            .snapshots = storage::SlotSnapshotReader(files),
                                                            .sessions = storage::SessionFinder(files),
                                                            .files = files,
                                                            .erasures = storage::Erasures(files)}));
    threads_.emplace_back([this, readers = readers_.back().get()] { run(*readers); });
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

void ReadThreads::run(Readers& readers) {
  std::unique_lock lock(mutex_);
  while (true) {
    arrived_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
    if (waiting_.empty()) return;
    Work work = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    std::visit([this, &readers](auto& one) { carry_out(readers, one); }, work);
    lock.lock();
  }
}

void ReadThreads::carry_out(Readers& readers, Load& load) {
  auto loaded = guarded([&readers, &load] { return load_from(readers.history, load.name); });
  sink_.post(load.shard, LoadedEvent{std::move(load.name), std::move(loaded)});
}

void ReadThreads::carry_out(Readers& readers, Read& read) {
  auto page = guarded([&readers, &read] { return read_from(readers.history, read.request); });
  sink_.post(read.shard, EntriesReadEvent{read.request.token, std::move(page)});
}

void ReadThreads::carry_out(Readers& readers, ReadLog& read) {
  auto page = guarded([&readers, &read] { return read_log_from(readers.log, read.request); });
  if (guard_ != nullptr && !page && page.error() == make_error_code(StorageError::CorruptRecord)) {
    guard_->found({.what = "slot " + std::to_string(read.request.slot.value) + ", index " +
                           std::to_string(read.request.first.value) + ": a record is damaged"});
  }
  sink_.post(read.shard, LogReadEvent{read.request.token, std::move(page)});
}

void ReadThreads::carry_out(Readers& readers, ReadSnapshot& read) {
  auto piece = guarded([&readers, &read] { return read_snapshot_from(readers.snapshots, read.request); });
  sink_.post(read.shard, SnapshotReadEvent{read.request.token, std::move(piece)});
}

void ReadThreads::carry_out(Readers& readers, ListSessions& list) {
  auto listed = guarded([&]() -> Result<shard::SessionList> {
    shard::SessionList found;
    PARLEY_TRY(storage::for_each_session_record(*readers.files, [&](const storage::StoredSessionView& view) {
      shard::list_session(found, list.shard, list.request, owned(view));
    }));
    return found;
  });
  sink_.post(list.shard, SessionsListedEvent{list.request.token, std::move(listed)});
}

void ReadThreads::carry_out(Readers& readers, LoadUser& load) {
  auto loaded = guarded([&readers, &load] { return readers.history.load_user(load.user); });
  sink_.post(load.shard, UserLoadedEvent{std::move(load.user), std::move(loaded)});
}

void ReadThreads::carry_out(Readers& readers, LoadSession& load) {
  auto loaded = guarded([&]() -> Result<std::optional<shard::StoredSession>> {
    std::optional<shard::StoredSession> found;
    PARLEY_TRY(readers.sessions.find(load.client_id,
                                     [&found](const storage::StoredSessionView& view) { found = owned(view); }));
    return found;
  });
  sink_.post(load.shard, SessionLoadedEvent{std::move(load.client_id), std::move(loaded)});
}

void ReadThreads::carry_out(Readers& readers, FindErasure& find) {
  auto page = guarded([&readers, &find] { return find_erasure(readers.erasures, find.request); });
  sink_.post(find.shard, ErasureFoundEvent{find.request.token, std::move(page)});
}

void ReadThreads::carry_out(Readers& readers, FindSessions& find) {
  auto found = guarded([&]() -> Result<shard::ErasureSessions> {
    PARLEY_TRY(auto sessions, readers.erasures.sessions(find.request.user, find.request.from, find.request.rows_max));
    return shard::ErasureSessions{std::move(sessions.client_ids), std::move(sessions.next)};
  });
  sink_.post(find.shard, SessionsFoundEvent{find.request.token, std::move(found)});
}

shard::StoredSession owned(const storage::StoredSessionView& view) {
  shard::StoredSession session{.client_id = std::string(view.session.client_id),
                               .user = std::string(view.session.user),
                               .expiry_interval = view.session.expiry_interval,
                               .disconnected = view.session.disconnected,
                               .state = std::string(view.session.state),
                               .cursors = {},
                               .owner = view.session.owner,
                               .generation = view.session.generation};
  for (const format::CursorRecord& cursor : view.cursors) {
    session.cursors.push_back({std::string(cursor.topic), cursor.epoch, cursor.acknowledged});
  }
  return session;
}

}  // namespace parley::disk
