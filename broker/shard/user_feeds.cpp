#include "broker/shard/user_feeds.hpp"

#include <utility>

#include "broker/shard/shard.hpp"

namespace parley::shard {

void UserFeeds::watch(const std::string& user, Watcher& watcher) {
  const auto [found, added] = users_.try_emplace(user);
  found->second.watchers.push_back(&watcher);
  if (added) shard_.send(home_of_name(user, shard_.options()), PeerEvent{FollowUserEvent{user, shard_.id()}});
}

void UserFeeds::unwatch(const std::string& user, Watcher& watcher) {
  const auto found = users_.find(user);
  if (found == users_.end()) return;
  std::erase(found->second.watchers, &watcher);
  if (!found->second.watchers.empty()) return;
  const std::string name = found->first;
  users_.erase(found);
  shard_.send(home_of_name(name, shard_.options()), PeerEvent{UnfollowUserEvent{name, shard_.id()}});
}

const UserFeeds::List* UserFeeds::find(std::string_view user) const {
  const auto found = users_.find(user);
  return found == users_.end() || !found->second.known ? nullptr : &found->second.list;
}

/// Watchers may unwatch meanwhile.
void UserFeeds::tell(const std::string& user, const UserConversation& change) {
  const auto found = users_.find(user);
  if (found == users_.end()) return;
  const auto watchers = found->second.watchers;
  for (Watcher* watcher : watchers) watcher->user_changed(user, change);
}

void UserFeeds::told(UserConversationsEvent& event) {
  const auto found = users_.find(event.user);
  if (found == users_.end()) return;
  User& user = found->second;
  const auto watchers = user.watchers;
  if (event.refusal != chat::Refusal::None) {
    for (Watcher* watcher : watchers) watcher->user_unknown(event.user, event.refusal);
    return;
  }
  std::vector<UserConversation> changes;
  if (event.whole) {
    List list;
    for (UserConversation& one : event.conversations) list.emplace(one.number, std::move(one));
    if (!std::exchange(user.known, true)) {
      user.list = std::move(list);
      for (Watcher* watcher : watchers) watcher->user_known(event.user);
      return;
    }
    for (const auto& [number, one] : user.list) {
      if (list.contains(number)) continue;
      changes.push_back(one);
      changes.back().present = false;
    }
    for (const auto& [number, one] : list) {
      const auto before = user.list.find(number);
      if (before == user.list.end() || before->second.changed != one.changed) changes.push_back(one);
    }
    user.list = std::move(list);
  } else if (user.known) {
    for (UserConversation& one : event.conversations) {
      if (one.present) {
        user.list.insert_or_assign(one.number, one);
      } else {
        user.list.erase(one.number);
      }
      changes.push_back(std::move(one));
    }
  }
  for (const UserConversation& change : changes) tell(event.user, change);
}

}  // namespace parley::shard
