#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "broker/shard/events.hpp"
#include "broker/shard/node_events.hpp"
#include "broker/shard/replica_slots.hpp"

namespace parley::shard {

class Shard;

/// What is asked of this shard's slots while another node leads them, or nobody: the stand-in for their home. Proposals
/// and records go to the leader in their order, and again to the next one until they are answered; conversations are
/// followed there once, and what comes is passed on to this node's shards. Belongs to its shard's thread.
///
/// What can't be sent, since nobody leads or the leader isn't connected, waits for ShardOptions::leader_wait and is
/// then refused with NoMajority; conversations are then served from this node's replica. What was sent waits for its
/// answer as long as the connection and the leadership last.
///
/// Memory: what is under way, up to ShardOptions::pending_bytes_max (more is refused as Busy), and a few hundred bytes
/// for each of these and for each followed conversation. A slot that this node leads has nothing here.
class RemoteHomes {
 public:
  using Done = std::function<void(Result<void>)>;

  explicit RemoteHomes(Shard& shard);

  /// Something waits of this slot: what comes now has to wait behind it.
  [[nodiscard]] bool holds(Slot slot) const;
  /// Nobody waits for an answer.
  [[nodiscard]] bool empty() const { return waiting_ == 0; }
  /// Of this slot, with what is answered and not yet forgotten.
  [[nodiscard]] std::size_t kept(Slot slot) const;

  /// `tried`: it may be stored already, and is stored once only if it has an id.
  void propose(Slot slot, ProposeEvent proposal, bool tried = false);
  /// `record` is encoded for any place in the slot's log; of a session's in `generation`.
  void append(Slot slot, std::string record, std::uint64_t generation, Done done);
  void follow(Slot slot, const std::string& conversation, ShardId follower);
  /// The follower has had its answer, and is to hear how the conversation stands when somebody leads.
  void follow_again(Slot slot, const std::string& conversation, ShardId follower);
  void unfollow(Slot slot, const std::string& conversation, ShardId follower);
  /// May a user read? Answered with AccessedEvent: by the leader, or where nobody leads by this node's replica.
  void access(Slot slot, AccessEvent event);
  /// To the leader, if one can be reached.
  void delivered(const DeliveredEvent& event);
  /// A page for a feed of this node.
  void read(ReadEvent event);

  void leadership_changed(Slot slot, const Leadership& leadership);
  /// Due while something waits; see TimerKind::LeaderWait.
  void run_timer(Slot slot);
  /// True when the answer was for this.
  bool loaded(const std::string& conversation, const LogStoreEvents::LoadedConversation* loaded);

  // -- From other nodes --
  void node_connected(NodeId node);
  void node_writable(NodeId node);
  void proposed(NodeId from, const remote::Proposed& event);
  void written(NodeId from, const remote::Written& event);
  void followed(NodeId from, const remote::Followed& event);
  void committed(NodeId from, const remote::Committed& event);
  void noticed(NodeId from, const remote::Notice& event);
  void accessed(NodeId from, const remote::Accessed& event);
  void page(NodeId from, const remote::Page& event);

 private:
  struct Record {
    std::string bytes;
    std::uint64_t generation = 0;
    Done done;
  };
  struct Item {
    std::uint64_t number = 0;
    std::size_t bytes = 0;
    std::uint32_t tries = 0;  ///< How often it was sent, or proposed here, and so perhaps stored.
    bool settled = false;
    std::variant<ProposeEvent, Record> what;
  };
  /// A conversation that shards of this node follow.
  struct Conversation {
    std::vector<ShardId> followers;
    std::vector<ShardId> waiting;  ///< Followers that have no answer yet.
    std::uint64_t follow = 0;      ///< As told the leader; 0: not told.
    bool standing_known = false;   ///< What the leader has answered is in `standing`.
    FollowedEvent standing;
    bool loading = false;          ///< This node's replica was asked.
    Seq here;                      ///< This node's replica has it up to here …
    Epoch epoch_here;              ///< … of this incarnation.
    Instant here_at;               ///< When that was asked.
    std::vector<ReadEvent> reads;  ///< Not sent yet.
  };
  struct Line {
    std::deque<Item> items;  ///< By number; the first isn't settled, nor are most.
    std::size_t settled = 0;
    std::size_t sent = 0;  ///< At the front of `items`, in `stream`, to `target`.
    NodeId target;         ///< Whom the stream goes to; 0: nobody.
    std::uint64_t stream = 0;
    Instant stuck_since = Instant::max();    ///< Nothing can be sent since then.
    Instant refused_since = Instant::max();  ///< The leader has said since then that it isn't, and nothing else.
    bool timer = false;
    std::map<std::string, Conversation> conversations;
    std::vector<AccessEvent> questions;          ///< Not sent yet.
    std::map<std::uint64_t, AccessEvent> asked;  ///< By token, at the target.
  };
  struct PendingRead {
    NodeId node;
    Slot slot;
    ReadEvent event;
  };

  Line& line(Slot slot);
  Line* find(Slot slot);
  void forget_if_unused(Slot slot);
  void set_timer(Slot slot, Line& line);

  void add(Slot slot, Item item);
  void refuse(const Item& item, boost::system::error_code why);
  void refuse_later(Item item, boost::system::error_code why);
  void refuse_those();
  void refuse_all(Slot slot, Line& line, boost::system::error_code why);
  /// `item` may be gone afterwards, and others may have moved.
  void settle(Line& line, Item& item);
  static void sweep(Line& line);
  static Item* find_item(Line& line, std::uint64_t number);

  void start_stream(Slot slot, Line& line, NodeId target);
  /// Takes back what was sent and isn't answered.
  void stop_stream(Slot slot, Line& line);
  void restart_later(Slot slot, Line& line);
  void pump(Slot slot, Line& line);
  bool send(Slot slot, const Line& line, Item& item);
  [[nodiscard]] chat::Refusal objection(const Line& line, const Item& item) const;
  void hand_over(Slot slot);

  void ask(Slot slot, const Line& line, const std::string& name, Conversation& conversation);
  void ask_all(Slot slot, Line& line);
  Conversation* find_followed(NodeId from, std::string_view name, std::uint64_t follow);
  void drop_if_unfollowed(Slot slot, const std::string& name);
  void load(const std::string& name, Conversation& conversation);
  void serve_here(const std::string& name, Conversation& conversation,
                  const LogStoreEvents::LoadedConversation* loaded);
  void send_reads(Line& line, const std::string& name, Conversation& conversation);
  void send_questions(Slot slot, Line& line);
  void answer_here(const std::vector<AccessEvent>& questions);
  bool ask_for_page(const Line& line, ReadEvent& read);

  Shard& shard_;
  std::map<Slot, Line> lines_;
  /// What is refused while lines are worked at: whoever hears it may take away the line.
  std::vector<std::pair<Item, boost::system::error_code>> refused_;
  std::size_t waiting_ = 0;  ///< Items that aren't settled.
  std::size_t bytes_ = 0;
  // Each begins at random: answers to what an earlier process of this node has asked may still come.
  std::uint64_t next_number_;
  std::uint64_t next_stream_;
  std::uint64_t next_follow_;
  std::uint64_t next_token_;
  std::map<std::uint64_t, PendingRead> reads_;  ///< By token, at other nodes.
};

}  // namespace parley::shard
