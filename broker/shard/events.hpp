#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "broker/chat/conversation.hpp"
#include "broker/chat/marks.hpp"
#include "broker/chat/presence.hpp"
#include "broker/chat/refusal.hpp"
#include "broker/routing/retained_messages.hpp"
#include "broker/session/actions.hpp"
#include "broker/shard/plain_rows.hpp"
#include "broker/shard/ports.hpp"
#include "mqtt/message.hpp"

/// What the shards of one node say to each other, and the values that go with it.
namespace parley::shard {

/// In a follower's ShardId: a number that Serving has given to a follower on another node.
inline constexpr ShardId kOtherNode = 0x8000'0000;

/// Where a receipt is sent in addition to PUBACK: the PUBLISH's Response Topic and Correlation Data.
struct ReceiptAddress {
  std::string topic;
  std::string correlation;
  bool has_correlation = false;
};

/// Another node's proposal: which one, of which of its streams. See Serving.
struct NodeOrigin {
  NodeId node;
  Slot slot;
  std::uint64_t stream = 0;
  std::uint64_t number = 0;
};

/// Who waits for the outcome of a proposal: a session of this node, or another node.
struct Origin {
  ShardId shard = 0;
  std::uint32_t client = 0;
  std::uint64_t identity = 0;  ///< The session's; 0: nobody waits.
  session::PublishTicket ticket;
  std::shared_ptr<const ReceiptAddress> receipt;
  std::optional<NodeOrigin> other_node;
  bool names_id = false;  ///< The client said by which id the entry is known when it is sent again.
  bool passes = false;    ///< Nothing is lost with it: what may pass is no reason to refuse it.
};

/// What became of a proposal.
struct Outcome {
  chat::Refusal refusal = chat::Refusal::None;
  Seq seq;
  Timestamp ts;
  std::string id;
  bool duplicate = false;
  std::string detail;  ///< Further members of the answer to a command, as `,"name":value…`.

  static constexpr std::string_view kUnchanged = ",\"changed\":false";
};

/// To the conversation's home shard. Of another kind than Message: `payload` is a command, the JSON object that came to
/// {root}/{conversation}/ctl, and it is found there what entries come of it.
struct ProposeEvent {
  /// What is no Entry is never stored as one, and has no id: whoever types, or (in `payload`, decimal) up to where the
  /// sender has read.
  /// Share: about a member of a shared subscription; `payload` is a ShareCommand.
  /// Erase: what of `from` is to go from the conversation; see Erasures.
  enum class Purpose : std::uint8_t { Entry, Typing, Read, Share, Erase };

  Purpose purpose = Purpose::Entry;
  std::string conversation;
  format::EntryKind kind = format::EntryKind::Message;
  std::string from;
  std::string id;
  bool id_from_client = false;
  std::string properties;
  std::string payload;
  std::uint64_t publisher = 0;  ///< Of a message; see format::EntryRecord.
  Origin origin;
};
/// What a proposal wants appended: a ProposeEvent, or one of another node. Views into it.
inline chat::EntryDraft draft_of(const auto& proposal) {
  return {.kind = proposal.kind,
          .ref = {},
          .from = proposal.from,
          .id = proposal.id,
          .id_from_client = proposal.id_from_client,
          .properties = proposal.properties,
          .payload = proposal.payload,
          .publisher = proposal.publisher};
}
/// That an entry be appended: a chat::EntryDraft, or a format::EntryRecord that another leader shall have.
inline ProposeEvent proposal_of(std::string_view conversation, const auto& entry, Origin origin) {
  return {.purpose = ProposeEvent::Purpose::Entry,
          .conversation = std::string(conversation),
          .kind = entry.kind,
          .from = std::string(entry.from),
          .id = std::string(entry.id),
          .id_from_client = entry.id_from_client,
          .properties = std::string(entry.properties),
          .payload = std::string(entry.payload),
          .publisher = entry.publisher,
          .origin = std::move(origin)};
}
/// Back to the origin's shard.
struct OutcomeEvent {
  Origin origin;
  Outcome outcome;
};

/// To the home shard: `shard` wants to hear of the conversation's entries.
struct FollowEvent {
  std::string conversation;
  ShardId shard = 0;
};
struct UnfollowEvent {
  std::string conversation;
  ShardId shard = 0;
};
/// From the home shard: how the conversation stands now; later entries come as CommittedEvent. `number` 0: there is no
/// such conversation, or it can't be loaded (`refusal`).
struct FollowedEvent {
  std::string conversation;
  chat::Refusal refusal = chat::Refusal::None;
  ConversationNumber number;
  Epoch epoch;
  Seq oldest;
  Seq head;
  Timestamp last_ts;  ///< Of the entry at the head.
  format::ConversationType type = format::ConversationType::Group;
  format::Visibility visibility = format::Visibility::Public;
  bool remote = false;  ///< Another node leads it: pages are asked for by ReadEvent.
};
/// How a conversation stands, from whatever says so: its state, what is stored of it, an event, a message.
void copy_standing(auto& to, const auto& from) {
  to.number = from.number;
  to.epoch = from.epoch;
  to.oldest = from.oldest;
  to.head = from.head;
  to.last_ts = from.last_ts;
  to.type = from.type;
  to.visibility = from.visibility;
}
/// The next entries, without a hole behind what was said before.
struct CommittedEvent {
  std::string conversation;
  std::vector<format::EntryPtr> entries;
};

/// From the home shard: what passes and is in no log.
struct NoticeEvent {
  std::string conversation;
  std::string typing;                  ///< The user who types; empty: nobody.
  std::vector<chat::UserMarks> marks;  ///< Those that have moved, as they are now.
};
/// To the home shard: what users' clients have acknowledged. May be lost.
struct DeliveredEvent {
  std::string conversation;
  std::vector<chat::UserMarks> marks;  ///< `delivered` only.
};

/// From the home shard to that of a member of a shared subscription: these entries are its own now. See ShareHomes.
struct ShareGrantEvent {
  std::uint64_t token = 0;
  std::vector<Seq> seqs;
};
/// To the home shard: the member's client has acknowledged these.
struct ShareDoneEvent {
  std::string conversation;
  std::string group;
  std::uint64_t token = 0;
  std::vector<Seq> seqs;
};

/// To the home shard: may this user read the conversation, which is private?
struct AccessEvent {
  std::string conversation;
  ConversationNumber number;  ///< As the asker knows it.
  std::string user;
  ShardId shard = 0;
  std::uint64_t token = 0;
  bool marks = false;  ///< And what are the members' marks?
};
struct AccessedEvent {
  std::uint64_t token = 0;
  chat::Refusal refusal = chat::Refusal::None;
  Seq visible_from{1};                 ///< What came before it is not for this user.
  std::vector<chat::UserMarks> marks;  ///< Where they were asked for and aren't too many.
};

/// To the home shard of the user's name: the user is a member of a conversation now, or isn't any more. Comes again
/// until it is answered.
struct MembershipEvent {
  std::string user;
  UserConversation conversation;
  ShardId shard = 0;
};
/// It is committed in the user's slot.
struct MembershipTakenEvent {
  std::string user;
  ConversationNumber conversation;
  Seq changed;
};

/// To the home shard of the user's name: `shard` wants to know of which conversations the user is a member, now and as
/// that changes.
struct FollowUserEvent {
  std::string user;
  ShardId shard = 0;
};
struct UnfollowUserEvent {
  std::string user;
  ShardId shard = 0;
};
/// From there: all of them (`whole`), or what has changed since; or that it can't be told for now.
struct UserConversationsEvent {
  std::string user;
  chat::Refusal refusal = chat::Refusal::None;
  bool whole = false;
  std::vector<UserConversation> conversations;
};

/// To the home shard of the user's name: what a shard has of the user's connections now, and what the user says of
/// itself. See PresenceRelays.
struct PresenceEvent {
  std::string user;
  ShardId shard = 0;
  chat::PresenceReport report;
};
/// To the home shard: the shard wants to hear of the user, or doesn't any more.
struct PresenceFollowEvent {
  std::string user;
  ShardId shard = 0;
  bool wanted = false;
};
/// From the home shard.
struct PresenceShownEvent {
  std::string user;
  chat::Presence presence;
};
/// To the shards that follow a user: it is no member of some conversation any more.
struct PresenceRecheckEvent {
  std::string user;
};
/// To the home shard of the asker, then to that of the target: do they share a conversation? Answered with
/// PresenceAnswerEvent to that shard of that node.
struct PresenceAskEvent {
  std::string asker;
  std::string target;
  std::vector<ConversationNumber> conversations;  ///< The asker's, once they are known.
  bool asks_target = false;                       ///< They are.
  bool is_forwarded = false;                      ///< By another node, which took this one for the leader.
  NodeId node;
  ShardId shard = 0;
  std::uint64_t token = 0;
};
struct PresenceAnswerEvent {
  std::uint64_t token = 0;
  chat::Refusal refusal = chat::Refusal::None;
};
/// To the home shard of the slot: which of these users, all of that slot, are online?
struct OnlineAskEvent {
  Slot slot;
  std::vector<std::string> users;
  bool is_forwarded = false;
  NodeId node;
  ShardId shard = 0;
  std::uint64_t token = 0;
};
struct OnlineAnswerEvent {
  std::uint64_t token = 0;
  std::uint64_t asked = 0;  ///< How many users it is about.
  std::vector<std::string> online;
};

/// To the home shard of the slot: is the user erased in it? And if nobody has begun that, begin. `begins`: in the
/// user's slot, on behalf of an operator; begins anew if the last erasure is over, and isn't answered.
struct ErasureAskEvent {
  Slot slot;
  std::string user;
  Timestamp started;
  bool begins = false;
  bool is_forwarded = false;
  NodeId node;
  ShardId shard = 0;
};
struct ErasureAnswerEvent {
  Slot slot;
  std::string user;
  Timestamp started;
  bool done = false;
  std::uint64_t redacted = 0;
};

/// To the home shard, which knows where a page can be had: answered with ReadHereEvent or PageEvent.
struct ReadEvent {
  std::string conversation;
  ShardId shard = 0;
  std::uint64_t token = 0;  ///< Of the feed; see Feeds.
  ConversationNumber number;
  Seq first;
  Seq last;
  std::size_t entries_max = 0;
  std::size_t bytes_max = 0;
};
/// This node's store has the page.
struct ReadHereEvent {
  std::uint64_t token = 0;
};
struct PageEvent {
  std::uint64_t token = 0;
  ReadPage page;
};

using routing::RetainStamp;

/// Who wants to hear that an ordinary message is stored where it must be; see PlainTopics. 0: nobody.
struct StoredReply {
  ShardId shard = 0;
  std::uint64_t publication = 0;
};
/// An ordinary message for the subscribers of the target shard; a retained one goes to all shards.
struct PublishEvent {
  enum class From : std::uint8_t {
    Client,
    Node,      ///< Another one, which has chosen the members of shared groups.
    Elsewhere  ///< Published earlier; to be kept, not delivered.
  };
  mqtt::MessagePtr message;
  RetainStamp stamp;
  From from = From::Client;
  PlainOrigin origin;
  bool repeated = false;  ///< It came with DUP.
  StoredReply reply;
};
/// Answer to a StoredReply.
struct StoredEvent {
  std::uint64_t publication = 0;
  bool stored = true;
};
/// The sender has (or no longer has) subscribers for the filter. Answered with InterestTakenEvent when `token` isn't 0.
struct InterestEvent {
  ShardId shard = 0;
  std::string filter;
  bool wanted = false;
  std::uint64_t token = 0;
};
struct InterestTakenEvent {
  std::uint64_t token = 0;
};
/// To the shard that keeps the shared group: a member comes or goes, or its client does.
struct SharedMemberEvent {
  enum class Change : std::uint8_t { Joins, Leaves, Connected, Disconnected };

  std::string group;
  std::string filter;
  std::uint32_t member = 0;  ///< See plain_topics.hpp.
  Change change = Change::Joins;
  bool connected = true;  ///< Of one that joins.
  mqtt::SubscriptionOptions options;
  std::uint32_t subscription_id = 0;
  ShardId shard = 0;
  std::uint64_t token = 0;  ///< As in InterestEvent.
};
/// To the shard of the member that was chosen.
struct SharedDeliveryEvent {
  std::shared_ptr<const std::string> share;  ///< `$share/{group}/{filter}`.
  std::uint32_t member = 0;
  mqtt::SubscriptionOptions options;
  std::uint32_t subscription_id = 0;
  mqtt::MessagePtr message;
  StoredReply reply;
};

/// To the shard that keeps the shared group: a member has left without taking this over.
struct SharedReturnEvent {
  std::shared_ptr<const std::string> share;
  mqtt::MessagePtr message;
  bool here_only = false;  ///< Another node has chosen this one.
  StoredReply reply;
};

/// To shard 0: the sender has a first (or no longer any) subscriber of the filter, which other nodes are told. Answered
/// when they know of one.
struct NodeInterestEvent {
  ShardId shard = 0;
  std::string filter;
  bool wanted = false;
};
struct NodeInterestTakenEvent {
  std::string filter;
};
/// From shard 0: what another node wants.
struct NodeFilters {
  bool replaces = false;
  bool has_more = false;  ///< Another piece of the list follows.
  std::vector<std::string> added;
  std::vector<std::string> removed;
};
struct NodeFiltersEvent {
  NodeId node;
  std::uint64_t token = 0;
  std::shared_ptr<const NodeFilters> lists;
};
struct NodeFiltersTakenEvent {
  NodeId node;
  std::uint64_t token = 0;
};
/// To the shard that keeps the shared group: another node's members; see remote::Group.
struct NodeGroupEvent {
  NodeId node;
  std::string group;
  std::string filter;
  std::uint64_t members = 0;
};

/// From shard 0: what is to be read below $SYS; see SystemTopics.
struct SystemTopicsEvent {
  std::shared_ptr<const std::vector<mqtt::MessagePtr>> messages;
};

struct PeerEvent {
  std::variant<ProposeEvent, OutcomeEvent, FollowEvent, UnfollowEvent, FollowedEvent, CommittedEvent, NoticeEvent,
               DeliveredEvent, AccessEvent, AccessedEvent, MembershipEvent, MembershipTakenEvent, ReadEvent,
               ReadHereEvent, PageEvent, PublishEvent, StoredEvent, InterestEvent, InterestTakenEvent,
               SharedMemberEvent, SharedDeliveryEvent, SharedReturnEvent, NodeInterestEvent, NodeInterestTakenEvent,
               NodeFiltersEvent, NodeFiltersTakenEvent, NodeGroupEvent, SystemTopicsEvent, FollowUserEvent,
               UnfollowUserEvent, UserConversationsEvent, PresenceEvent, PresenceFollowEvent, PresenceShownEvent,
               PresenceAskEvent, PresenceAnswerEvent, OnlineAskEvent, OnlineAnswerEvent, PresenceRecheckEvent,
               ErasureAskEvent, ErasureAnswerEvent, ShareGrantEvent, ShareDoneEvent>
      what;
};

}  // namespace parley::shard
