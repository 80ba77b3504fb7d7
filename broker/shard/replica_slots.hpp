#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <queue>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "broker/replication/slot.hpp"
#include "broker/shard/append_queue.hpp"
#include "broker/shard/options.hpp"
#include "broker/shard/ports.hpp"
#include "broker/shard/replica_sending.hpp"
#include "broker/shard/snapshot_sending.hpp"
#include "broker/shard/snapshot_taking.hpp"
#include "broker/shard/waiting.hpp"

namespace parley::shard {

/// Who leads a slot, as far as this node knows.
struct Leadership {
  enum class State : std::uint8_t {
    Nobody,     ///< Not known; also this node, until it has committed something of its term.
    Here,       ///< This node, and what it has committed is all there is: it may host.
    Elsewhere,  ///< `node`.
  };
  State state = State::Nobody;
  NodeId node;  ///< Nobody: 0, and no term.
  Term term;
  friend bool operator==(const Leadership&, const Leadership&) = default;
};

/// How a replica stands, for placement and operators.
struct SlotStatus {
  Slot slot;
  replication::Role role = replication::Role::Follower;
  bool ready = false;  ///< See Leadership::State::Here.
  Term term;
  NodeId leader;  ///< 0: not known.
  Index last;
  Index durable;
  Index commit;
  replication::ReplicaSet replicas;
  bool replicas_committed = true;
  bool whole = true;  ///< Nothing that it had promised is lost: replication::SlotState::lost_before.
  struct Peer {
    NodeId node;
    bool voter = false;
    replication::Peer::Progress progress = replication::Peer::Progress::Probing;
    Index match;
    bool could_lead = false;  ///< See replication::Slot.
  };
  std::vector<Peer> peers;  ///< As the leader knows them.
};

/// What the slots' replicas tell their shard, one call after the other, never from within a call to ReplicaSlots that
/// proposes or adds. Whoever is called may propose again at once.
class ReplicaEvents {
 public:
  virtual ~ReplicaEvents() = default;
  /// They are committed, in the order of each slot's log; show and acknowledge them. May be taken apart.
  virtual void committed(std::vector<WaitingRecord>& records) = 0;
  /// They won't be, as far as this node can tell: StorageError for what the disk refused (its place is given again),
  /// ReplicationError::NotLeader for what the next leader may have or not.
  virtual void refused(std::vector<WaitingRecord>& records, boost::system::error_code why) = 0;
  /// It isn't what it was, be it only in term.
  virtual void leadership_changed(Slot slot, const Leadership& leadership) = 0;
  /// For the first time since the start this replica has all that earlier leaders than the present one have committed.
  virtual void complete(Slot /*slot*/) {}
};

/// The replicas of this shard's slots: one replication::Slot each, which decides, and here is carried out what it
/// decides: what goes to the disk, to other nodes and to whoever waits. Belongs to its shard's thread.
///
/// A record waits until its slot has committed it; being durable here is not enough. A standalone broker is the only
/// voter of its slots, which takes the same way: a batch costs one synced() for each slot in it.
class ReplicaSlots {
 public:
  /// All arguments outlive this.
  struct World {
    ShardId shard = 0;
    const ShardOptions& options;
    LogStore& store;
    PeerNodes& nodes;
    Random& random;
  };
  ReplicaSlots(const World& world, ReplicaEvents& events);
  ~ReplicaSlots();

  // -- Before the first turn --
  /// Slots of other homes are passed over; those that aren't restored have never been written.
  void restore(const StoredSlot& stored);

  // -- The turn --
  void begin_turn(Instant now);
  /// Sends what was proposed, and hands the store what has come together.
  void flush();
  [[nodiscard]] std::optional<Instant> next_due() const;
  void appended(std::uint64_t ticket, Result<Lsn> first);
  void log_read(std::uint64_t token, const Result<LogPage>& page);
  void snapshot_read(std::uint64_t token, const Result<SnapshotPiece>& piece);
  void snapshot_taken(std::uint64_t token, const Result<std::string>& known);
  void snapshot_finished(std::uint64_t token);

  // -- From the other nodes, see PeerNodesEvents --
  void node_reachable(NodeId node);
  void node_unreachable(NodeId node);
  void node_leads(NodeId node, Slot slot, std::optional<Term> term);
  void node_connected(NodeId node);
  void node_writable(NodeId node, NodeChannel channel);
  /// Of the channels Replication and Votes.
  void node_message(NodeId from, std::string_view message);
  void snapshot(NodeId from, const remote::SnapshotOffer& offer);
  void snapshot(NodeId from, const remote::SnapshotRead& request);
  void snapshot(NodeId from, const remote::SnapshotPage& page);
  void snapshot(NodeId from, const remote::SnapshotTaken& taken);

  // -- Leading --
  [[nodiscard]] Leadership leadership(Slot slot) const;
  /// The next place in the slot's log; the record that takes it must be added next. Fails with
  /// ReplicationError::NotLeader, NoMajority, Transferring.
  Result<format::RecordPosition> propose(Slot slot);
  void add(const format::RecordPosition& position, std::shared_ptr<const std::string> record, Waiting waiting);
  /// The next step of a slot's replicas; it is committed when SlotStatus says so. Fails with ReplicationError.
  Result<void> change_replicas(Slot slot, const replication::ReplicaChange& change);
  /// Fails with ReplicationError; may come to nothing even so.
  Result<void> transfer_leadership(Slot slot, NodeId to);
  /// By slot.
  [[nodiscard]] std::vector<SlotStatus> status() const;
  /// Bytes of what waits, for backpressure.
  [[nodiscard]] std::size_t waiting_bytes() const { return waiting_bytes_; }
  /// Why the disk took nothing the last time, if so: leaderless slots may be so for that reason.
  [[nodiscard]] boost::system::error_code disk_error() const { return disk_error_; }
  /// Nothing waits, for the disk or for other nodes.
  [[nodiscard]] bool idle() const { return appends_.empty() && waiting_bytes_ == 0; }

 private:
  struct Replica;

  Replica& replica(Slot slot) { return *replicas_[slot.value / world_.options.shards]; }
  [[nodiscard]] const Replica& replica(Slot slot) const { return *replicas_[slot.value / world_.options.shards]; }
  [[nodiscard]] bool is_home(Slot slot) const {
    return slot.value < world_.options.slots && home_of_slot(slot, world_.options) == world_.shard;
  }
  [[nodiscard]] replication::SlotState initial_state(const StoredSlot& stored) const;
  void start();
  void tick(std::uint32_t place);
  void append_failed(std::uint64_t ticket, boost::system::error_code why);
  void persist(Replica& replica);
  void resume_sending(Replica& replica);
  void unsent(const ReplicaSending::Unsent& unsent);
  bool take_records(Slot slot, const replication::AppendEntries& message);
  template <class Input>
  void input_all(Input&& hand_in);

  /// Hands an input to the slot and carries out what it decides; deliver() has to come after it.
  template <class Input>
  void input(Replica& replica, Input&& hand_in);
  void hand_in(Replica& replica, const std::function<void(replication::Slot&, replication::Actions&)>& input_of);

  // -- snapshot_replicas.cpp: replicas that are behind the log --
  static bool needs_snapshot(const Replica& replica, NodeId node);
  void offer_snapshots();
  void finish_snapshots();
  void tell_taken(const SnapshotTaking::Finished& done);

  void carry_out(Replica& replica, const replication::PersistHardState& action);
  void carry_out(Replica& replica, const replication::Send& action);
  void carry_out(Replica& replica, const replication::SendAppend& action);
  void carry_out(Replica& replica, const replication::Truncate& action);
  void carry_out(Replica& replica, const replication::Append& action);
  void carry_out(Replica& replica, const replication::Committed& action);
  void carry_out(Replica& replica, const replication::BecameLeader& action);
  void carry_out(Replica& replica, const replication::SteppedDown& action);
  void carry_out(Replica& replica, const replication::LeaderChanged& action);
  void carry_out(Replica& replica, const replication::NeedSnapshot& action);
  void carry_out(Replica& replica, const replication::ReplicasChanged& action);
  void carry_out(Replica& replica, const replication::Diverged& action);
  void give_up(Replica& replica, Index from, boost::system::error_code why);
  void note_change(Replica& replica);
  /// Tells what has come of the inputs. Whoever is told may propose, so it comes when all is carried out.
  void deliver();

  World world_;
  ReplicaEvents& events_;
  Instant now_;
  AppendQueue appends_;
  ReplicaSending sending_;
  SnapshotSending snapshot_sending_;
  SnapshotTaking snapshot_taking_;
  std::vector<StoredSlot> stored_;                  ///< Until the first turn.
  std::vector<std::unique_ptr<Replica>> replicas_;  ///< By slot / shards; from the first turn on.
  std::size_t waiting_bytes_ = 0;
  boost::system::error_code disk_error_;
  std::vector<Replica*> proposed_;  ///< Since the last flush.

  /// Places in `replicas_` with the time at which something is due. One that came earlier asks again.
  using Due = std::pair<Instant, std::uint32_t>;
  std::priority_queue<Due, std::vector<Due>, std::greater<>> due_;

  // -- What deliver() has to tell --
  struct Refused {
    boost::system::error_code why;
    std::vector<WaitingRecord> records;
  };
  std::vector<WaitingRecord> committed_;
  std::vector<Refused> refused_;
  std::vector<Replica*> changed_;
  std::vector<Slot> complete_;
  bool delivering_ = false;

  replication::Actions actions_;                              ///< Reused.
  std::vector<std::shared_ptr<const std::string>> received_;  ///< Of the AppendEntries that is being received …
  Index received_first_;                                      ///< … from here on.
};

}  // namespace parley::shard
