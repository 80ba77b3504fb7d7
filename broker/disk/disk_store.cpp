#include "broker/disk/disk_store.hpp"

#include <algorithm>

#include "base/check.hpp"
#include "base/log.hpp"
#include "broker/disk/log_guard.hpp"
#include "broker/disk/log_thread.hpp"
#include "broker/disk/plain_thread.hpp"
#include "broker/disk/read_threads.hpp"
#include "broker/disk/store_thread.hpp"
#include "storage/commit_indexes.hpp"
#include "storage/data_directory.hpp"
#include "storage/erasures.hpp"
#include "storage/files.hpp"
#include "storage/id_finder.hpp"
#include "storage/log_places.hpp"
#include "storage/members.hpp"
#include "storage/open_failure.hpp"
#include "storage/retention.hpp"

namespace parley::disk {
namespace {

storage::Files::Options files_options(const DiskOptions& options) {
  return {.log_map_size = options.log_map_size, .store_map_size = options.store_map_size};
}

std::shared_ptr<storage::Files> open_files(const DiskOptions& options) {
  const std::string directory = storage::storage_directory(options.data_dir);
  if (options.self == NodeId{}) return storage::Files::open_to_write(directory, files_options(options));
  return open_or_mend(directory, files_options(options), options.self, options.damage);
}

std::shared_ptr<LogGuard> guard_of(const std::shared_ptr<storage::Files>& files, const DiskOptions& options) {
  return options.self == NodeId{} ? nullptr : std::make_shared<LogGuard>(files, options.self, options.stop);
}

/// From here on nobody is shown what isn't committed, so this comes before every reader.
storage::CommitIndexes& require_commit_indexes(storage::Files& files) {
  files.keep_commit_indexes();
  return *files.commit_indexes();
}

template <class T>
T required(Result<T> result, const char* what) {
  if (result) return *std::move(result);
  throw storage::OpenFailure(static_cast<StorageError>(result.error().value()), what + result.error().message());
}

/// What the log has already that the store hasn't; empty when nobody will ask.
std::unique_ptr<storage::LogPlaces> places_of(storage::Files& files, bool wanted) {
  auto places = std::make_unique<storage::LogPlaces>();
  const auto found = wanted ? storage::find_log_places(files, *places) : Result<void>();
  if (!found) {
    throw storage::OpenFailure(static_cast<StorageError>(found.error().value()),
                               "the log's records can't be found: " + found.error().message());
  }
  return places;
}

shard::StoredSlot owned(storage::SlotState state, Index committed) {
  const auto position = [](const format::SlotRow::Position& from) {
    return shard::StoredSlot::Position{.term = from.term, .index = from.index};
  };
  shard::StoredSlot slot{.slot = state.hard.slot,
                         .term = state.hard.term,
                         .vote = state.hard.vote,
                         .base = position(state.base),
                         .terms = {},
                         .last = state.last,
                         .commit = std::max({committed, state.base.index, state.materialised}),
                         .replicas = {},
                         .lost_before = state.hard.lost_before,
                         .lost_upto = position(state.hard.lost_upto)};
  for (const auto& run : state.terms) slot.terms.push_back(position(run));
  for (auto& set : state.replicas) {
    slot.replicas.push_back({set.index, std::move(set.voters), std::move(set.learners)});
  }
  return slot;
}

std::vector<shard::StoredErasure> owned(std::vector<storage::StoredErasure> rows) {
  std::vector<shard::StoredErasure> list;
  for (storage::StoredErasure& row : rows) {
    list.push_back({row.slot, std::move(row.user), row.started, row.state, row.conversation, row.seq, row.redacted});
  }
  return list;
}

}  // namespace

/// Declared in the order they are built in; they end in the opposite one.
struct DiskStore::Parts {
  Parts(DiskOptions with, StoreEventSink& sink)
      : options(std::move(with)),
        directory(options.data_dir),
        files(open_files(options)),
        guard(guard_of(files, options)),
        slot_ends(required(storage::find_slot_ends(*files), "the ends of the slots' logs can't be found: ")),
        commit_indexes(require_commit_indexes(*files)),
        places(places_of(*files, options.index_slots)),
        store(files,
              {.shards = options.shards,
               .records = options.materialise_records,
               .after = options.materialise_after,
               .bytes_max = options.materialise_bytes_max,
               .places = options.index_slots ? places.get() : nullptr,
               .counters = options.counters,
               .guard = guard.get()},
              files->watermark(), files->log_end(), sink),
        log(storage::LogWriter(files),
            {.shards = options.shards,
             .places = options.index_slots ? places.get() : nullptr,
             .group_records_max = options.group_records_max,
             .group_bytes_max = options.group_bytes_max,
             .retention = options.log_retention,
             // A full map can't even be cut.
             .size_max = std::min(options.log_size_max, options.log_map_size / 2),
             .cut_every = options.log_cut_every},
            store, sink),
        readers(files, *places, options.readers, guard.get(), sink),
        plain(storage::storage_directory(options.data_dir), options.plain_map_size, sink) {
    for (std::uint32_t shard = 0; shard < options.shards; ++shard) {
      id_finders.push_back(std::make_unique<storage::IdFinder>(files));
      members.push_back(std::make_unique<storage::Members>(files));
      retentions.push_back(std::make_unique<storage::Retention>(files));
      erasures.push_back(std::make_unique<storage::Erasures>(files));
    }
  }

  DiskOptions options;
  storage::DataDirectory directory;
  std::shared_ptr<storage::Files> files;
  std::shared_ptr<LogGuard> guard;
  std::vector<SlotEnd> slot_ends;
  storage::CommitIndexes& commit_indexes;
  std::unique_ptr<storage::LogPlaces> places;
  StoreThread store;
  LogThread log;
  ReadThreads readers;
  PlainThread plain;
  std::vector<std::unique_ptr<storage::IdFinder>> id_finders;   ///< By shard, each used by its thread only.
  std::vector<std::unique_ptr<storage::Members>> members;       ///< The same.
  std::vector<std::unique_ptr<storage::Retention>> retentions;  ///< The same.
  std::vector<std::unique_ptr<storage::Erasures>> erasures;     ///< The same.
};

std::unique_ptr<DiskStore> DiskStore::open(DiskOptions options, StoreEventSink& sink) {
  std::unique_ptr<DiskStore> store(new DiskStore(std::make_unique<Parts>(std::move(options), sink)));
  log::info("storage is open", {{"data_dir", store->parts_->directory.path()},
                                {"log_end", store->log_end()},
                                {"watermark", store->watermark()}});
  return store;
}

DiskStore::DiskStore(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
DiskStore::~DiskStore() { stop(); }

std::vector<SlotEnd> DiskStore::slot_ends() const { return parts_->slot_ends; }

std::vector<shard::StoredSlot> DiskStore::slots() const {
  std::vector<shard::StoredSlot> slots;
  for (auto& state : required(storage::find_slot_states(*parts_->files), "the slots' replicas can't be found: ")) {
    const Index committed = parts_->commit_indexes.at(state.hard.slot);
    slots.push_back(owned(std::move(state), committed));
  }
  return slots;
}

void DiskStore::for_each_session(const std::function<void(const shard::StoredSession&)>& visit) {
  const auto done = storage::for_each_session(*parts_->files,
                                              [&visit](const storage::StoredSessionView& view) { visit(owned(view)); });
  if (!done) {
    throw storage::OpenFailure(static_cast<StorageError>(done.error().value()),
                               "the persistent sessions can't be read: " + done.error().message());
  }
}

void DiskStore::for_each_plain_row(shard::PlainTable table,
                                   const std::function<void(std::string_view, std::string_view)>& visit) {
  if (const auto done = parts_->plain.visit(table, visit); !done) {
    throw storage::OpenFailure(static_cast<StorageError>(done.error().value()),
                               "plain.mdb can't be read: " + done.error().message());
  }
}

void DiskStore::stop() {
  parts_->plain.stop();
  parts_->log.stop();
  parts_->readers.stop();
  parts_->store.stop();
}

Lsn DiskStore::log_end() const { return parts_->log.end(); }
std::shared_ptr<LogGuard> DiskStore::guard() const { return parts_->guard; }
Lsn DiskStore::watermark() const { return parts_->store.watermark(); }

void DiskStore::append(shard::AppendBatch batch) { parts_->log.append(std::move(batch)); }

void DiskStore::committed(Slot slot, Index index) { parts_->commit_indexes.raise(slot, index); }

void DiskStore::write_plain(shard::PlainBatch batch) { parts_->plain.write(std::move(batch)); }

std::uint64_t DiskStore::next_plain_number() { return parts_->plain.next_number(); }

void DiskStore::read_log(shard::ShardId shard, LogReadRequest request) {
  parts_->readers.add(ReadThreads::ReadLog{shard, request});
}

void DiskStore::read_snapshot(shard::ShardId shard, SnapshotReadRequest request) {
  parts_->readers.add(ReadThreads::ReadSnapshot{shard, std::move(request)});
}

void DiskStore::take_snapshot(shard::ShardId shard, SnapshotTakeRequest request) {
  parts_->store.add(StoreThread::TakeSnapshot{shard, std::move(request)});
}

void DiskStore::finish_snapshot(shard::ShardId shard, SnapshotFinishRequest request) {
  parts_->store.add(StoreThread::FinishSnapshot{shard, std::move(request)});
}

void DiskStore::load_conversation(shard::ShardId shard, std::string name) {
  parts_->readers.add(ReadThreads::Load{shard, std::move(name)});
}

void DiskStore::load_session(shard::ShardId shard, std::string client_id) {
  parts_->readers.add(ReadThreads::LoadSession{shard, std::move(client_id)});
}

void DiskStore::list_sessions(shard::ShardId shard, ListSessionsRequest request) {
  parts_->readers.add(ReadThreads::ListSessions{shard, std::move(request)});
}

void DiskStore::read_entries(shard::ShardId shard, ReadRequest request) {
  parts_->readers.add(ReadThreads::Read{shard, request});
}

std::optional<shard::StoredId> DiskStore::find_id(shard::ShardId shard, ConversationNumber conversation,
                                                  std::string_view from, std::string_view id) {
  PARLEY_CHECK(shard < parts_->id_finders.size(), "an id is looked for by a shard that the disk wasn't told of");
  const auto use = parts_->id_finders[shard]->find(conversation, from, id);
  if (!use || !*use) return std::nullopt;  // What failed is in the log.
  return shard::StoredId{(*use)->seq, (*use)->ts, (*use)->kind};
}

storage::Members& DiskStore::members_of(shard::ShardId shard) {
  PARLEY_CHECK(shard < parts_->members.size(), "members are looked up by a shard that the disk wasn't told of");
  return *parts_->members[shard];
}

std::optional<format::MemberRow> DiskStore::find_member(shard::ShardId shard, ConversationNumber conversation,
                                                        std::string_view user) {
  const auto found = members_of(shard).find(conversation, user);
  if (!found) {
    log::error("a member can't be looked up, it counts as none",
               {{"conversation", conversation}, {"error", found.error().message()}});
    return std::nullopt;
  }
  return *found;
}

std::vector<shard::StoredMember> DiskStore::list_members(shard::ShardId shard, ConversationNumber conversation,
                                                         std::string_view after, std::size_t count_max) {
  auto found = members_of(shard).list(conversation, after, count_max);
  return found ? *std::move(found) : std::vector<shard::StoredMember>();
}

Result<std::optional<format::Mark>> DiskStore::find_mark(shard::ShardId shard, ConversationNumber conversation,
                                                         std::string_view user) {
  auto found = members_of(shard).find_mark(conversation, user);
  if (!found) {
    log::error("marks can't be looked up: a user's count as none, and a shared subscription's group waits",
               {{"conversation", conversation}, {"error", found.error().message()}});
  }
  return found;
}

shard::StoredTally DiskStore::find_tally(shard::ShardId shard, ConversationNumber conversation, Seq upto) {
  const auto found = members_of(shard).find_tally(conversation, upto);
  if (found) return {found->seq, found->count};
  log::error("messages can't be counted, all entries count as such",
             {{"conversation", conversation}, {"error", found.error().message()}});
  return {};
}

std::vector<shard::UnfedMember> DiskStore::unfed_members(shard::ShardId shard, Slot slot, std::size_t count_max) {
  auto found = members_of(shard).unfed(slot, count_max);
  return found ? *std::move(found) : std::vector<shard::UnfedMember>();
}

shard::LogStore::RetentionPage DiskStore::due_retention(shard::ShardId shard, const RetentionRequest& request) {
  PARLEY_CHECK(shard < parts_->retentions.size(), "retention is asked for by a shard that the disk wasn't told of");
  auto found =
      parts_->retentions[shard]->find(request.slot, request.after, request.now, request.age_max, request.count_max);
  RetentionPage page;
  if (!found) return page;  // Another time.
  page.looked = found->looked;
  page.next = found->next;
  for (auto& due : found->due) page.due.push_back({due.number, std::move(due.name), due.oldest});
  return page;
}

std::vector<shard::StoredErasure> DiskStore::erasures(shard::ShardId shard, Slot slot) {
  PARLEY_CHECK(shard < parts_->erasures.size(), "erasures are asked for by a shard that the disk wasn't told of");
  auto found = parts_->erasures[shard]->list(slot);
  if (!found) return {};  // Another time.
  return owned(*std::move(found));
}

std::vector<shard::StoredErasure> DiskStore::erasures() const {
  auto found = storage::Erasures(parts_->files).list(std::nullopt);
  if (!found) return {};
  return owned(*std::move(found));
}

void DiskStore::find_erasure(shard::ShardId shard, ErasureRequest request) {
  parts_->readers.add(ReadThreads::FindErasure{shard, std::move(request)});
}

void DiskStore::find_sessions(shard::ShardId shard, SessionsRequest request) {
  parts_->readers.add(ReadThreads::FindSessions{shard, std::move(request)});
}

void DiskStore::load_user(shard::ShardId shard, std::string user) {
  parts_->readers.add(ReadThreads::LoadUser{shard, std::move(user)});
}

}  // namespace parley::disk
