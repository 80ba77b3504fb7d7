#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "broker/shard/events.hpp"
#include "broker/shard/node_events.hpp"

namespace parley::shard {

class Shard;

/// The conversations of users whose slots belong to this shard, for whoever follows a user: shards of this node, and
/// other nodes where this one leads the user's slot. Where another node leads it, it is asked there and passed on.
/// Belongs to its shard's thread.
///
/// A follower gets the whole list first and then each change once it is committed; the whole list again when somebody
/// else leads. While nobody leads it waits, and hears NoMajority after ShardOptions::leader_wait.
///
/// Memory: a followed user's list, about 150 bytes a conversation; whom nobody follows isn't here.
class UserLists {
 public:
  explicit UserLists(Shard& shard);

  void follow(const std::string& user, ShardId follower) { add(user, {.node = {}, .id = follower}); }
  void unfollow(const std::string& user, ShardId follower) { remove(user, {.node = {}, .id = follower}); }

  /// It stands in the log of a slot that is led here.
  void committed(std::string_view user, const UserConversation& conversation);
  void loaded(const std::string& user, Result<std::vector<UserConversation>>& loaded);
  void leadership_changed(Slot slot);
  void run_timer();

  // -- From other nodes --
  void follow(NodeId from, const remote::FollowUser& event);
  void unfollow(NodeId from, const remote::UnfollowUser& event);
  void told(NodeId from, const remote::UserConversations& event);
  void node_connected(NodeId node);

 private:
  /// A shard of this node, or (`node` isn't 0) what another node calls this wish.
  struct Follower {
    NodeId node;
    std::uint64_t id = 0;
    friend bool operator==(const Follower&, const Follower&) = default;
  };
  using List = std::map<ConversationNumber, UserConversation>;
  struct User {
    Slot slot;
    enum class State : std::uint8_t { Unknown, Loading, Here, Asked, Elsewhere } state = State::Unknown;
    bool load_under_way = false;
    bool load_again = false;  ///< What is under way was asked for in an earlier time of leadership.
    NodeId target;            ///< Of Asked and Elsewhere.
    std::uint64_t follow = 0;
    List list;
    std::vector<UserConversation> arriving;  ///< Pieces of a whole list.
    std::vector<Follower> followers;
    std::vector<Follower> waiting;  ///< Have heard nothing yet.
    Instant waiting_since = Instant::max();

    [[nodiscard]] bool known() const { return state == State::Here || state == State::Elsewhere; }
  };

  void tell_followers(std::string_view name, const UserConversation& change);
  void add(const std::string& name, Follower follower);
  void remove(const std::string& name, const Follower& follower);
  void look(const std::string& name, User& user);
  void look_here(const std::string& name, User& user);
  void ask(const std::string& name, User& user, NodeId leader);
  void become_known(const std::string& name, User& user, User::State state);
  void refuse_waiting(const std::string& name, User& user, chat::Refusal refusal);
  void dismiss_nodes(const std::string& name, User& user);
  void tell_all(const std::string& name, const User& user, const Follower& follower);
  void tell(const std::string& name, const User& user, const Follower& follower, const UserConversation& change);
  void refuse(const std::string& name, const Follower& follower, remote::Status status);
  void forget_if_unused(const std::string& name);
  void set_timer();
  /// False when it is known as new already.
  static bool apply(List& list, const UserConversation& change);

  Shard& shard_;
  std::map<std::string, User, std::less<>> users_;
  std::uint64_t next_follow_;
  bool timer_ = false;
};

}  // namespace parley::shard
