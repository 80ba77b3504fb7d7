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

/// A refusal's Reason Code as SUBACK may carry it. MQTT 5 §3.9.3.
ReasonCode suback_reason(Refusal refusal) {
  const auto reason = static_cast<ReasonCode>(chat::rule_of(refusal).reason);
  if (reason == ReasonCode::TopicNameInvalid) return ReasonCode::TopicFilterInvalid;
  return reason == ReasonCode::PayloadFormatInvalid ? ReasonCode::ImplementationSpecificError : reason;
}

std::string share_prefix(std::string_view group) { return std::string(format::kSharePrefix).append(group).append("/"); }

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

/// Whether what is there comes at once. §3.8.3.1
bool shows_state(const mqtt::SubscriptionOptions& options, bool is_new) {
  return options.retain_handling == 0 || (options.retain_handling == 1 && is_new);
}

/// A prefix counts instead of the properties.
Refusal read_inbox_start(const chat::ChatFilter& filter, const mqtt::Properties& properties, std::string_view user,
                         chat::InboxStart& start) {
  if (!filter.start_name.empty()) {
    const auto refusal = start.add(filter.start_name, filter.start_value, user);
    return refusal == Refusal::InvalidArgument ? Refusal::InvalidTopic : refusal;
  }
  for (const auto& property : properties) {
    if (property.id != mqtt::PropertyId::UserProperty) continue;
    const auto refusal = start.add(property.name, property.text, user);
    if (refusal != Refusal::None) return refusal;
  }
  return Refusal::None;
}

}  // namespace

/// One filter of a SUBSCRIBE or UNSUBSCRIBE on its way to the answer.
struct Subscribing::Item {
  std::string filter;  ///< Of a conversation: its topic.
  mqtt::SubscriptionOptions options;
  bool conversation = false;
  bool presence = false;
  std::optional<Hearing> listens;                 ///< Of an inbox without cursors; see InboxListeners.
  std::size_t conversations = 0;                  ///< The number of its.
  std::optional<session::Subscription> previous;  ///< The subscription as it was; none: it is new.
  Seq position;                                   ///< Where a cursor begins that is new or moves.
  bool replays = false;                           ///< It was asked for the past.
  bool resumed = false;                           ///< The cursor had been waiting for a first SUBSCRIBE.
  bool moves = false;                             ///< The cursor was there, and goes to `position` once that is stored.
  chat::Form form = chat::Form::Message;
  StartPosition start;
  std::optional<Epoch> start_epoch;
  Refusal refusal = Refusal::None;
  Epoch epoch;
  Seq head;
  Seq oldest;
  bool shared = false;  ///< A shared subscription on a conversation; see ShareMembers.

  // -- Of an inbox, its conversations --
  bool inbox = false;
  bool begun = false;  ///< Inboxes::begin_subscribe was answered.
  std::vector<Item> parts;
  std::size_t parts_open = 0;
  std::string refused_part;  ///< The conversation because of which it is refused.

  // -- Of one of these --
  bool part = false;
  ConversationNumber number;
  std::optional<std::uint16_t> epoch_check;  ///< Of a cursor's position.
  bool anew = false;                         ///< That position means nothing any more.
  std::optional<Timestamp> floor;            ///< Of the cursor that may have left it out.
};

struct Subscribing::Request {
  ConnectionId connection;
  mqtt::PacketId packet_id = 0;
  bool is_subscribe = true;
  std::uint32_t subscription_id = 0;
  std::size_t open = 1;  ///< What is waited for; one is the handling of the packet itself.
  std::size_t conversations_open = 0;
  std::vector<Item> items;
  std::vector<ReasonCode> reasons;
};

Subscribing::RequestPtr Subscribing::make_request(const Client& client, mqtt::PacketId packet_id, std::size_t items) {
  auto request = std::make_shared<Request>();
  request->connection = client.connection;
  request->packet_id = packet_id;
  request->items.resize(items);
  request->reasons.resize(items);
  return request;
}

/// Of everything that has a cursor.
template <class Visit>
void Subscribing::for_each_cursor(Request& request, Visit visit) {
  for (Item& item : request.items) {
    if (item.conversation && !item.inbox) visit(item);
    for (Item& part : item.parts) visit(part);
  }
}

Client* Subscribing::client_of(const Request& request) { return shard_.client_of(request.connection); }

// -- SUBSCRIBE --

void Subscribing::subscribe(Client& client, const session::SubscribeAction& action) {
  const auto& packet = action.subscribe;
  const auto request = make_request(client, packet.packet_id, packet.items.size());
  request->subscription_id = action.subscription_id;
  for (std::size_t i = 0; i < packet.items.size(); ++i) {
    Item& item = request->items[i];
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
      item.refusal = Refusal::Unsupported;
      request->reasons[i] = suback_reason(item.refusal);
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

void Subscribing::subscribe_presence(const RequestPtr& request, Client& client, std::size_t index) {
  if (request->items[index].filter == shard_.inbox_listeners().filter(Hearing::Presence)) {
    return subscribe_listening(request, index, Hearing::Presence);
  }
  ++request->open;
  shard_.presence().questions().may_see(
      client.session->user(), request->items[index].filter, [this, request, index](Refusal refusal) {
        if (Client* owner = client_of(*request)) {
          Item& item = request->items[index];
          item.refusal = refusal;
          request->reasons[index] =
              refusal == Refusal::None ? static_cast<ReasonCode>(item.options.qos) : suback_reason(refusal);
          if (refusal == Refusal::None) {
            remember(*owner, item, *request);
            shard_.presence().watches().watch(*owner, item.filter);
          }
        }
        settle(request);
      });
}

ReasonCode Subscribing::objection(const Client& client, const Request& request, std::string_view filter) {
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

void Subscribing::subscribe_plain(const RequestPtr& request, Client& client, std::size_t index) {
  Item& item = request->items[index];
  if (!shard_.access().begin_reading(client, item.filter)) {
    request->reasons[index] = ReasonCode::NotAuthorized;
    return;
  }
  remember(client, item, *request);
  const session::Subscription subscription{item.filter, item.options, request->subscription_id};
  request->reasons[index] = static_cast<ReasonCode>(item.options.qos);
  ++request->open;
  shard_.plain_topics().subscribe(client, subscription, [this, request] { settle(request); });
}

void Subscribing::subscribe_conversation(const RequestPtr& request, const mqtt::Properties& properties,
                                         std::size_t index) {
  Item& item = request->items[index];
  const auto refuse = [&](Refusal refusal) {
    item.refusal = refusal;
    request->reasons[index] = suback_reason(refusal);
  };
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
  if (filter->is_inbox() && Listeners::is_form(filter->parts.form)) {
    if (!filter->start_name.empty()) return refuse(Refusal::InvalidTopic);
    item.form = filter->parts.form;
    return subscribe_listening(request, index, Listeners::hearing_of(item.form));
  }
  if (filter->is_inbox()) {
    chat::InboxStart start;
    const auto refusal = read_inbox_start(*filter, properties, client_of(*request)->session->user(), start);
    if (refusal != Refusal::None) return refuse(refusal);
    return subscribe_inbox(request, index, filter->parts.form, std::move(start));
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
  Client* subscriber = client_of(*request);
  const auto conversation = chat::conversation_meant(filter->parts.conversation, subscriber->session->user());
  if (!conversation) return refuse(Refusal::InvalidTopic);
  if (const auto users = format::direct_users(*conversation)) {
    // Asking for it creates it.
    const std::string& user = subscriber->session->user();
    if (users->first != user && users->second != user) return refuse(Refusal::NotAuthorized);
  }
  item.filter = (shared ? share_prefix(shared->group) : std::string()).append(filter->topic);
  ++request->open;
  ++request->conversations_open;
  shard_.feeds().with_access(
      *conversation, subscriber->session->user(), [this, request, index](Feed& feed, const Feeds::Access& access) {
        --request->conversations_open;
        if (Client* client = client_of(*request)) {
          Item& known = request->items[index];
          conversation_known(*request, *client, known, feed, access);
          request->reasons[index] = known.refusal == Refusal::None ? static_cast<ReasonCode>(known.options.qos)
                                                                   : suback_reason(known.refusal);
          if (known.shared && known.refusal == Refusal::None) join_group(request, index, *client, feed);
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
void Subscribing::join_group(const RequestPtr& request, std::size_t index, Client& client, Feed& feed) {
  Item& item = request->items[index];
  if (const auto known = client.session->find_cursor(item.filter)) {
    remember(client, item, *request);
    client.session->set_cursor_options(*known, {.qos = item.options.qos, .subscription_id = request->subscription_id});
    return;
  }
  ++request->open;
  shard_.share_members().join(client, feed,
                              {item.filter, item.options.qos, request->subscription_id, item.start, item.start_epoch},
                              [this, request, index](Refusal refusal) {
                                Client* owner = client_of(*request);
                                Item& joined = request->items[index];
                                if (owner != nullptr && refusal == Refusal::None) {
                                  // Not before: who goes without an answer comes back without the subscription.
                                  remember(*owner, joined, *request);
                                } else if (owner != nullptr) {
                                  joined.refusal = refusal;
                                  request->reasons[index] = suback_reason(refusal);
                                  if (const auto cursor = owner->session->find_cursor(joined.filter)) {
                                    owner->session->remove_cursor(*cursor);
                                    shard_.feeds().remove_follower(*owner, *cursor);
                                  }
                                }
                                settle(request);
                              });
}

// -- Inboxes --

void Subscribing::subscribe_listening(const RequestPtr& request, std::size_t index, Hearing hearing) {
  Client& subscriber = *client_of(*request);
  request->items[index].listens = hearing;
  remember(subscriber, request->items[index], *request);
  ++request->open;
  shard_.inbox_listeners().subscribe(
      subscriber, hearing, shows_state(request->items[index].options, !request->items[index].previous),
      [this, request, index](std::size_t conversations, Refusal refusal) {
        if (Client* client = client_of(*request)) {
          Item& item = request->items[index];
          item.conversations = conversations;
          item.refusal = refusal;
          request->reasons[index] =
              refusal == Refusal::None ? static_cast<ReasonCode>(item.options.qos) : suback_reason(refusal);
          if (conversations > shard_.options().inbox_conversations_max) {
            shard_.limit_reached(Metric::LimitSubscriptions, *client);
            item.refusal = Refusal::TooMany;
            request->reasons[index] = suback_reason(item.refusal);
          }
          if (mqtt::is_failure(request->reasons[index])) undo(*client, item);
        }
        settle(request);
      });
}

void Subscribing::subscribe_inbox(const RequestPtr& request, std::size_t index, chat::Form form,
                                  chat::InboxStart start) {
  Item& item = request->items[index];
  item.form = form;
  item.inbox = true;
  item.filter = shard_.inboxes().filter(form);
  ++request->open;
  shard_.inboxes().begin_subscribe(
      *client_of(*request),
      [this, request, index, wanted = std::move(start)](Client& client, const UserFeeds::List* list, Refusal refusal) {
        Item& known = request->items[index];
        known.begun = true;
        if (refusal != Refusal::None) {
          known.refusal = refusal;
          request->reasons[index] = suback_reason(refusal);
        } else if (list->size() > shard_.options().inbox_conversations_max) {
          shard_.limit_reached(Metric::LimitSubscriptions, client);
          known.refusal = Refusal::TooMany;
          request->reasons[index] = suback_reason(known.refusal);
        } else {
          request->reasons[index] = static_cast<ReasonCode>(known.options.qos);
          inbox_known(request, index, client, *list, wanted);
        }
        settle(request);
      });
}

void Subscribing::inbox_known(const RequestPtr& request, std::size_t index, Client& client, const UserFeeds::List& list,
                              const chat::InboxStart& start) {
  Item& item = request->items[index];
  remember(client, item, *request);
  item.parts.resize(list.size());
  item.parts_open = list.size() + 1;
  std::vector<std::string> names;
  for (const auto& [number, one] : list) {
    Item& part = item.parts[names.size()];
    part.filter =
        std::string(shard_.options().root).append("/").append(one.name).append("/").append(chat::name_of(item.form));
    part.options = item.options;
    part.conversation = part.part = true;
    part.form = item.form;
    part.number = number;
    begin_part(part, one, start);
    names.push_back(one.name);
  }
  for (std::size_t i = 0; i < names.size(); ++i) {
    ++request->open;
    shard_.feeds().with_access(names[i], client.session->user(),
                               [this, request, index, i](Feed& feed, const Feeds::Access& access) {
                                 if (Client* owner = client_of(*request)) {
                                   part_known(*request, index, i, *owner, feed, access);
                                 }
                                 settle(request);
                               });
    // What can't be followed may have closed the connection.
    if (client_of(*request) != &client) return;
  }
  part_done(*request, index, client);
}

/// Where one of the inbox's conversations begins, if everything is as it was.
void Subscribing::begin_part(Item& part, const UserConversation& conversation, const chat::InboxStart& start) {
  using Kind = StartPosition::Kind;
  if (const auto since = start.since.find(conversation.name); since != start.since.end()) {
    part.start = {Kind::Since, since->second};
    const auto epoch = start.epochs.find(conversation.name);
    if (epoch != start.epochs.end()) part.start_epoch = epoch->second;
    return;
  }
  part.start = start.rest;
  if (!start.cursor) return;
  if (const auto* position = start.cursor->find(conversation.number)) {
    part.start = {Kind::Since, position->acknowledged.value};
    part.epoch_check = position->epoch_check;
  } else {
    // It has joined since.
    part.start = {Kind::Since, std::max<std::uint64_t>(conversation.changed.value, 1) - 1};
    if (!start.cursor->complete) part.floor = start.cursor->floor;
  }
}

void Subscribing::part_known(Request& request, std::size_t index, std::size_t place, Client& client, Feed& feed,
                             const Feeds::Access& access) {
  Item& item = request.items[index];
  Item& part = item.parts[place];
  const FollowedEvent& standing = feed.standing;
  const bool gone =
      access.refusal == Refusal::NotAuthorized || (access.refusal == Refusal::None && standing.number != part.number);
  if (!gone) {
    if (part.epoch_check &&
        (*part.epoch_check != chat::check_of(standing.epoch) || part.start.value > standing.head.value)) {
      part.anew = true;
      part.start.value = standing.oldest.value - 1;
    }
    // Left out of the cursor because there was nothing new.
    if (part.floor && standing.last_ts <= *part.floor) part.start = {};
    conversation_known(request, client, part, feed, access);
    if (part.refusal != Refusal::None && item.refusal == Refusal::None) {
      item.refusal = part.refusal;
      item.refused_part = feed.name;
    }
  }
  part_done(request, index, client);
}

/// When all of them are known: if one can't begin as it was asked for, none does.
void Subscribing::part_done(Request& request, std::size_t index, Client& client) {
  Item& item = request.items[index];
  if (--item.parts_open != 0 || item.refusal == Refusal::None) return;
  request.reasons[index] = suback_reason(item.refusal);
  undo(client, item);
}

void Subscribing::conversation_known(Request& request, Client& client, Item& item, Feed& feed,
                                     const Feeds::Access& access) {
  const FollowedEvent& standing = feed.standing;
  item.refusal = access.refusal;
  if (item.refusal != Refusal::None) return;
  item.epoch = standing.epoch;
  item.head = standing.head;
  item.oldest = std::max(standing.oldest, access.visible_from);
  if (Listeners::is_form(item.form)) {
    remember(client, item, request);
    const auto parts = chat::read_topic(shard_.options().root, item.filter);
    shard_.listeners().listen(client, feed, item.filter, parts->conversation, Listeners::hearing_of(item.form));
    return;
  }
  if (!item.shared) item.refusal = begin_cursor(client, item, feed, request);
}

/// Where the cursor begins; see the class.
Refusal Subscribing::begin_cursor(Client& client, Item& item, Feed& feed, Request& request) {
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
  if (!item.part) remember(client, item, request);
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

void Subscribing::set_options(Client& client, session::CursorId cursor, const Item& item) {
  if (!item.part && client.inbox && shard_.inboxes().keeps(client, cursor)) return;
  shard_.inboxes().set_options(*client.session, cursor, item.part);
}

/// Notes the subscription in the session, and what was there before.
void Subscribing::remember(Client& client, Item& item, const Request& request) {
  if (const auto* known = client.session->find_subscription(item.filter)) item.previous = *known;
  client.session->add_subscription({item.filter, item.options, request.subscription_id});
}

/// A cursor that was there before goes to where this SUBSCRIBE wants it.
void Subscribing::move_cursor(Client& client, const Item& item, const Request& request) {
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

// -- UNSUBSCRIBE --

void Subscribing::unsubscribe(Client& client, const session::UnsubscribeAction& action) {
  const auto& filters = action.unsubscribe.filters;
  const auto request = make_request(client, action.unsubscribe.packet_id, filters.size());
  request->is_subscribe = false;
  for (std::size_t i = 0; i < filters.size(); ++i) {
    Item& item = request->items[i];
    item.filter = filters[i];
    request->reasons[i] = ReasonCode::NoSubscriptionExisted;
    if (Presence::is_topic(item.filter)) {
      if (!client.session->remove_subscription(item.filter)) continue;
      if (shard_.inbox_listeners().is_filter(item.filter)) {
        shard_.inbox_listeners().unsubscribe(client, Hearing::Presence);
      } else {
        shard_.presence().watches().unwatch(client, item.filter);
      }
      request->reasons[i] = ReasonCode::Success;
      continue;
    }
    const auto shared = mqtt::shared_filter(item.filter);
    const std::string_view meant = shared ? shared->filter : std::string_view(item.filter);
    if (!chat::is_chat_filter(shard_.options().root, meant)) {
      if (!client.session->remove_subscription(item.filter)) continue;
      shard_.plain_topics().unsubscribe(client, item.filter);
      request->reasons[i] = ReasonCode::Success;
      continue;
    }
    const auto filter = chat::read_filter(shard_.options().root, meant);
    if (shared && filter && filter->is_inbox()) continue;
    if (filter && filter->is_inbox() && Listeners::is_form(filter->parts.form)) {
      if (!client.session->remove_subscription(filter->topic)) continue;
      shard_.inbox_listeners().unsubscribe(client, Listeners::hearing_of(filter->parts.form));
      request->reasons[i] = ReasonCode::Success;
      continue;
    }
    if (filter && filter->is_inbox()) {
      ++request->open;
      // A SUBSCRIBE for it that is still on its way comes first.
      shard_.inboxes().after_subscribe(
          client, [this, request, i, form = filter->parts.form, topic = std::string(filter->topic)] {
            if (Client* owner = client_of(*request); owner != nullptr && owner->session->remove_subscription(topic)) {
              request->reasons[i] = ReasonCode::Success;
              shard_.inboxes().leave(*owner, form);
            }
            settle(request);
          });
      continue;
    }
    const auto conversation =
        filter ? chat::conversation_meant(filter->parts.conversation, client.session->user()) : std::nullopt;
    if (!conversation) continue;
    ++request->open;
    // A SUBSCRIBE for it that is still on its way comes first.
    std::string filtered = (shared ? share_prefix(shared->group) : std::string()).append(filter->topic);
    shard_.feeds().after_feed(*conversation, [this, request, i, topic = std::move(filtered)] {
      if (Client* owner = client_of(*request)) {
        if (owner->session->remove_subscription(topic)) request->reasons[i] = ReasonCode::Success;
        const auto cursor = owner->session->find_cursor(topic);
        if (cursor && !(owner->inbox && shard_.inboxes().keeps(*owner, *cursor))) {
          owner->session->remove_cursor(*cursor);
          shard_.feeds().remove_follower(*owner, *cursor);
        }
        shard_.listeners().stop(*owner, topic);
      }
      settle(request);
    });
  }
  settle(request);
}

// -- The answer --

void Subscribing::settle(const RequestPtr& request) {
  if (--request->open > 0) return;
  Client* client = client_of(*request);
  if (client == nullptr) return;
  const auto changes = [&](ReasonCode reason) { return reason <= ReasonCode::GrantedQos2; };
  // Even "no subscription existed" must stay true after a crash.
  if (!client->record_stale && std::ranges::none_of(request->reasons, changes)) {
    answer(*request, *client);
    return;
  }
  if (request->is_subscribe && shard_.session_records().is_too_large(*client)) {
    shard_.limit_reached(Metric::LimitSubscriptions, *client);
    undo(*request, *client, Refusal::TooMany);
    answer(*request, *client);
    return;
  }
  for_each_cursor(*request, [&](const Item& item) {
    if (item.moves) shard_.session_records().write_cursor(*client, item.filter, item.epoch, item.position);
  });
  shard_.session_records().write(*client, {}, [this, request](Result<void> outcome) { stored(request, outcome); });
}

void Subscribing::stored(const RequestPtr& request, Result<void> outcome) {
  Client* client = client_of(*request);
  if (client == nullptr) return;
  if (outcome) {
    for_each_cursor(*request, [&](const Item& item) {
      if (item.moves) move_cursor(*client, item, *request);
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

/// Nothing of a SUBSCRIBE is promised: everything is as it was before. What an UNSUBSCRIBE took away stays away.
void Subscribing::undo(Request& request, Client& client, Refusal refusal) {
  for (std::size_t i = 0; i < request.items.size(); ++i) {
    Item& item = request.items[i];
    if (mqtt::is_failure(request.reasons[i])) continue;
    if (!request.is_subscribe) {
      request.reasons[i] = ReasonCode::ImplementationSpecificError;  // UNSUBACK has no better one. §3.11.3
      continue;
    }
    request.reasons[i] = suback_reason(refusal);
    item.refusal = refusal;
    undo(client, item);
  }
}

void Subscribing::undo(Client& client, Item& item) {
  session::Session& session = *client.session;
  const auto restore = [&](const Item& one) {
    const auto cursor = session.find_cursor(one.filter);
    if (!cursor) return;
    set_options(client, *cursor, one);
    Follower* follower = shard_.feeds().find_follower(client, *cursor);
    if (follower != nullptr) follower->resumed = one.resumed;
  };
  if (item.previous) {
    session.add_subscription(*item.previous);
    if (!item.conversation && !item.presence) shard_.plain_topics().subscribe(client, *item.previous, nullptr);
    if (item.conversation && !item.inbox) restore(item);
    for (Item& part : item.parts) {
      restore(part);
      part.moves = false;
    }
  } else if (session.remove_subscription(item.filter)) {
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
  item.moves = false;
}

void Subscribing::answer(Request& request, Client& client) {
  session::Session& session = *client.session;
  if (!request.is_subscribe) {
    session.write_unsuback(request.packet_id, request.reasons);
    shard_.wrote(client);
    return;
  }
  const bool has_properties = session.version() == mqtt::ProtocolVersion::V5 && session.problem_information();
  session.write_suback(request.packet_id, request.reasons, has_properties ? answer_properties(request) : std::string());
  shard_.wrote(client);
  for (std::size_t i = 0; i < request.items.size(); ++i) {
    const Item& item = request.items[i];
    if (item.listens) continue;
    if (item.inbox) {
      release_inbox(request, client, item);
      // What is sent may end the connection.
      if (client_of(request) != &client) return;
      continue;
    }
    if (item.conversation) {
      const auto cursor = session.find_cursor(item.filter);
      Follower* follower = cursor ? shard_.feeds().find_follower(client, *cursor) : nullptr;
      if (follower != nullptr && follower->held) shard_.feeds().release(client, *follower);
      const bool shows = shows_state(item.options, !item.previous) && item.refusal == Refusal::None;
      if (item.form == chat::Form::Read && shows) shard_.marks().show(client, item.filter);
      continue;
    }
    if (mqtt::is_failure(request.reasons[i]) || mqtt::shared_filter(item.filter)) continue;
    if (item.presence) {
      shard_.presence().watches().begin(client, item.filter, shows_state(item.options, !item.previous));
      continue;
    }
    if (!shows_state(item.options, !item.previous)) continue;
    shard_.plain_topics().send_retained(client, {item.filter, item.options, request.subscription_id});
  }
}

void Subscribing::release_inbox(const Request& request, Client& client, const Item& item) {
  if (!item.begun) return;
  std::vector<session::CursorId> cursors;
  for (const Item& part : item.parts) {
    const auto cursor = client.session->find_cursor(part.filter);
    if (!cursor) continue;
    cursors.push_back(*cursor);
    if (part.anew) {
      client.session->deliver(epoch_notice(part.filter, part.epoch), item.options.qos, false, {}, shard_.now());
    }
  }
  shard_.feeds().release(client, cursors);
  if (client_of(request) == &client) shard_.inboxes().end_subscribe(client);
}

std::string Subscribing::answer_properties(const Request& request) const {
  mqtt::PropertyWriter properties;
  for (const Item& item : request.items) {
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
