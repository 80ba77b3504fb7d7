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

NodeTopics::Sent PlainTopics::publish(const mqtt::MessagePtr& message) {
  NodeTopics& nodes = shard_.node_topics();
  if (!nodes.active()) return {.matched = publish_on_node({message}), .wait = 0};
  const RetainStamp stamp = message->retain() ? nodes.make_stamp() : RetainStamp{};
  const bool matched = publish_on_node({message, stamp});
  NodeTopics::Sent sent = nodes.publish(message, stamp);
  sent.matched = sent.matched || matched;
  return sent;
}

bool PlainTopics::publish_on_node(const PublishEvent& event) {
  const mqtt::MessagePtr& message = event.message;
  if (message->retain()) store_retained(event);
  bool matched = false;
  if (event.from != PublishEvent::From::Elsewhere) {
    matched = deliver_here(message, event.from == PublishEvent::From::Client);
  }
  const ShardId shards = shard_.options().shards;
  if (shards == 1) return matched;
  elsewhere_.match(message->topic(), elsewhere_matches_);
  if (message->retain()) {
    for (ShardId shard = 0; shard < shards; ++shard) {
      if (shard != shard_.id()) shard_.send(shard, PeerEvent{event});
    }
    return matched || !elsewhere_matches_.list.empty();
  }
  for (const routing::Match& match : elsewhere_matches_.list) {
    matched = true;
    shard_.send(match.subscriber, PeerEvent{event});
  }
  return matched;
}

void PlainTopics::publish_here(const PublishEvent& event) {
  if (event.message->retain()) store_retained(event);
  if (event.from == PublishEvent::From::Elsewhere) return;
  deliver_here(event.message, event.from == PublishEvent::From::Client);
}

void PlainTopics::publish_from_node(const mqtt::MessagePtr& message, const RetainStamp& stamp, bool subscribers) {
  publish_on_node({message, stamp, subscribers ? PublishEvent::From::Node : PublishEvent::From::Elsewhere});
}

bool PlainTopics::deliver_here(const mqtt::MessagePtr& message, bool with_groups) {
  bool matched = false;
  here_.match(message->topic(), matches_);
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
    shared_delivery(event);
  } else {
    shard_.send(shard, PeerEvent{std::move(event)});
  }
}

void PlainTopics::deliver(Client& client, const mqtt::MessagePtr& message, const mqtt::SubscriptionOptions& options,
                          std::span<const std::uint32_t> subscription_ids, const routing::SharedGroups::Name& share) {
  session::Session& session = *client.session;
  if (options.no_local && message->publisher() == session.identity()) return;  // §3.8.3.1
  if (!shard_.access().may_deliver(client, message->topic())) return;
  const bool retain = options.retain_as_published && message->retain();
  const auto outcome = session.deliver(message, options.qos, retain, subscription_ids, shard_.now(), share);
  if (outcome == session::Delivered::Sent) shard_.wrote(client);
}

void PlainTopics::store_retained(const PublishEvent& event) {
  const mqtt::MessagePtr& message = event.message;
  if (shard_.node_topics().active() && !shard_.node_topics().is_latest(*message, event.stamp)) return;
  if (const auto stored = retained_.set(message); !stored) {
    log::warn("retained message is not kept, the limit is reached",
              {{"topic", message->topic()}, {"retained", retained_.size()}, {"bytes", retained_.bytes()}});
  }
}

void PlainTopics::send_retained(Client& client, const session::Subscription& subscription) {
  const std::span<const std::uint32_t> ids(&subscription.subscription_id, subscription.subscription_id != 0 ? 1 : 0);
  retained_.match(subscription.filter, shard_.now(), [&](const mqtt::MessagePtr& message) {
    if (subscription.options.no_local && message->publisher() == client.session->identity()) return;  // §3.8.3.1
    if (!shard_.access().may_deliver(client, message->topic())) return;
    const auto outcome = client.session->deliver(message, subscription.options.qos, true, ids, shard_.now());
    if (outcome == session::Delivered::Sent) shard_.wrote(client);
  });
}

void PlainTopics::for_each_retained(const routing::RetainedMessages::Visit& visit) {
  retained_.match("#", shard_.now(), visit);
}

void PlainTopics::sweep() { retained_.sweep(shard_.now()); }

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
    if (!shared) continue;
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
    const auto parts = mqtt::shared_filter(*share);
    const ShardId keeper = keeper_of(parts->group, parts->filter);
    shard_.send(keeper, PeerEvent{SharedReturnEvent{std::move(share), std::move(message)}});
  }
}

void PlainTopics::shared_return(const SharedReturnEvent& event) {
  const auto parts = mqtt::shared_filter(*event.share);
  const auto* member =
      event.here_only ? groups_.choose_here(parts->group, parts->filter) : groups_.choose(parts->group, parts->filter);
  if (member != nullptr) send_to_member(*member, event.share, event.message);
}

void PlainTopics::share_here(const routing::SharedGroups::Name& share, const mqtt::MessagePtr& message) {
  const auto parts = mqtt::shared_filter(*share);
  shard_.send(keeper_of(parts->group, parts->filter), PeerEvent{SharedReturnEvent{share, message, true}});
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
  const std::uint32_t place = place_of_member(event.member);
  Client* client = shard_.clients().find_place(place);
  // The member may have left while this was on its way, and somebody else have taken its place.
  const auto is_member = [&](const session::Subscription& subscription) { return subscription.filter == *event.share; };
  if (client == nullptr || std::ranges::none_of(client->session->subscriptions(), is_member)) {
    const auto parts = mqtt::shared_filter(*event.share);
    shard_.send(keeper_of(parts->group, parts->filter), PeerEvent{SharedReturnEvent{event.share, event.message}});
    return;
  }
  deliver(*client, event.message, event.options, {&event.subscription_id, event.subscription_id != 0 ? 1U : 0U},
          event.share);
}

}  // namespace parley::shard
