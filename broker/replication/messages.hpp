#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <variant>
#include <vector>

#include "base/number.hpp"
#include "broker/replication/replica_set.hpp"
#include "broker/replication/term_history.hpp"

/// What the replicas of a slot say to each other, by the names of the Raft paper. Bytes: messages_codec.hpp and
/// docs/formats/replication.md.
namespace parley::replication {

/// Entries to be put after `prev`, `count` of them, all of one term: a range over several terms is several messages.
/// None: a question how far the logs agree. Raft §5.3.
struct AppendEntries {
  LogPosition prev;
  Term entries_term;
  std::uint64_t count = 0;
  Index commit;                        ///< How far the leader has committed; may be above the last entry here.
  std::optional<ReplicaSet> replicas;  ///< Named by the entry, which then is the only one.
  std::string_view records;  ///< `count` records, as append_record puts them; whose bytes: the receiver's buffer.

  [[nodiscard]] Index last() const { return {prev.index.value + count}; }
  friend bool operator==(const AppendEntries&, const AppendEntries&) = default;
};

struct AppendEntriesReply {
  bool success = false;  ///< The log has the leader's `prev`.
  Index match;           ///< Success: durable here up to this, and equal to the leader's. Else 0.
  Index received;        ///< Success: equal to the leader's up to this, durable or under way. Else the refused prev.
  Index commit;          ///< What is known to be committed here.
  LogPosition hint;      ///< No success: the logs don't agree above this, neither in index nor in term.
  friend bool operator==(const AppendEntriesReply&, const AppendEntriesReply&) = default;
};

/// Raft §5.2, §5.4.1. The message's term is the candidate's, which it has voted for itself in.
struct RequestVote {
  LogPosition last;
  bool transfer = false;  ///< The leader wants it: whoever still hears the leader may vote, too. Thesis §3.10.
  friend bool operator==(const RequestVote&, const RequestVote&) = default;
};
struct RequestVoteReply {
  bool granted = false;
  friend bool operator==(const RequestVoteReply&, const RequestVoteReply&) = default;
};

/// Would you vote for me in the term after the message's? Promises nothing. Thesis §9.6.
struct PreVote {
  LogPosition last;
  friend bool operator==(const PreVote&, const PreVote&) = default;
};
struct PreVoteReply {
  bool granted = false;
  friend bool operator==(const PreVoteReply&, const PreVoteReply&) = default;
};

/// Stand for election now, I hand over. Thesis §3.10.
struct TimeoutNow {
  friend bool operator==(const TimeoutNow&, const TimeoutNow&) = default;
};

/// For replicas of a slot in which nothing is said any more. Answered by an AppendEntriesReply, so that it can be lost.
struct CommitHint {
  Index commit;
  friend bool operator==(const CommitHint&, const CommitHint&) = default;
};

/// From one node's slot to another's. `term` is always the sender's current one. The order of the bodies is the wire's.
struct PeerMessage {
  using Body = std::variant<AppendEntries, AppendEntriesReply, RequestVote, RequestVoteReply, PreVote, PreVoteReply,
                            TimeoutNow, CommitHint>;
  parley::Slot slot;
  Term term;
  Body body;
  friend bool operator==(const PeerMessage&, const PeerMessage&) = default;
};

/// A slot that the sender leads.
struct Leading {
  parley::Slot slot;
  Term term;
  friend bool operator==(const Leading&, const Leading&) = default;
};

/// From node to node for all slots, so that slots in which nothing happens cost nothing. See node_health.hpp.
struct Heartbeat {
  std::uint64_t incarnation = 0;                ///< Of the sender; a higher one after each start.
  std::uint64_t sent = 0;                       ///< The sender's time, of meaning to nobody else.
  std::uint64_t peer_incarnation = 0;           ///< Whom it has heard last; 0: nobody.
  std::uint64_t echo = 0;                       ///< The latest `sent` that it has heard of that one.
  std::uint64_t version = 0;                    ///< Of the list of slots that the sender leads.
  std::uint64_t peer_version = 0;               ///< Which list of the receiver's the sender has; 0: none.
  std::optional<std::vector<Leading>> leading;  ///< The list, by slot; there until it has been seen.
  friend bool operator==(const Heartbeat&, const Heartbeat&) = default;
};

}  // namespace parley::replication
