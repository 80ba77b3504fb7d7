#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.hpp"
#include "base/metrics.hpp"
#include "base/number.hpp"
#include "base/time.hpp"
#include "broker/replication/options.hpp"
#include "broker/session/limits.hpp"
#include "broker/shard/throttling.hpp"

namespace parley::shard {

/// What a shard is told at its start; lives longer than the shard.
struct ShardOptions {
  std::uint32_t shards = 1;
  std::uint32_t slots = 256;
  Metrics* metrics = nullptr;  ///< Of the node, a place for each shard. Null: each shard counts for itself alone.
  Duration system_interval{};  ///< Between two publications of $SYS; zero: there is none.
  session::Limits limits;
  std::size_t packet_size_before_connect_max = 64 * 1024;
  std::string root = "chat";                  ///< [chat] root.
  bool auto_create = false;                   ///< [chat] auto_create: conversations appear on first use and are public.
  std::size_t message_size_max = 256 * 1024;  ///< [chat] max_message_size: of the content; and of its properties.
  Rate post_rate;                             ///< [chat] max_message_rate: of a user in a conversation; see PostRates.
  Duration retention{};                       ///< [chat] retention; 0: everything is kept.
  Duration edit_window = std::chrono::minutes(15);  ///< [chat] edit_window; 0: nothing can be edited.
  std::size_t marks_fanout = 100;  ///< [chat] marks_fanout: members of a group that get the others' marks.
  Duration presence_grace = std::chrono::seconds(10);         ///< [presence] grace.
  Duration inbox_cursor_interval = std::chrono::seconds(10);  ///< [chat] inbox_cursor_interval; see Inboxes.
  bool v3_refuse_closes = false;                              ///< [mqtt] v3_refuse = "close".
  std::size_t pending_bytes_max = 64 * 1024 * 1024;           ///< Waiting for the disk; more is refused as busy.
  std::size_t output_flush = 64 * 1024;                       ///< An output this large is written before the turn ends.
  std::size_t subscriptions_max = 10'000;                     ///< Per client.
  std::size_t inbox_conversations_max = 10'000;               ///< That it may begin with; others may fill it.
  std::size_t filter_levels_max = 201;                        ///< Of filters, and of topics that are published to.
  RateLimits rates;
  std::uint64_t connects_a_second = 0;                ///< CONNECT packets that this shard takes; 0: no limit.
  std::uint32_t user_connections_max = 0;             ///< On this node; 0: no limit.
  std::uint64_t sessions_max = 0;                     ///< On this node, of clients here or away; 0: no limit.
  Duration login_timeout = std::chrono::seconds(10);  ///< From CONNECT to its answer, the client's own steps included.
  std::size_t retained_max = 1'000'000;
  std::size_t retained_bytes_max = 1024ULL * 1024 * 1024;
  Duration cursor_flush = std::chrono::seconds(1);
  replication::Options replication;
  /// A slot whose log names no replicas is this node's alone: a standalone broker, or the first node of a cluster.
  bool founds_slots = true;
  std::size_t recent_records_bytes_max = 32 * 1024 * 1024;  ///< Kept for other replicas, by each shard.
  /// Taken from other nodes' stores for replicas that are behind the log, by each shard; 0: no limit.
  std::uint64_t snapshot_bytes_per_second = 32 * 1024 * 1024;
  double dismissals_per_second = 1000;              ///< Clients of all shards together; see Dismissal.
  Duration node_timeout = std::chrono::seconds(1);  ///< A node that can't be reached for so long is dead; see Orphans.
  Duration leader_wait = std::chrono::seconds(2);   ///< What is sent to a slot without a leader waits so long.
};

/// The largest message that a node says to another: a packet's content, or the properties of a message and the content
/// of its edit; and before it as much of other records as goes into one message, and what stands around them.
inline std::size_t node_message_max(const ShardOptions& options) {
  constexpr std::size_t kBesides = 512 * 1024;
  const std::size_t packet =
      std::max<std::size_t>(options.limits.packet_size_max, options.packet_size_before_connect_max);
  return std::max(packet, 2 * std::min(options.message_size_max, packet)) + kBesides;
}
/// The largest record for nodes that take messages of `message_max`.
constexpr std::size_t record_size_max(std::size_t message_max) {
  constexpr std::size_t kBesides = 260 * 1024;  // Other records in the same message, and what stands around them.
  return message_max - std::min(message_max, kBesides);
}

/// The slot of a conversation, user or client id.
inline Slot slot_of_name(std::string_view name, const ShardOptions& options) {
  return {stable_hash(name) % options.slots};
}
/// The shard that owns a slot, and so the sessions and conversations in it. There are at least as many slots as shards.
inline std::uint32_t home_of_slot(Slot slot, const ShardOptions& options) {
  return static_cast<std::uint32_t>(slot.value % options.shards);
}
inline std::uint32_t home_of_name(std::string_view name, const ShardOptions& options) {
  return home_of_slot(slot_of_name(name, options), options);
}

}  // namespace parley::shard
