#include "broker/shard/subscription_changes.hpp"

#include <algorithm>
#include <utility>

#include "broker/shard/shard.hpp"

namespace parley::shard {

using chat::Refusal;
using chat::StartPosition;

void SubscriptionChanges::remember(const SubscribeRequest& request, Client& client, SubscribeItem& item) {
  if (const auto* known = client.session->find_subscription(item.filter)) item.previous = *known;
  client.session->add_subscription({item.filter, item.options, request.subscription_id});
}

Refusal SubscriptionChanges::begin(const SubscribeRequest& request, Client& client, SubscribeItem& item, Feed& feed,
                                   const Feeds::Access& access) {
  const FollowedEvent& standing = feed.standing;
  if (access.refusal != Refusal::None) return access.refusal;
  item.epoch = standing.epoch;
  item.head = standing.head;
  item.oldest = std::max(standing.oldest, access.visible_from);
  if (Listeners::is_form(item.form)) {
    remember(request, client, item);
    const auto parts = chat::read_topic(shard_.options().root, item.filter);
    shard_.listeners().listen(client, feed, item.filter, parts->conversation, Listeners::hearing_of(item.form));
    return Refusal::None;
  }
  return item.shared ? Refusal::None : begin_cursor(request, client, item, feed);
}

/// Where the cursor begins; see the class.
Refusal SubscriptionChanges::begin_cursor(const SubscribeRequest& request, Client& client, SubscribeItem& item,
                                          Feed& feed) {
  session::Session& session = *client.session;
  const auto known = session.find_cursor(item.filter);
  Follower* follower = known ? shard_.feeds().find_follower(client, *known) : nullptr;
  const bool resumed = follower != nullptr && std::exchange(follower->resumed, false);
  item.resumed = resumed;
  StartPosition start = item.start;
  const auto handling = item.options.retain_handling;
  if (handling == 2 || (handling == 1 && follower != nullptr)) start = {};  // §3.8.3.1
  using Kind = StartPosition::Kind;
  if (!resumed && start.kind == Kind::Since) {
    if (item.start_epoch && *item.start_epoch != item.epoch) return Refusal::OtherEpoch;
    if (start.value > item.head.value) return Refusal::BeyondHead;
  }
  if (!item.part) remember(request, client, item);
  item.position = item.head;
  if (start.kind == Kind::Since) item.position = {start.value};
  if (start.kind == Kind::SinceLast) item.position = {0};
  // What retention has removed is told as a gap; what came before the user's joining is nothing to it.
  if (item.oldest > feed.standing.oldest) item.position = std::max(item.position, Seq{item.oldest.value - 1});
  if (start.kind == Kind::Last) {
    const std::uint64_t there = item.head.value + 1 - item.oldest.value;
    item.position = {item.head.value - std::min(start.value, there)};
  }
  item.replays = start.kind != Kind::Live;
  if (follower == nullptr) {
    const auto cursor =
        session.add_cursor(item.filter, item.epoch, item.position, item.options.qos, request.subscription_id);
    Follower& fresh = shard_.feeds().add_follower(feed, client, cursor, item.form);
    fresh.persisted = Follower::kUnwritten;
    set_options(client, cursor, item);
    if (item.replays) fresh.replayed_until = item.head;
    return Refusal::None;
  }
  set_options(client, *known, item);
  const bool goes_on = resumed || start.kind == Kind::Live || start.kind == Kind::SinceLast;
  if (!goes_on) {
    item.moves = true;
    follower->held = true;
  }
  return Refusal::None;
}

void SubscriptionChanges::set_options(Client& client, session::CursorId cursor, const SubscribeItem& item) {
  if (!item.part && client.inbox && shard_.inboxes().keeps(client, cursor)) return;
  shard_.inboxes().set_options(*client.session, cursor, item.part);
}

void SubscriptionChanges::move(const SubscribeRequest& request, Client& client, const SubscribeItem& item) {
  session::Session& session = *client.session;
  const auto known = session.find_cursor(item.filter);
  const Follower* follower = known ? shard_.feeds().find_follower(client, *known) : nullptr;
  if (follower == nullptr) return;
  Feed& feed = *follower->feed;
  const Feeds::Hold hold(shard_.feeds(), feed);
  shard_.feeds().remove_follower(client, *known);
  const auto cursor =
      session.add_cursor(item.filter, item.epoch, item.position, item.options.qos, request.subscription_id);
  Follower& moved = shard_.feeds().add_follower(feed, client, cursor, item.form);
  moved.persisted = item.position;
  set_options(client, cursor, item);
  if (item.replays) moved.replayed_until = item.head;
}

void SubscriptionChanges::undo(Client& client, SubscribeItem& item) {
  session::Session& session = *client.session;
  if (item.previous) {
    session.add_subscription(*item.previous);
    if (!item.conversation && !item.presence) shard_.plain_topics().subscribe(client, *item.previous, nullptr);
    if (item.conversation && !item.inbox) restore(client, item);
    for (SubscribeItem& part : item.parts) {
      restore(client, part);
      part.moves = false;
    }
  } else if (session.remove_subscription(item.filter)) {
    take_away(client, item);
  }
  item.moves = false;
}

/// A cursor that was there before, and hasn't moved yet.
void SubscriptionChanges::restore(Client& client, const SubscribeItem& item) {
  const auto cursor = client.session->find_cursor(item.filter);
  if (!cursor) return;
  set_options(client, *cursor, item);
  Follower* follower = shard_.feeds().find_follower(client, *cursor);
  if (follower != nullptr) follower->resumed = item.resumed;
}

/// What came with a subscription that is no more.
void SubscriptionChanges::take_away(Client& client, SubscribeItem& item) {
  session::Session& session = *client.session;
  const auto cursor = session.find_cursor(item.filter);
  if (item.listens) {
    shard_.inbox_listeners().unsubscribe(client, *item.listens);
  } else if (item.presence) {
    shard_.presence().watches().unwatch(client, item.filter);
  } else if (!item.conversation) {
    shard_.plain_topics().unsubscribe(client, item.filter);
  } else if (Listeners::is_form(item.form)) {
    shard_.listeners().stop(client, item.filter);
  } else if (item.inbox) {
    shard_.inboxes().leave(client, item.form);
    item.parts.clear();
  } else if (cursor && !(client.inbox && shard_.inboxes().keeps(client, *cursor))) {
    session.remove_cursor(*cursor);
    shard_.feeds().remove_follower(client, *cursor);
  }
}

}  // namespace parley::shard
