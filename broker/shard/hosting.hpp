#pragma once

#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "broker/chat/conversation.hpp"
#include "broker/routing/subscription_tree.hpp"
#include "broker/shard/append_queue.hpp"
#include "broker/shard/events.hpp"

namespace parley::shard {

class Shard;

/// A conversation whose home is this shard.
struct Hosted {
  std::string name;
  enum class State : std::uint8_t { Loading, Absent, Creating, Ready } state = State::Loading;
  std::unique_ptr<chat::Conversation> conversation;  ///< From Creating on.
  std::vector<ShardId> followers;
  std::vector<ShardId> followers_waiting;       ///< To be answered when Ready or Absent.
  std::vector<ProposeEvent> proposals_waiting;  ///< For Loading.
  /// Second uses of an id whose first use is under way.
  struct Repeat {
    Seq seq;
    Timestamp ts;
    std::string id;
    Origin origin;
  };
  std::vector<Repeat> repeats;
  bool used = false;  ///< Since the last sweep.
};

/// The leader's work for the conversations of this shard's slots: load, create, propose, commit, tell the followers.
/// Belongs to its shard's thread.
class Hosting {
 public:
  explicit Hosting(Shard& shard) : shard_(shard) {}

  /// Appends or answers; the outcome comes through Shard::send_outcome, perhaps before this returns.
  void propose(std::string_view conversation, const chat::EntryDraft& draft, Origin origin);
  void follow(const std::string& conversation, ShardId follower);
  void unfollow(const std::string& conversation, ShardId follower);

  // -- LogStoreEvents --
  void loaded(LogStoreEvents::LoadedConversation loaded);
  void load_failed(const std::string& conversation);
  /// Everything in `waiting` is durable and begins at `first`, or nothing of it is stored.
  void settled(std::vector<Waiting>& waiting, Result<Lsn> first);
  void materialised(Lsn upto);

  /// Forgets the conversations that nobody follows or has used since the last call. Once in a while.
  void sweep();

 private:
  Hosted& find_or_load(std::string_view conversation);
  void propose_ready(Hosted& hosted, const chat::EntryDraft& draft, Origin origin);
  void create(Hosted& hosted, std::string_view creator);
  void answer_follower(const Hosted& hosted, ShardId follower, chat::Refusal refusal);
  void become_ready(Hosted& hosted);
  void refuse_waiting(Hosted& hosted, chat::Refusal refusal);
  void release_repeats(Hosted& hosted);
  void roll_back(std::vector<Waiting>& waiting, chat::Refusal refusal);

  /// Ids that find_id will know once their record is materialised.
  struct UnmaterialisedId {
    Lsn lsn;
    std::string conversation;
    std::string from;
    std::string id;
  };

  Shard& shard_;
  std::unordered_map<std::string, std::unique_ptr<Hosted>, routing::StringHash, std::equal_to<>> hosted_;
  std::deque<UnmaterialisedId> unmaterialised_;  ///< By ascending lsn.
  Lsn last_;                                     ///< At least the log's end when the last of these was seen.
};

}  // namespace parley::shard
