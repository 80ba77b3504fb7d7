#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/number.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "broker/chat/marks.hpp"
#include "broker/chat/refusal.hpp"
#include "broker/shard/ports.hpp"
#include "storage/format/record.hpp"

/// What the shards of one node say to the shards of others, and its bytes. Pure. A decoded value's views point into the
/// bytes it came from. Format: docs/formats/node-events.md.
namespace parley::shard::remote {

inline constexpr std::uint8_t kVersion = 1;

/// Why an answer says no.
enum class Status : std::uint8_t {
  Done,
  NotLeader,  ///< Ask the one who leads now.
  Refused,    ///< See `refusal`, where there is one.
  Failed,
};

// -- Proposals --

/// To the slot's leader. Within a stream numbers rise; once one was refused as NotLeader so are those behind it.
struct Propose {
  std::uint64_t stream = 0;
  std::uint64_t number = 0;
  std::string_view conversation;
  format::EntryKind kind = format::EntryKind::Message;
  bool id_from_client = false;
  std::string_view from;
  std::string_view id;
  std::string_view properties;
  std::string_view payload;
  std::uint64_t purpose = 0;  ///< See ProposeEvent::Purpose.
};
struct Proposed {
  Slot slot;
  std::uint64_t stream = 0;
  std::uint64_t number = 0;
  Status status = Status::Done;
  chat::Refusal refusal = chat::Refusal::None;
  Seq seq;
  Timestamp ts;
  std::string_view id;
  bool duplicate = false;
  std::string_view detail;  ///< See Outcome::detail.
};

// -- Entries --

/// To the slot's leader: this node wants to hear of the conversation. `follow` names this wish until Unfollow.
struct Follow {
  std::uint64_t follow = 0;
  std::string_view conversation;
};
struct Unfollow {
  std::uint64_t follow = 0;
  std::string_view conversation;
};
/// How the conversation stands now. May come again: what was said between is to be read.
struct Followed {
  std::uint64_t follow = 0;
  std::string_view conversation;
  Status status = Status::Done;
  chat::Refusal refusal = chat::Refusal::None;
  ConversationNumber number;
  Epoch epoch;
  Seq oldest;
  Seq head;
  format::ConversationType type = format::ConversationType::Group;
  format::Visibility visibility = format::Visibility::Public;
  Timestamp last_ts;
};
/// The next entries, as encoded records, without a hole behind what was said before.
struct Committed {
  std::uint64_t follow = 0;
  std::string_view conversation;
  std::vector<std::string_view> records;
};

/// A user's marks.
struct Marks {
  std::string_view user;
  Seq read;
  Seq delivered;
};

/// To the slot's leader: may this user read the conversation, which is private?
struct Access {
  std::uint64_t token = 0;
  std::string_view conversation;
  std::string_view user;
  bool marks = false;  ///< And what are the members' marks?
};
struct Accessed {
  Slot slot;
  std::uint64_t token = 0;
  Status status = Status::Done;
  chat::Refusal refusal = chat::Refusal::None;
  Seq visible_from;
  std::vector<Marks> marks;
};
/// From the slot's leader: what passes and is in no log; see NoticeEvent.
struct Notice {
  std::uint64_t follow = 0;
  std::string_view conversation;
  std::string_view typing;
  std::vector<Marks> marks;
};
/// To the slot's leader; see DeliveredEvent.
struct Delivered {
  std::string_view conversation;
  std::vector<Marks> marks;
};

// -- Pages --

struct Read {
  std::uint64_t token = 0;
  ConversationNumber conversation;
  Seq first;
  Seq last;
  std::uint64_t entries_max = 0;
  std::uint64_t bytes_max = 0;
};
struct Page {
  Slot slot;
  std::uint64_t token = 0;
  Status status = Status::Done;
  std::vector<Seq> corrupt;
  std::vector<std::string_view> records;
};

// -- Sessions --

/// To the leader of the client id's slot: this node has a connection of it.
struct Claim {
  Slot slot;
  std::uint64_t token = 0;
  std::string_view client_id;
  std::string_view user;
  std::uint64_t held = 0;  ///< The generation in which the node has it; 0: it has none.
};
/// Done: the session is this node's in `generation`; `present`: and this is what is stored of it.
struct Claimed {
  Slot slot;
  std::uint64_t token = 0;
  Status status = Status::Done;
  std::uint64_t generation = 0;
  bool present = false;
  std::string_view user;
  std::uint64_t expiry_interval = 0;
  Timestamp disconnected;
  std::string_view state;
  struct Cursor {
    std::string_view topic;
    Epoch epoch;
    Seq acknowledged;
  };
  std::vector<Cursor> cursors;
};
/// From the leader: another node has a connection of the client now. Answered when everything of the session is
/// written, or at once when there is none of that generation or an older one.
struct Yield {
  Slot slot;
  std::string_view client_id;
  std::uint64_t generation = 0;
};
struct Yielded {
  Slot slot;
  std::string_view client_id;
  std::uint64_t generation = 0;
};
/// To the leader: records of the session, in order, encoded with term and index 0. A stream as in Propose.
struct Write {
  Slot slot;
  std::uint64_t stream = 0;
  std::uint64_t number = 0;
  std::uint64_t generation = 0;
  std::string_view client_id;
  std::vector<std::string_view> records;
};
/// Refused: another node has the session by now.
struct Written {
  Slot slot;
  std::uint64_t stream = 0;
  std::uint64_t number = 0;
  Status status = Status::Done;
};
/// To a new leader: this node has the session in this generation. Answered with Yield when somebody else has it.
struct Hold {
  Slot slot;
  std::string_view client_id;
  std::uint64_t generation = 0;
};

/// To the leader, from a node that has restarted: it had the session in this generation, and nobody came back. Version
/// 2 of the peer protocol.
struct Left {
  Slot slot;
  std::string_view client_id;
  std::uint64_t generation = 0;
  std::uint64_t away = 0;  ///< For how many milliseconds, as far as that node knows.
};
/// From the leader: what was due of it is done.
struct Settled {
  Slot slot;
  std::string_view client_id;
  std::uint64_t generation = 0;
  bool ended = false;  ///< Or goes on at another node. Else its will was published.
};

// -- Messages --

/// Which ordinary topics this node wants; `replaces`: all that was said before is void. When `added` has kFiltersPiece
/// bytes or more, a further piece follows. Answered when every shard of the receiver knows them.
struct Filters {
  std::uint64_t token = 0;
  bool replaces = false;
  std::vector<std::string_view> added;
  std::vector<std::string_view> removed;
};
struct FiltersTaken {
  std::uint64_t token = 0;
};
/// How many members of a shared group this node has; 0: none any more.
struct Group {
  std::string_view group;
  std::string_view filter;
  std::uint64_t members = 0;
};
/// An ordinary message. `number` 0: nobody waits for MessageTaken, and it isn't sent again.
struct Message {
  std::uint64_t shard = 0;   ///< Of the sender; MessageTaken goes there.
  std::uint64_t stream = 0;  ///< Random at each start of the sender's shard.
  std::uint64_t number = 0;
  bool subscribers = false;  ///< For the node's subscribers; else for `group` only.
  std::string_view group;    ///< For one member of this shared group; empty: none.
  std::string_view filter;
  std::string_view topic;
  std::string_view properties;
  std::string_view payload;
  std::uint64_t qos = 0;
  bool retain = false;
  std::uint64_t expires_in = 0;  ///< Milliseconds; 0: never; kAtOnce: who can't be sent it at once doesn't get it.
  Timestamp stamp;               ///< Of a retained message: the higher one wins, then the higher node.
  NodeId stamp_node;
  std::uint64_t publisher = 0;  ///< See mqtt::publisher_of; 0: not known. Version 3 of the peer protocol.
  static constexpr std::uint64_t kAtOnce = 1;
};
/// Adds the publisher to an encoded Message that has none.
void append_publisher(std::string& bytes, std::uint64_t publisher);
/// Everything up to the number is stored where it must be. `refused`: all but the last.
struct MessageTaken {
  std::uint64_t stream = 0;
  std::uint64_t number = 0;
  bool refused = false;
};

// -- Users --

/// To the leader of the user's slot: this node wants to know the user's conversations. `follow` names this wish.
struct FollowUser {
  std::uint64_t follow = 0;
  std::string_view user;
};
struct UnfollowUser {
  std::uint64_t follow = 0;
  std::string_view user;
};
/// All of them (`whole`, in pieces while there is `more`), or what has changed since. Not Done: the wish is forgotten.
struct UserConversations {
  Slot slot;
  std::uint64_t follow = 0;
  std::string_view user;
  Status status = Status::Done;
  bool whole = false;
  bool more = false;
  struct One {
    ConversationNumber number;
    std::string_view name;
    Epoch epoch;
    bool present = false;
    Seq changed;
  };
  std::vector<One> conversations;
};

// -- Snapshots: see SnapshotTaking --

/// From the slot's leader in `term`: its log doesn't have what this replica needs.
struct SnapshotOffer {
  Slot slot;
  Term term;
};
/// To the leader: the next piece of what its store has of the slot. `position` and `known`: docs/formats/snapshot.md.
struct SnapshotRead {
  Slot slot;
  std::uint64_t token = 0;
  std::string_view position;
  std::string_view known;
};
/// NotLeader, Failed: the replica is to wait for an offer.
struct SnapshotPage {
  Slot slot;
  std::uint64_t token = 0;
  Status status = Status::Done;
  Term term;  ///< The last record that was in the leader's store …
  Index index;
  Index named;              ///< … the record that named the replicas that are in force there …
  std::string_view voters;  ///< … and who they are, as in a Replicas record.
  std::string_view learners;
  std::string_view next;  ///< Empty: this was the last piece.
  std::string_view bytes;
};
/// To the leader: everything up to there is durable here, and the log goes on behind it.
struct SnapshotTaken {
  Slot slot;
  Term term;
  Index index;
};

// -- Presence; see the events of these names in events.hpp --

/// To the leader of the user's slot: all connections that this node has of the user.
struct PresenceReport {
  std::string_view user;
  std::uint64_t devices = 0;
  bool has_grace = false;
  std::uint64_t grace = 0;  ///< Milliseconds.
  bool has_status = false;
  std::string_view status;
  Timestamp status_at;
  bool has_parting = false;
  std::string_view parting;
};
struct PresenceFollow {
  std::string_view user;
  bool wanted = false;
};
struct PresenceShown {
  std::string_view user;
  bool online = false;
  std::uint64_t devices = 0;
  Timestamp since;
  std::string_view status;
};
struct PresenceAsk {
  std::string_view asker;
  std::string_view target;
  std::vector<ConversationNumber> conversations;
  bool asks_target = false;
  NodeId node;
  std::uint64_t shard = 0;
  std::uint64_t token = 0;
};
struct PresenceAnswer {
  std::uint64_t token = 0;
  chat::Refusal refusal = chat::Refusal::None;
};
struct OnlineAsk {
  Slot slot;
  std::vector<std::string_view> users;
  NodeId node;
  std::uint64_t shard = 0;
  std::uint64_t token = 0;
};
struct OnlineAnswer {
  std::uint64_t token = 0;
  std::uint64_t asked = 0;
  std::vector<std::string_view> online;
};

/// To the nodes that follow a user: it is no member of some conversation any more.
struct PresenceRecheck {
  std::string_view user;
};

// -- What operators ask; see ClientViews --

/// To every node: is that client connected there, and shall its connection end?
struct ClientAsk {
  Slot slot;
  std::string_view client_id;
  bool kick = false;
  std::string_view reason;
  std::uint64_t shard = 0;  ///< That asks.
  std::uint64_t token = 0;
};
struct ClientAnswer {
  std::uint64_t token = 0;
  bool found = false;
  std::string_view client_id;
  std::string_view user;
  std::string_view address;
  std::string_view transport;
  std::uint64_t version = 0;
  std::uint64_t seconds = 0;
  std::uint64_t subscriptions = 0;
  std::uint64_t under_way = 0;
  std::uint64_t queued = 0;
  std::uint64_t expiry = 0;
};

// -- Erasures; see the events of these names in events.hpp --

struct ErasureAsk {
  Slot slot;
  std::string_view user;
  Timestamp started;
  bool begins = false;
  NodeId node;
  std::uint64_t shard = 0;
};
struct ErasureAnswer {
  Slot slot;
  std::string_view user;
  Timestamp started;
  bool done = false;
  std::uint64_t redacted = 0;
};

// -- Shared subscriptions, version 3 of the peer protocol; see ShareHomes --

/// To the shard of a member.
struct ShareGrant {
  std::uint64_t token = 0;
  std::vector<Seq> seqs;
};
/// To the leader of the conversation's slot.
struct ShareDone {
  std::string_view conversation;
  std::string_view group;
  std::uint64_t token = 0;
  std::vector<Seq> seqs;
};

using Event = std::variant<Propose, Proposed, Follow, Unfollow, Followed, Committed, Read, Page, Claim, Claimed, Yield,
                           Yielded, Write, Written, Hold, Filters, FiltersTaken, Group, Message, MessageTaken, Access,
                           Accessed, FollowUser, UnfollowUser, UserConversations, SnapshotOffer, SnapshotRead,
                           SnapshotPage, SnapshotTaken, Notice, Delivered, PresenceReport, PresenceFollow,
                           PresenceShown, PresenceAsk, PresenceAnswer, OnlineAsk, OnlineAnswer, ClientAsk, ClientAnswer,
                           PresenceRecheck, Left, Settled, ErasureAsk, ErasureAnswer, ShareGrant, ShareDone>;

std::vector<Marks> remote_marks(const std::vector<chat::UserMarks>& marks);
std::vector<chat::UserMarks> local_marks(const std::vector<Marks>& marks);

/// Bytes of an entry's record that go into one Committed or Page, at most, unless a single one is larger.
inline constexpr std::size_t kRecordsBytesMax = 256 * 1024;
/// Bytes of filters in one Filters, or one filter more.
inline constexpr std::size_t kFiltersPiece = 128 * 1024;

/// With its envelope: for the home shard of `slot`, respectively for a certain shard; see PeerNodes.
std::string encode_for(Slot slot, const Event& event);
std::string encode_for_shard(ShardId shard, const Event& event);

/// Takes all of `bytes`, which have no envelope any more. Every value has one encoding only. Nothing when they are no
/// event of a version known here.
std::optional<Event> decode(std::string_view bytes);
/// On which channel it travels.
NodeChannel channel_of(const Event& event);

}  // namespace parley::shard::remote
