#include "broker/shard/inbox_listeners.hpp"

#include <algorithm>
#include <memory>
#include <utility>

#include "broker/shard/shard.hpp"

namespace parley::shard {
namespace {

using chat::Refusal;

constexpr Duration kTryAgain = std::chrono::seconds(1);

}  // namespace

InboxListeners::InboxListeners(Shard& shard) : shard_(shard) {
  const std::string inbox = shard_.options().root + "/+/";
  filters_ = {inbox + std::string(chat::name_of(chat::Form::Typing)),
              inbox + std::string(chat::name_of(chat::Form::Read)), std::string(Presence::kPrefix) + "+"};
}

bool InboxListeners::is_filter(std::string_view filter) const {
  return std::ranges::find(filters_, filter) != filters_.end();
}

bool InboxListeners::wants(const Client& client, Hearing hearing) const {
  return client.session->find_subscription(filter(hearing)) != nullptr;
}

// -- Clients --

void InboxListeners::open(Client& client) {
  const std::string& user = client.session->user();
  const auto [found, added] = users_.try_emplace(user);
  auto& clients = found->second.clients;
  if (std::ranges::find(clients, client.connection) == clients.end()) clients.push_back(client.connection);
  if (added) shard_.user_feeds().watch(user, *this);
}

void InboxListeners::detach(Client& client) {
  const std::string& user = client.session->user();
  const auto found = users_.find(user);
  if (found == users_.end()) return;
  std::erase(found->second.clients, client.connection);
  std::erase_if(found->second.waiting, [&](const Waiting& one) { return one.connection == client.connection; });
  if (!found->second.clients.empty()) return;
  users_.erase(found);
  shard_.user_feeds().unwatch(user, *this);
}

void InboxListeners::subscribe(Client& client, Hearing hearing, bool shows, Known known) {
  open(client);
  const std::string& user = client.session->user();
  if (const auto* list = shard_.user_feeds().find(user)) {
    enter_all(client, hearing, shows, *list, known);
  } else {
    users_.at(user).waiting.push_back({client.connection, hearing, shows, std::move(known)});
  }
}

void InboxListeners::unsubscribe(Client& client, Hearing hearing) {
  shard_.listeners().stop(client, filter(hearing));
  const auto found = users_.find(client.session->user());
  if (found == users_.end() || std::ranges::any_of(kHearings, [&](Hearing one) { return wants(client, one); })) return;
  // A SUBSCRIBE under way is still answered.
  const auto& waiting = found->second.waiting;
  if (std::ranges::find(waiting, client.connection, &Waiting::connection) == waiting.end()) detach(client);
}

void InboxListeners::resume(Client& client) {
  for (const Hearing hearing : kHearings) {
    if (wants(client, hearing)) subscribe(client, hearing, true, nullptr);
  }
}

// -- Conversations --

void InboxListeners::enter_all(Client& client, Hearing hearing, bool shows, const UserFeeds::List& list,
                               const Known& known) {
  std::vector<UserConversation> conversations;
  for (const auto& [number, one] : list) conversations.push_back(one);
  const std::size_t count = conversations.size();
  // One more, so that it isn't done before all are asked for.
  const auto open = std::make_shared<std::size_t>(count + 1);
  const auto done = [open, count, known] {
    if (--*open == 0 && known) known(count, Refusal::None);
  };
  const ConnectionId connection = client.connection;
  for (const UserConversation& one : conversations) {
    if (shard_.client_of(connection) != &client) return;
    enter(client, hearing, shows, one, done);
  }
  done();
}

void InboxListeners::enter(Client& client, Hearing hearing, bool shows, const UserConversation& conversation,
                           std::function<void()> done) {
  shard_.feeds().with_access(conversation.name, client.session->user(),
                             [this, connection = client.connection, hearing, shows, conversation,
                              then = std::move(done)](Feed& feed, const Feeds::Access& access) {
                               Client* found = shard_.client_of(connection);
                               if (found != nullptr && wants(*found, hearing)) {
                                 if (access.refusal == Refusal::None) {
                                   listen(*found, hearing, shows, conversation, feed);
                                 } else if (access.refusal != Refusal::NotAuthorized) {
                                   try_again(*found, hearing, shows, conversation);
                                 }
                               }
                               if (then) then();
                             });
}

void InboxListeners::listen(Client& client, Hearing hearing, bool shows, const UserConversation& conversation,
                            Feed& feed) {
  const auto* list = shard_.user_feeds().find(client.session->user());
  if (list == nullptr || !list->contains(conversation.number)) return;
  if (feed.standing.number != conversation.number) return;
  shard_.listeners().listen(client, feed, filter(hearing), conversation.name, hearing);
  if (hearing == Hearing::Read && shows) shard_.shows().marks(client, feed.name, filter(hearing));
  if (hearing == Hearing::Presence) shard_.rosters().listens(client, feed);
}

bool InboxListeners::has_come_back(const Client& client, const Feed& feed, Seq seq) const {
  const auto* list = shard_.user_feeds().find(client.session->user());
  if (list == nullptr) return false;
  const auto found = list->find(feed.standing.number);
  return found != list->end() && found->second.changed > seq;
}

void InboxListeners::try_again(const Client& client, Hearing hearing, bool shows,
                               const UserConversation& conversation) {
  if (retries_.empty()) shard_.timers().add({.due = shard_.now() + kTryAgain, .kind = TimerKind::InboxListeners});
  retries_.push_back({client.connection, hearing, shows, conversation});
}

void InboxListeners::run_timer() {
  for (const Retry& one : std::exchange(retries_, {})) {
    Client* client = shard_.client_of(one.connection);
    if (client != nullptr && wants(*client, one.hearing))
      enter(*client, one.hearing, one.shows, one.conversation, nullptr);
  }
}

// -- The user's list --

void InboxListeners::user_known(const std::string& user) {
  const auto found = users_.find(user);
  if (found == users_.end()) return;
  for (const Waiting& one : std::exchange(found->second.waiting, {})) {
    Client* client = shard_.client_of(one.connection);
    const auto* list = shard_.user_feeds().find(user);
    if (client != nullptr && list != nullptr) enter_all(*client, one.hearing, one.shows, *list, one.known);
  }
}

/// Sessions that came back go on waiting.
void InboxListeners::user_unknown(const std::string& user, Refusal why) {
  const auto found = users_.find(user);
  if (found == users_.end()) return;
  std::vector<Waiting> refused;
  for (Waiting& one : std::exchange(found->second.waiting, {})) {
    if (one.known) {
      refused.push_back(std::move(one));
    } else {
      found->second.waiting.push_back(std::move(one));
    }
  }
  for (const Waiting& one : refused) one.known(0, why);
}

void InboxListeners::user_changed(const std::string& user, const UserConversation& change) {
  const auto found = users_.find(user);
  if (found == users_.end()) return;
  const auto clients = found->second.clients;
  for (const ConnectionId connection : clients) {
    for (const Hearing hearing : kHearings) {
      Client* client = shard_.client_of(connection);
      if (client == nullptr || !wants(*client, hearing)) continue;
      Feed* feed = shard_.feeds().find(change.name);
      if (!change.present) {
        if (feed != nullptr) shard_.listeners().stop(*client, *feed, filter(hearing));
      } else if (feed == nullptr || !Listeners::is_listening(*client, *feed, filter(hearing))) {
        enter(*client, hearing, true, change, nullptr);
      }
    }
  }
}

}  // namespace parley::shard
