#include "broker/shard/unsubscribing.hpp"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "broker/shard/shard.hpp"
#include "mqtt/topic.hpp"

namespace parley::shard {

using mqtt::ReasonCode;

struct Unsubscribing::Request {
  ConnectionId connection;
  mqtt::PacketId packet_id = 0;
  std::vector<ReasonCode> reasons;  ///< One for each filter.
  std::size_t open = 1;             ///< What is waited for; one is the handling of the packet itself.
};

void Unsubscribing::unsubscribe(Client& client, const session::UnsubscribeAction& action) {
  const auto& filters = action.unsubscribe.filters;
  const auto request = std::make_shared<Request>();
  request->connection = client.connection;
  request->packet_id = action.unsubscribe.packet_id;
  request->reasons.resize(filters.size(), ReasonCode::NoSubscriptionExisted);
  for (std::size_t i = 0; i < filters.size(); ++i) end(request, i, client, filters[i]);
  settle(request);
}

void Unsubscribing::end(const RequestPtr& request, std::size_t index, Client& client, std::string_view filter) {
  const auto ended = [&](bool was_there) {
    if (was_there) request->reasons[index] = ReasonCode::Success;
  };
  if (Presence::is_topic(filter)) return ended(end_presence(client, filter));
  const auto shared = mqtt::shared_filter(filter);
  const std::string_view meant = shared ? shared->filter : filter;
  if (!chat::is_chat_filter(shard_.options().root, meant)) return ended(end_plain(client, filter));
  const auto known = chat::read_filter(shard_.options().root, meant);
  if (!known || (shared && known->is_inbox())) return;
  if (known->is_inbox() && Listeners::is_form(known->parts.form)) return ended(end_listening(client, *known));
  if (known->is_inbox()) return end_inbox(request, index, client, *known);
  end_conversation(request, index, client, *known, shared ? shared->group : std::string_view());
}

bool Unsubscribing::end_presence(Client& client, std::string_view filter) {
  if (!client.session->remove_subscription(filter)) return false;
  if (shard_.inbox_listeners().is_filter(filter)) {
    shard_.inbox_listeners().unsubscribe(client, Hearing::Presence);
  } else {
    shard_.presence().watches().unwatch(client, filter);
  }
  return true;
}

bool Unsubscribing::end_plain(Client& client, std::string_view filter) {
  if (!client.session->remove_subscription(filter)) return false;
  shard_.plain_topics().unsubscribe(client, filter);
  return true;
}

bool Unsubscribing::end_listening(Client& client, const chat::ChatFilter& filter) {
  if (!client.session->remove_subscription(filter.topic)) return false;
  shard_.inbox_listeners().unsubscribe(client, Listeners::hearing_of(filter.parts.form));
  return true;
}

void Unsubscribing::end_inbox(const RequestPtr& request, std::size_t index, Client& client,
                              const chat::ChatFilter& filter) {
  ++request->open;
  shard_.inboxes().after_subscribe(client,
                                   [this, request, index, form = filter.parts.form, topic = std::string(filter.topic)] {
                                     Client* owner = shard_.client_of(request->connection);
                                     if (owner != nullptr && owner->session->remove_subscription(topic)) {
                                       request->reasons[index] = ReasonCode::Success;
                                       shard_.inboxes().leave(*owner, form);
                                     }
                                     settle(request);
                                   });
}

void Unsubscribing::end_conversation(const RequestPtr& request, std::size_t index, const Client& client,
                                     const chat::ChatFilter& filter, std::string_view group) {
  const auto conversation = chat::conversation_meant(filter.parts.conversation, client.session->user());
  if (!conversation) return;
  ++request->open;
  auto filtered = group.empty() ? std::string(filter.topic) : share_filter(group, filter.topic);
  shard_.feeds().after_feed(*conversation, [this, request, index, topic = std::move(filtered)] {
    if (Client* owner = shard_.client_of(request->connection)) {
      if (owner->session->remove_subscription(topic)) request->reasons[index] = ReasonCode::Success;
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

// -- The answer --

void Unsubscribing::settle(const RequestPtr& request) {
  if (--request->open > 0) return;
  Client* client = shard_.client_of(request->connection);
  if (client == nullptr) return;
  const bool changes = std::ranges::find(request->reasons, ReasonCode::Success) != request->reasons.end();
  // Even "no subscription existed" must stay true after a crash.
  if (!client->record_stale && !changes) {
    answer(*request, *client);
    return;
  }
  shard_.session_records().write(*client, {}, [this, request](Result<void> outcome) {
    Client* owner = shard_.client_of(request->connection);
    if (owner == nullptr) return;
    // UNSUBACK has no better one. MQTT 5 §3.11.3
    if (!outcome) std::ranges::fill(request->reasons, ReasonCode::ImplementationSpecificError);
    answer(*request, *owner);
  });
}

void Unsubscribing::answer(const Request& request, Client& client) {
  client.session->write_unsuback(request.packet_id, request.reasons);
  shard_.wrote(client);
}

}  // namespace parley::shard
