#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "broker/shard/node_events.hpp"
#include "broker/shard/options.hpp"
#include "broker/shard/ports.hpp"

namespace parley::shard {

/// The leader's side of SnapshotTaking: tells replicas that they need a slot's history, and reads the pieces that they
/// ask for. Knows nothing of how far anyone is. Belongs to its shard's thread.
class SnapshotSending {
 public:
  /// A replica that needs it is told again after so long.
  static constexpr Duration kOfferAgain = std::chrono::seconds(1);

  SnapshotSending(ShardId shard, const ShardOptions& options, LogStore& store, PeerNodes& nodes)
      : shard_(shard), options_(options), store_(store), nodes_(nodes) {}

  void needed(Slot slot, NodeId by, Instant now) { offers_[{slot, by}] = now; }
  void forget(Slot slot) {
    std::erase_if(offers_, [slot](const auto& one) { return one.first.first == slot; });
  }
  void forget(Slot slot, NodeId node) { offers_.erase({slot, node}); }
  [[nodiscard]] std::optional<Instant> next_due() const;
  /// Whom to tell now: each is to be offered, or forgotten.
  [[nodiscard]] std::vector<std::pair<Slot, NodeId>> due(Instant now) const;
  void offer(Slot slot, NodeId to, Term term, Instant now);

  void read(NodeId from, const remote::SnapshotRead& request);
  void refuse(NodeId from, const remote::SnapshotRead& request);
  struct Asked {
    NodeId node;
    Slot slot;
    std::uint64_t token = 0;
  };
  /// Whom an answer of the store is for.
  std::optional<Asked> take(std::uint64_t token);
  /// A page that isn't taken is lost: it will be asked for again.
  void answer(NodeId to, const remote::SnapshotPage& page);

 private:
  ShardId shard_;
  const ShardOptions& options_;
  LogStore& store_;
  PeerNodes& nodes_;
  std::map<std::pair<Slot, NodeId>, Instant> offers_;
  std::map<std::uint64_t, Asked> reads_;
  std::uint64_t next_token_ = 1;
};

}  // namespace parley::shard
