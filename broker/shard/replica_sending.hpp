#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "broker/replication/actions.hpp"
#include "broker/shard/ports.hpp"

namespace parley::shard {

/// What this shard's slots send to their other replicas: records from memory while they are recent, else from the log.
/// Belongs to its shard's thread.
///
/// Memory: the latest records of slots that have other replicas, up to a number of bytes, whichever slot they are of.
class ReplicaSending {
 public:
  ReplicaSending(ShardId shard, LogStore& store, PeerNodes& nodes, std::size_t recent_bytes_max)
      : shard_(shard), store_(store), nodes_(nodes), recent_bytes_max_(recent_bytes_max) {}

  /// The slot's next record; it will be sent soon.
  void keep(Slot slot, Index index, std::shared_ptr<const std::string> record);
  /// The records from there on are others now, or none.
  void forget_from(Slot slot, Index first);
  /// The slot isn't led here any more: nothing of what waits to be sent counts.
  void forget(Slot slot);
  /// Its connection was lost, and with it what was under way.
  void forget(NodeId node);

  /// False when it was not taken: the channel is full, or there is no connection.
  bool send(NodeId to, const replication::PeerMessage& message);
  /// Sends it in pieces, behind what waits for that replica already. Returns the first record that was not taken.
  std::optional<Index> send(const replication::SendAppend& append);

  /// Records that were to be sent and were not.
  struct Unsent {
    Slot slot;
    NodeId to;
    Index first;
    boost::system::error_code why;  ///< None: the channel is full.
  };
  /// An answer of the store; others than those that were asked for are passed over.
  std::optional<Unsent> log_read(std::uint64_t token, const Result<LogPage>& page);

 private:
  using RecordPtr = std::shared_ptr<const std::string>;

  struct Recent {
    Index first;
    std::deque<RecordPtr> records;
  };
  /// What waits for one replica of one slot; the front is being read.
  struct Queue {
    std::uint64_t token = 0;
    std::deque<replication::SendAppend> appends;
  };
  using QueueKey = std::pair<Slot, NodeId>;

  void trim();
  /// Those of [first, last] that are in memory, as many as fit into one message.
  void find_recent(Slot slot, Index first, Index last);
  bool send_piece(const replication::SendAppend& append, Index first, std::span<const RecordPtr> records);
  std::optional<Index> go_on(const QueueKey& key, Queue& queue);
  void read(const QueueKey& key, Queue& queue);

  ShardId shard_;
  LogStore& store_;
  PeerNodes& nodes_;
  std::size_t recent_bytes_max_;
  std::unordered_map<Slot, Recent> recent_;
  std::deque<std::pair<Slot, Index>> order_;  ///< Of what is kept, oldest first; some of it may be gone.
  std::size_t recent_bytes_ = 0;
  std::map<QueueKey, Queue> queues_;  ///< Only those in which something waits.
  std::map<std::uint64_t, QueueKey> reads_;
  std::uint64_t next_token_ = 1;
  std::vector<RecordPtr> piece_;  ///< Reused.
};

}  // namespace parley::shard
