#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/number.hpp"
#include "base/result.hpp"
#include "broker/shard/ports.hpp"

/// Answers of the disk on their way to a shard's thread.
namespace parley::disk {

/// Batches of one shard that one commit decided, in ticket order.
struct AppendedEvent {
  struct Batch {
    std::uint64_t ticket = 0;
    Result<Lsn> first;
  };
  std::vector<Batch> batches;
};

struct LoadedEvent {
  std::string name;
  Result<shard::LogStoreEvents::LoadedConversation> loaded;
};

struct EntriesReadEvent {
  std::uint64_t token = 0;
  Result<shard::ReadPage> page;
};

struct LogReadEvent {
  std::uint64_t token = 0;
  Result<shard::LogPage> page;
};

struct SnapshotReadEvent {
  std::uint64_t token = 0;
  Result<shard::SnapshotPiece> piece;
};

struct SnapshotTakenEvent {
  std::uint64_t token = 0;
  Result<std::string> known;
};

struct SnapshotFinishedEvent {
  std::uint64_t token = 0;
};

struct SessionLoadedEvent {
  std::string client_id;
  Result<std::optional<shard::StoredSession>> loaded;
};

struct SessionsListedEvent {
  std::uint64_t token = 0;
  Result<shard::SessionList> listed;
};

struct UserLoadedEvent {
  std::string user;
  Result<std::vector<shard::UserConversation>> loaded;
};

struct MaterialisedEvent {
  Lsn upto;
};

struct PlainWrittenEvent {
  std::uint64_t ticket = 0;
  Result<void> outcome;
};

using StoreEvent = std::variant<AppendedEvent, LoadedEvent, EntriesReadEvent, SessionLoadedEvent, UserLoadedEvent,
                                LogReadEvent, MaterialisedEvent, PlainWrittenEvent, SnapshotReadEvent,
                                SnapshotTakenEvent, SnapshotFinishedEvent, SessionsListedEvent>;

/// Brings events to the shards' threads; written by whoever owns those. Called on the disk's threads; must not block.
/// Events of one shard are delivered in the order they were posted by one thread.
class StoreEventSink {
 public:
  virtual ~StoreEventSink() = default;
  virtual void post(shard::ShardId shard, StoreEvent event) = 0;
};

/// Makes the calls that `event` stands for, on the shard's thread. Moves out of it.
void deliver(StoreEvent& event, shard::LogStoreEvents& to);

}  // namespace parley::disk
