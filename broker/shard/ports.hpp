#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/number.hpp"
#include "base/output.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "broker/chat/marks.hpp"
#include "broker/shard/user_account.hpp"
#include "mqtt/types.hpp"
#include "storage/format/changes.hpp"
#include "storage/format/record.hpp"
#include "storage/format/rows.hpp"

/// How a shard speaks to the world. Each port has two implementations, the real one (net, disk) and the simulated one,
/// and promises only what disk and network really promise.
namespace parley::shard {

/// Which thread's world: 0 … threads-1.
using ShardId = std::uint32_t;

/// A conversation as storage knows it: what is durable, log's tail included.
struct StoredConversation {
  ConversationNumber number;
  std::string name;
  Epoch epoch;
  Seq oldest;  ///< First seq that is still there; head + 1 when none is.
  Seq head;    ///< 0: no entry yet.
  Timestamp last_ts;
  format::ConversationType type = format::ConversationType::Group;
  format::Visibility visibility = format::Visibility::Public;
  /// What is materialised of members and settings.
  std::uint64_t members = 0;
  std::uint64_t owners = 0;
  bool announce = false;
  format::HistoryRule history = format::HistoryRule::Joined;
  std::string title;
};

/// How far the erasure of a user is in one slot; see format::ErasureRecord.
struct StoredErasure {
  Slot slot;
  std::string user;
  Timestamp started;
  format::ErasureState state = format::ErasureState::Open;
  ConversationNumber conversation;
  Seq seq;
  std::uint64_t redacted = 0;
};
/// What was found of a user who is to be erased.
struct ErasurePage {
  struct Found {
    std::string name;  ///< Of the conversation.
    bool is_member = false;
    std::vector<Seq> messages;  ///< Those that aren't redacted.
  };
  std::vector<Found> found;
  ConversationNumber conversation;  ///< Where to go on; 0: the slot has no more.
  Seq seq;
};
struct ErasureSessions {
  std::vector<std::string> client_ids;
  std::string next;  ///< Where to go on; empty: there is no more.
};

using format::StoredMember;
using format::UnfedMember;
using format::UserConversation;

/// How many entries up to somewhere are no messages, and the last of them.
struct StoredTally {
  Seq seq;
  std::uint64_t count = 0;
};

/// Where an idempotence id was used first.
struct StoredId {
  Seq seq;
  Timestamp ts;
  std::optional<format::EntryKind> kind{};  ///< Of the entry, while it is there.
};

struct StoredSession {
  std::string client_id;
  std::string user;
  std::uint32_t expiry_interval = 0;
  Timestamp disconnected;
  std::string state;
  struct Cursor {
    std::string topic;
    Epoch epoch;
    Seq acknowledged;
  };
  std::vector<Cursor> cursors;
  NodeId owner;                  ///< 0: written without a cluster.
  std::uint64_t generation = 0;  ///< See format::SessionRecord.
};

/// Sessions without what they are about.
struct SessionList {
  struct One {
    std::string client_id;
    NodeId owner;
    std::uint64_t generation = 0;
    std::uint32_t expiry_interval = 0;
    Timestamp disconnected;
    std::optional<std::uint32_t> will_delay;  ///< Seconds; none: it has no will.
  };
  std::vector<One> sessions;
};

/// A slot's replica as storage knows it at the start.
struct StoredSlot {
  Slot slot;
  Term term;    ///< Highest that was seen …
  NodeId vote;  ///< … and whom it voted for in it; 0: nobody.
  struct Position {
    Term term;
    Index index;
  };
  Position base;                ///< Before the first record of the slot that is in the log.
  std::vector<Position> terms;  ///< Where each term's records above the base begin, ascending.
  Index last;                   ///< The last record, committed or not.
  Index commit;                 ///< Known to be committed; at least the base.
  struct Replicas {
    Index index;
    std::vector<NodeId> voters;
    std::vector<NodeId> learners;
  };
  std::vector<Replicas>
      replicas;             ///< In force at the base, if a record has named any, then those that records above it name.
  Term lost_before = {};    ///< See replication::SlotState.
  Position lost_upto = {};  ///< The same.
};

/// Records and hard states that one shard wants appended, in this order, in one piece; at least one of either.
struct AppendBatch {
  ShardId shard = 0;
  std::uint64_t ticket = 0;                                 ///< Rises by one with each batch of the shard.
  std::uint64_t generation = 0;                             ///< See LogStore::append.
  std::vector<std::shared_ptr<const std::string>> records;  ///< Encoded by format::encode_record.
  std::vector<format::HardStateRow> hard_states;            ///< Durable with the records; see storage::LogWriter.
};

/// Answer to a read: what was asked for, ascending.
struct ReadPage {
  std::vector<format::EntryPtr> entries;
  /// Entries in the range that are there but can't be read (corrupt). The range is [first, last] of the request.
  std::vector<Seq> corrupt;
};

/// A piece of a slot's log.
struct LogPage {
  /// Encoded; without a hole from the first that was asked for.
  std::vector<std::shared_ptr<const std::string>> records;
};

/// A piece of a slot's history.
struct SnapshotPiece {
  StoredSlot::Position at;  ///< The last record of the slot that was materialised when this was read.
  std::string bytes;
  std::string next;  ///< Position of the next piece; empty: this was the last one.
};

/// The tables of what is durable of ordinary topics; keys and values: docs/formats/plain.md.
enum class PlainTable : std::uint8_t { Messages, Queues, Outbound, Inbound, Retained };
inline constexpr std::size_t kPlainTables = 5;

/// A row that is written, or (nothing) goes.
struct PlainChange {
  PlainTable table{};
  std::string key;
  std::optional<std::string> value;
};

/// What one shard wants changed of ordinary topics, all of it or nothing.
struct PlainBatch {
  ShardId shard = 0;
  std::uint64_t ticket = 0;  ///< Rises by one with each batch of the shard.
  std::vector<PlainChange> changes;
};

/// The node's durable log and history. Called from the shards' threads; never blocks on the disk's sync. Answers come
/// as events into the shard's inbox, in any order among different calls, but `appended` in ticket order.
class LogStore {
 public:
  virtual ~LogStore() = default;

  /// Appends and syncs the batch, together with whatever else is waiting. Answered by Inbox::appended: success only
  /// when everything in it survives power loss. After a failure every later batch of the same shard with the same
  /// `generation` fails too, untried, so that nothing is appended behind a hole; the shard raises its generation once
  /// it has handled the failure.
  virtual void append(AppendBatch batch) = 0;

  /// Everything of the slot's log up to `index`, durable here, is committed: whoever reads may see it from now on, and
  /// it is materialised. Called before anything that tells of it leaves the shard. Costs one access to memory.
  virtual void committed(Slot slot, Index index) = 0;

  /// Records [first, last] of the slot's log as they stand here, committed or not, cut off once `bytes_max` is
  /// exceeded, but at least one. Answered by Inbox::log_read; NotFound when `first` isn't in the log any more.
  struct LogReadRequest {
    std::uint64_t token = 0;
    Slot slot;
    Index first;
    Index last;
    std::size_t bytes_max = 256 * 1024;
  };
  virtual void read_log(ShardId shard, LogReadRequest request) = 0;

  // -- A slot's history for a replica that is behind the log. What stands in positions, knowledge and pieces only the
  // two stores know: docs/formats/snapshot.md. --
  /// The next piece of what is materialised of the slot. Answered by Inbox::snapshot_read; NotFound when there is
  /// nothing.
  struct SnapshotReadRequest {
    std::uint64_t token = 0;
    Slot slot;
    std::uint32_t slots = 256;  ///< Of the cluster.
    std::string position;       ///< Empty: the beginning.
    std::string known;          ///< What the taker has from there on, by Inbox::snapshot_taken.
    std::size_t bytes_max = 512 * 1024;
  };
  virtual void read_snapshot(ShardId /*shard*/, SnapshotReadRequest /*request*/) {}
  /// Takes a piece in, as if it had come by the log; a crash in between leaves some of it, and a piece that is taken
  /// twice changes nothing. Where the slot's log stands doesn't move. Answered by Inbox::snapshot_taken.
  struct SnapshotTakeRequest {
    std::uint64_t token = 0;
    Slot slot;
    std::uint32_t slots = 256;
    std::string piece;  ///< Empty: only the answer is wanted.
    std::string next;   ///< Position that will be read next.
  };
  virtual void take_snapshot(ShardId /*shard*/, SnapshotTakeRequest /*request*/) {}
  /// Everything was taken up to `base` at least: the slot's log begins behind it, also after a restart, and what stands
  /// of it in the log so far is void. Nothing of the slot is being appended. Tried until it is done, then answered by
  /// Inbox::snapshot_finished.
  struct SnapshotFinishRequest {
    std::uint64_t token = 0;
    Slot slot;
    StoredSlot::Position base;
    StoredSlot::Replicas replicas;  ///< In force there; without voters: none was ever named.
  };
  virtual void finish_snapshot(ShardId /*shard*/, SnapshotFinishRequest /*request*/) {}

  /// Makes the changes durable, together with whatever else is waiting; they belong to this node and are not
  /// replicated. Answered by Inbox::plain_written in ticket order; a batch that fails leaves the later ones alone.
  virtual void write_plain(PlainBatch batch) = 0;
  /// A number that no row has had, higher than all before it, also after a restart. Any thread.
  virtual std::uint64_t next_plain_number() = 0;

  /// Answered by Inbox::conversation_loaded.
  virtual void load_conversation(ShardId shard, std::string name) = 0;

  /// Answered by Inbox::session_loaded: the session as it is durable here, its cursors included.
  virtual void load_session(ShardId /*shard*/, std::string /*client_id*/) {}

  /// All durable sessions of the shard's slots that end some day or have a will, but for those of some nodes. Answered
  /// by Inbox::sessions_listed. O(all sessions of the node).
  struct ListSessionsRequest {
    std::uint64_t token = 0;
    std::uint32_t slots = 0;
    std::uint32_t shards = 0;
    std::vector<NodeId> without;
  };
  virtual void list_sessions(ShardId /*shard*/, ListSessionsRequest /*request*/) {}

  /// Entries of [first, last], ascending, cut off after `entries_max` entries or once `bytes_max` payload bytes are
  /// exceeded, but at least one. Answered by Inbox::entries_read with the same token.
  struct ReadRequest {
    std::uint64_t token = 0;
    ConversationNumber conversation;
    Seq first;
    Seq last;
    std::size_t entries_max = 256;
    std::size_t bytes_max = 256 * 1024;
  };
  virtual void read_entries(ShardId shard, ReadRequest request) = 0;

  /// Where (`from`, `id`) was used in the conversation, of what is materialised; a point read in the mapped file, on
  /// the calling shard's thread. The unmaterialised rest is in the shard's own memory.
  virtual std::optional<StoredId> find_id(ShardId shard, ConversationNumber conversation, std::string_view from,
                                          std::string_view id) = 0;

  /// A member, of what is materialised; a point read like find_id.
  virtual std::optional<format::MemberRow> find_member(ShardId /*shard*/, ConversationNumber /*conversation*/,
                                                       std::string_view /*user*/) {
    return std::nullopt;
  }
  /// Members behind `after` in the order of their names, of what is materialised; on the calling shard's thread.
  virtual std::vector<StoredMember> list_members(ShardId /*shard*/, ConversationNumber /*conversation*/,
                                                 std::string_view /*after*/, std::size_t /*count_max*/) {
    return {};
  }
  /// What the slot has to tell users' slots still, of what is materialised; on the calling shard's thread.
  virtual std::vector<UnfedMember> unfed_members(ShardId /*shard*/, Slot /*slot*/, std::size_t /*count_max*/) {
    return {};
  }
  /// What needn't be kept any longer of the slot's next conversations, of what is materialised; on the calling shard's
  /// thread. See storage::Retention.
  struct RetentionDue {
    ConversationNumber number;
    std::string name;
    Seq oldest;  ///< What comes before it can go.
  };
  struct RetentionPage {
    std::vector<RetentionDue> due;
    std::size_t looked = 0;   ///< At how many conversations.
    ConversationNumber next;  ///< Behind which to go on; 0: the slot has no more.
  };
  struct RetentionRequest {
    Slot slot;
    ConversationNumber after;
    Timestamp now;
    std::uint64_t age_max = 0;  ///< Milliseconds; 0: forever.
    std::size_t count_max = 0;
  };
  virtual RetentionPage due_retention(ShardId /*shard*/, const RetentionRequest& /*request*/) { return {}; }

  // -- Erasing users. All of it tells of what is materialised. --
  /// On the calling shard's thread; cheap where there are none.
  virtual std::vector<StoredErasure> erasures(ShardId /*shard*/, Slot /*slot*/) { return {}; }
  /// What there is of a user in the slot, from some place on. Answered by Inbox::erasure_found.
  struct ErasureRequest {
    std::uint64_t token = 0;
    Slot slot;
    std::string user;
    ConversationNumber conversation;  ///< 0: from the beginning.
    Seq seq;
    std::size_t rows_max = 0;      ///< To be looked at.
    std::size_t messages_max = 0;  ///< To be found, of a conversation.
  };
  virtual void find_erasure(ShardId /*shard*/, ErasureRequest /*request*/) {}
  /// Sessions of a user, of all slots. Answered by Inbox::sessions_found.
  struct SessionsRequest {
    std::uint64_t token = 0;
    std::string user;
    std::string from;  ///< Empty: the beginning.
    std::size_t rows_max = 0;
  };
  virtual void find_sessions(ShardId /*shard*/, SessionsRequest /*request*/) {}

  /// A user's marks in a conversation, of what is materialised; a point read like find_id.
  virtual Result<std::optional<format::Mark>> find_mark(ShardId /*shard*/, ConversationNumber /*conversation*/,
                                                        std::string_view /*user*/) {
    return std::optional<format::Mark>();
  }
  /// The entries up to `upto` that are no messages, of what is materialised; on the calling shard's thread.
  virtual StoredTally find_tally(ShardId /*shard*/, ConversationNumber /*conversation*/, Seq /*upto*/) { return {}; }
  /// Answered by Inbox::user_loaded.
  virtual void load_user(ShardId /*shard*/, std::string /*user*/) {}
};

/// What a shard receives from LogStore. Called on the shard's thread, between turns' other work.
class LogStoreEvents {
 public:
  virtual ~LogStoreEvents() = default;

  /// The batch with `ticket` is durable and begins at `first`, or nothing of it is stored (DiskFull, Failed).
  virtual void appended(std::uint64_t ticket, Result<Lsn> first) = 0;
  /// `unmaterialised`: entries with client ids that find_id doesn't know yet, and those that are no messages; records
  /// up to `materialised` are known to it. Empty conversation: there is none of that name.
  struct LoadedConversation {
    std::string name;
    std::optional<StoredConversation> conversation;
    std::vector<format::EntryPtr> unmaterialised;
    /// The members whom `unmaterialised` changes, as they are in what is materialised.
    std::vector<StoredMember> members;
    /// What isn't materialised says of marks: records of them, and who has sent what.
    std::vector<chat::UserMarks> marks;
    Lsn log_end;  ///< The last record that was in the log when this was read.
  };
  virtual void conversation_loaded(const std::string& name, Result<LoadedConversation> loaded) = 0;
  virtual void session_loaded(const std::string& /*client_id*/, Result<std::optional<StoredSession>> /*loaded*/) {}
  virtual void sessions_listed(std::uint64_t /*token*/, Result<SessionList> /*listed*/) {}
  virtual void entries_read(std::uint64_t token, Result<ReadPage> page) = 0;
  virtual void log_read(std::uint64_t token, Result<LogPage> page) = 0;
  virtual void snapshot_read(std::uint64_t /*token*/, Result<SnapshotPiece> /*piece*/) {}
  /// What is there of the slot from the next position on.
  virtual void snapshot_taken(std::uint64_t /*token*/, Result<std::string> /*known*/) {}
  virtual void snapshot_finished(std::uint64_t /*token*/) {}
  virtual void plain_written(std::uint64_t ticket, Result<void> outcome) = 0;
  /// All conversations of the user, the unmaterialised ones included, in any order.
  virtual void user_loaded(const std::string& /*user*/, Result<std::vector<UserConversation>> /*loaded*/) {}
  virtual void erasure_found(std::uint64_t /*token*/, Result<ErasurePage> /*page*/) {}
  virtual void sessions_found(std::uint64_t /*token*/, Result<ErasureSessions> /*sessions*/) {}
  /// find_id now knows everything up to here.
  virtual void materialised(Lsn upto) = 0;
};

/// A client connection of this shard's thread: place in the thread's table, and how often the place was used.
struct ConnectionId {
  std::uint32_t place = 0;
  std::uint32_t generation = 0;  ///< 0: no connection.
  friend bool operator==(const ConnectionId&, const ConnectionId&) = default;
};

/// How a client has come in.
struct ConnectionDescription {
  std::uint16_t listener = 0;  ///< Its place in the configuration.
  bool allow_anonymous = true;
  bool is_secure = false;        ///< By TLS.
  std::string certificate_user;  ///< Whom its verified certificate names; empty: it has shown none.
  std::string_view transport;    ///< `tcp`, `tls`, `ws`, `wss`, `unix`.
};

/// Whether a connection may become a client's. One above a limit is there only to be told so.
enum class Admission : std::uint8_t { Welcome, TooManyConnections, TooManyOfAddress };

/// The shard's client connections, on its own thread. Bytes may be lost with the connection at any time.
class ClientLinks {
 public:
  virtual ~ClientLinks() = default;

  /// Where to append what the client shall get; lives as long as the connection.
  virtual Output& output(ConnectionId connection) = 0;
  /// Writes what the socket takes now. What stays is written as the client reads, and then Shard::drained is called. A
  /// connection that turns out to be lost is reported later, not from within this call.
  virtual void flush(ConnectionId connection) = 0;
  /// Ends it once the output is written, or after a few seconds. No more events come for it.
  virtual void close(ConnectionId connection) = 0;
  /// Reads no more of it. What it was handed and the shard hasn't consumed is kept.
  virtual void pause(ConnectionId /*connection*/) {}
  /// Hands what is kept to Shard::received again, in the next turn, and reads on.
  virtual void resume(ConnectionId /*connection*/) {}
  /// What the user's connections to this node share; null where nothing of a user is limited.
  virtual std::shared_ptr<UserAccount> account(std::string_view /*user*/) { return nullptr; }
  /// Moves it to another shard's thread, which begins with `unread`, the bytes that were received so far.
  virtual void hand_over(ConnectionId connection, ShardId target, std::string_view unread) = 0;
  /// The peer's address for log lines, such as 127.0.0.1:50312.
  [[nodiscard]] virtual std::string address(ConnectionId connection) const = 0;
  /// What authentication may go by. Costs a look into the certificate, so it is asked once a connection.
  [[nodiscard]] virtual ConnectionDescription description(ConnectionId) const { return {}; }
  /// What its CONNECT is answered with.
  [[nodiscard]] virtual Admission admission(ConnectionId) const { return Admission::Welcome; }
};

/// What an authentication of several steps remembers between them; whoever implements Authenticator knows what.
struct LoginExchange {
  virtual ~LoginExchange() = default;
};

/// What a client has shown: its CONNECT, or one AUTH of an extended authentication. MQTT 5 §4.12.
struct LoginRequest {
  ConnectionId connection;  ///< On the asking shard; the answer names it.
  std::string client_id;
  std::optional<std::string> user_name;
  std::optional<std::string> password;
  std::string method;                       ///< Authentication Method; empty: user name and password count.
  std::string data;                         ///< Authentication Data.
  std::shared_ptr<LoginExchange> exchange;  ///< From the answer before; null at the first step.
  ConnectionDescription from;
};

struct LoginAnswer {
  enum class Verdict : std::uint8_t { Granted, Continue, Refused };
  Verdict verdict = Verdict::Refused;
  std::string user;                                           ///< Granted: a valid name.
  std::optional<Timestamp> expires;                           ///< Granted: how long; none: for good.
  std::string data;                                           ///< For the client, where there is a method.
  std::shared_ptr<LoginExchange> exchange;                    ///< Continue.
  mqtt::ReasonCode reason = mqtt::ReasonCode::NotAuthorized;  ///< Refused.
  std::string_view why;                                       ///< Refused: a sentence without secrets, for ever.
};

/// Who a client is. Called from the shards' threads, and never blocks them.
class Authenticator {
 public:
  virtual ~Authenticator() = default;
  /// Answers at once what costs microseconds. Else nothing, and Shard::authenticated follows, always and in a bounded
  /// time, unless the broker stops. A shard asks nothing more of a connection that waits for its answer.
  virtual std::optional<LoginAnswer> authenticate(ShardId shard, LoginRequest request) = 0;
};

struct PeerEvent;

/// The other shards of this node. Events of one sender arrive in order, none is lost.
class PeerShards {
 public:
  virtual ~PeerShards() = default;
  /// Sent together with the turn's other events at its end.
  virtual void post(ShardId target, PeerEvent event) = 0;
};

/// What nodes say to each other is in order within a channel, and one that is full doesn't hold up the others.
enum class NodeChannel : std::uint8_t {
  Heartbeats,   ///< The cluster's own.
  Replication,  ///< Append entries.
  Votes,        ///< Everything else of replication.
  Proposals,    ///< To a leader, and the outcomes back.
  Entries,      ///< Follow, and what is followed.
  Pages,        ///< Reads of history.
  Sessions,
  Messages,  ///< Of plain topics.
  Snapshots,
};

/// Versions of what nodes say to each other: docs/formats/peer.md.
inline constexpr std::uint16_t kWillsVersion = 2;   ///< Wills stand in records; Left.
inline constexpr std::uint16_t kSharesVersion = 3;  ///< Shared subscriptions on conversations; ShareGrant, ShareDone.
inline constexpr std::uint16_t kPublisherVersion = 3;  ///< Who has published a message; it stands in entries' records.
inline constexpr std::uint16_t kRateVersion = 3;       ///< Refusal::Rate.

struct PeerState {
  std::uint16_t version = kSharesVersion;  ///< Which both speak; of this node itself, its highest. 0: it is no member.
  std::uint64_t incarnation = 0;           ///< Of its process.
  std::size_t message_max = 0;             ///< Largest message that it takes, envelope included; 0: not known.
};

/// The other nodes of the cluster, as a shard sees them; a standalone broker has none. Called from the shard's thread.
/// What was sent may be lost with the connection, and is never doubled within one. Every message begins with an
/// envelope: a byte 0 and the slot it is for (base-128 varint), or a byte 1 and the receiving node's shard.
class PeerNodes {
 public:
  virtual ~PeerNodes() = default;
  [[nodiscard]] virtual NodeId self() const = 0;
  /// There are no other nodes and never will be.
  [[nodiscard]] virtual bool standalone() const { return false; }
  /// By the node's latest connection; or this node itself.
  [[nodiscard]] virtual PeerState peer(NodeId /*node*/) const { return {}; }
  /// False: nothing was taken, since the channel is full (node_writable comes) or the node is not connected. What is
  /// larger than the node takes is lost, so that nothing waits behind it; see PeerState::message_max.
  virtual bool send(NodeId node, NodeChannel channel, std::string message) = 0;
  /// Ends the connection, since something for the node can't be sent: node_unreachable comes on every shard, of both
  /// nodes, and node_connected with the next one.
  virtual void drop(NodeId node) = 0;
  /// This node leads the slot in `term`, or (none) doesn't any more; told in its heartbeats.
  virtual void leading(Slot slot, std::optional<Term> term) = 0;
};

/// What a shard hears of other nodes, on its own thread. Of each connection in this order: node_connected, messages and
/// what is writable, in between node_reachable, perhaps, and what the node leads; at last node_unreachable, and nothing
/// more of that connection. Where one side says that the other is unreachable, the other side hears the same.
class PeerNodesEvents {
 public:
  virtual ~PeerNodesEvents() = default;
  /// Both ways work.
  virtual void node_reachable(NodeId node) = 0;
  /// The connection is over, or counts for nothing any more: what was sent and isn't answered may be lost.
  virtual void node_unreachable(NodeId node) = 0;
  /// `node` says that it leads the slot in `term`, or that it doesn't.
  virtual void node_leads(NodeId node, Slot slot, std::optional<Term> term) = 0;
  /// A connection is new: whatever the node has to know is said anew.
  virtual void node_connected(NodeId node) = 0;
  virtual void node_writable(NodeId node, NodeChannel channel) = 0;
  /// `message` without its envelope; valid during the call.
  virtual void node_message(NodeId from, NodeChannel channel, std::string_view message) = 0;
};

/// Numbers that nobody can predict.
class Random {
 public:
  virtual ~Random() = default;
  virtual std::uint64_t next() = 0;
};

}  // namespace parley::shard
