#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "broker/chat/conversation.hpp"
#include "broker/chat/group.hpp"
#include "broker/routing/subscription_tree.hpp"
#include "broker/shard/events.hpp"
#include "broker/shard/groups.hpp"
#include "broker/shard/marks.hpp"
#include "broker/shard/share_homes.hpp"

namespace parley::shard {

class Shard;

/// What to tell whoever asked for something that failed with `error`: of the disk, of replication, or a refusal.
chat::Refusal refusal_of(boost::system::error_code error);

/// A conversation whose home is this shard.
struct Hosted {
  std::string name;
  Slot slot;
  std::size_t place = 0;  ///< Among its slot's.
  enum class State : std::uint8_t { Loading, Absent, Creating, Ready } state = State::Loading;
  std::unique_ptr<chat::Conversation> conversation;  ///< From Creating on.
  std::optional<chat::Group> group;                  ///< The same.
  std::shared_ptr<HostedMarks> marks;                ///< Null: none has moved.
  std::shared_ptr<HostedShares> shares;              ///< Null: no shared subscription has been asked for.
  std::vector<ShardId> followers;
  std::vector<ShardId> followers_waiting;       ///< To be answered when Ready or Absent.
  std::vector<ProposeEvent> proposals_waiting;  ///< For Loading.
  std::vector<AccessEvent> accesses_waiting;    ///< The same.
  /// Second uses of an id whose first use is under way.
  struct Repeat {
    Seq seq;
    Timestamp ts;
    std::string id;
    Origin origin;
  };
  std::vector<Repeat> repeats;
  std::vector<std::uint64_t> lookups;  ///< Of messages that are to be edited or redacted; see Amendments.
  bool used = false;                   ///< Since the last sweep.
};

/// The conversations of this shard's slots that this node leads: loads them, has them while they are used, and knows
/// who follows them or waits. Belongs to its shard's thread. Only what is led here is hosted: what is asked of other
/// slots goes to RemoteHomes. What is asked of a loaded one Proposing decides; what becomes of that Committing tells.
class Hosting {
 public:
  explicit Hosting(Shard& shard) : shard_(shard) {}

  /// Appends or answers; the outcome comes through Shard::send_outcome, perhaps before this returns.
  void propose(std::string_view conversation, const chat::EntryDraft& draft, Origin origin);
  void propose(ProposeEvent proposal);
  void follow(const std::string& conversation, ShardId follower);
  void unfollow(const std::string& conversation, ShardId follower);
  void delivered(const DeliveredEvent& event);
  /// Answered with AccessedEvent.
  void access(AccessEvent asked);

  /// The message that an edit or redaction refers to was looked up; null: there is none. `token`: of the lookup.
  void amend(ProposeEvent proposal, std::uint64_t token, const format::EntryPtr& message);
  /// It can't be looked up.
  void forget_lookup(const std::string& conversation, std::uint64_t token);

  /// Retention has taken away what comes before `oldest`.
  void retained(const std::string& name, ConversationNumber number, Seq oldest);

  // -- LogStoreEvents --
  void loaded(LogStoreEvents::LoadedConversation loaded);
  void load_failed(const std::string& conversation);

  /// See ReplicaEvents.
  void leadership_changed(Slot slot);

  // -- From Committing --
  /// Its creation is committed.
  void become_ready(Hosted& hosted);
  /// Its creation is refused. Returns who wanted to follow it, doesn't any more, and is still to be told.
  std::vector<ShardId> become_absent(Hosted& hosted, chat::Refusal refusal);

  /// Null when it isn't led here, or not loaded.
  Hosted* find(std::string_view conversation);
  /// Also when it isn't loaded.
  Hosted* find_known(std::string_view conversation);
  /// Of a slot that isn't led here. Another node's proposal goes back to it, since that one knows the leader, too.
  void propose_elsewhere(Slot slot, ProposeEvent proposal);
  /// What it has said of members of shared subscriptions, and waits for a conversation, counts no more.
  void forget_shares_of(NodeId node);

  /// RemoteHomes has asked the store for the conversation, and no longer waits for the answer.
  void expect_stale_load(const std::string& conversation) { stale_loads_.insert(conversation); }

  /// Forgets the conversations that nobody follows or has used since the last call. Once in a while.
  void sweep();

 private:
  /// Null when this node doesn't lead its slot.
  Hosted* find_or_load(std::string_view conversation);
  void load(const std::string& conversation);
  void forget(Hosted& hosted);
  void answer_access(const Hosted& hosted, const AccessEvent& asked, chat::Refusal refusal);
  void access_elsewhere(Slot slot, AccessEvent asked);
  void restore(Hosted& hosted, LogStoreEvents::LoadedConversation& loaded);
  void answer_accesses(Hosted& hosted, chat::Refusal refusal);
  void answer_follower(const Hosted& hosted, ShardId follower, chat::Refusal refusal);
  void refuse_waiting(Hosted& hosted, chat::Refusal refusal);

  Shard& shard_;
  std::unordered_map<std::string, std::unique_ptr<Hosted>, routing::StringHash, std::equal_to<>> hosted_;
  std::vector<std::vector<Hosted*>> by_slot_;
  /// What is on its way was asked for in an earlier time of leadership, and may lack what was committed since.
  std::unordered_set<std::string> stale_loads_;
};

}  // namespace parley::shard
