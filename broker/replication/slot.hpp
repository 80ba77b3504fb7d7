#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/number.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "broker/replication/actions.hpp"
#include "broker/replication/error.hpp"
#include "broker/replication/messages.hpp"
#include "broker/replication/options.hpp"
#include "broker/replication/peer.hpp"
#include "broker/replication/replica_set.hpp"
#include "broker/replication/term_history.hpp"
#include "storage/format/record.hpp"

namespace parley::replication {

enum class Role : std::uint8_t {
  Follower,      ///< Learners, too, and nodes that haven't heard of the slot yet.
  PreCandidate,  ///< Asks who would vote for it, in its old term.
  Candidate,
  Leader,
};

/// A slot as its node had stored it.
struct SlotState {
  HardState hard;
  LogPosition base;                 ///< Before the first record of the slot that is in the log.
  std::vector<TermRun> terms;       ///< Of the records above the base.
  Index last;                       ///< The last record.
  Index commit;                     ///< Known to be committed, at least the base; what the history has materialised.
  ReplicasAt replicas;              ///< In force at the base.
  std::vector<ReplicasAt> changes;  ///< Named by records above it.
  /// What this replica had acknowledged or promised in earlier terms than this may be lost, since its log was damaged.
  /// It doesn't stand, and votes as `lost_upto` says, until it has as much as it had, or something that was committed
  /// in this term or a later one, and so everything from before; what it acknowledges from now on counts at once.
  /// `hard` is of this term already: it follows no leader of an earlier one. 0: nothing is lost.
  Term lost_before = {};
  /// Where the log that was lost had ended, or a place behind that. Whoever has as much gets the vote that he would
  /// have got before: a vote says nothing of a log but where it ends. {0, 0}: not known, so nobody gets one.
  LogPosition lost_upto = {};
};

/// Names the writes to the disk that a log still stands for: another one after each truncation and failed append.
using LogGeneration = Number<struct LogGenerationTag>;

/// One slot's replication: Raft (the paper's §5.1 to §5.4, §6 and §8; the thesis for pre-vote, transfer, learners and
/// one-at-a-time changes). Pure. The caller hands in ticks, messages and what has been synced, and carries out the
/// actions in order; an action later in the list may rely on the earlier ones.
///
/// What it guarantees when the disk keeps what it has synced and no two nodes have one id: at most one leader in a
/// term; what was said to be committed never goes back and is in every later leader's log, so a place in the log (and a
/// seq in it) that anybody has seen never names another entry; committed means durable on a majority of the voters, and
/// here. A slot whose only voter is this node takes the same way and sends no message. A disk that has lost something
/// and knows it keeps all this, too, and goes on as long as a voter that has lost nothing has as much: SlotState.
///
/// Belongs to one thread. Costs about 400 bytes and no record; no message while nothing is said. No input takes more
/// than a walk over the slot's replicas, but for those that emit what was waiting.
class Slot {
 public:
  /// `options` outlives the slot. `random` makes its waits differ from those of other nodes.
  Slot(parley::Slot slot, NodeId self, const Options& options, const SlotState& state, std::uint64_t random,
       Instant now);

  // -- Time and messages --
  /// Due at deadline(); harmless at any other time.
  void tick(Instant now, Actions& actions);
  /// Instant::max() while nothing but an input can change anything: a quiet slot needs no ticks.
  [[nodiscard]] Instant deadline() const;
  /// A message for this slot from its replica on `from`, which is authenticated; else anything goes.
  void receive(NodeId from, const PeerMessage& message, Instant now, Actions& actions);

  // -- From the disk --
  /// Records up to `upto` that were handed to the disk in `generation`, and all before them, survive power loss.
  void synced(LogGeneration generation, Index upto, Instant now, Actions& actions);
  /// To be kept with each write and handed to synced().
  [[nodiscard]] LogGeneration generation() const { return generation_; }
  /// The disk refused: no record above durable() is stored, and none that was handed over before this call will be.
  void append_failed(Instant now, Actions& actions);
  void hard_state_synced(const HardState& state, Instant now, Actions& actions);
  /// The log has no records up to `upto` any more, which are committed: it begins after it.
  void cut(Index upto);

  // -- From the nodes, see NodeHealth --
  void peer_reachable(NodeId node, Instant now, Actions& actions);
  /// Also, followed by peer_reachable, when it has restarted.
  void peer_unreachable(NodeId node, Instant now, Actions& actions);
  /// `node` says of itself that it leads the slot in `term`, or that it doesn't lead it.
  void leadership(NodeId node, std::optional<Term> term, Instant now, Actions& actions);

  // -- Leading --
  /// This replica shall try to lead; nothing happens while it hears a leader, or when it is no voter.
  void stand(Instant now, Actions& actions);
  /// The places of `count` new records, of which the first is returned. They must be handed to the disk, in order.
  /// Fails with NotLeader, NoMajority, Transferring.
  Result<format::RecordPosition> propose(std::uint64_t count);
  /// Sends what was proposed since: to be called once after a turn's proposals.
  void replicate(Instant now, Actions& actions);
  /// The place of a record that names replicas(), which hold from now on; as propose(). Fails also with ChangeUnderWay
  /// and as apply() does.
  Result<format::RecordPosition> propose_replicas(const ReplicaChange& change, Actions& actions);
  /// Hands leadership to a voter once it has the whole log. Fails with NotLeader, NoSuchReplica, Transferring; and with
  /// ReplicaBehind, at no cost, when it wouldn't have it soon or couldn't lead.
  Result<void> transfer_to(NodeId node, Instant now, Actions& actions);

  // -- Answers to SendAppend and NeedSnapshot --
  /// Records from `first` on were not sent; nothing more is, until peer_writable.
  void append_unsent(NodeId to, Index first);
  void peer_writable(NodeId to, Instant now, Actions& actions);
  /// The replica has everything up to `position` now; or the transfer has failed, and is to be asked for again.
  void snapshot_sent(NodeId to, std::optional<LogPosition> position, Instant now, Actions& actions);
  /// A snapshot up to `position` is durable here, and the log begins after it. The log's rest, if it goes on from
  /// there, stays; else it was dropped, durably, too.
  void snapshot_installed(LogPosition position, ReplicasAt replicas, Instant now, Actions& actions);

  // -- How it stands --
  /// Leading: the voter is there, lacks nothing but what is under way to it, and knows what is committed in this term,
  /// so that nothing of it is lost (SlotState::lost_before).
  [[nodiscard]] bool could_lead(NodeId node) const;
  [[nodiscard]] parley::Slot slot() const { return slot_; }
  [[nodiscard]] Role role() const { return role_; }
  [[nodiscard]] Term term() const { return hard_.term; }
  [[nodiscard]] NodeId leader() const { return leader_; }  ///< 0: not known.
  [[nodiscard]] Index commit() const { return commit_; }   ///< ≤ durable().
  [[nodiscard]] Index durable() const { return durable_; }
  [[nodiscard]] LogPosition last() const { return terms_.last(); }
  [[nodiscard]] const TermHistory& terms() const { return terms_; }
  [[nodiscard]] const ReplicaSet& replicas() const { return history_.current().set; }
  /// Those in force when everything up to `index` counts, which isn't below the log's beginning.
  [[nodiscard]] const ReplicasAt& replicas_at(Index index) const { return history_.in_force(index); }
  /// SlotState::lost_before; 0 once everything is back.
  [[nodiscard]] Term lost_before() const { return lost_before_; }
  /// SlotState::lost_upto.
  [[nodiscard]] LogPosition lost_upto() const { return lost_upto_; }
  [[nodiscard]] bool replicas_committed() const { return history_.current().index <= commit_; }
  [[nodiscard]] const std::vector<Peer>& peers() const { return peers_; }

 private:
  // Whatever has one name in the paper is in the file that the comment names.

  // -- slot.cpp: what is common to all roles --
  bool voter(NodeId node) const { return replicas().has_voter(node); }
  Peer* peer(NodeId node);
  bool reachable(NodeId node) const;
  bool hard_state_durable() const { return hard_ == durable_hard_; }
  bool hears_leader() const { return role_ == Role::Leader ? has_quorum() : leader_ != NodeId{}; }
  bool has_quorum() const { return has_quorum(replicas()); }
  bool has_quorum(const ReplicaSet& set) const;
  void set_leader(NodeId leader, Actions& actions);
  void enter_term(Term term, NodeId vote);
  void become_follower(Term term, NodeId leader, Instant now, Actions& actions);
  void persist_hard_state(Actions& actions);
  void advance_commit(Index upto, Actions& actions);
  void take_back_what_was_lost();
  bool is_whole() const { return lost_before_ == Term{}; }
  bool is_blank() const { return terms_.last_index() == Index{} && replicas().voters.empty(); }
  void truncate_after(Index last, Actions& actions);
  void replicas_changed(Actions& actions);
  void send(NodeId to, PeerMessage::Body body, Actions& actions) const;
  Duration random_part();
  void receive_stale(NodeId from, const PeerMessage& message, Actions& actions) const;
  void receive_current(NodeId from, const PeerMessage& message, Instant now, Actions& actions);

  // -- slot_election.cpp --
  bool may_stand() const;
  bool may_vote_for(LogPosition last) const;
  void wait_for_leader(Instant now);
  void lose_leader(Instant now, Actions& actions);
  void begin_pre_vote(Instant now, Actions& actions);
  void begin_election(bool transfer, Instant now, Actions& actions);
  void ask_for_votes(Actions& actions);
  void count_votes(Instant now, Actions& actions);
  void receive(NodeId from, const RequestVote& message, Instant now, Actions& actions);
  void receive(NodeId from, const RequestVoteReply& message, Instant now, Actions& actions);
  void receive(NodeId from, const PreVote& message, Instant now, Actions& actions);
  void receive(NodeId from, const PreVoteReply& message, Instant now, Actions& actions);
  void receive(NodeId from, const TimeoutNow& message, Instant now, Actions& actions);

  // -- slot_following.cpp --
  void receive(NodeId from, const AppendEntries& message, Instant now, Actions& actions);
  void receive(NodeId from, const CommitHint& message, Instant now, Actions& actions);
  bool agrees(NodeId from, const AppendEntries& message, Actions& actions);
  static bool diverged(NodeId from, Index index, Actions& actions);
  bool take_entries(const AppendEntries& message, Actions& actions);
  void follow_commit(Actions& actions);
  void acknowledge(Actions& actions);

  // -- slot_leading.cpp --
  void become_leader(Instant now, Actions& actions);
  Result<void> may_propose() const;
  bool caught_up(NodeId learner) const;
  void receive(NodeId from, const AppendEntriesReply& message, Instant now, Actions& actions);
  void take_success(Peer& from, const AppendEntriesReply& message, Instant now);
  void take_refusal(Peer& from, const AppendEntriesReply& message);
  void pump(Peer& to, Instant now, Actions& actions);
  void send_append(Peer& to, Instant now, Actions& actions);
  void commit_by_counting(Instant now, Actions& actions);
  void check_quorum(Instant now);
  void end_transfer();
  void check_transfer(Actions& actions);
  void tick_leader(Instant now, Actions& actions);
  void tick_peer(Peer& peer, Instant now, Actions& actions);
  bool needs_hint(const Peer& peer) const;

  const Options& options_;
  const parley::Slot slot_;
  const NodeId self_;
  std::uint64_t random_;

  HardState hard_;
  HardState durable_hard_;
  HardState asked_hard_;  ///< The last one handed out in a PersistHardState.
  Role role_ = Role::Follower;
  NodeId leader_;
  bool confirmed_ = false;  ///< The leader's node says so itself, and will say when it is over.
  TermHistory terms_;
  ReplicaHistory history_;
  LogGeneration generation_{1};
  Index durable_;
  Index commit_;
  Term lost_before_;
  LogPosition lost_upto_;
  std::vector<Peer> peers_;  ///< replicas() without this node.
  std::vector<NodeId> reachable_;
  /// Follower: when it stands if nothing comes; candidate: when it tries again.
  Instant election_at_ = Instant::max();

  // -- Follower --
  Index verified_;          ///< Equal to the log of the term's leader up to here.
  Index leader_commit_;     ///< What the leader has committed.
  bool ack_owed_ = false;   ///< The leader will be told when more is durable.
  bool vote_owed_ = false;  ///< The vote was given, and will be told when it is durable.

  // -- Candidate --
  bool by_transfer_ = false;

  // -- Leader --
  Index sent_;  ///< The last entry that was sent to anybody in this term.
  NodeId transfer_target_;
  Instant transfer_until_ = Instant::max();
  Instant quorum_lost_until_ = Instant::max();  ///< When it steps down, unless it hears a majority again.
};

}  // namespace parley::replication
