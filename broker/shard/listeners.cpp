#include "broker/shard/listeners.hpp"

#include <algorithm>

#include "base/log.hpp"
#include "broker/shard/shard.hpp"

namespace parley::shard {

void Listeners::listen(Client& client, Feed& feed, std::string_view filter, std::string_view name, Hearing hearing) {
  const auto is_same = [&](const Listener& one) { return one.client == &client && one.filter == filter; };
  const auto found = std::ranges::find_if(feed.listeners, is_same);
  if (found == feed.listeners.end()) {
    feed.listeners.push_back({&client, std::string(filter), std::string(name), hearing});
  } else {
    found->name = name;
  }
  auto& feeds = feeds_[&client];
  if (std::ranges::find(feeds, &feed) == feeds.end()) feeds.push_back(&feed);
}

void Listeners::remove(Client& client, const std::function<bool(const Listener&)>& is_meant) {
  const auto found = feeds_.find(&client);
  if (found == feeds_.end()) return;
  for (Feed* feed : std::vector(found->second)) {
    const Feeds::Hold hold(shard_.feeds(), *feed);
    std::erase_if(feed->listeners, [&](const Listener& one) { return one.client == &client && is_meant(one); });
    forget_if_none(client, *feed);
  }
}

void Listeners::stop(Client& client, Feed& feed, std::string_view filter) {
  const Feeds::Hold hold(shard_.feeds(), feed);
  std::erase_if(feed.listeners, [&](const Listener& one) { return one.client == &client && one.filter == filter; });
  forget_if_none(client, feed);
}

/// The client may have no listener in the feed any more.
void Listeners::forget_if_none(Client& client, Feed& feed) {
  if (!any(feed, Hearing::Presence)) shard_.rosters().end(feed);
  const auto found = feeds_.find(&client);
  if (found == feeds_.end()) return;
  if (std::ranges::find(feed.listeners, &client, &Listener::client) != feed.listeners.end()) return;
  std::erase(found->second, &feed);
  if (found->second.empty()) feeds_.erase(found);
}

void Listeners::stop(Client& client, std::string_view filter) {
  remove(client, [filter](const Listener& one) { return one.filter == filter; });
}

void Listeners::stop_all(Client& client) {
  remove(client, [](const Listener& /*any*/) { return true; });
}

void Listeners::end_of(Feed& feed, std::string_view user, Seq seq, bool inbox_only) {
  std::vector<std::pair<Client*, std::string>> ended;
  for (const Listener& one : feed.listeners) {
    if (one.client->session->user() == user) ended.emplace_back(one.client, one.filter);
  }
  const Feeds::Hold hold(shard_.feeds(), feed);
  for (const auto& [client, filter] : ended) {
    if (shard_.inbox_listeners().is_filter(filter)) {
      // The subscription goes on, for the user's other conversations.
      if (!shard_.inbox_listeners().has_come_back(*client, feed, seq)) stop(*client, feed, filter);
      continue;
    }
    if (inbox_only) continue;
    stop(*client, feed, filter);
    if (client->session->remove_subscription(filter) && client->persisted) {
      shard_.session_records().write(*client, {}, nullptr);
    }
  }
}

void Listeners::resume(Client& client) {
  std::vector<std::string> filters;
  for (const auto& subscription : client.session->subscriptions()) {
    if (!chat::is_chat_filter(shard_.options().root, subscription.filter)) continue;
    const auto filter = chat::read_filter(shard_.options().root, subscription.filter);
    if (filter && is_form(filter->parts.form) && filter->parts.conversation != "+") {
      filters.push_back(subscription.filter);
    }
  }
  const ConnectionId connection = client.connection;
  for (const std::string& filter : filters) {
    resume(client, filter);
    if (shard_.client_of(connection) != &client) return;
  }
}

void Listeners::resume(Client& client, const std::string& filter) {
  const auto parts = chat::read_filter(shard_.options().root, filter)->parts;
  const std::string& user = client.session->user();
  const auto conversation = chat::conversation_meant(parts.conversation, user);
  if (!conversation) return;
  shard_.feeds().with_access(*conversation, user,
                             [this, filter, name = std::string(parts.conversation), hearing = hearing_of(parts.form),
                              connection = client.connection](Feed& feed, const Feeds::Access& access) {
                               Client* resumed = shard_.client_of(connection);
                               if (resumed == nullptr || !resumed->session->find_subscription(filter)) return;
                               if (access.refusal == chat::Refusal::None) {
                                 listen(*resumed, feed, filter, name, hearing);
                                 if (hearing == Hearing::Read) shard_.shows().marks(*resumed, feed.name, filter);
                               } else if (access.refusal == chat::Refusal::NotAuthorized) {
                                 resumed->session->remove_subscription(filter);
                               }
                             });
}

void Listeners::show_all(Client& client) {
  const auto found = feeds_.find(&client);
  if (found == feeds_.end()) return;
  for (const Feed* feed : found->second) {
    for (const Listener& one : feed->listeners) {
      if (one.client != &client) continue;
      if (one.hearing == Hearing::Read) shard_.shows().marks(client, feed->name, one.filter);
      if (one.hearing == Hearing::Presence) shard_.rosters().show(client, *feed);
    }
  }
}

bool Listeners::is_listening(const Client& client, const Feed& feed, std::string_view filter) {
  return std::ranges::any_of(feed.listeners,
                             [&](const Listener& one) { return one.client == &client && one.filter == filter; });
}

bool Listeners::any(const Feed& feed, Hearing hearing) {
  return std::ranges::find(feed.listeners, hearing, &Listener::hearing) != feed.listeners.end();
}

void Listeners::send(Feed& feed, Hearing hearing, const Make& make, bool retain) {
  mqtt::MessagePtr message;
  std::string_view name;
  for (const Listener& listener : feed.listeners) {
    if (listener.hearing != hearing) continue;
    if (!message || name != listener.name) message = make(name = listener.name);
    send(listener, message, retain);
  }
}

void Listeners::send(const Listener& listener, const mqtt::MessagePtr& message, bool retain) {
  Client& client = *listener.client;
  const auto* subscription = client.session->find_subscription(listener.filter);
  if (subscription == nullptr || client.quiet) return;
  const std::uint32_t id = subscription->subscription_id;
  const std::span<const std::uint32_t> ids(&id, id != 0 ? 1 : 0);
  client.session->deliver(message, mqtt::Qos::AtMostOnce, retain, ids, shard_.now());
  shard_.wrote(client);
}

}  // namespace parley::shard
