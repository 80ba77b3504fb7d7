#include "broker/shard/subscribing.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/name.hpp"
#include "broker/shard/entry_message.hpp"
#include "broker/shard/shard.hpp"
#include "mqtt/topic.hpp"

namespace parley::shard {
namespace {

using chat::Refusal;
using chat::StartPosition;
using mqtt::ReasonCode;

/// The beginning that SUBSCRIBE's user properties ask for; Live when they don't. Nothing when they can't be read.
std::optional<StartPosition> read_start(const mqtt::Properties& properties) {
  if (properties.empty()) return StartPosition{};
  if (const auto since = properties.user("since")) return chat::read_since(*since);
  if (const auto last = properties.user("last")) return chat::read_last(*last);
  return StartPosition{};
}

bool is_served(const chat::ChatTopic& parts) {
  return parts.form == chat::Form::Message || parts.form == chat::Form::Json || Listeners::is_form(parts.form);
}

}  // namespace

Subscribing::Subscribing(Shard& shard)
    : shard_(shard),
      changes_(shard),
      inboxes_(shard, changes_, [this](const SubscribeRequestPtr& request) { settle(request); }) {}

Client* Subscribing::client_of(const SubscribeRequest& request) { return shard_.client_of(request.connection); }

void Subscribing::subscribe(Client& client, const session::SubscribeAction& action) {
  const auto& packet = action.subscribe;
  const auto request = std::make_shared<SubscribeRequest>();
  request->connection = client.connection;
  request->packet_id = packet.packet_id;
  request->items.resize(packet.items.size());
  request->reasons.resize(packet.items.size());
  request->subscription_id = action.subscription_id;
  for (std::size_t i = 0; i < packet.items.size(); ++i) {
    SubscribeItem& item = request->items[i];
    item.filter = packet.items[i].filter;
    item.options = packet.items[i].options;
    item.options.qos = std::min(item.options.qos, shard_.options().limits.qos_max);
    request->reasons[i] = objection(client, *request, item.filter);
    if (request->reasons[i] == ReasonCode::QuotaExceeded) item.refusal = Refusal::TooMany;
    if (mqtt::is_failure(request->reasons[i])) continue;
    const auto shared = mqtt::shared_filter(item.filter);
    if (chat::is_chat_filter(shard_.options().root, shared ? shared->filter : std::string_view(item.filter))) {
      item.conversation = true;
      subscribe_conversation(request, packet.properties, i);
      // Whoever may not read on is disconnected by what was waiting for the same feed.
      if (client_of(*request) == nullptr) return;
    } else if (shared && Presence::is_topic(shared->filter)) {
      request->decide(i, Refusal::Unsupported);
    } else if (!shared && Presence::is_topic(item.filter)) {
      item.presence = true;
      subscribe_presence(request, client, i);
      if (client_of(*request) == nullptr) return;
    } else {
      subscribe_plain(request, client, i);
    }
  }
  settle(request);
}

void Subscribing::subscribe_presence(const SubscribeRequestPtr& request, Client& client, std::size_t index) {
  ++request->open;
  if (request->items[index].filter == shard_.inbox_listeners().filter(Hearing::Presence)) {
    return inboxes_.listen(request, index, client, Hearing::Presence);
  }
  shard_.presence().questions().may_see(client.session->user(), request->items[index].filter,
                                        [this, request, index](Refusal refusal) {
                                          if (Client* owner = client_of(*request)) {
                                            SubscribeItem& item = request->items[index];
                                            request->decide(index, refusal);
                                            if (refusal == Refusal::None) {
                                              changes_.remember(*request, *owner, item);
                                              shard_.presence().watches().watch(*owner, item.filter);
                                            }
                                          }
                                          settle(request);
                                        });
}

ReasonCode Subscribing::objection(const Client& client, const SubscribeRequest& request, std::string_view filter) {
  const auto& limits = shard_.options().limits;
  const auto shared = mqtt::shared_filter(filter);
  if (!limits.shared_subscriptions && shared) return ReasonCode::SharedSubscriptionsNotSupported;
  if (!limits.wildcard_subscriptions && mqtt::has_wildcard(filter)) {
    return ReasonCode::WildcardSubscriptionsNotSupported;
  }
  if (mqtt::level_count(shared ? shared->filter : filter) > shard_.options().filter_levels_max) {
    shard_.limit_reached(Metric::LimitTopicLevels, client);
    return ReasonCode::QuotaExceeded;
  }
  const auto& subscriptions = client.session->subscriptions();
  // Those of this packet that aren't known yet may all turn out new.
  if (subscriptions.size() + request.conversations_open >= shard_.options().subscriptions_max &&
      client.session->find_subscription(filter) == nullptr) {
    shard_.limit_reached(Metric::LimitSubscriptions, client);
    return ReasonCode::QuotaExceeded;
  }
  return ReasonCode::Success;
}

void Subscribing::subscribe_plain(const SubscribeRequestPtr& request, Client& client, std::size_t index) {
  SubscribeItem& item = request->items[index];
  if (!shard_.access().begin_reading(client, item.filter)) {
    request->reasons[index] = ReasonCode::NotAuthorized;
    return;
  }
  changes_.remember(*request, client, item);
  const session::Subscription subscription{item.filter, item.options, request->subscription_id};
  request->reasons[index] = static_cast<ReasonCode>(item.options.qos);
  ++request->open;
  shard_.plain_topics().subscribe(client, subscription, [this, request] { settle(request); });
}

void Subscribing::subscribe_conversation(const SubscribeRequestPtr& request, const mqtt::Properties& properties,
                                         std::size_t index) {
  SubscribeItem& item = request->items[index];
  const auto refuse = [&](Refusal refusal) { request->decide(index, refusal); };
  const auto shared = mqtt::shared_filter(item.filter);
  const auto filter = chat::read_filter(shard_.options().root, shared ? shared->filter : item.filter);
  if (!filter) {
    const bool wildcard = mqtt::has_wildcard(item.filter);
    return refuse(wildcard ? Refusal::Unsupported : Refusal::InvalidTopic);
  }
  if (shared) {
    const auto refusal = objection_to_share(shared->group, *filter);
    if (refusal != Refusal::None) return refuse(refusal);
    item.shared = true;
    // What one member leaves undone goes to another at once, which QoS 2 forbids. [MQTT-4.8.2-5]
    item.options.qos = std::min(item.options.qos, mqtt::Qos::AtLeastOnce);
  }
  if (!is_served(filter->parts)) return refuse(Refusal::Unsupported);
  if (Listeners::is_form(filter->parts.form) && filter->start.kind != StartPosition::Kind::Live) {
    return refuse(Refusal::InvalidTopic);
  }
  Client* subscriber = client_of(*request);
  if (filter->is_inbox()) {
    ++request->open;
    return inboxes_.subscribe(request, index, *subscriber, *filter, properties);
  }
  auto start = filter->start.kind != StartPosition::Kind::Live ? std::optional(filter->start) : read_start(properties);
  if (!start) return refuse(Refusal::InvalidArgument);
  item.start = *start;
  if (const auto epoch = properties.user("epoch")) {
    const auto number = chat::read_decimal(*epoch);
    if (!number) return refuse(Refusal::OtherEpoch);
    item.start_epoch = Epoch{*number};
  }
  item.form = filter->parts.form;
  const auto conversation = chat::conversation_meant(filter->parts.conversation, subscriber->session->user());
  if (!conversation) return refuse(Refusal::InvalidTopic);
  if (const auto users = format::direct_users(*conversation)) {
    // Asking for it creates it.
    const std::string& user = subscriber->session->user();
    if (users->first != user && users->second != user) return refuse(Refusal::NotAuthorized);
  }
  item.filter = shared ? share_filter(shared->group, filter->topic) : std::string(filter->topic);
  ++request->open;
  ++request->conversations_open;
  shard_.feeds().with_access(*conversation, subscriber->session->user(),
                             [this, request, index](Feed& feed, const Feeds::Access& access) {
                               --request->conversations_open;
                               if (Client* client = client_of(*request)) {
                                 SubscribeItem& known = request->items[index];
                                 request->decide(index, changes_.begin(*request, *client, known, feed, access));
                                 if (known.shared && known.refusal == Refusal::None)
                                   join_group(request, index, *client, feed);
                               }
                               settle(request);
                             });
}

// -- Shared subscriptions --

/// Which of them there are.
Refusal Subscribing::objection_to_share(std::string_view group, const chat::ChatFilter& filter) const {
  const bool served = filter.parts.form == chat::Form::Message || filter.parts.form == chat::Form::Json;
  if (filter.is_inbox() || !served || !shard_.nodes().all_speak(kSharesVersion)) return Refusal::Unsupported;
  return group.size() > kNameSizeMax ? Refusal::InvalidTopic : Refusal::None;
}

/// The answer waits until the group's home knows of the member, and a new group's beginning is durable.
void Subscribing::join_group(const SubscribeRequestPtr& request, std::size_t index, Client& client, Feed& feed) {
  SubscribeItem& item = request->items[index];
  if (const auto known = client.session->find_cursor(item.filter)) {
    changes_.remember(*request, client, item);
    client.session->set_cursor_options(*known, {.qos = item.options.qos, .subscription_id = request->subscription_id});
    return;
  }
  ++request->open;
  shard_.share_members().join(client, feed,
                              {item.filter, item.options.qos, request->subscription_id, item.start, item.start_epoch},
                              [this, request, index](Refusal refusal) {
                                Client* owner = client_of(*request);
                                SubscribeItem& joined = request->items[index];
                                if (owner != nullptr && refusal == Refusal::None) {
                                  // Not before: who goes without an answer comes back without the subscription.
                                  changes_.remember(*request, *owner, joined);
                                } else if (owner != nullptr) {
                                  request->decide(index, refusal);
                                  if (const auto cursor = owner->session->find_cursor(joined.filter)) {
                                    owner->session->remove_cursor(*cursor);
                                    shard_.feeds().remove_follower(*owner, *cursor);
                                  }
                                }
                                settle(request);
                              });
}

// -- The answer --

void Subscribing::settle(const SubscribeRequestPtr& request) {
  if (--request->open > 0) return;
  Client* client = client_of(*request);
  if (client == nullptr) return;
  const auto changes = [&](ReasonCode reason) { return reason <= ReasonCode::GrantedQos2; };
  // While the last record isn't written, a refusal waits for the next one, too.
  if (!client->record_stale && std::ranges::none_of(request->reasons, changes)) {
    answer(*request, *client);
    return;
  }
  if (shard_.session_records().is_too_large(*client)) {
    shard_.limit_reached(Metric::LimitSubscriptions, *client);
    undo(*request, *client, Refusal::TooMany);
    answer(*request, *client);
    return;
  }
  request->for_each_cursor([&](const SubscribeItem& item) {
    if (item.moves) shard_.session_records().write_cursor(*client, item.filter, item.epoch, item.position);
  });
  shard_.session_records().write(*client, {}, [this, request](Result<void> outcome) { stored(request, outcome); });
}

void Subscribing::stored(const SubscribeRequestPtr& request, Result<void> outcome) {
  Client* client = client_of(*request);
  if (client == nullptr) return;
  if (outcome) {
    request->for_each_cursor([&](const SubscribeItem& item) {
      if (item.moves) changes_.move(*request, *client, item);
    });
  } else {
    const auto why = refusal_of(outcome.error());
    undo(*request, *client,
         why == Refusal::TooLarge   ? Refusal::TooMany
         : why == Refusal::DiskFull ? Refusal::DiskFull
                                    : Refusal::StorageFailed);
  }
  answer(*request, *client);
}

/// Nothing of it is promised: everything is as it was before.
void Subscribing::undo(SubscribeRequest& request, Client& client, Refusal refusal) {
  for (std::size_t i = 0; i < request.items.size(); ++i) {
    if (mqtt::is_failure(request.reasons[i])) continue;
    request.decide(i, refusal);
    changes_.undo(client, request.items[i]);
  }
}

void Subscribing::answer(SubscribeRequest& request, Client& client) {
  session::Session& session = *client.session;
  const bool has_properties = session.version() == mqtt::ProtocolVersion::V5 && session.problem_information();
  session.write_suback(request.packet_id, request.reasons, has_properties ? answer_properties(request) : std::string());
  shard_.wrote(client);
  for (std::size_t i = 0; i < request.items.size(); ++i) {
    const SubscribeItem& item = request.items[i];
    if (item.listens) continue;
    if (item.inbox) {
      inboxes_.release(request, client, item);
      // What is sent may end the connection.
      if (client_of(request) != &client) return;
      continue;
    }
    if (item.conversation) {
      const auto cursor = session.find_cursor(item.filter);
      Follower* follower = cursor ? shard_.feeds().find_follower(client, *cursor) : nullptr;
      if (follower != nullptr && follower->held) shard_.feeds().release(client, *follower);
      const bool shows = item.shows_state() && item.refusal == Refusal::None;
      if (item.form == chat::Form::Read && shows) shard_.marks().show(client, item.filter);
      continue;
    }
    if (mqtt::is_failure(request.reasons[i]) || mqtt::shared_filter(item.filter)) continue;
    if (item.presence) {
      shard_.presence().watches().begin(client, item.filter, item.shows_state());
      continue;
    }
    if (!item.shows_state()) continue;
    shard_.plain_topics().send_retained(client, {item.filter, item.options, request.subscription_id});
  }
}

std::string Subscribing::answer_properties(const SubscribeRequest& request) const {
  mqtt::PropertyWriter properties;
  for (const SubscribeItem& item : request.items) {
    if (!item.conversation && item.refusal != Refusal::None) {
      if (request.items.size() > 1) properties.user("topic", item.filter);
      write_refusal(properties, item.refusal);
    }
    if (item.listens && item.refusal == Refusal::None) {
      if (request.items.size() > 1) properties.user("topic", item.filter);
      properties.user("conversations", std::to_string(item.conversations));
      continue;
    }
    if (!item.conversation) continue;
    if (request.items.size() > 1) properties.user("topic", item.filter);
    if (item.refusal != Refusal::None) {
      write_refusal(properties, item.refusal);
      if (!item.refused_part.empty()) properties.user("conversation", item.refused_part);
      continue;
    }
    if (item.inbox) {
      properties.user("conversations", std::to_string(item.parts.size()));
      continue;
    }
    write_standing(properties, item.head, item.oldest, item.epoch);
  }
  return std::move(properties).take();
}

}  // namespace parley::shard
