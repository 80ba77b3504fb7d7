#include "broker/shard/plain_topics.hpp"

#include <algorithm>
#include <utility>

#include "base/bytes.hpp"
#include "base/log.hpp"
#include "broker/shard/clients.hpp"
#include "broker/shard/shard.hpp"
#include "mqtt/topic.hpp"

namespace parley::shard {
namespace {

/// A group's member is a client of any shard: shard id above, place below.
constexpr std::uint32_t kPlaceBits = 24;

/// Instead of a shard: the member stands for those of another node, whose place follows.
constexpr ShardId kElsewhere = 0xFF;

std::uint32_t member_id(ShardId shard, std::uint32_t place) { return shard << kPlaceBits | place; }
ShardId shard_of_member(std::uint32_t member) { return member >> kPlaceBits; }
std::uint32_t place_of_member(std::uint32_t member) { return member & ((1U << kPlaceBits) - 1); }

}  // namespace

PlainTopics::PlainTopics(Shard& shard)
    : shard_(shard), retained_({shard.options().retained_max, shard.options().retained_bytes_max}) {}

// -- Publishing --

PlainTopics::Published PlainTopics::publish(const mqtt::MessagePtr& message, PlainOrigin origin, bool repeated) {
  NodeTopics& nodes = shard_.node_topics();
  begin(message->qos() != mqtt::Qos::AtMostOnce, origin, repeated);
  const RetainStamp stamp = message->retain() ? nodes.make_stamp() : RetainStamp{};
  Published published = publish_on_node({.message = message,
                                         .stamp = stamp,
                                         .from = PublishEvent::From::Client,
                                         .origin = origin,
                                         .repeated = repeated,
                                         .reply = {}});
  if (published.refused) return published;
  if (nodes.active()) {
    const NodeTopics::Sent sent = nodes.publish(message, stamp);
    published.matched = published.matched || sent.matched;
    expect_node(sent.wait);
  }
  published.publication = finish(message, {});
  return published;
}

/// Another node takes the message; see NodeTopics::when_taken.
void PlainTopics::expect_node(std::uint64_t wait) {
  if (wait == 0 || !routing_.waits) return;
  expect_answer();
  routing_.elsewhere.push_back(wait);
}

PlainTopics::Published PlainTopics::publish_on_node(PublishEvent event) {
  const mqtt::MessagePtr message = event.message;
  const bool from_client = event.from == PublishEvent::From::Client;
  if (message->retain() && !store_retained(event) && from_client) return {.refused = true};
  Published published;
  if (event.from != PublishEvent::From::Elsewhere) published.matched = deliver_here(message, from_client);
  const ShardId shards = shard_.options().shards;
  if (shards == 1) return published;
  elsewhere_.match(message->topic(), elsewhere_matches_);
  published.matched = published.matched || !elsewhere_matches_.list.empty();
  const auto tell = [&](ShardId shard) {
    event.reply = expect_answer();
    shard_.send(shard, PeerEvent{event});
  };
  for (ShardId shard = 0; message->retain() && shard < shards; ++shard) {
    if (shard != shard_.id()) tell(shard);
  }
  for (const routing::Match& match : elsewhere_matches_.list) {
    if (!message->retain()) tell(match.subscriber);
  }
  return published;
}

void PlainTopics::publish_here(const PublishEvent& event) {
  begin(event.reply.publication != 0, event.origin, event.repeated);
  if (event.message->retain()) store_retained(event);
  if (event.from != PublishEvent::From::Elsewhere) {
    deliver_here(event.message, event.from == PublishEvent::From::Client);
  }
  if (finish(event.message, {.shard = event.reply}) == 0) answer(event.reply, true);
}

void PlainTopics::deliver_on_shard(const mqtt::MessagePtr& message) {
  begin(false);
  deliver_here(message, true);
  finish(message, {});
}

bool PlainTopics::publish_from_node(const mqtt::MessagePtr& message, const RetainStamp& stamp, bool subscribers,
                                    std::uint64_t token) {
  begin(token != 0);
  publish_on_node({.message = message,
                   .stamp = stamp,
                   .from = subscribers ? PublishEvent::From::Node : PublishEvent::From::Elsewhere,
                   .origin = {},
                   .reply = {}});
  return finish(message, {.node_token = token}) != 0;
}

void PlainTopics::begin(bool waits, PlainOrigin origin, bool repeated) {
  routing_.waits = waits;
  routing_.origin = origin;
  routing_.keeps = false;
  routing_.publication = 0;
  routing_.open = 0;
  routing_.targets.clear();
  routing_.elsewhere.clear();
  routing_.stored.reset();
  routing_.skips_lasting = false;
  if (restored_origins_.empty() || origin.queue == 0) return;
  routing_.skips_lasting = restored_origins_.erase(origin) != 0 && repeated;
}

StoredReply PlainTopics::expect_answer() {
  if (!routing_.waits) return {};
  if (routing_.publication == 0) routing_.publication = next_publication_++;
  ++routing_.open;
  return {shard_.id(), routing_.publication};
}

std::uint64_t PlainTopics::finish(const mqtt::MessagePtr& message, Waiter waiter) {
  if (!routing_.targets.empty()) {
    shard_.journal().add_message(routing_.stored->number, *message, routing_.targets, routing_.origin);
    routing_.keeps = true;
  }
  routing_.stored.reset();
  if (routing_.keeps && routing_.waits) shard_.journal().wait(expect_answer().publication);
  if (routing_.open == 0) return 0;
  const std::uint64_t publication = routing_.publication;
  publications_.emplace(publication, Publication{.open = routing_.open, .failed = false, .waiter = waiter});
  for (const std::uint64_t wait : std::exchange(routing_.elsewhere, {})) {
    shard_.node_topics().when_taken(wait, [this, publication](bool taken) { stored(publication, taken); });
  }
  return publication;
}

void PlainTopics::stored(std::uint64_t publication, bool stored) {
  const auto found = publications_.find(publication);
  if (found == publications_.end()) return;
  found->second.failed = found->second.failed || !stored;
  if (--found->second.open > 0) return;
  const Publication done = found->second;
  publications_.erase(found);
  if (done.waiter.node_token != 0) {
    shard_.node_topics().stored(done.waiter.node_token, !done.failed);
  } else if (done.waiter.shard.publication != 0) {
    answer(done.waiter.shard, !done.failed);
  } else {
    shard_.publishing().stored(publication, !done.failed);
  }
}

void PlainTopics::answer(StoredReply reply, bool stored) {
  if (reply.publication != 0) shard_.send(reply.shard, PeerEvent{StoredEvent{reply.publication, stored}});
}

bool PlainTopics::deliver_here(const mqtt::MessagePtr& message, bool with_groups) {
  bool matched = false;
  here_.match(message->topic(), matches_, [&](routing::SubscriberId subscriber) {
    return message->publisher() == shard_.clients().at(subscriber).session->publisher();
  });
  for (const routing::Match& match : matches_.list) {
    matched = true;
    if (match.more_begin == match.more_end) {
      deliver(shard_.clients().at(match.subscriber), message, match.options,
              {&match.subscription_id, match.subscription_id != 0 ? 1U : 0U});
      continue;
    }
    ids_.assign(1, match.subscription_id);
    ids_.insert(ids_.end(), matches_.more_ids.begin() + match.more_begin, matches_.more_ids.begin() + match.more_end);
    deliver(shard_.clients().at(match.subscriber), message, match.options, ids_);
  }
  if (!with_groups) return matched;
  groups_.match(message->topic(), [&](const auto& member, const auto& share) {
    matched = true;
    send_to_member(member, share, message);
  });
  return matched;
}

void PlainTopics::send_to_member(const routing::SharedGroups::Member& member, const routing::SharedGroups::Name& share,
                                 const mqtt::MessagePtr& message) {
  if (member.elsewhere) {
    shard_.node_topics().send_shared(place_of_member(member.subscriber), share, message);
    return;
  }
  SharedDeliveryEvent event{share, member.subscriber, member.options, member.subscription_id, message};
  const ShardId shard = shard_of_member(member.subscriber);
  if (shard == shard_.id()) {
    deliver_shared(event);
  } else {
    event.reply = expect_answer();
    shard_.send(shard, PeerEvent{std::move(event)});
  }
}

void PlainTopics::deliver(Client& client, const mqtt::MessagePtr& message, const mqtt::SubscriptionOptions& options,
                          std::span<const std::uint32_t> subscription_ids, const routing::SharedGroups::Name& share) {
  if (options.no_local && message->publisher() == client.session->publisher()) return;  // §3.8.3.1
  if (!shard_.access().may_deliver(client, message->topic())) return;
  hand_over(client, message, options.qos, options.retain_as_published && message->retain(), subscription_ids, share);
}

void PlainTopics::hand_over(Client& client, const mqtt::MessagePtr& message, mqtt::Qos qos, bool retain,
                            std::span<const std::uint32_t> subscription_ids, const routing::SharedGroups::Name& share) {
  const bool keeps = client.is_lasting() && std::min(qos, message->qos()) != mqtt::Qos::AtMostOnce;
  if (keeps && routing_.skips_lasting) return;
  if (keeps && !routing_.stored) routing_.stored = shard_.journal().begin_message();
  const auto outcome = client.session->deliver(message, qos, retain, subscription_ids, shard_.now(), share,
                                               keeps ? routing_.stored : nullptr);
  if (outcome == session::Delivered::Sent) shard_.wrote(client);
  // Nobody is told of QoS 0 and of what is for now only while away, which is no loss.
  const bool waits = std::min(qos, message->qos()) != mqtt::Qos::AtMostOnce && !message->at_once();
  const bool is_due = client.session->connected() || waits;
  const bool is_lost = outcome == session::Delivered::Dropped || outcome == session::Delivered::QueueFull;
  if (is_lost && is_due) shard_.counters().add(Metric::PublishesDropped);
  if (outcome == session::Delivered::QueueFull) shard_.limit_reached(Metric::LimitQueue, client);
  if (!keeps || is_lost) return;
  routing_.targets.push_back(
      {shard_.journal().queue_of(client), qos, retain, {subscription_ids.begin(), subscription_ids.end()}, share});
}

void PlainTopics::send_retained(Client& client, const session::Subscription& subscription) {
  shard_.system_topics().match(subscription.filter,
                               [&](const mqtt::MessagePtr& message) { show_retained(client, subscription, message); });
  shard_.retained_shows().begin(client, subscription);
}

void PlainTopics::show_retained(Client& client, const session::Subscription& subscription,
                                const mqtt::MessagePtr& message) {
  if (subscription.options.no_local && message->publisher() == client.session->publisher()) return;  // §3.8.3.1
  if (!shard_.access().may_deliver(client, message->topic())) return;
  const std::span<const std::uint32_t> ids(&subscription.subscription_id, subscription.subscription_id != 0 ? 1 : 0);
  begin(false);
  hand_over(client, message, subscription.options.qos, true, ids, nullptr);
  finish(message, {});
}

// -- Retained messages --

bool PlainTopics::keeps_retained(std::string_view topic) const {
  return stable_hash(topic) % shard_.options().shards == shard_.id();
}

bool PlainTopics::store_retained(const PublishEvent& event) {
  // What expires at once takes the place of the topic's message, and leaves none.
  const mqtt::MessagePtr kept_message = event.message->at_once() ? removal_of(event.message->topic()) : event.message;
  const mqtt::Message& message = *kept_message;
  NodeTopics& nodes = shard_.node_topics();
  const bool removal = message.payload().empty();
  const bool writes = keeps_retained(message.topic()) && (!removal || nodes.active());
  if (nodes.was_removed_since(message.topic(), event.stamp)) return true;
  // The row is added once it is known that it counts.
  const std::uint64_t number = writes ? shard_.store().next_plain_number() : 0;
  Kept kept;
  if (!keep(kept_message, event.stamp, number, kept)) {
    if (keeps_retained(message.topic())) {
      shard_.counters().add(Metric::LimitRetained);
      log::warn("retained message is not kept, the limit is reached",
                {{"topic", message.topic()}, {"retained", retained_.size()}, {"bytes", retained_.bytes()}});
    }
    return false;
  }
  if (kept.older) return true;
  if (writes) shard_.journal().add_retained(number, message, event.stamp);
  for (const std::uint64_t row : kept.replaced) {
    if (row != 0) shard_.journal().erase_retained(row);
  }
  routing_.keeps = routing_.keeps || writes || kept.replaced != std::array<std::uint64_t, 2>{};
  return true;
}

/// False when there is no room for it.
bool PlainTopics::keep(const mqtt::MessagePtr& message, const RetainStamp& stamp, std::uint64_t number, Kept& kept) {
  NodeTopics& nodes = shard_.node_topics();
  nodes.observe(stamp);
  const bool removal = message->payload().empty();
  routing::RetainedMessages::Outcome outcome;
  if (!retained_.set(message, stamp, removal ? 0 : number, &outcome)) return false;
  kept = {.older = outcome.older, .replaced = {outcome.replaced, 0}};
  count_retained();
  if (outcome.older) return true;
  kept.replaced[1] =
      removal ? nodes.note_removal(message->topic(), stamp, number) : nodes.forget_removal(message->topic());
  return true;
}

void PlainTopics::restore_retained(std::uint64_t number, const RetainStamp& stamp, const mqtt::MessagePtr& message) {
  const bool mine = keeps_retained(message->topic());
  Kept kept;
  const bool late = shard_.node_topics().was_removed_since(message->topic(), stamp) ||
                    !keep(message, stamp, mine ? number : 0, kept) || kept.older;
  if (!mine) return;
  if (late) kept.replaced[0] = number;
  for (const std::uint64_t row : kept.replaced) {
    if (row != 0) shard_.journal().erase_retained(row);
  }
}

void PlainTopics::for_each_retained(
    const std::function<void(const mqtt::MessagePtr&, const RetainStamp&)>& visit) const {
  retained_.for_each(shard_.now(), visit);
}

bool PlainTopics::sweep(std::size_t most) {
  std::vector<std::uint64_t> expired;
  const bool through = retained_.sweep(shard_.now(), most, expired);
  for (const std::uint64_t number : expired) shard_.journal().erase_retained(number);
  count_retained();
  return through;
}

/// Every shard has all of them.
void PlainTopics::count_retained() {
  if (shard_.id() != 0) return;
  shard_.counters().set(Metric::Retained, retained_.size());
  shard_.counters().set(Metric::RetainedBytes, retained_.bytes());
}

// -- Subscriptions --

void PlainTopics::subscribe(Client& client, const session::Subscription& subscription,
                            std::function<void()> announced) {
  const ShardId shards = shard_.options().shards;
  if (const auto shared = mqtt::shared_filter(subscription.filter)) {
    const ShardId keeper = keeper_of(shared->group, shared->filter);
    const std::uint64_t token = announced ? await(1, std::move(announced)) : 0;
    shard_.send(keeper, PeerEvent{SharedMemberEvent{.group = std::string(shared->group),
                                                    .filter = std::string(shared->filter),
                                                    .member = member_id(shard_.id(), client.place),
                                                    .change = SharedMemberEvent::Change::Joins,
                                                    .connected = client.session->connected(),
                                                    .options = subscription.options,
                                                    .subscription_id = subscription.subscription_id,
                                                    .shard = shard_.id(),
                                                    .token = token}});
    return;
  }
  const bool added = here_.add(subscription.filter, client.place, subscription.options, subscription.subscription_id);
  NodeTopics& nodes = shard_.node_topics();
  if (added) nodes.want(subscription.filter);
  if (announced && nodes.active()) {
    announced = [this, filter = subscription.filter, then = std::move(announced)]() mutable {
      shard_.node_topics().after_announcement(filter, std::move(then));
    };
  }
  if (added && shards > 1) {
    want(subscription.filter, std::move(announced));
  } else if (announced) {
    after_announcement(subscription.filter, std::move(announced));
  }
}

void PlainTopics::unsubscribe(Client& client, std::string_view filter) {
  if (const auto shared = mqtt::shared_filter(filter)) {
    shard_.send(keeper_of(shared->group, shared->filter),
                PeerEvent{SharedMemberEvent{.group = std::string(shared->group),
                                            .filter = std::string(shared->filter),
                                            .member = member_id(shard_.id(), client.place),
                                            .change = SharedMemberEvent::Change::Leaves,
                                            .shard = shard_.id()}});
    return_shared(client, filter);
    return;
  }
  RetainedShows::stop(client, filter);
  if (!here_.remove(filter, client.place)) return;
  shard_.node_topics().want_no_more(filter);
  if (shard_.options().shards > 1) want_no_more(filter);
}

std::uint64_t PlainTopics::await(std::size_t answers, std::function<void()> done) {
  const std::uint64_t token = next_token_++;
  auto& awaited = awaited_[token];
  awaited.answers = answers;
  if (done) awaited.done.push_back(std::move(done));
  return token;
}

/// One more user of the filter: the first one makes it known to the others, the next ones wait with him.
void PlainTopics::want(std::string_view filter, std::function<void()> announced) {
  Wanted& wanted = wanted_[std::string(filter)];
  if (++wanted.users > 1) {
    if (announced) after_announcement(filter, std::move(announced));
    return;
  }
  const ShardId shards = shard_.options().shards;
  wanted.token = await(shards - 1, std::move(announced));
  for (ShardId shard = 0; shard < shards; ++shard) {
    if (shard == shard_.id()) continue;
    shard_.send(shard, PeerEvent{InterestEvent{shard_.id(), std::string(filter), true, wanted.token}});
  }
}

/// At once when everybody has heard of the filter.
void PlainTopics::after_announcement(std::string_view filter, std::function<void()> then) {
  const auto wanted = wanted_.find(std::string(filter));
  const auto pending = wanted != wanted_.end() ? awaited_.find(wanted->second.token) : awaited_.end();
  if (pending == awaited_.end()) {
    then();
  } else {
    pending->second.done.push_back(std::move(then));
  }
}

void PlainTopics::want_no_more(std::string_view filter) {
  const auto found = wanted_.find(std::string(filter));
  if (found == wanted_.end() || --found->second.users > 0) return;
  wanted_.erase(found);
  for (ShardId shard = 0; shard < shard_.options().shards; ++shard) {
    if (shard != shard_.id()) shard_.send(shard, PeerEvent{InterestEvent{shard_.id(), std::string(filter), false, 0}});
  }
}

void PlainTopics::interest(InterestEvent& event) {
  if (event.wanted) {
    elsewhere_.add(event.filter, event.shard, {}, 0);
  } else {
    elsewhere_.remove(event.filter, event.shard);
  }
  if (event.token != 0) shard_.send(event.shard, PeerEvent{InterestTakenEvent{event.token}});
}

void PlainTopics::interest_taken(std::uint64_t token) {
  const auto found = awaited_.find(token);
  if (found == awaited_.end() || --found->second.answers > 0) return;
  const auto done = std::move(found->second.done);
  awaited_.erase(found);
  for (const auto& one : done) one();
}

// -- Shared groups --

ShardId PlainTopics::keeper_of(std::string_view group, std::string_view filter) const {
  return static_cast<ShardId>((stable_hash(group) ^ stable_hash(filter)) % shard_.options().shards);
}

void PlainTopics::shared_member(SharedMemberEvent& event) {
  using Change = SharedMemberEvent::Change;
  switch (event.change) {
    case Change::Joins: join_group(event); break;
    case Change::Leaves: leave_group(event); break;
    case Change::Connected: groups_.set_ready(event.group, event.filter, event.member, true); break;
    case Change::Disconnected: groups_.set_ready(event.group, event.filter, event.member, false); break;
  }
  shard_.node_topics().group_changed(event.group, event.filter);
}

void PlainTopics::connected(Client& client, bool connected) {
  using Change = SharedMemberEvent::Change;
  for (const auto& subscription : client.session->subscriptions()) {
    const auto shared = mqtt::shared_filter(subscription.filter);
    if (!shared || !shard_.is_plain(subscription.filter)) continue;
    shard_.send(keeper_of(shared->group, shared->filter),
                PeerEvent{SharedMemberEvent{.group = std::string(shared->group),
                                            .filter = std::string(shared->filter),
                                            .member = member_id(shard_.id(), client.place),
                                            .change = connected ? Change::Connected : Change::Disconnected,
                                            .shard = shard_.id()}});
  }
}

void PlainTopics::return_shared(Client& client, std::string_view subscription) {
  for (auto& [share, message] : client.session->take_shared(subscription)) {
    give_back(share, message);
  }
}

void PlainTopics::give_back(const routing::SharedGroups::Name& share, const mqtt::MessagePtr& message) {
  if (message->at_once()) return;  // For somebody else it has expired.
  begin(false);
  to_group(share, message, false);
  finish(message, {});
}

/// To the group's keeper, which chooses a member; part of the routing under way.
void PlainTopics::to_group(const routing::SharedGroups::Name& share, const mqtt::MessagePtr& message, bool here_only) {
  const auto parts = mqtt::shared_filter(*share);
  const ShardId keeper = keeper_of(parts->group, parts->filter);
  if (keeper != shard_.id()) {
    shard_.send(keeper, PeerEvent{SharedReturnEvent{share, message, here_only, expect_answer()}});
    return;
  }
  const auto* member =
      here_only ? groups_.choose_here(parts->group, parts->filter) : groups_.choose(parts->group, parts->filter);
  if (member != nullptr) send_to_member(*member, share, message);
}

void PlainTopics::shared_return(const SharedReturnEvent& event) {
  begin(event.reply.publication != 0);
  to_group(event.share, event.message, event.here_only);
  if (finish(event.message, {.shard = event.reply}) == 0) answer(event.reply, true);
}

bool PlainTopics::share_here(const routing::SharedGroups::Name& share, const mqtt::MessagePtr& message,
                             std::uint64_t token) {
  begin(token != 0);
  to_group(share, message, true);
  return finish(message, {.node_token = token}) != 0;
}

void PlainTopics::pass_on(NodeGroupEvent event) {
  const ShardId keeper = keeper_of(event.group, event.filter);
  shard_.send(keeper, PeerEvent{std::move(event)});
}

void PlainTopics::group_elsewhere(const NodeGroupEvent& event) {
  const auto member = member_id(kElsewhere, shard_.node_topics().place_of(event.node));
  const bool several = shard_.options().shards > 1;
  if (event.members == 0) {
    if (groups_.remove(event.group, event.filter, member) && several) want_no_more(event.filter);
    return;
  }
  const bool fresh = groups_.add(
      event.group, event.filter,
      {.subscriber = member, .options = {}, .subscription_id = 0, .ready = event.members > 1, .elsewhere = true});
  if (fresh && several) want(event.filter, nullptr);
}

void PlainTopics::groups_gone(std::uint32_t place) {
  for (const auto& name : groups_.names()) {
    const auto parts = mqtt::shared_filter(*name);
    const bool gone = groups_.remove(parts->group, parts->filter, member_id(kElsewhere, place));
    if (gone && shard_.options().shards > 1) want_no_more(parts->filter);
  }
}

void PlainTopics::join_group(const SharedMemberEvent& event) {
  const bool fresh =
      groups_.add(event.group, event.filter, {event.member, event.options, event.subscription_id, event.connected});
  const ShardId shards = shard_.options().shards;
  const auto joined = [this, member_shard = event.shard, token = event.token] {
    if (token != 0) shard_.send(member_shard, PeerEvent{InterestTakenEvent{token}});
  };
  if (shards == 1) {
    joined();
  } else if (fresh) {
    want(event.filter, joined);
  } else {
    after_announcement(event.filter, joined);
  }
}

void PlainTopics::leave_group(const SharedMemberEvent& event) {
  if (groups_.remove(event.group, event.filter, event.member) && shard_.options().shards > 1)
    want_no_more(event.filter);
}

void PlainTopics::shared_delivery(const SharedDeliveryEvent& event) {
  begin(event.reply.publication != 0);
  deliver_shared(event);
  if (finish(event.message, {.shard = event.reply}) == 0) answer(event.reply, true);
}

void PlainTopics::deliver_shared(const SharedDeliveryEvent& event) {
  const std::uint32_t place = place_of_member(event.member);
  Client* client = shard_.clients().find_place(place);
  // The member may have left while this was on its way, and somebody else have taken its place.
  const auto is_member = [&](const session::Subscription& subscription) { return subscription.filter == *event.share; };
  if (client == nullptr || std::ranges::none_of(client->session->subscriptions(), is_member)) {
    to_group(event.share, event.message, false);
    return;
  }
  deliver(*client, event.message, event.options, {&event.subscription_id, event.subscription_id != 0 ? 1U : 0U},
          event.share);
}

}  // namespace parley::shard
