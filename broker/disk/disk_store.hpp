#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/metrics.hpp"
#include "base/number.hpp"
#include "base/time.hpp"
#include "broker/disk/store_event.hpp"
#include "broker/shard/ports.hpp"
#include "storage/log_damage.hpp"
#include "storage/recovery.hpp"

namespace parley::storage {
class Members;
}

namespace parley::disk {

class LogGuard;

struct DiskOptions {
  std::string data_dir;
  std::uint32_t shards = 1;                    ///< Broker shards that will call; each gets `materialised`.
  unsigned readers = 1;                        ///< Threads for loads and reads.
  std::uint64_t log_map_size = 64ULL << 30;    ///< [storage] log_map_size: address space, the file grows as needed.
  std::uint64_t store_map_size = 1ULL << 40;   ///< [storage] store_map_size.
  std::uint64_t plain_map_size = 64ULL << 30;  ///< [storage] plain_map_size.
  std::size_t group_records_max = 4096;        ///< Records and bytes of one commit of the log.
  std::size_t group_bytes_max = 8ULL << 20;
  std::size_t materialise_records = 2'500;               ///< The store is written once so many records wait …
  Duration materialise_after = std::chrono::seconds(1);  ///< … or the oldest has waited for so long.
  std::size_t materialise_bytes_max = 32ULL << 20;       ///< Records' bytes of one commit of the store.
  Duration log_retention = std::chrono::hours(24);       ///< [storage] log_retention.
  std::uint64_t log_size_max = 8ULL << 30;  ///< [storage] log_size_max: older materialised records go first.
  Duration log_cut_every = std::chrono::seconds(1);
  Counters* counters = nullptr;  ///< For this alone; null: nothing is counted.
  bool index_slots = false;  ///< Other nodes may want to read the slots' logs: read_log finds records, and StoredSlot
                             ///< has a base that is behind what is materialised.
  /// Of a node of several: this one. 0: damage in the log is passed over, for nobody else has what is in it.
  NodeId self = {};
  std::optional<storage::LogDamage> damage = {};  ///< What LogCheck has found.
  std::function<void()> stop = {};                ///< Called once, from any thread, when the node must stop: LogGuard.
};

using storage::SlotEnd;

/// shard::LogStore for real: the data directory, one thread that commits to the log, one that materialises behind it
/// and a few that read.
///
/// Calls come from the shards' threads and never wait for the disk, except find_id, which reads the mapped file.
/// Answers leave through the sink, on this object's threads. Start-up calls come before the shards start.
class DiskStore final : public shard::LogStore {
 public:
  /// Takes the data directory, opens or creates both files, and starts the threads. Throws storage::OpenFailure with
  /// one sentence for the operator: in use, not writable, newer format, damaged. `sink` lives longer than this.
  static std::unique_ptr<DiskStore> open(DiskOptions options, StoreEventSink& sink);
  /// Stops first.
  ~DiskStore() override;

  /// Start-up: where the slots' logs end, unmaterialised records included; slots that were never written are not there.
  [[nodiscard]] std::vector<SlotEnd> slot_ends() const;
  /// Start-up: what the slots' replicas are to go on from, in order of slots. Throws storage::OpenFailure.
  [[nodiscard]] std::vector<shard::StoredSlot> slots() const;
  /// Start-up: every persistent session, with its cursors. Throws storage::OpenFailure.
  void for_each_session(const std::function<void(const shard::StoredSession&)>& visit);

  /// Start-up: every row of a table of ordinary topics. Throws storage::OpenFailure.
  void for_each_plain_row(shard::PlainTable table,
                          const std::function<void(std::string_view key, std::string_view value)>& visit);

  /// Appends and reads what was handed over before, materialises nothing more, and joins the threads. No calls may come
  /// after it; events may come until it returns.
  void stop();

  /// Everything up to here is in the log, respectively in the store; for metrics. Any thread.
  [[nodiscard]] Lsn log_end() const;
  [[nodiscard]] Lsn watermark() const;

  void append(shard::AppendBatch batch) override;
  void committed(Slot slot, Index index) override;
  void read_log(shard::ShardId shard, LogReadRequest request) override;
  void read_snapshot(shard::ShardId shard, SnapshotReadRequest request) override;
  void take_snapshot(shard::ShardId shard, SnapshotTakeRequest request) override;
  void finish_snapshot(shard::ShardId shard, SnapshotFinishRequest request) override;
  void write_plain(shard::PlainBatch batch) override;
  std::uint64_t next_plain_number() override;
  void load_conversation(shard::ShardId shard, std::string name) override;
  void load_session(shard::ShardId shard, std::string client_id) override;
  void list_sessions(shard::ShardId shard, ListSessionsRequest request) override;
  void read_entries(shard::ShardId shard, ReadRequest request) override;
  std::optional<shard::StoredId> find_id(shard::ShardId shard, ConversationNumber conversation, std::string_view from,
                                         std::string_view id) override;
  std::optional<format::MemberRow> find_member(shard::ShardId shard, ConversationNumber conversation,
                                               std::string_view user) override;
  std::vector<shard::StoredMember> list_members(shard::ShardId shard, ConversationNumber conversation,
                                                std::string_view after, std::size_t count_max) override;
  Result<std::optional<format::Mark>> find_mark(shard::ShardId shard, ConversationNumber conversation,
                                                std::string_view user) override;
  shard::StoredTally find_tally(shard::ShardId shard, ConversationNumber conversation, Seq upto) override;
  std::vector<shard::UnfedMember> unfed_members(shard::ShardId shard, Slot slot, std::size_t count_max) override;
  void load_user(shard::ShardId shard, std::string user) override;
  RetentionPage due_retention(shard::ShardId shard, const RetentionRequest& request) override;
  std::vector<shard::StoredErasure> erasures(shard::ShardId shard, Slot slot) override;
  void find_erasure(shard::ShardId shard, ErasureRequest request) override;
  void find_sessions(shard::ShardId shard, SessionsRequest request) override;

  /// Who is to be told of damage in the log; null where it is passed over.
  [[nodiscard]] std::shared_ptr<LogGuard> guard() const;

  /// Of all slots that are kept here. Any thread.
  [[nodiscard]] std::vector<shard::StoredErasure> erasures() const;

 private:
  struct Parts;
  explicit DiskStore(std::unique_ptr<Parts> parts);
  storage::Members& members_of(shard::ShardId shard);
  std::unique_ptr<Parts> parts_;
};

}  // namespace parley::disk
