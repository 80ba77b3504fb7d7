#include "broker/shard/user_lists.hpp"

#include <algorithm>
#include <utility>

#include "base/log.hpp"
#include "broker/shard/shard.hpp"

namespace parley::shard {
namespace {

constexpr Duration kLookAgain = std::chrono::milliseconds(200);
/// Of a whole list, in one message to another node.
constexpr std::size_t kPieceMax = 500;

remote::UserConversations::One view_of(const UserConversation& one) {
  return {one.number, one.name, one.epoch, one.present, one.changed};
}

}  // namespace

UserLists::UserLists(Shard& shard) : shard_(shard), next_follow_(0) {}

bool UserLists::apply(List& list, const UserConversation& change) {
  const auto [known, added] = list.try_emplace(change.number, change);
  if (added) return true;
  if (known->second.changed >= change.changed) return false;
  known->second = change;
  return true;
}

void UserLists::add(const std::string& name, Follower follower) {
  const auto [found, added] = users_.try_emplace(name);
  User& user = found->second;
  if (added) user.slot = slot_of_name(name, shard_.options());
  std::erase(user.followers, follower);
  if (user.known()) {
    user.followers.push_back(follower);
    tell_all(name, user, follower);
    return;
  }
  if (std::ranges::find(user.waiting, follower) != user.waiting.end()) return;
  user.waiting.push_back(follower);
  if (user.waiting_since == Instant::max()) user.waiting_since = shard_.now();
  look(name, user);
}

void UserLists::remove(const std::string& name, const Follower& follower) {
  const auto found = users_.find(name);
  if (found == users_.end()) return;
  std::erase(found->second.followers, follower);
  std::erase(found->second.waiting, follower);
  forget_if_unused(name);
}

void UserLists::forget_if_unused(const std::string& name) {
  const auto found = users_.find(name);
  if (found == users_.end()) return;
  User& user = found->second;
  if (!user.followers.empty() || !user.waiting.empty()) return;
  if (user.state == User::State::Asked || user.state == User::State::Elsewhere) {
    shard_.nodes().send(user.target, NodeChannel::Entries,
                        remote::encode_for(user.slot, remote::UnfollowUser{user.follow, name}));
    user.state = User::State::Unknown;
  }
  // The answer of a load must find whom it is for.
  if (!user.load_under_way) users_.erase(found);
}

/// Sees to it that the list comes from where it can be had.
void UserLists::look(const std::string& name, User& user) {
  const auto leadership = shard_.replicas().leadership(user.slot);
  using State = Leadership::State;
  if (leadership.state == State::Here && shard_.may_host(user.slot)) {
    look_here(name, user);
  } else if (leadership.state == State::Elsewhere) {
    ask(name, user, leadership.node);
  } else {
    dismiss_nodes(name, user);
    user.state = User::State::Unknown;
    set_timer();
  }
}

void UserLists::look_here(const std::string& name, User& user) {
  if (user.state == User::State::Here || user.state == User::State::Loading) return;
  user.state = User::State::Loading;
  user.list.clear();
  if (std::exchange(user.load_under_way, true)) {
    user.load_again = true;
  } else {
    shard_.store().load_user(shard_.id(), name);
  }
}

void UserLists::ask(const std::string& name, User& user, NodeId leader) {
  const bool asked = user.state == User::State::Asked || user.state == User::State::Elsewhere;
  if (asked && user.target == leader) return;
  dismiss_nodes(name, user);
  user.state = User::State::Unknown;
  user.arriving.clear();
  // Answers to what an earlier process of this node has asked may still come.
  if (next_follow_ == 0) next_follow_ = (shard_.random().next() >> 8) + 1;
  const std::uint64_t follow = next_follow_++;
  if (!shard_.nodes().try_send(leader, NodeChannel::Entries,
                               remote::encode_for(user.slot, remote::FollowUser{follow, name}))) {
    set_timer();
    return;
  }
  user.follow = follow;
  user.target = leader;
  user.state = User::State::Asked;
}

void UserLists::loaded(const std::string& name, Result<std::vector<UserConversation>>& loaded) {
  const auto found = users_.find(name);
  if (found == users_.end()) return;
  User& user = found->second;
  user.load_under_way = false;
  if (user.state != User::State::Loading) {
    user.load_again = false;
    return forget_if_unused(name);
  }
  if (std::exchange(user.load_again, false)) {
    user.load_under_way = true;
    shard_.store().load_user(shard_.id(), name);
    return;
  }
  if (!loaded) {
    log::error("a user's conversations can't be read, trying again",
               {{"user", name}, {"error", loaded.error().message()}});
    user.state = User::State::Unknown;
    refuse_waiting(name, user, chat::Refusal::StorageFailed);
    set_timer();
    return;
  }
  for (const UserConversation& one : *loaded) apply(user.list, one);
  become_known(name, user, User::State::Here);
  forget_if_unused(name);
}

void UserLists::become_known(const std::string& name, User& user, User::State state) {
  user.state = state;
  user.waiting_since = Instant::max();
  for (const Follower& one : std::exchange(user.waiting, {})) user.followers.push_back(one);
  // Who is told may unfollow at once.
  const auto followers = user.followers;
  for (const Follower& one : followers) {
    const auto still = users_.find(name);
    if (still == users_.end()) return;
    tell_all(name, still->second, one);
  }
}

void UserLists::committed(std::string_view name, const UserConversation& change) {
  tell_followers(name, change);
  if (!change.present) shard_.presence().homes().user_left(name);
}

void UserLists::tell_followers(std::string_view name, const UserConversation& change) {
  const auto found = users_.find(name);
  if (found == users_.end()) return;
  User& user = found->second;
  const bool here = user.state == User::State::Here;
  if ((!here && user.state != User::State::Loading) || !apply(user.list, change) || !here) return;
  const auto followers = user.followers;
  for (const Follower& one : followers) tell(found->first, user, one, change);
}

void UserLists::leadership_changed(Slot slot) {
  std::vector<std::string> names;
  for (const auto& [name, user] : users_) {
    if (user.slot == slot) names.push_back(name);
  }
  for (const std::string& name : names) {
    const auto found = users_.find(name);
    if (found == users_.end()) continue;
    User& user = found->second;
    // Each time of leadership begins with what is stored.
    if (user.state == User::State::Here || user.state == User::State::Loading) user.state = User::State::Unknown;
    look(name, user);
    forget_if_unused(name);
  }
}

void UserLists::set_timer() {
  if (std::exchange(timer_, true)) return;
  shard_.timers().add({.due = shard_.now() + kLookAgain, .kind = TimerKind::UserLists});
}

void UserLists::run_timer() {
  timer_ = false;
  std::vector<std::string> names;
  for (const auto& [name, user] : users_) {
    if (!user.known()) names.push_back(name);
  }
  for (const std::string& name : names) {
    const auto found = users_.find(name);
    if (found == users_.end()) continue;
    User& user = found->second;
    look(name, user);
    if (user.known()) continue;
    if (user.waiting_since != Instant::max() && user.waiting_since + shard_.options().leader_wait <= shard_.now()) {
      refuse_waiting(name, user, chat::Refusal::NoMajority);
    }
    if (user.state == User::State::Unknown || user.state == User::State::Asked) set_timer();
    forget_if_unused(name);
  }
}

/// Those that wait hear why, and go on following.
void UserLists::refuse_waiting(const std::string& name, User& user, chat::Refusal refusal) {
  user.waiting_since = Instant::max();
  for (const Follower& one : std::exchange(user.waiting, {})) {
    if (one.node != NodeId{}) {
      refuse(name, one, remote::Status::Failed);
    } else {
      user.followers.push_back(one);
      shard_.send(static_cast<ShardId>(one.id), PeerEvent{UserConversationsEvent{.user = name, .refusal = refusal}});
    }
  }
}

// -- Telling --

void UserLists::tell_all(const std::string& name, const User& user, const Follower& follower) {
  if (follower.node == NodeId{}) {
    UserConversationsEvent event{.user = name, .whole = true};
    for (const auto& [number, one] : user.list) {
      if (one.present) event.conversations.push_back(one);
    }
    shard_.send(static_cast<ShardId>(follower.id), PeerEvent{std::move(event)});
    return;
  }
  remote::UserConversations event{.slot = user.slot, .follow = follower.id, .user = name, .whole = true};
  const auto send = [&](bool more) {
    event.more = more;
    shard_.nodes().send(follower.node, NodeChannel::Entries, remote::encode_for(user.slot, event));
    event.conversations.clear();
  };
  for (const auto& [number, one] : user.list) {
    if (!one.present) continue;
    if (event.conversations.size() == kPieceMax) send(true);
    event.conversations.push_back(view_of(one));
  }
  send(false);
}

void UserLists::tell(const std::string& name, const User& user, const Follower& follower,
                     const UserConversation& change) {
  if (follower.node == NodeId{}) {
    shard_.send(static_cast<ShardId>(follower.id),
                PeerEvent{UserConversationsEvent{.user = name, .whole = false, .conversations = {change}}});
    return;
  }
  remote::UserConversations event{.slot = user.slot, .follow = follower.id, .user = name};
  event.conversations.push_back(view_of(change));
  shard_.nodes().send(follower.node, NodeChannel::Entries, remote::encode_for(user.slot, event));
}

void UserLists::refuse(const std::string& name, const Follower& follower, remote::Status status) {
  const Slot slot = slot_of_name(name, shard_.options());
  shard_.nodes().send(
      follower.node, NodeChannel::Entries,
      remote::encode_for(
          slot, remote::UserConversations{.slot = slot, .follow = follower.id, .user = name, .status = status}));
}

/// This node doesn't lead any more: other nodes ask the one that does.
void UserLists::dismiss_nodes(const std::string& name, User& user) {
  for (auto* list : {&user.followers, &user.waiting}) {
    for (const Follower& one : *list) {
      if (one.node != NodeId{}) refuse(name, one, remote::Status::NotLeader);
    }
    std::erase_if(*list, [](const Follower& one) { return one.node != NodeId{}; });
  }
}

// -- Other nodes --

void UserLists::follow(NodeId from, const remote::FollowUser& event) {
  const std::string name(event.user);
  const Follower follower{.node = from, .id = event.follow};
  if (!shard_.may_host(slot_of_name(name, shard_.options()))) {
    refuse(name, follower, remote::Status::NotLeader);
  } else {
    add(name, follower);
  }
}

void UserLists::unfollow(NodeId from, const remote::UnfollowUser& event) {
  remove(std::string(event.user), {.node = from, .id = event.follow});
}

void UserLists::told(NodeId from, const remote::UserConversations& event) {
  const auto found = users_.find(event.user);
  if (found == users_.end()) return;
  User& user = found->second;
  const bool asked = user.state == User::State::Asked || user.state == User::State::Elsewhere;
  if (!asked || user.target != from || user.follow != event.follow) return;
  const std::string name(event.user);
  if (event.status != remote::Status::Done) {
    user.state = User::State::Unknown;
    set_timer();
    return;
  }
  std::vector<UserConversation> conversations;
  conversations.reserve(event.conversations.size());
  for (const auto& one : event.conversations) {
    conversations.push_back({one.number, std::string(one.name), one.epoch, one.present, one.changed});
  }
  if (event.whole) {
    for (auto& one : conversations) user.arriving.push_back(std::move(one));
    if (event.more) return;
    user.list.clear();
    for (const auto& one : std::exchange(user.arriving, {})) apply(user.list, one);
    become_known(name, user, User::State::Elsewhere);
    forget_if_unused(name);
    return;
  }
  if (user.state != User::State::Elsewhere) return;
  for (const auto& change : conversations) {
    if (!apply(user.list, change)) continue;
    const auto followers = user.followers;
    for (const Follower& one : followers) tell(name, user, one, change);
  }
}

void UserLists::node_connected(NodeId node) {
  std::vector<std::string> names;
  for (auto& [name, user] : users_) {
    for (auto* list : {&user.followers, &user.waiting}) {
      std::erase_if(*list, [&](const Follower& one) { return one.node == node; });
    }
    const bool asked = user.state == User::State::Asked || user.state == User::State::Elsewhere;
    if (asked && user.target == node) user.state = User::State::Unknown;
    names.push_back(name);
  }
  for (const std::string& name : names) {
    const auto found = users_.find(name);
    if (found != users_.end() && found->second.state == User::State::Unknown) look(name, found->second);
    forget_if_unused(name);
  }
}

}  // namespace parley::shard
