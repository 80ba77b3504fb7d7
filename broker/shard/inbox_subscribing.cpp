#include "broker/shard/inbox_subscribing.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include "broker/shard/entry_message.hpp"
#include "broker/shard/shard.hpp"
#include "broker/shard/subscription_changes.hpp"

namespace parley::shard {
namespace {

using chat::Refusal;
using chat::StartPosition;

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

Client* InboxSubscribing::client_of(const SubscribeRequest& request) { return shard_.client_of(request.connection); }

void InboxSubscribing::subscribe(const SubscribeRequestPtr& request, std::size_t index, Client& client,
                                 const chat::ChatFilter& filter, const mqtt::Properties& properties) {
  SubscribeItem& item = request->items[index];
  item.form = filter.parts.form;
  if (Listeners::is_form(item.form) && filter.start_name.empty()) {
    return listen(request, index, client, Listeners::hearing_of(item.form));
  }
  chat::InboxStart start;
  const auto refusal = Listeners::is_form(item.form)
                           ? Refusal::InvalidTopic
                           : read_inbox_start(filter, properties, client.session->user(), start);
  if (refusal == Refusal::None) return begin(request, index, client, std::move(start));
  request->decide(index, refusal);
  settled_(request);
}

void InboxSubscribing::listen(const SubscribeRequestPtr& request, std::size_t index, Client& client, Hearing hearing) {
  SubscribeItem& item = request->items[index];
  item.listens = hearing;
  changes_.remember(*request, client, item);
  shard_.inbox_listeners().subscribe(client, hearing, item.shows_state(),
                                     [this, request, index](std::size_t conversations, Refusal refusal) {
                                       if (Client* owner = client_of(*request)) {
                                         SubscribeItem& heard = request->items[index];
                                         heard.conversations = conversations;
                                         request->decide(index, refusal);
                                         if (conversations > shard_.options().inbox_conversations_max) {
                                           shard_.limit_reached(Metric::LimitSubscriptions, *owner);
                                           request->decide(index, Refusal::TooMany);
                                         }
                                         if (heard.refusal != Refusal::None) changes_.undo(*owner, heard);
                                       }
                                       settled_(request);
                                     });
}

void InboxSubscribing::begin(const SubscribeRequestPtr& request, std::size_t index, Client& client,
                             chat::InboxStart start) {
  SubscribeItem& item = request->items[index];
  item.inbox = true;
  item.filter = shard_.inboxes().filter(item.form);
  shard_.inboxes().begin_subscribe(client, [this, request, index, wanted = std::move(start)](
                                               Client& owner, const UserFeeds::List* list, Refusal refusal) {
    request->items[index].begun = true;
    if (refusal == Refusal::None && list->size() > shard_.options().inbox_conversations_max) {
      shard_.limit_reached(Metric::LimitSubscriptions, owner);
      refusal = Refusal::TooMany;
    }
    request->decide(index, refusal);
    if (refusal == Refusal::None) return known(request, index, owner, *list, wanted);
    settled_(request);
  });
}

void InboxSubscribing::known(const SubscribeRequestPtr& request, std::size_t index, Client& client,
                             const UserFeeds::List& list, const chat::InboxStart& start) {
  SubscribeItem& item = request->items[index];
  changes_.remember(*request, client, item);
  item.parts.resize(list.size());
  item.parts_open = list.size() + 1;
  std::vector<std::string> names;
  for (const auto& [number, one] : list) {
    SubscribeItem& part = item.parts[names.size()];
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
    shard_.feeds().with_access(names[i], client.session->user(),
                               [this, request, index, i](Feed& feed, const Feeds::Access& access) {
                                 if (Client* owner = client_of(*request)) {
                                   part_known(request, index, i, *owner, feed, access);
                                 }
                               });
    // What can't be followed may have closed the connection.
    if (client_of(*request) != &client) return;
  }
  part_done(request, index, client);
}

/// Where one of the inbox's conversations begins, if everything is as it was.
void InboxSubscribing::begin_part(SubscribeItem& part, const UserConversation& conversation,
                                  const chat::InboxStart& start) {
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

void InboxSubscribing::part_known(const SubscribeRequestPtr& request, std::size_t index, std::size_t place,
                                  Client& client, Feed& feed, const Feeds::Access& access) {
  SubscribeItem& item = request->items[index];
  SubscribeItem& part = item.parts[place];
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
    part.refusal = changes_.begin(*request, client, part, feed, access);
    if (part.refusal != Refusal::None && item.refusal == Refusal::None) {
      item.refusal = part.refusal;
      item.refused_part = feed.name;
    }
  }
  part_done(request, index, client);
}

/// When all of them are known: if one can't begin as it was asked for, none does.
void InboxSubscribing::part_done(const SubscribeRequestPtr& request, std::size_t index, Client& client) {
  SubscribeItem& item = request->items[index];
  if (--item.parts_open != 0) return;
  if (item.refusal != Refusal::None) {
    request->decide(index, item.refusal);
    changes_.undo(client, item);
  }
  settled_(request);
}

void InboxSubscribing::release(const SubscribeRequest& request, Client& client, const SubscribeItem& item) {
  if (!item.begun) return;
  std::vector<session::CursorId> cursors;
  for (const SubscribeItem& part : item.parts) {
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

}  // namespace parley::shard
