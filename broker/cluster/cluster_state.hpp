#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/aio/event.hpp"
#include "base/aio/task_group.hpp"
#include "broker/cluster/announcements.hpp"
#include "broker/cluster/redis_client.hpp"
#include "broker/cluster/state_keys.hpp"
#include "broker/cluster/state_values.hpp"

/// What the nodes of a cluster know of each other through Redis: who is alive, who leads which slot, who wants which
/// topic, who holds which session. Format: docs/formats/redis.md.
namespace parley::cluster {

struct ClusterStateOptions {
  std::string cluster;
  NodeLease self;         ///< `load` and `draining` as they begin.
  std::string formation;  ///< As written: put again when Redis has lost it. Empty: left alone.
  Duration lease_time = std::chrono::seconds(3);
  Duration poll_interval = std::chrono::milliseconds(500);
};

/// What ClusterState tells, on its thread. Must not block.
class ClusterStateEvents {
 public:
  virtual ~ClusterStateEvents() = default;
  /// All leases that hold now, this node's own among them, when one has come, gone or changed.
  virtual void nodes_changed(const std::map<NodeId, NodeLease>& alive) = 0;
  /// These slots are led by somebody else than was last told, or in another term.
  virtual void slots_changed(const std::vector<SlotClaim>& changed) = 0;
  /// Redis has taken this node's claim: nobody else has claimed this term, or a higher one, through it.
  virtual void claim_taken(Slot slot, Term term) = 0;
  /// Redis has this claim instead, which isn't lower; this node's is forgotten.
  virtual void claim_refused(const SlotClaim& kept) = 0;
  /// All that this node wants; it replaces what was told before.
  virtual void filters_replaced(NodeId node, const std::vector<std::string>& filters) = 0;
  virtual void filters_changed(NodeId node, const std::vector<std::string>& added,
                               const std::vector<std::string>& removed) = 0;
  /// A session that this node has placed is elsewhere, by a newer generation; its place here is forgotten.
  virtual void session_elsewhere(const std::string& client_id, const SessionLocation& location) = 0;
  /// Redis came, which means that it has taken this node's lease, or went. While it is away everything told before
  /// stays as it was.
  virtual void redis_reachable(bool reachable) = 0;
  /// Redis has another formation of this cluster's name; at each poll.
  virtual void foreign_formation(const std::string& /*formation*/) {}
  /// Another process announces itself under this node's id.
  virtual void duplicate_node(const NodeLease& other) = 0;
};

/// Belongs to one thread. Everything that is announced stays in memory; what Redis loses (FLUSHALL, a failover to an
/// empty or stale replica) is told again within two polls, in a few pipelines. No call waits for Redis but for
/// `find_session` and `remove_node`, and those for a second at most.
class ClusterState final : private RedisClientEvents {
 public:
  /// `events` lives longer than this.
  ClusterState(asio::any_io_executor executor, ClusterStateOptions options, RedisOptions redis,
               ClusterStateEvents& events);
  ~ClusterState() override;

  void start();
  /// Withdraws the lease, if Redis is there, and ends. Must be awaited before this goes.
  asio::awaitable<void> stop();

  // -- What this node announces --
  void set_load(std::uint32_t per_mille);
  void set_draining(bool draining);
  void add_filter(const std::string& filter);
  void remove_filter(const std::string& filter);
  /// Answered by claim_taken or claim_refused, once Redis is there. Also for a change of replicas within the term.
  void claim(SlotClaim claim);
  void forget_claim(Slot slot);
  /// `slot` is the client id's. The higher generation wins, here and elsewhere.
  void place_session(Slot slot, const std::string& client_id, std::uint64_t generation);
  void remove_session(const std::string& client_id);

  // -- Questions --
  asio::awaitable<Result<std::optional<SessionLocation>>> find_session(Slot slot, std::string client_id);
  /// Takes a node's lease and filters, and its id from the list; a node that is alive comes back by itself.
  asio::awaitable<Result<void>> remove_node(NodeId node);

  [[nodiscard]] bool redis_is_reachable() const { return reachable_; }
  /// Redis has been told everything.
  [[nodiscard]] bool is_announced() const { return announcements_.complete(); }

 private:
  using Replies = std::vector<RedisReply>;

  void redis_connected() override;
  void redis_lost() override;
  void redis_published(std::string_view message) override;

  asio::awaitable<void> work();
  asio::awaitable<bool> poll();
  asio::awaitable<bool> read_news();
  asio::awaitable<bool> announce();
  asio::awaitable<Result<Replies>> call_with_scripts(std::vector<RedisRequest> requests);

  void take_own_lease(const RedisReply& reply);
  void take_mark(const RedisReply& reply);
  void take_nodes(const RedisReply& members, const RedisReply& leases);
  void take_slots(const RedisReply& reply);
  void take_filter_versions(const RedisReply& reply);
  void take_filters(NodeId node, std::uint64_t version, const RedisReply& reply);
  void take_kept(const Announcements::Batch& batch, const Replies& replies);
  void everything_lost();
  void poke();
  void complain(const std::string& error);

  const ClusterStateOptions options_;
  const StateKeys keys_;
  ClusterStateEvents& events_;
  asio::any_io_executor executor_;
  RedisClient client_;
  aio::TaskGroup tasks_;
  aio::Event poked_;
  bool poke_waits_ = false;

  NodeLease self_;
  Announcements announcements_;
  LineLimiter lines_;
  std::string mark_;           ///< Of the Redis whose state this is.
  std::string slots_version_;  ///< As last read.
  bool slots_stale_ = true;
  bool first_beat_ = true;
  bool reachable_ = false;
  std::set<NodeId> members_;
  std::map<NodeId, NodeLease> alive_;
  std::map<Slot, SlotClaim> slots_;
  std::map<NodeId, std::uint64_t> filter_versions_;  ///< As told.
  std::map<NodeId, std::uint64_t> filters_wanted_;   ///< As Redis has them, to be read.
};

}  // namespace parley::cluster
