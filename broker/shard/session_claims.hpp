#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "broker/shard/node_events.hpp"
#include "broker/shard/ports.hpp"
#include "broker/shard/replica_slots.hpp"

namespace parley::shard {

class Shard;
struct Client;

/// Whose record it is, of those that belong to a session; else empty.
std::string_view client_of(const format::RecordBody& body);

/// Which node has which session, in a cluster. Before a connection gets its session its node claims that at the leader
/// of the client id's slot. The leader asks the node that has it, if that is there, to yield: to close the client's
/// connection and write down what there is of it. Then it hands over what is stored, in a new generation. Records of
/// another node or generation are refused, also this node's own, and whoever wrote them drops the session. Belongs to
/// its shard's thread.
///
/// A standalone broker claims nothing. What the leader knows besides what is stored is in memory and ends with its
/// leadership: of a stored session the next leader believes the disk alone, so what an earlier one has granted and was
/// never written is void; of those that end with their connection the nodes tell it what they hold.
///
/// Memory: about 100 bytes a connected session of the slots led here, and for kOwnersKept more of each slot.
class SessionClaims {
 public:
  /// How long the leader waits for a node that is to yield.
  static constexpr Duration kYieldWait = std::chrono::seconds(2);

  /// Of stored sessions, which could be read again, so many are remembered a slot.
  static constexpr std::size_t kOwnersKept = 16'384;

  struct Granted {
    std::uint64_t generation = 0;         ///< As held: the node still has it, and goes on with what it has.
    std::optional<StoredSession> stored;  ///< What there is of it.
  };
  /// Refusals: NotAuthorized for another user's session, NoMajority; or an error of storage.
  using Answer = std::function<void(Result<Granted>)>;

  explicit SessionClaims(Shard& shard) : shard_(shard) {}

  /// This node may go on with the session without asking: it leads the slot and has the session.
  [[nodiscard]] bool is_own(const Client* client, Slot slot) const;
  /// `held`: the generation that this node has; 0: it has none. Answered later, never from within, unless withdrawn.
  /// Asks again while nobody leads the slot, for ShardOptions::leader_wait and kYieldWait together.
  std::uint64_t claim(const std::string& client_id, const std::string& user, std::uint64_t held, Answer answer);
  /// Nobody wants the answer any more.
  void withdraw(std::uint64_t claim) { asked_.erase(claim); }

  // -- The leader's --
  void claim(NodeId from, const remote::Claim& event);
  void yielded(NodeId from, const remote::Yielded& event);
  void hold(NodeId from, const remote::Hold& event);
  /// Whether `from` may write of the session in this generation, perhaps told at once, in the order of the questions.
  void check(NodeId from, Slot slot, const std::string& client_id, std::uint64_t generation,
             std::function<void(remote::Status)> then);
  /// Has Orphans decide what there still is to do about the session, before or behind others that want it.
  void settle(Slot slot, const std::string& client_id);
  /// Its record is gone, since its node had left it: what that one writes now is refused.
  void ended(Slot slot, const std::string& client_id, std::uint64_t generation);
  /// Tells the leader, if there is one, of a session from before this node's start for which nobody has come back.
  /// False: that one doesn't understand it.
  bool tell_left(const std::string& client_id, std::uint64_t generation, Timestamp left);
  /// The leader has done what was due of such a session.
  void settled(const remote::Settled& event);
  void session_loaded(const std::string& client_id, const Result<std::optional<StoredSession>>& loaded);

  // -- The others' --
  void claimed(NodeId from, const remote::Claimed& event);
  void yield(NodeId from, const remote::Yield& event);
  /// A write was refused: somebody else has the session.
  void lost(const std::string& client_id, std::uint64_t generation);
  /// The same, soon: for callers that still need the client. Then `done`, if any, is told NotAuthorized.
  void lose_later(std::string client_id, std::uint64_t generation, std::function<void(Result<void>)> done);
  /// This node has no session of that client any more, and has written nothing of it.
  void release(const std::string& client_id, std::uint64_t generation);

  void leadership_changed(Slot slot);
  void node_connected(NodeId node);
  void node_unreachable(NodeId node);
  void run_timer();
  /// Tells new leaders what this node holds. Once in a while.
  void flush();

 private:
  struct Asked {
    Slot slot;
    std::string client_id;
    std::string user;
    std::uint64_t held = 0;
    Instant since;
    NodeId sent_to;  ///< 0: nobody yet.
    Answer answer;
  };
  struct Owner {
    NodeId node;
    std::uint64_t generation = 0;
    bool verified = false;  ///< Granted here, or as the disk has it; else only what a node has said.
    bool recorded = false;  ///< The disk has it, or will.
  };
  /// A claim as its slot's leader sees it.
  struct Request {
    NodeId from;
    std::uint64_t token = 0;  ///< 0: no claim, but to settle what its node has left.
    std::string user;
    std::uint64_t held = 0;
  };
  struct Check {
    NodeId from;
    std::uint64_t generation = 0;
    std::function<void(remote::Status)> then;
  };
  /// What goes on about one client id: claims one after the other.
  struct Pending {
    Slot slot;
    std::deque<Request> requests;
    std::vector<Check> checks;
    bool loading = false;
    bool settling = false;
    bool asked_to_yield = false;  ///< For the first request.
    NodeId yielding;              ///< Who was asked and hasn't answered; 0: nobody.
    Instant since;
  };
  struct Owners {
    std::unordered_map<std::string, Owner> by_client;
    std::size_t sweep_at = kOwnersKept;
  };
  struct Lost {
    std::string client_id;
    std::uint64_t generation = 0;
    std::function<void(Result<void>)> done;
  };

  void ask(std::uint64_t token);
  void add(Slot slot, const std::string& client_id, Request request);
  void load(const std::string& client_id, Pending& pending);
  void go_on(const std::string& client_id);
  void settle(const std::string& client_id, Pending& pending, const Owner& owner,
              const std::optional<StoredSession>& stored);
  remote::Claimed describe_for(NodeId node, const std::optional<StoredSession>& stored);
  void decide(const std::string& client_id, Pending& pending, const std::optional<StoredSession>& stored);
  bool ask_to_yield(const std::string& client_id, Pending& pending, NodeId owner, std::uint64_t generation);
  void answer(const Pending& pending, const Request& request, remote::Claimed event);
  Owner& owner_of(Slot slot, const std::string& client_id);
  remote::Status judge(Owner& owner, NodeId from, std::uint64_t generation);
  void lost_to(NodeId node, const std::string& client_id, std::uint64_t generation);
  void drop(Slot slot, remote::Status status);
  void yield_here(const std::string& client_id, std::uint64_t generation, std::function<void()> done);
  void set_timer();

  Shard& shard_;
  std::uint64_t next_token_ = 1;
  bool timer_ = false;
  std::map<std::uint64_t, Asked> asked_;
  std::map<Slot, Owners> owners_;
  std::map<std::string, Pending> pending_;  ///< By client id.
  std::vector<Lost> lost_;
  std::set<Slot> changed_;  ///< Slots whose new leader isn't told yet.
};

}  // namespace parley::shard
