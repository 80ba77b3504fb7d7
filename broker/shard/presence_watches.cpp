#include "broker/shard/presence_watches.hpp"

#include <algorithm>
#include <span>
#include <utility>

#include "broker/shard/entry_message.hpp"
#include "broker/shard/shard.hpp"

namespace parley::shard {
namespace {

using chat::Refusal;

/// How often it is asked again whether a subscriber may still see a user.
constexpr Duration kCheckAgain = std::chrono::minutes(10);
/// Of one subscriber's at a time, and how long until the next ones.
constexpr std::size_t kChecksMax = 100;
constexpr Duration kCheckPause = std::chrono::seconds(1);

}  // namespace

// -- Subscriptions --

void PresenceWatches::watch(Client& client, std::string_view filter) {
  const std::string user(Presence::user_of(filter));
  Watched& watched = watched_[user];
  const bool wanted = watched.is_wanted();
  const auto is_same = [&](const Watcher& one) { return one.client == &client && one.filter == filter; };
  if (std::ranges::find_if(watched.watchers, is_same) != watched.watchers.end()) return;
  watched.watchers.push_back({&client, std::string(filter), Instant{}});
  const auto [watches, is_first] = watches_.try_emplace(&client);
  watches->second.push_back(user);
  if (is_first) {
    const auto [asker, added] = askers_.try_emplace(client.session->user());
    asker->second.push_back(&client);
    if (added) shard_.user_feeds().watch(asker->first, *this);
  }
  if (!wanted) want(user, true);
}

void PresenceWatches::want(const std::string& user, bool wanted) {
  shard_.send(home_of_name(user, shard_.options()), PeerEvent{PresenceFollowEvent{user, shard_.id(), wanted}});
}

void PresenceWatches::unwatch(Client& client, std::string_view filter) {
  const std::string user(Presence::user_of(filter));
  const auto found = watched_.find(user);
  if (found == watched_.end()) return;
  std::erase_if(found->second.watchers, [&](const Watcher& one) { return one.client == &client; });
  if (const auto watches = watches_.find(&client); watches != watches_.end()) {
    std::erase(watches->second, user);
    if (watches->second.empty()) {
      watches_.erase(watches);
      forget_asker(client);
    }
  }
  if (found->second.is_wanted()) return;
  watched_.erase(found);
  want(user, false);
}

void PresenceWatches::forget_asker(Client& client) {
  const auto found = askers_.find(client.session->user());
  if (found == askers_.end()) return;
  std::erase(found->second, &client);
  if (!found->second.empty()) return;
  askers_.erase(found);
  shard_.user_feeds().unwatch(client.session->user(), *this);
}

void PresenceWatches::unwatch_all(Client& client) {
  const auto found = watches_.find(&client);
  if (found == watches_.end()) return;
  for (const std::string& user : std::vector(found->second)) {
    unwatch(client, std::string(Presence::kPrefix).append(user));
  }
}

void PresenceWatches::resume(Client& client) {
  const ConnectionId connection = client.connection;
  for (const auto& subscription : std::vector(client.session->subscriptions())) {
    if (!Presence::is_topic(subscription.filter) || shard_.inbox_listeners().is_filter(subscription.filter)) continue;
    questions_.may_see(client.session->user(), subscription.filter,
                       [this, connection, filter = subscription.filter](Refusal refusal) {
                         Client* resumed = shard_.client_of(connection);
                         if (resumed == nullptr || !resumed->session->find_subscription(filter)) return;
                         if (refusal == Refusal::NotAuthorized) {
                           resumed->session->remove_subscription(filter);
                         } else {
                           watch(*resumed, filter);
                           show(*resumed, filter);
                         }
                       });
  }
}

/// It may be told now. One that isn't to be shown the state as it is hears of it when it changes.
void PresenceWatches::begin(Client& client, std::string_view filter, bool shows) {
  if (shows) return show(client, filter);
  const auto found = watched_.find(std::string(Presence::user_of(filter)));
  if (found == watched_.end()) return;
  for (Watcher& one : found->second.watchers) {
    if (one.client != &client || one.filter != filter) continue;
    one.checked = shard_.now();
    one.awaits_change = !found->second.last;
  }
}

void PresenceWatches::show(Client& client, std::string_view filter) {
  const auto found = watches_.find(&client);
  if (found == watches_.end()) return;
  for (const std::string& user : std::vector(found->second)) {
    const auto watched = watched_.find(user);
    if (watched == watched_.end()) continue;
    for (Watcher& one : watched->second.watchers) {
      if (one.client != &client || (!filter.empty() && one.filter != filter)) continue;
      one.checked = shard_.now();
      if (watched->second.last) send(client, one.filter, user, *watched->second.last, true);
    }
  }
}

void PresenceWatches::shown(const PresenceShownEvent& event) {
  const auto found = watched_.find(event.user);
  if (found == watched_.end()) return;
  Watched& watched = found->second;
  if (watched.last == event.presence) return;
  const bool is_first = !watched.last;
  watched.last = event.presence;
  for (Watcher& one : watched.watchers) {
    if (one.checked == Instant{} || std::exchange(one.awaits_change, false)) continue;
    if (is_first) {
      send(*one.client, one.filter, event.user, event.presence, true);
    } else {
      send_change(*one.client, one.filter, event.user, event.presence);
    }
  }
  const std::string& filter = shard_.inbox_listeners().filter(Hearing::Presence);
  for (Client* client : contacts(event.user, watched)) {
    if (is_first) {
      shard_.shows().presence(*client, event.user, event.presence.online);
    } else {
      send_change(*client, filter, event.user, event.presence);
    }
  }
}

/// What has no room now comes when there is some.
void PresenceWatches::send_change(Client& client, std::string_view filter, const std::string& user,
                                  const chat::Presence& presence) {
  if (client.quiet) return;
  if (!Shows::has_room(client) || shard_.shows().awaits(client, user)) {
    shard_.shows().presence(client, user, presence.online);
  } else {
    send(client, filter, user, presence, false);
  }
}

void PresenceWatches::send(Client& client, std::string_view filter, const std::string& user,
                           const chat::Presence& presence, bool retain) {
  const auto* subscription = client.session->find_subscription(filter);
  if (subscription == nullptr || client.quiet) return;
  const std::uint32_t id = subscription->subscription_id;
  const std::span<const std::uint32_t> ids(&id, id != 0 ? 1 : 0);
  const bool is_one = filter != shard_.inbox_listeners().filter(Hearing::Presence);
  const mqtt::Qos qos = is_one ? subscription->options.qos : mqtt::Qos::AtMostOnce;
  client.session->deliver(presence_message(user, presence), qos, retain, ids, shard_.now());
  shard_.wrote(client);
}

// -- All whom a user knows --

bool PresenceWatches::sees(const Listener& listener, const Feed& feed, const std::string& user) {
  if (listener.hearing != Hearing::Presence) return false;
  const bool is_silent = feed.roster && feed.roster->silent.contains(user);
  return !is_silent || listener.client->session->user() == user;
}

bool PresenceWatches::is_contact(const Client& client, const std::string& user, const Watched& watched) {
  return std::ranges::any_of(watched.rosters, [&](const Feed* feed) {
    return std::ranges::any_of(feed->listeners,
                               [&](const Listener& one) { return one.client == &client && sees(one, *feed, user); });
  });
}

/// Each once.
std::vector<Client*> PresenceWatches::contacts(const std::string& user, const Watched& watched) {
  std::vector<Client*> clients;
  for (const Feed* feed : watched.rosters) {
    for (const Listener& one : feed->listeners) {
      if (sees(one, *feed, user)) clients.push_back(one.client);
    }
  }
  std::ranges::sort(clients);
  clients.erase(std::unique(clients.begin(), clients.end()), clients.end());
  return clients;
}

void PresenceWatches::enter_roster(const std::string& user, Feed& feed) {
  Watched& watched = watched_[user];
  if (!watched.is_wanted()) want(user, true);
  if (watched.last) show_others(feed, user, watched, contacts(user, watched));
  watched.rosters.push_back(&feed);
}

void PresenceWatches::take_part(const std::string& user, Feed& feed) {
  const auto found = watched_.find(user);
  const auto before = found != watched_.end() ? contacts(user, found->second) : std::vector<Client*>();
  feed.roster->silent.erase(user);
  if (found != watched_.end() && found->second.last) show_others(feed, user, found->second, before);
}

/// To those who hear of the user by this feed and are none of `contacts`.
void PresenceWatches::show_others(const Feed& feed, const std::string& user, const Watched& watched,
                                  const std::vector<Client*>& contacts) {
  for (const Listener& one : feed.listeners) {
    if (!sees(one, feed, user) || std::ranges::binary_search(contacts, one.client)) continue;
    shard_.shows().presence(*one.client, user, watched.last->online);
  }
}

void PresenceWatches::leave_roster(const std::string& user, const Feed& feed) {
  const auto found = watched_.find(user);
  if (found == watched_.end()) return;
  std::erase(found->second.rosters, &feed);
  if (found->second.is_wanted()) return;
  watched_.erase(found);
  want(user, false);
}

void PresenceWatches::show_later(Client& client, const std::string& user) {
  const auto found = watched_.find(user);
  if (found == watched_.end() || !found->second.last) return;
  shard_.shows().presence(client, user, found->second.last->online);
}

void PresenceWatches::show_now(Client& client, const std::string& user) {
  const auto found = watched_.find(user);
  if (found == watched_.end() || !found->second.last) return;
  for (const Watcher& one : found->second.watchers) {
    if (one.client == &client && one.checked != Instant{}) send(client, one.filter, user, *found->second.last, true);
  }
  if (!is_contact(client, user, found->second)) return;
  send(client, shard_.inbox_listeners().filter(Hearing::Presence), user, *found->second.last, true);
}

// -- Whether they may still see it --

bool PresenceWatches::sweep(std::size_t most) {
  return sweep_.step(watches_, most, [this](const auto& one) {
    recheck_later(*one.first, shard_.now());
    return false;
  });
}

void PresenceWatches::recheck_later(const Client& client, Instant due) {
  shard_.timers().add(
      {.due = due, .kind = TimerKind::PresenceCheck, .client = client.place, .identity = client.session->identity()});
}

void PresenceWatches::run_timer(Client& client) {
  const auto found = watches_.find(&client);
  if (found == watches_.end()) return;
  const ConnectionId connection = client.connection;
  std::size_t asked = 0;
  for (const std::string& user : std::vector(found->second)) {
    const auto watched = watched_.find(user);
    if (watched == watched_.end()) continue;
    bool is_due = false;
    for (Watcher& one : watched->second.watchers) {
      if (one.client != &client || one.checked == Instant{} || one.checked + kCheckAgain > shard_.now()) continue;
      one.checked = shard_.now();
      is_due = true;
    }
    if (!is_due) continue;
    recheck(client, user);
    if (shard_.client_of(connection) != &client) return;
    if (++asked == kChecksMax) return recheck_later(client, shard_.now() + kCheckPause);
  }
}

void PresenceWatches::recheck(Client& client, const std::string& user) {
  const std::string filter = std::string(Presence::kPrefix).append(user);
  questions_.may_see(client.session->user(), filter, [this, connection = client.connection, filter](Refusal refusal) {
    Client* owner = shard_.client_of(connection);
    if (owner == nullptr || refusal != Refusal::NotAuthorized) return;
    unwatch(*owner, filter);
    if (owner->session->remove_subscription(filter) && owner->persisted) {
      shard_.session_records().write(*owner, {}, nullptr);
    }
  });
}

/// The asker has left a conversation.
void PresenceWatches::user_changed(const std::string& asker, const UserConversation& change) {
  if (change.present) return;
  const auto found = askers_.find(asker);
  if (found == askers_.end()) return;
  std::vector<ConnectionId> clients;
  for (const Client* client : found->second) clients.push_back(client->connection);
  for (const ConnectionId connection : clients) {
    Client* client = shard_.client_of(connection);
    const auto watches = client != nullptr ? watches_.find(client) : watches_.end();
    if (watches == watches_.end()) continue;
    for (const std::string& user : std::vector(watches->second)) {
      if (shard_.client_of(connection) == client) recheck(*client, user);
    }
  }
}

/// Another one has, whom clients here watch.
void PresenceWatches::recheck(const PresenceRecheckEvent& event) {
  const auto found = watched_.find(event.user);
  if (found == watched_.end()) return;
  std::vector<ConnectionId> clients;
  for (const Watcher& one : found->second.watchers) clients.push_back(one.client->connection);
  for (const ConnectionId connection : clients) {
    if (Client* client = shard_.client_of(connection)) recheck(*client, event.user);
  }
}

}  // namespace parley::shard
