#include "broker/shard/feeds.hpp"

#include <algorithm>
#include <utility>

#include "base/log.hpp"
#include "broker/chat/access.hpp"
#include "broker/shard/clients.hpp"
#include "broker/shard/entry_message.hpp"
#include "broker/shard/shard.hpp"
#include "mqtt/topic.hpp"

namespace parley::shard {
namespace {

/// What a feed keeps in memory for subscribers that are level with it; who is further behind reads the log.
constexpr std::size_t kRecentEntriesMax = 256;
constexpr std::size_t kRecentBytesMax = 128 * 1024;
std::size_t cost(const format::Entry& entry) { return entry.bytes().size() + 256; }

bool is_amendment(const format::EntryRecord& entry) {
  return entry.kind == format::EntryKind::Edit || entry.kind == format::EntryKind::Redact;
}

}  // namespace

// -- Feeds --

void Feeds::with_feed(std::string_view conversation, std::function<void(Feed&)> ready) {
  auto found = feeds_.find(conversation);
  const bool added = found == feeds_.end();
  if (added) {
    found = feeds_.emplace(std::string(conversation), std::make_unique<Feed>()).first;
    found->second->name = found->first;
  }
  Feed& feed = *found->second;
  feed.waiting.push_back(std::move(ready));
  if (feed.state == Feed::State::Ready) {
    run_waiting(feed);
  } else if (added) {
    shard_.send(home_of_name(feed.name, shard_.options()), PeerEvent{FollowEvent{feed.name, shard_.id()}});
  }
}

void Feeds::after_feed(std::string_view conversation, std::function<void()> then) {
  const auto found = feeds_.find(conversation);
  if (found == feeds_.end()) {
    then();
    return;
  }
  if (found->second->state == Feed::State::Ready && found->second->waiting.empty()) {
    if (found->second->questions == 0) {
      then();
    } else {
      found->second->waiting_answers.push_back(std::move(then));
    }
    return;
  }
  found->second->waiting.push_back([then = std::move(then)](Feed&) { then(); });
}

void Feeds::with_access(std::string_view conversation, const std::string& user, AccessKnown ready) {
  with_feed(conversation, [this, user, known = std::move(ready)](Feed& feed) {
    const FollowedEvent& standing = feed.standing;
    if (standing.refusal != chat::Refusal::None) return known(feed, {standing.refusal});
    if (standing.number.value == 0) return known(feed, {chat::Refusal::NotAuthorized});
    const bool decided =
        standing.visibility == format::Visibility::Public || standing.type == format::ConversationType::Direct;
    if (!decided) return ask(feed, user, known);
    const bool allowed = chat::may(chat::Right::Read, {.user = user,
                                                       .conversation = feed.name,
                                                       .type = standing.type,
                                                       .visibility = standing.visibility,
                                                       .role = std::nullopt});
    known(feed, {allowed ? chat::Refusal::None : chat::Refusal::NotAuthorized});
  });
}

void Feeds::ask(Feed& feed, const std::string& user, AccessKnown ready, bool marks) {
  const std::uint64_t token = next_question_++;
  ++feed.questions;
  questions_[token] = {feed.name, std::move(ready)};
  shard_.send(home_of_name(feed.name, shard_.options()),
              PeerEvent{AccessEvent{feed.name, feed.standing.number, user, shard_.id(), token, marks}});
}

void Feeds::accessed(const AccessedEvent& event) {
  const auto asked = questions_.find(event.token);
  if (asked == questions_.end()) return;
  const Question question = std::move(asked->second);
  questions_.erase(asked);
  question.ready(*feeds_.at(question.conversation), {event.refusal, event.visible_from, event.marks});
  let_go(question.conversation);
}

Feed* Feeds::find(std::string_view conversation) {
  const auto found = feeds_.find(conversation);
  return found == feeds_.end() || found->second->state != Feed::State::Ready ? nullptr : found->second.get();
}

void Feeds::noticed(const NoticeEvent& event) {
  Feed* feed = find(event.conversation);
  if (feed == nullptr) return;
  if (!event.typing.empty()) shard_.typing().noticed(*feed, event.typing);
  if (event.marks.empty()) return;
  shard_.marks().noticed(*feed, event.marks);
  shard_.rosters().marked(*feed, event.marks);
}

void Feeds::let_go(const std::string& conversation) {
  Feed& feed = *feeds_.at(conversation);
  const Hold hold(*this, feed);
  --feed.questions;
  while (feed.questions == 0 && !feed.waiting_answers.empty()) {
    for (auto& then : std::exchange(feed.waiting_answers, {})) then();
  }
}

void Feeds::followed(FollowedEvent& event) {
  const auto found = feeds_.find(event.conversation);
  if (found == feeds_.end()) return;
  Feed& feed = *found->second;
  if (feed.state == Feed::State::Ready) {
    const bool led = event.refusal == chat::Refusal::None && event.number.value != 0;
    const std::string name = feed.name;
    stand_anew(feed, event);
    Feed* const still = led ? find(name) : nullptr;
    if (still != nullptr) shard_.share_members().stand_anew(*still);
    return;
  }
  feed.standing = std::move(event);
  feed.state = Feed::State::Ready;
  run_waiting(feed);
}

/// The conversation is led anew, and may have gone on meanwhile: what is missing here is read.
void Feeds::stand_anew(Feed& feed, FollowedEvent& event) {
  if (event.refusal != chat::Refusal::None || event.number.value == 0) return;
  if (feed.standing.number.value != 0 && event.epoch != feed.standing.epoch) return begin_anew(feed, event);
  // Retention says so as well, which changes nothing else.
  const bool is_retention =
      event.oldest > feed.standing.oldest && event.head == feed.standing.head && event.remote == feed.standing.remote;
  // What this shard has seen is committed, wherever it is read from next.
  feed.standing.remote = event.remote;
  feed.standing.oldest = std::max(feed.standing.oldest, event.oldest);
  if (is_retention) return;
  shard_.marks().stand_anew(feed);
  shard_.rosters().stand_anew(feed);
  if (event.head <= feed.standing.head) return;
  feed.standing = std::move(event);
  feed.recent.clear();
  feed.recent_first = feed.recent_bytes = 0;
  const Hold hold(*this, feed);
  // Sending may close connections, which removes followers.
  for (std::size_t i = feed.followers.size(); i-- > 0;) {
    if (i >= feed.followers.size()) continue;
    Follower* follower = feed.followers[i];
    if (!follower->behind && !follower->held && !pump(*follower)) set_behind(*follower);
  }
}

/// Another incarnation: positions are void. Sessions resume at once, and are told then.
void Feeds::begin_anew(Feed& feed, FollowedEvent& event) {
  const Hold hold(*this, feed);
  feed.standing = std::move(event);
  feed.recent.clear();
  feed.recent_first = feed.recent_bytes = 0;
  while (!feed.followers.empty()) {
    shard_.close_client(*feed.followers.back()->client, mqtt::ReasonCode::UnspecifiedError);
  }
}

/// Those that wait may add others, and may close connections, which removes followers.
void Feeds::run_waiting(Feed& feed) {
  if (feed.in_use) return;  // Whoever runs them further up goes on with these.
  const Hold hold(*this, feed);
  while (!feed.waiting.empty()) {
    for (auto& ready : std::exchange(feed.waiting, {})) ready(feed);
  }
}

void Feeds::forget_if_unused(Feed& feed) {
  if (feed.in_use || !feed.followers.empty() || feed.state != Feed::State::Ready || !feed.waiting.empty()) return;
  if (feed.questions != 0 || !feed.listeners.empty()) return;
  shard_.send(home_of_name(feed.name, shard_.options()), PeerEvent{UnfollowEvent{feed.name, shard_.id()}});
  feeds_.erase(feeds_.find(feed.name));
}

// -- Followers --

Follower& Feeds::add_follower(Feed& feed, Client& client, session::CursorId cursor, chat::Form form) {
  auto follower = std::make_unique<Follower>();
  follower->client = &client;
  follower->feed = &feed;
  follower->cursor = cursor;
  follower->form = form;
  follower->held = true;
  const auto parts = chat::read_topic(shard_.options().root, topic_of(*follower));
  follower->began = follower->delivered = client.session->cursor(cursor).acknowledged;
  follower->aliased = parts && parts->conversation != feed.name;
  follower->place = static_cast<std::uint32_t>(feed.followers.size());
  feed.followers.push_back(follower.get());
  if (cursor >= client.following.size()) client.following.resize(cursor + 1);
  client.following[cursor] = std::move(follower);
  return *client.following[cursor];
}

void Feeds::release(Client& client, Follower& follower) {
  follower.held = false;
  set_behind(follower);
  pump(client);
}

void Feeds::release(Client& client, const std::vector<session::CursorId>& cursors) {
  for (const session::CursorId cursor : cursors) {
    Follower* follower = find_follower(client, cursor);
    if (follower == nullptr || !std::exchange(follower->held, false) || std::exchange(follower->behind, true)) continue;
    client.behind.push_back(follower);
  }
  if (client.newest_first) {
    std::ranges::stable_sort(client.behind, std::ranges::greater{}, &Follower::latest);
  }
  pump(client);
}

std::string_view Feeds::topic_of(const Follower& follower) {
  const std::string_view topic = follower.client->session->cursor(follower.cursor).topic;
  const auto shared = mqtt::shared_filter(topic);
  return shared ? shared->filter : topic;
}

Follower* Feeds::find_follower(Client& client, session::CursorId cursor) {
  return cursor < client.following.size() ? client.following[cursor].get() : nullptr;
}

void Feeds::detach(Follower& follower) {
  Feed& feed = *follower.feed;
  feed.followers[follower.place] = feed.followers.back();
  feed.followers[follower.place]->place = follower.place;
  feed.followers.pop_back();
  forget_if_unused(feed);
}

void Feeds::remove_followers(Client& client) {
  client.behind = {};
  client.catch_up.reset();
  for (auto& follower : std::exchange(client.following, {})) {
    if (!follower) continue;
    if (follower->seat) shard_.share_members().left(*follower, false);
    detach(*follower);
  }
}

void Feeds::remove_follower(Client& client, session::CursorId cursor) {
  Follower* follower = find_follower(client, cursor);
  if (follower == nullptr) return;
  if (follower->behind) std::erase(client.behind, follower);
  if (client.catch_up && client.catch_up->follower == follower) client.catch_up.reset();
  if (follower->seat) shard_.share_members().left(*follower, true);
  detach(*follower);
  client.following[cursor].reset();
  // Another cursor may have waited for the page.
  pump(client);
}

void Feeds::resume(Feed& feed, const Access& access, Client& client, const std::string& topic, bool stays_held) {
  session::Session& session = *client.session;
  const auto found = session.find_cursor(topic);
  if (!found) {
    pump(client);
    return;
  }
  const FollowedEvent& standing = feed.standing;
  if (access.refusal == chat::Refusal::NotAuthorized) {
    log::info("a session's user may not read the conversation any more, ending the subscription",
              {{"client_id", session.client_id()}, {"conversation", feed.name}});
    session.remove_cursor(*found);
    const bool subscribed = session.remove_subscription(topic);
    if (subscribed && client.persisted) shard_.session_records().write(client, {}, nullptr);
    pump(client);
    return;
  }
  if (access.refusal != chat::Refusal::None) {
    log::error("a session's conversation can't be read, closing the client's connection",
               {{"client_id", session.client_id()}, {"conversation", feed.name}});
    shard_.close_client(client, mqtt::ReasonCode::UnspecifiedError);
    return;
  }
  const chat::Form form = chat::read_topic(shard_.options().root, topic)->form;
  session::CursorId cursor = *found;
  const auto position = session.cursor(cursor);
  const bool other_epoch = position.epoch != standing.epoch;
  if (other_epoch) {
    // A position of another incarnation means nothing: the client is told, and gets what there is.
    const Seq begin{std::max(standing.oldest, access.visible_from).value - 1};
    cursor = session.add_cursor(topic, standing.epoch, begin, position.qos, position.subscription_id);
    session.set_cursor_options(cursor, position);
    session.deliver(epoch_notice(topic, standing.epoch), position.qos, false, {}, shard_.now());
  }
  // Who was removed and added again while it was away doesn't get what was said in between.
  const bool came_back = !other_epoch && position.acknowledged.next() < access.visible_from;
  if (came_back) {
    cursor = session.add_cursor(topic, standing.epoch, Seq{access.visible_from.value - 1}, position.qos,
                                position.subscription_id);
    session.set_cursor_options(cursor, position);
  }
  Follower& follower = add_follower(feed, client, cursor, form);
  follower.persisted = other_epoch || came_back ? Follower::kUnwritten : session.cursor(cursor).acknowledged;
  follower.resumed = true;
  if (!stays_held) release(client, follower);
}

// -- What is new --

Feed::Recent* Feeds::recent(Feed& feed, Seq seq) {
  const std::size_t count = feed.recent.size() - feed.recent_first;
  const std::uint64_t first = feed.standing.head.value + 1 - count;
  if (seq.value < first || seq > feed.standing.head) return nullptr;
  return &feed.recent[feed.recent_first + (seq.value - first)];
}

void Feeds::committed(const std::string& conversation, std::span<const format::EntryPtr> entries) {
  const auto found = feeds_.find(conversation);
  if (found == feeds_.end() || found->second->state != Feed::State::Ready) return;
  Feed& feed = *found->second;
  const Hold hold(*this, feed);
  for (const auto& entry : entries) {
    if ((*entry)->seq <= feed.standing.head) continue;
    feed.standing.head = (*entry)->seq;
    feed.standing.last_ts = (*entry)->ts;
    feed.recent_bytes += cost(*entry);
    feed.recent.push_back({.entry = entry});
    if ((*entry)->kind != format::EntryKind::Message) take_change(feed, **entry);
    if (is_amendment(**entry)) amend(feed, **entry);
  }
  pump_followers(feed);
  trim(feed);
}

/// Whoever comes to the message from now on gets what it has become.
void Feeds::amend(Feed& feed, const format::EntryRecord& amendment) {
  const auto amended = [&amendment](const format::EntryPtr& entry) -> format::EntryPtr {
    const format::EntryRecord& record = **entry;
    const bool redacts = amendment.kind == format::EntryKind::Redact;
    const bool is_message = record.seq == amendment.ref && record.kind == format::EntryKind::Message;
    const bool is_edit = record.ref == amendment.ref && record.kind == format::EntryKind::Edit;
    if (record.redacted || !(is_message || (redacts && is_edit))) return nullptr;
    return redacts ? format::redacted(*entry, amendment.seq) : format::edited(*entry, amendment);
  };
  for (std::size_t i = feed.recent_first; i < feed.recent.size(); ++i) {
    Feed::Recent& one = feed.recent[i];
    auto now = amended(one.entry);
    if (!now) continue;
    feed.recent_bytes += cost(*now);
    feed.recent_bytes -= cost(*one.entry);
    one = {.entry = std::move(now)};
  }
  for (const Follower* follower : feed.followers) {
    CatchUp* catch_up = follower->client->catch_up.get();
    if (catch_up == nullptr || catch_up->follower != follower) continue;
    for (format::EntryPtr& entry : catch_up->page) {
      if (auto now = amended(entry)) entry = std::move(now);
    }
  }
}

void Feeds::pump_followers(Feed& feed) {
  for (Follower* follower : feed.followers) {
    // Whoever waits for room, for the disk or for its SUBACK comes to these entries by itself.
    if (!follower->behind && !follower->held && !pump(*follower)) set_behind(*follower);
  }
}

/// Who may not read on gets this entry as the last one, if it had come as far as this.
void Feeds::take_change(Feed& feed, const format::EntryRecord& entry) {
  const bool was_open = feed.standing.visibility == format::Visibility::Public;
  if (entry.kind == format::EntryKind::Settings) {
    const auto settings = format::decode_settings(entry.payload);
    if (!settings || settings->visibility == feed.standing.visibility) return;
    feed.standing.visibility = settings->visibility;
    if (!was_open) return;
    pump_followers(feed);
    std::vector<std::string> users;
    for (const Follower* follower : feed.followers) users.push_back(follower->client->session->user());
    for (const Listener& listener : feed.listeners) users.push_back(listener.client->session->user());
    std::ranges::sort(users);
    users.erase(std::unique(users.begin(), users.end()), users.end());
    for (const std::string& user : users) {
      ask(feed, user, [this, user, seq = entry.seq](Feed& asked, const Access& access) {
        if (access.refusal == chat::Refusal::NotAuthorized) end_of(asked, user, seq);
      });
    }
  } else if (entry.kind == format::EntryKind::Member) {
    const auto change = format::decode_member_change(entry.payload);
    if (!change) return;
    shard_.rosters().changed(feed, std::string(change->user), !change->ends());
    if (!change->ends()) return;
    pump_followers(feed);
    // An inbox has what its user is a member of; whoever subscribed to a public conversation reads on.
    end_of(feed, change->user, entry.seq, was_open);
  }
}

void Feeds::end_of(Feed& feed, std::string_view user, Seq seq, bool inbox_only) {
  struct Ended {
    ConnectionId connection;
    session::CursorId cursor = 0;
    chat::Form form{};
  };
  std::vector<Ended> ended;
  for (const Follower* follower : feed.followers) {
    const session::Session& session = *follower->client->session;
    if (session.user() != user) continue;
    const bool has_own = session.find_subscription(session.cursor(follower->cursor).topic) != nullptr;
    if (inbox_only && has_own) continue;
    ended.push_back({follower->client->connection, follower->cursor, follower->form});
  }
  const Hold hold(*this, feed);
  for (const Ended& one : ended) {
    Client* client = shard_.client_of(one.connection);
    if (client == nullptr || find_follower(*client, one.cursor) == nullptr) continue;
    end_subscription(*client, one.cursor);
    if (shard_.client_of(one.connection) == client) shard_.inboxes().ended(*client, feed.name, one.form, seq);
  }
  shard_.listeners().end_of(feed, user, seq, inbox_only);
}

void Feeds::end_subscription(Client& client, session::CursorId cursor) {
  session::Session& session = *client.session;
  const std::string topic(session.cursor(cursor).topic);
  log::info("a user has left a conversation or may not read it any more, ending the subscription",
            {{"client_id", session.client_id()}, {"topic", topic}});
  session.remove_cursor(cursor);
  const bool subscribed = session.remove_subscription(topic);
  // Should the user come back, an inbox begins anew.
  const Follower* follower = find_follower(client, cursor);
  if (client.persisted && !follower->seat) shard_.session_records().write_cursor(client, topic, Epoch{}, Seq{});
  remove_follower(client, cursor);
  if (subscribed && client.persisted) shard_.session_records().write(client, {}, nullptr);
}

void Feeds::trim(Feed& feed) {
  const auto too_much = [&] {
    return feed.recent.size() - feed.recent_first > kRecentEntriesMax || feed.recent_bytes > kRecentBytesMax;
  };
  while (feed.recent_first < feed.recent.size() && too_much()) {
    Feed::Recent& oldest = feed.recent[feed.recent_first++];
    feed.recent_bytes -= cost(*oldest.entry);
    oldest = {};
  }
  if (feed.recent_first >= kRecentEntriesMax || feed.recent_first == feed.recent.size()) {
    feed.recent.erase(feed.recent.begin(), feed.recent.begin() + static_cast<std::ptrdiff_t>(feed.recent_first));
    feed.recent_first = 0;
  }
}

}  // namespace parley::shard
