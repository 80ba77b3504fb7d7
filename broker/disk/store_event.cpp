#include "broker/disk/store_event.hpp"

#include <utility>

namespace parley::disk {
namespace {

void deliver_one(AppendedEvent& event, shard::LogStoreEvents& to) {
  for (const AppendedEvent::Batch& batch : event.batches) to.appended(batch.ticket, batch.first);
}
void deliver_one(LoadedEvent& event, shard::LogStoreEvents& to) {
  to.conversation_loaded(event.name, std::move(event.loaded));
}
void deliver_one(EntriesReadEvent& event, shard::LogStoreEvents& to) {
  to.entries_read(event.token, std::move(event.page));
}
void deliver_one(LogReadEvent& event, shard::LogStoreEvents& to) { to.log_read(event.token, std::move(event.page)); }
void deliver_one(SnapshotReadEvent& event, shard::LogStoreEvents& to) {
  to.snapshot_read(event.token, std::move(event.piece));
}
void deliver_one(SnapshotTakenEvent& event, shard::LogStoreEvents& to) {
  to.snapshot_taken(event.token, std::move(event.known));
}
void deliver_one(SnapshotFinishedEvent& event, shard::LogStoreEvents& to) { to.snapshot_finished(event.token); }
void deliver_one(SessionLoadedEvent& event, shard::LogStoreEvents& to) {
  to.session_loaded(event.client_id, std::move(event.loaded));
}
void deliver_one(SessionsListedEvent& event, shard::LogStoreEvents& to) {
  to.sessions_listed(event.token, std::move(event.listed));
}
void deliver_one(PlainWrittenEvent& event, shard::LogStoreEvents& to) { to.plain_written(event.ticket, event.outcome); }
void deliver_one(UserLoadedEvent& event, shard::LogStoreEvents& to) {
  to.user_loaded(event.user, std::move(event.loaded));
}
void deliver_one(MaterialisedEvent& event, shard::LogStoreEvents& to) { to.materialised(event.upto); }

}  // namespace

void deliver(StoreEvent& event, shard::LogStoreEvents& to) {
  std::visit([&to](auto& one) { deliver_one(one, to); }, event);
}

}  // namespace parley::disk
