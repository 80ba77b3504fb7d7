#include "broker/shard/inbox.hpp"

#include <algorithm>
#include <array>
#include <unordered_set>

#include "broker/chat/inbox_cursor.hpp"
#include "broker/shard/entry_message.hpp"
#include "broker/shard/shard.hpp"

namespace parley::shard {
namespace {

constexpr Duration kTryAgain = std::chrono::seconds(1);
/// A filter may have 65,535 bytes, its other levels included.
constexpr std::size_t kTokenSizeMax = 65'000;
constexpr std::uint64_t kFloorMargin = 60ULL * 60 * 1000;
constexpr std::array kForms{chat::Form::Message, chat::Form::Json};

/// Should the user come back, it begins anew.
void forget(Shard& shard, Client& client, session::CursorId cursor) {
  if (!client.persisted) return;
  shard.session_records().write_cursor(client, client.session->cursor(cursor).topic, Epoch{}, Seq{});
}

}  // namespace

Inboxes::Inboxes(Shard& shard)
    : shard_(shard),
      message_filter_(topic_of("+", chat::Form::Message)),
      json_filter_(topic_of("+", chat::Form::Json)) {}

std::string Inboxes::topic_of(std::string_view conversation, chat::Form form) const {
  std::string topic(shard_.options().root);
  return topic.append("/").append(conversation).append("/").append(chat::name_of(form));
}

const std::string& Inboxes::filter(chat::Form form) const {
  return form == chat::Form::Json ? json_filter_ : message_filter_;
}

const session::Subscription* Inboxes::find(const session::Session& session, chat::Form form) const {
  return session.find_subscription(filter(form));
}

void Inboxes::set_options(session::Session& session, session::CursorId cursor, bool covered) {
  const std::string topic(session.cursor(cursor).topic);
  const auto* own = session.find_subscription(topic);
  const auto parts = chat::read_topic(shard_.options().root, topic);
  const auto* inbox = covered && parts ? find(session, parts->form) : nullptr;
  session::Session::CursorOptions options{.subscription_id = own != nullptr ? own->subscription_id : 0,
                                          .inbox_id = inbox != nullptr ? inbox->subscription_id : 0};
  bool spares_own = false;
  const session::Subscription* by = nullptr;
  for (const auto* one : {own, inbox}) {
    if (one == nullptr) continue;
    options.qos = std::max(options.qos, one->options.qos);
    spares_own = spares_own || one->options.no_local;
    if (!one->options.no_local) by = one;
  }
  if (spares_own) {
    using session::OwnEntries;
    options.own = by == nullptr ? OwnEntries::None : by == own ? OwnEntries::BySubscription : OwnEntries::ByInbox;
    if (by != nullptr) options.own_qos = by->options.qos;
  }
  session.set_cursor_options(cursor, options);
}

void Inboxes::take_up(session::Session& session, const session::Subscription& subscription,
                      const StoredSession& stored) {
  for (const auto& cursor : stored.cursors) {
    const auto parts = chat::read_topic(shard_.options().root, cursor.topic);
    // Without an epoch: the user had left.
    if (!parts || filter(parts->form) != subscription.filter || cursor.epoch == Epoch{}) continue;
    auto known = session.find_cursor(cursor.topic);
    if (!known) {
      known = session.add_cursor(cursor.topic, cursor.epoch, cursor.acknowledged, subscription.options.qos, 0);
    }
    set_options(session, *known, true);
  }
}

// -- Clients --

void Inboxes::open(Client& client) {
  if (client.inbox) return;
  client.inbox = std::make_unique<Inbox>();
  client.newest_first = true;
  const std::string& user = client.session->user();
  const auto [found, added] = users_.try_emplace(user);
  found->second.clients.push_back(client.connection);
  if (added) shard_.user_feeds().watch(user, *this);
}

void Inboxes::detach(Client& client) {
  client.newest_first = false;
  if (!std::exchange(client.inbox, nullptr)) return;
  const std::string& user = client.session->user();
  const auto found = users_.find(user);
  std::erase(found->second.clients, client.connection);
  if (!found->second.clients.empty()) return;
  users_.erase(found);
  shard_.user_feeds().unwatch(user, *this);
}

void Inboxes::resume(Client& client) {
  const auto subscribed = [&](chat::Form form) { return find(*client.session, form) != nullptr; };
  if (std::ranges::none_of(kForms, subscribed)) return;
  open(client);
  ++client.feeds_awaited;
  client.inbox->list_awaited = true;
  if (shard_.user_feeds().find(client.session->user()) != nullptr) resume_known(client);
}

void Inboxes::resume_known(Client& client) {
  client.inbox->list_awaited = false;
  const ConnectionId connection = client.connection;
  const auto* known = shard_.user_feeds().find(client.session->user());
  drop_unlisted(client, *known);
  if (shard_.client_of(connection) != &client) return;
  // What can't be followed may close the connection, and with the last one the list goes.
  std::vector<UserConversation> list;
  for (const auto& [number, one] : *known) list.push_back(one);
  ++client.inbox->opening;
  client.inbox->resuming = true;
  for (const UserConversation& one : list) {
    for (const chat::Form form : kForms) {
      if (find(*client.session, form) == nullptr) continue;
      follow(client, form, one, true);
      if (shard_.client_of(connection) != &client) return;
    }
  }
  --client.feeds_awaited;
  finish_one(client);
}

/// Cursors of conversations that the user has left meanwhile.
void Inboxes::drop_unlisted(Client& client, const UserFeeds::List& list) {
  session::Session& session = *client.session;
  std::unordered_set<std::string_view> names;
  for (const auto& [number, one] : list) names.insert(one.name);
  for (const session::CursorId cursor : session.cursors()) {
    const std::string_view topic = session.cursor(cursor).topic;
    const auto parts = chat::read_topic(shard_.options().root, topic);
    if (!parts || find(session, parts->form) == nullptr || names.contains(parts->conversation)) continue;
    if (session.find_subscription(topic) == nullptr) {
      forget(shard_, client, cursor);
      remove(client, cursor);
    }
  }
}

void Inboxes::remove(Client& client, session::CursorId cursor) {
  client.session->remove_cursor(cursor);
  shard_.feeds().remove_follower(client, cursor);
}

// -- Conversations --

void Inboxes::follow(Client& client, chat::Form form, const UserConversation& conversation, bool resumes) {
  ++client.feeds_awaited;
  ++client.inbox->opening;
  shard_.feeds().with_access(
      conversation.name, client.session->user(),
      [this, connection = client.connection, form, conversation, resumes](Feed& feed, const Feeds::Access& access) {
        Client* found = shard_.client_of(connection);
        if (found == nullptr || !found->inbox) return;
        --found->feeds_awaited;
        enter(*found, form, conversation, resumes, feed, access);
        if (shard_.client_of(connection) == found) finish_one(*found);
      });
}

void Inboxes::enter(Client& client, chat::Form form, const UserConversation& conversation, bool resumes, Feed& feed,
                    const Feeds::Access& access) {
  session::Session& session = *client.session;
  if (find(session, form) == nullptr) return;
  const std::string topic = topic_of(conversation.name, form);
  auto cursor = session.find_cursor(topic);
  if (cursor && shard_.feeds().find_follower(client, *cursor) != nullptr) {
    set_options(session, *cursor, true);
    return;
  }
  const bool gone = access.refusal == chat::Refusal::NotAuthorized;
  if (access.refusal != chat::Refusal::None && !gone) {
    try_again(client, form, conversation);
    return;
  }
  if (cursor) {
    shard_.feeds().resume(feed, access, client, topic, true);
    cursor = session.find_cursor(topic);
  } else if (!gone && feed.standing.number == conversation.number) {
    const std::uint64_t joined = std::max<std::uint64_t>(conversation.changed.value, 1);
    const Seq begin{std::max(joined, access.visible_from.value) - 1};
    cursor = session.add_cursor(topic, feed.standing.epoch, begin, mqtt::Qos::AtMostOnce, 0);
    Follower& follower = shard_.feeds().add_follower(feed, client, *cursor, form);
    follower.persisted = Follower::kUnwritten;
    follower.resumed = resumes;
    if (client.persisted) shard_.session_records().cursors_moved(client);
  }
  if (!cursor) return;
  set_options(session, *cursor, true);
  client.inbox->entered.push_back(*cursor);
}

/// Until then nothing that was under way of it counts as settled.
void Inboxes::try_again(Client& client, chat::Form form, const UserConversation& conversation) {
  ++client.feeds_awaited;
  client.inbox->unopened.push_back({form, conversation});
  if (!std::exchange(timer_, true)) {
    shard_.timers().add({.due = shard_.now() + kTryAgain, .kind = TimerKind::Inbox});
  }
}

void Inboxes::finish_one(Client& client) {
  if (--client.inbox->opening != 0) return;
  const ConnectionId connection = client.connection;
  shard_.feeds().release(client, std::exchange(client.inbox->entered, {}));
  if (shard_.client_of(connection) != &client) return;
  if (std::exchange(client.inbox->resuming, false)) {
    begin_telling(client);
  } else {
    moved(client);
  }
}

void Inboxes::leave(Client& client, chat::Form form) {
  session::Session& session = *client.session;
  const ConnectionId connection = client.connection;
  for (const session::CursorId cursor : session.cursors()) {
    const std::string topic(session.cursor(cursor).topic);
    const auto parts = chat::read_topic(shard_.options().root, topic);
    if (!parts || parts->form != form) continue;
    if (session.find_subscription(topic) != nullptr) {
      set_options(session, cursor, false);
      continue;
    }
    remove(client, cursor);
    // Others may go on sending, which may end the connection.
    if (shard_.client_of(connection) != &client) return;
  }
}

bool Inboxes::keeps(Client& client, session::CursorId cursor) {
  session::Session& session = *client.session;
  const auto parts = chat::read_topic(shard_.options().root, session.cursor(cursor).topic);
  if (!parts || find(session, parts->form) == nullptr) return false;
  const auto* list = shard_.user_feeds().find(session.user());
  const bool listed = list == nullptr || std::ranges::any_of(*list, [&](const auto& one) {
                        return one.second.name == parts->conversation;
                      });
  if (listed) set_options(session, cursor, true);
  return listed;
}

void Inboxes::left(Client& client, chat::Form form, const UserConversation& change) {
  session::Session& session = *client.session;
  const std::string topic = topic_of(change.name, form);
  const auto cursor = session.find_cursor(topic);
  if (!cursor) return;
  if (session.find_subscription(topic) != nullptr) {
    set_options(session, *cursor, false);
    return;
  }
  const Follower* follower = shard_.feeds().find_follower(client, *cursor);
  if (follower != nullptr && follower->feed->standing.head < change.changed) {
    // The entry that says so is on its way, and is the last one; see Feeds::take_change.
    leaving_.push_back({client.connection, {form, change}});
    return;
  }
  forget(shard_, client, *cursor);
  remove(client, *cursor);
}

void Inboxes::ended(Client& client, const std::string& conversation, chat::Form form, Seq seq) {
  const auto* list = shard_.user_feeds().find(client.session->user());
  if (!client.inbox || list == nullptr || find(*client.session, form) == nullptr) return;
  for (const auto& [number, one] : *list) {
    if (one.name != conversation || one.changed <= seq) continue;
    // Not from here: the feed is at work.
    return try_again(client, form, one);
  }
}

/// What should have ended by itself, and hasn't.
void Inboxes::sweep() {
  for (const auto& [connection, one] : std::exchange(leaving_, {})) {
    Client* client = shard_.client_of(connection);
    if (client == nullptr || !client->inbox) continue;
    const auto* list = shard_.user_feeds().find(client->session->user());
    if (list != nullptr && !list->contains(one.conversation.number)) left(*client, one.form, one.conversation);
  }
}

void Inboxes::run_timer(Client* told) {
  if (told != nullptr) {
    if (told->inbox && std::exchange(told->inbox->moved, false)) tell_cursor(*told);
    return;
  }
  timer_ = false;
  std::vector<ConnectionId> clients;
  for (const auto& [name, user] : users_) clients.insert(clients.end(), user.clients.begin(), user.clients.end());
  for (const ConnectionId connection : clients) {
    Client* client = shard_.client_of(connection);
    if (client == nullptr || !client->inbox) continue;
    for (const auto& one : std::exchange(client->inbox->unopened, {})) {
      --client->feeds_awaited;
      follow(*client, one.form, one.conversation, true);
      if (shard_.client_of(connection) != client) break;
    }
  }
}

// -- The cursor --

void Inboxes::begin_telling(Client& client) {
  client.inbox->catching_up = true;
  tell_cursor(client);
  moved(client);
}

void Inboxes::moved(Client& client) {
  Inbox& inbox = *client.inbox;
  if (inbox.catching_up && client.behind.empty() && inbox.opening == 0 && client.session->settled()) {
    inbox.catching_up = false;
    tell_cursor(client);
  }
  const Duration interval = shard_.options().inbox_cursor_interval;
  if (interval == Duration::zero() || std::exchange(inbox.moved, true)) return;
  shard_.timers().add({shard_.now() + interval, TimerKind::Inbox, client.place, client.session->identity()});
}

void Inboxes::tell_cursor(Client& client) {
  const session::Session& session = *client.session;
  if (!shard_.publishing().hears_replies(client) || shard_.user_feeds().find(session.user()) == nullptr) return;
  for (const chat::Form form : kForms) {
    if (find(session, form) == nullptr) continue;
    std::string token = make_cursor(client, form);
    if (token == client.inbox->told) return;
    client.inbox->told = token;
    shard_.publishing().send_reply(client, inbox_cursor_notice(session.client_id(), filter(form), token));
    return;
  }
}

std::string Inboxes::make_cursor(Client& client, chat::Form form) {
  session::Session& session = *client.session;
  const auto& list = *shard_.user_feeds().find(session.user());
  struct Position {
    Timestamp latest;
    chat::InboxPosition what;
  };
  std::vector<Position> positions;
  for (const session::CursorId cursor : session.cursors()) {
    const Follower* follower = shard_.feeds().find_follower(client, cursor);
    if (follower == nullptr || follower->form != form || follower->aliased || follower->seat) continue;
    const FollowedEvent& standing = follower->feed->standing;
    if (!list.contains(standing.number)) continue;
    const auto state = session.cursor(cursor);
    // Where something is owed counts as the newest.
    const Timestamp latest = state.acknowledged < standing.head ? shard_.wall() : standing.last_ts;
    positions.push_back({latest, {standing.number, chat::check_of(state.epoch), state.acknowledged}});
  }
  for (const auto& one : client.inbox->unopened) {
    const auto cursor = session.find_cursor(topic_of(one.conversation.name, form));
    if (!cursor || one.form != form) continue;
    const auto state = session.cursor(*cursor);
    positions.push_back({shard_.wall(), {one.conversation.number, chat::check_of(state.epoch), state.acknowledged}});
  }
  std::ranges::stable_sort(positions, std::ranges::greater{}, &Position::latest);
  for (;;) {
    chat::InboxCursor cursor{.user = session.user(), .complete = true, .floor = {}, .positions = {}};
    const std::size_t kept = std::min(positions.size(), positions_max_);
    for (std::size_t i = 0; i < kept; ++i) cursor.positions.push_back(positions[i].what);
    if (kept < positions.size()) {
      cursor.complete = false;
      // What comes later carries a later time, if no clock is an hour wrong.
      const std::uint64_t floor = positions[kept].latest.milliseconds;
      if (floor + kFloorMargin < shard_.wall().milliseconds) cursor.floor = {floor};
    }
    std::ranges::sort(cursor.positions, {}, &chat::InboxPosition::number);
    std::string token = chat::encode_inbox_cursor(cursor);
    if (token.size() <= kTokenSizeMax) return token;
    positions_max_ = kept - kept / 8 - 1;
  }
}

// -- SUBSCRIBE --

void Inboxes::begin_subscribe(Client& client, Known known) {
  open(client);
  ++client.inbox->subscribing;
  const std::string& user = client.session->user();
  if (const auto* list = shard_.user_feeds().find(user)) {
    known(client, list, chat::Refusal::None);
  } else {
    users_.at(user).waiting.push_back({client.connection, std::move(known)});
  }
}

void Inboxes::end_subscribe(Client& client) {
  if (!client.inbox || client.inbox->subscribing == 0 || --client.inbox->subscribing != 0) return;
  begin_telling(client);
  for (auto& then : std::exchange(client.inbox->waiting, {})) then();
}

void Inboxes::after_subscribe(Client& client, std::function<void()> then) {
  if (client.inbox && client.inbox->subscribing != 0) {
    client.inbox->waiting.push_back(std::move(then));
  } else {
    then();
  }
}

void Inboxes::run_waiting(const std::string& user, chat::Refusal refusal) {
  const auto found = users_.find(user);
  if (found == users_.end()) return;
  for (const Waiting& one : std::exchange(found->second.waiting, {})) {
    Client* client = shard_.client_of(one.connection);
    if (client == nullptr || !client->inbox) continue;
    one.known(*client, refusal == chat::Refusal::None ? shard_.user_feeds().find(user) : nullptr, refusal);
  }
}

// -- Changes --

void Inboxes::user_known(const std::string& user) {
  const auto found = users_.find(user);
  if (found == users_.end()) return;
  const auto clients = found->second.clients;
  for (const ConnectionId connection : clients) {
    Client* client = shard_.client_of(connection);
    if (client != nullptr && client->inbox && client->inbox->list_awaited) resume_known(*client);
  }
  run_waiting(user, chat::Refusal::None);
}

void Inboxes::user_unknown(const std::string& user, chat::Refusal why) { run_waiting(user, why); }

void Inboxes::user_changed(const std::string& user, const UserConversation& change) {
  const auto found = users_.find(user);
  if (found == users_.end()) return;
  const auto clients = found->second.clients;
  for (const ConnectionId connection : clients) {
    for (const chat::Form form : kForms) {
      Client* client = shard_.client_of(connection);
      if (client == nullptr || !client->inbox || find(*client->session, form) == nullptr) continue;
      if (change.present) {
        follow(*client, form, change, false);
      } else {
        left(*client, form, change);
      }
    }
  }
}

}  // namespace parley::shard
