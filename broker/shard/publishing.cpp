#include "broker/shard/publishing.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>
#include <vector>

#include "base/log.hpp"
#include "broker/chat/topic.hpp"
#include "broker/shard/entry_message.hpp"
#include "broker/shard/shard.hpp"
#include "json/entry_json.hpp"
#include "json/fields.hpp"
#include "mqtt/topic.hpp"
#include "mqtt/utf8.hpp"

namespace parley::shard {
namespace {

using mqtt::PropertyId;
using mqtt::ReasonCode;

constexpr std::size_t kIdSizeMax = 128;
constexpr std::size_t kCommandSizeMax = 4096;  // Of an edit: beside its content.

bool is_id(std::string_view id) {
  if (id.empty() || id.size() > kIdSizeMax) return false;
  for (const char c : id) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) return false;
  }
  return true;
}

/// Only the broker publishes there.
bool is_reserved(std::string_view topic) {
  if (topic.starts_with('$') || Presence::is_topic(topic)) return true;
  constexpr std::string_view kClient = "client/";
  if (!topic.starts_with(kClient)) return false;
  // `client/reply` has no client id between the two.
  const auto rest = topic.substr(kClient.size());
  return rest.ends_with("/reply") || rest.ends_with("/mode");
}

/// What can be said against an ordinary topic, and against this one's publishing there.
chat::Refusal objection_to(Shard& shard, const auth::Subject& subject, std::string_view topic) {
  if (is_reserved(topic)) return chat::Refusal::NotAuthorized;
  if (mqtt::level_count(topic) > shard.options().filter_levels_max) return chat::Refusal::InvalidTopic;
  return shard.access().may_publish(subject, topic) ? chat::Refusal::None : chat::Refusal::NotAuthorized;
}

/// Message Expiry Interval, from `now` on.
void set_expiry(mqtt::Message::Parts& parts, std::optional<std::uint32_t> interval, Instant now) {
  if (!interval) return;
  parts.expires = now + std::chrono::seconds(*interval);
  parts.at_once = *interval == 0;
}

/// Who takes all ordinary topics, by a filter that begins with a wildcard, didn't ask for what the broker itself says:
/// as with topics that begin with `$`. MQTT 5 §4.7.2
bool takes_replies(std::string_view filter, std::string_view topic) {
  return !filter.starts_with('#') && !filter.starts_with('+') && mqtt::matches(filter, topic);
}

}  // namespace

/// What is read out of a PUBLISH for a conversation; views into the packet or into `json`.
struct Publishing::Draft {
  json::Draft json;
  std::string_view payload;
  std::string_view id;
};

void Publishing::publish(Client& client, session::PublishAction& action) {
  const mqtt::Publish& publish = action.publish;
  if (!chat::in_subtree(shard_.options().root, publish.topic)) {
    plain(client, action);
    return;
  }
  Origin origin{
      .shard = shard_.id(), .client = client.place, .identity = client.session->identity(), .ticket = action.ticket};
  if (const auto topic = publish.properties.text(PropertyId::ResponseTopic)) {
    const auto correlation = publish.properties.text(PropertyId::CorrelationData);
    origin.receipt = std::make_shared<const ReceiptAddress>(
        ReceiptAddress{std::string(*topic), std::string(correlation.value_or("")), correlation.has_value()});
  } else if (const auto parts = chat::read_topic(shard_.options().root, publish.topic);
             parts && (parts->form == chat::Form::Control || parts->form == chat::Form::History)) {
    const auto correlation = publish.properties.text(PropertyId::CorrelationData);
    origin.receipt = std::make_shared<const ReceiptAddress>(ReceiptAddress{
        reply_topic(client.session->client_id()), std::string(correlation.value_or("")), correlation.has_value()});
  }
  propose(publish.topic, publish.properties, publish.payload, {client.session->user(), client.session->client_id()},
          std::move(origin));
}

chat::Refusal Publishing::will_objection(const Wills::Author& author, const mqtt::Will& will) const {
  if (chat::in_subtree(shard_.options().root, will.topic)) {
    const auto parts = chat::read_topic(shard_.options().root, will.topic);
    const bool means_one = parts && chat::conversation_meant(parts->conversation, author.user);
    return means_one ? chat::Refusal::None : chat::Refusal::InvalidTopic;
  }
  if (Presence::is_topic(will.topic)) return Presence::check(will.topic, will.payload, author.user);
  return objection_to(shard_, {.user = author.user, .client_id = author.client_id}, will.topic);
}

WillOutcome Publishing::publish_will(const session::WillPlan& plan, const Wills::Author& author, std::uint64_t token) {
  const mqtt::Message& will = *plan.message;
  const auto properties = mqtt::Properties::trusted(will.properties());
  if (chat::in_subtree(shard_.options().root, will.topic())) {
    // As if somebody waited for the receipt.
    const Origin origin{
        .shard = shard_.id(), .client = Wills::kNoClient, .identity = token, .ticket = {.qos = mqtt::Qos::AtLeastOnce}};
    const std::string id = plan.id != 0 ? "will-" + std::to_string(plan.id) : std::string();
    propose(will.topic(), properties, will.payload(), {author.user, author.client_id}, origin, id);
    return {.state = WillOutcome::State::Proposed};
  }
  const bool allowed = !is_reserved(will.topic()) &&
                       shard_.access().may_publish({.user = author.user, .client_id = author.client_id}, will.topic());
  if (!allowed) return {};
  mqtt::Message::Parts parts{.topic = will.topic(),
                             .properties = will.properties(),
                             .payload = will.payload(),
                             .qos = will.qos(),
                             .retain = will.retain(),
                             .publisher = mqtt::publisher_of(author.client_id)};
  set_expiry(parts, plan.expiry_interval, shard_.now());
  const auto published = shard_.plain_topics().publish(mqtt::Message::make(parts));
  if (published.refused) return {.state = WillOutcome::State::Refused};
  if (published.publication == 0) return {};
  return {.state = WillOutcome::State::Storing, .publication = published.publication};
}

/// What a client says of itself: to presence/{user}, and to client/{client id}/mode.
void Publishing::say_of_itself(Client& client, session::PublishAction& action, chat::Refusal refusal) {
  const mqtt::Publish& publish = action.publish;
  Origin origin{
      .shard = shard_.id(), .client = client.place, .identity = client.session->identity(), .ticket = action.ticket};
  // It means the same when it is sent again, so nothing is noted of it.
  origin.names_id = true;
  if (const auto topic = publish.properties.text(PropertyId::ResponseTopic)) {
    const auto correlation = publish.properties.text(PropertyId::CorrelationData);
    origin.receipt = std::make_shared<const ReceiptAddress>(
        ReceiptAddress{std::string(*topic), std::string(correlation.value_or("")), correlation.has_value()});
  }
  outcome(origin, {.refusal = refusal});
}

chat::Refusal Publishing::set_mode(Client& client, std::string_view payload) {
  if (payload != "active" && payload != "quiet") return chat::Refusal::InvalidPayload;
  const bool was_quiet = std::exchange(client.quiet, payload == "quiet");
  if (was_quiet && !client.quiet) {
    shard_.listeners().show_all(client);
    shard_.presence().watches().show(client, {});
  }
  return chat::Refusal::None;
}

chat::Refusal Publishing::plain_objection(Client& client, std::string_view topic) {
  const session::Session& session = *client.session;
  const auto refusal = objection_to(shard_, {.user = session.user(), .client_id = session.client_id()}, topic);
  if (refusal == chat::Refusal::InvalidTopic) shard_.limit_reached(Metric::LimitTopicLevels, client);
  return refusal;
}

void Publishing::plain(Client& client, session::PublishAction& action) {
  const mqtt::Publish& publish = action.publish;
  if (Presence::is_topic(publish.topic)) {
    return say_of_itself(client, action,
                         shard_.presence().publish(publish.topic, publish.payload, client.session->user()));
  }
  if (publish.topic == mode_topic(client.session->client_id())) {
    return say_of_itself(client, action, set_mode(client, publish.payload));
  }
  if (const auto refusal = plain_objection(client, publish.topic); refusal != chat::Refusal::None) {
    if (publish.qos != mqtt::Qos::AtMostOnce) refuse(client, Origin{.ticket = action.ticket}, {.refusal = refusal});
    return;
  }
  mqtt::Message::Parts parts{.topic = publish.topic,
                             .properties = mqtt::forwarded_properties(publish.properties, forwarded_),
                             .payload = publish.payload,
                             .qos = publish.qos,
                             .retain = publish.retain,
                             .publisher = client.session->publisher()};
  if (!publish.properties.empty()) {
    set_expiry(parts, publish.properties.integer(PropertyId::MessageExpiryInterval), shard_.now());
  }
  PlainOrigin origin;
  if (publish.qos == mqtt::Qos::ExactlyOnce && client.is_lasting()) {
    origin = {shard_.journal().queue_of(client), publish.packet_id};
  }
  const auto published = shard_.plain_topics().publish(mqtt::Message::make(parts), origin, publish.dup);
  if (publish.qos == mqtt::Qos::AtMostOnce) return;
  if (published.refused) {
    client.session->complete_publish(action.ticket, ReasonCode::QuotaExceeded, {});
    return;
  }
  const auto reason = published.matched ? ReasonCode::Success : ReasonCode::NoMatchingSubscribers;
  if (published.publication == 0) {
    acknowledge(client, action.ticket, reason, {});
  } else {
    waiting_.emplace(published.publication, Waiting{client.place, client.session->identity(), action.ticket, reason});
  }
}

void Publishing::stored(std::uint64_t publication, bool stored) {
  if (shard_.wills().stored(publication, stored)) return;
  const auto found = waiting_.find(publication);
  if (found == waiting_.end()) return;
  const Waiting waiting = found->second;
  waiting_.erase(found);
  Client* client = shard_.clients().find(waiting.client, waiting.identity);
  if (client == nullptr) return;
  if (!stored) {
    refuse(*client, Origin{.ticket = waiting.ticket}, {.refusal = chat::Refusal::DiskFull});
    return;
  }
  acknowledge(*client, waiting.ticket, waiting.reason, {});
  shard_.wrote(*client);
}

void Publishing::acknowledge(Client& client, session::PublishTicket ticket, ReasonCode reason,
                             std::string_view properties) {
  if (ticket.qos != mqtt::Qos::ExactlyOnce || !client.is_lasting()) {
    client.session->complete_publish(ticket, reason, properties);
    return;
  }
  shard_.journal().take_over(client, ticket.packet_id,
                             [this, ticket, reason, kept = std::string(properties), place = client.place,
                              identity = client.session->identity()] {
                               Client* owner = shard_.clients().find(place, identity);
                               if (owner == nullptr) return;
                               owner->session->complete_publish(ticket, reason, kept);
                               shard_.wrote(*owner);
                             });
}

chat::Refusal Publishing::read_draft(const mqtt::Properties& properties, std::string_view payload, chat::Form form,
                                     Draft& draft) {
  const std::size_t most = shard_.options().message_size_max;
  // Content in JSON takes up to twice its size, but for control characters.
  if (payload.size() > (form == chat::Form::Json ? kCommandSizeMax + 2 * most : most)) return chat::Refusal::TooLarge;
  draft.payload = payload;
  const auto id = properties.user("id");
  if (id && id->empty()) return chat::Refusal::InvalidId;
  draft.id = id.value_or(std::string_view());
  if (form == chat::Form::Json) {
    auto read = json::read_draft(payload);
    if (!read) return chat::Refusal::InvalidPayload;
    draft.json = *std::move(read);
    draft.payload = draft.json.text;
    if (draft.payload.size() > most) return chat::Refusal::TooLarge;
    if (draft.json.id) draft.id = *draft.json.id;
    if (draft.json.id && draft.id.empty()) return chat::Refusal::InvalidId;
    if (!mqtt::is_mqtt_utf8(draft.id)) return chat::Refusal::InvalidId;
  } else if (properties.integer(PropertyId::PayloadFormatIndicator) == 1U && !mqtt::is_mqtt_utf8(payload)) {
    return chat::Refusal::InvalidPayload;
  }
  if (!draft.id.empty() && !is_id(draft.id)) return chat::Refusal::InvalidId;
  return chat::Refusal::None;
}

/// The id of a command; what else there is to it is seen where the conversation is.
chat::Refusal Publishing::read_command_id(std::string_view payload, Draft& draft) const {
  // Content in JSON takes up to twice its size, but for control characters.
  if (payload.size() > kCommandSizeMax + 2 * shard_.options().message_size_max) return chat::Refusal::TooLarge;
  draft.payload = payload;
  auto fields = json::read_fields(payload);
  if (!fields) return payload.size() > kCommandSizeMax ? chat::Refusal::TooLarge : chat::Refusal::InvalidPayload;
  const bool is_edit = std::ranges::any_of(*fields, [](const json::Field& field) {
    const auto* text = std::get_if<std::string>(&field.value);
    return field.name == "op" && text != nullptr && *text == "edit";
  });
  if (!is_edit && payload.size() > kCommandSizeMax) return chat::Refusal::TooLarge;
  for (json::Field& field : *fields) {
    auto* id = std::get_if<std::string>(&field.value);
    if (field.name != "id" || id == nullptr) continue;
    draft.json.id = std::move(*id);
    draft.id = *draft.json.id;
    if (!is_id(draft.id) || !mqtt::is_mqtt_utf8(draft.id)) return chat::Refusal::InvalidId;
  }
  return chat::Refusal::None;
}

void Publishing::propose(std::string_view topic, const mqtt::Properties& properties, std::string_view payload,
                         const Publisher& publisher, Origin origin, std::string_view fallback_id) {
  const std::string& user = publisher.user;
  const auto parts = chat::read_topic(shard_.options().root, topic);
  const auto conversation = parts ? chat::conversation_meant(parts->conversation, user) : std::nullopt;
  const bool is_command = parts && parts->form == chat::Form::Control;
  Draft draft;
  auto refusal = chat::Refusal::None;
  if (!conversation) {
    refusal = chat::Refusal::InvalidTopic;
  } else if (Listeners::is_form(parts->form)) {
    return propose_passing(*conversation, parts->form, user, payload, std::move(origin));
  } else if (parts->form == chat::Form::History) {
    return ask_for_history(*conversation, user, payload, std::move(origin));
  } else if (is_command) {
    refusal = read_command_id(payload, draft);
  } else if (parts->form != chat::Form::Message && parts->form != chat::Form::Json) {
    refusal = chat::Refusal::Unsupported;
  } else {
    refusal = read_draft(properties, payload, parts->form, draft);
  }
  if (refusal != chat::Refusal::None) {
    shard_.send_outcome(origin, {.refusal = refusal});
    return;
  }
  properties_.clear();
  if (parts->form == chat::Form::Json) properties_.integer(PropertyId::PayloadFormatIndicator, 1);
  if (!properties.empty() && !is_command) {
    write_stored_properties(properties_, properties, parts->form == chat::Form::Json);
  }
  // Both are in one record.
  const bool fits = draft.payload.size() + properties_.bytes().size() <= shard_.appending().record_max();
  if (properties_.bytes().size() > shard_.options().message_size_max || !fits) {
    shard_.send_outcome(origin, {.refusal = chat::Refusal::TooLarge});
    return;
  }
  if (draft.id.empty()) draft.id = fallback_id;
  const bool from_client = origin.names_id = !draft.id.empty();
  const std::string made = from_client ? std::string() : make_id();
  // In a cluster it may have to be sent to another leader again, which knows it by its id.
  const bool id_counts = from_client || (!shard_.nodes().alone() && origin.ticket.qos != mqtt::Qos::AtMostOnce);
  const chat::EntryDraft entry{.kind = is_command ? format::EntryKind::Member : format::EntryKind::Message,
                               .ref = {},
                               .from = user,
                               .id = from_client ? draft.id : std::string_view(made),
                               .id_from_client = id_counts,
                               .properties = properties_.bytes(),
                               .payload = draft.payload,
                               .publisher = is_command ? 0 : mqtt::publisher_of(publisher.client_id)};
  const ShardId home = home_of_name(*conversation, shard_.options());
  if (home == shard_.id()) {
    shard_.hosting().propose(*conversation, entry, std::move(origin));
    return;
  }
  shard_.send(home, PeerEvent{proposal_of(*conversation, entry, std::move(origin))});
}

/// What is no entry. It means the same when it is sent again, so nothing is noted of it.
void Publishing::propose_passing(const std::string& conversation, chat::Form form, const std::string& user,
                                 std::string_view payload, Origin origin) {
  const bool reads = form == chat::Form::Read;
  if (reads && !chat::read_decimal(payload)) {
    shard_.send_outcome(origin, {.refusal = chat::Refusal::InvalidPayload});
    return;
  }
  origin.names_id = true;
  origin.passes = !reads;
  shard_.send(home_of_name(conversation, shard_.options()),
              PeerEvent{ProposeEvent{.purpose = reads ? ProposeEvent::Purpose::Read : ProposeEvent::Purpose::Typing,
                                     .conversation = conversation,
                                     .kind = format::EntryKind::Message,
                                     .from = user,
                                     .id = {},
                                     .id_from_client = reads,
                                     .properties = {},
                                     .payload = reads ? std::string(payload) : std::string(),
                                     .origin = std::move(origin)}});
}

void Publishing::ask_for_history(const std::string& conversation, const std::string& user, std::string_view payload,
                                 Origin origin) {
  const Client* client = shard_.clients().find(origin.client, origin.identity);
  if (client == nullptr) return shard_.send_outcome(origin, {});  // A will has nobody to answer.
  const bool as_json = client->session->version() != mqtt::ProtocolVersion::V5;
  shard_.history_requests().ask(conversation, user, payload, as_json, std::move(origin));
}

std::string Publishing::make_id() {
  constexpr std::string_view kAlphabet = "0123456789abcdefghjkmnpqrstvwxyz";
  std::uint64_t bits = shard_.random().next();
  std::string id(13, '0');
  for (char& c : id) {
    c = kAlphabet[bits & 31];
    bits >>= 5;
  }
  return id;
}

// -- The way back --

void Publishing::outcome(const Origin& origin, const Outcome& outcome) {
  if (origin.client == Wills::kNoClient) return shard_.wills().outcome(origin.identity, outcome);
  if (origin.client == ShareMembers::kNoClient) return shard_.share_members().answered(origin.identity, outcome);
  if (origin.passes && chat::rule_of(outcome.refusal).retry_after != 0) return this->outcome(origin, Outcome{});
  Client* client = shard_.clients().find(origin.client, origin.identity);
  if (client == nullptr) return;
  if (outcome.refusal == chat::Refusal::Rate) shard_.limit_reached(Metric::LimitPosts, *client);
  const bool fits = !origin.receipt || send_receipt(*client, *origin.receipt, outcome);
  if (origin.ticket.qos == mqtt::Qos::AtMostOnce) return;
  if (!fits || outcome.refusal != chat::Refusal::None) {
    refuse(*client, origin, fits ? outcome : Outcome{.refusal = chat::Refusal::TooLarge});
    return;
  }
  mqtt::PropertyWriter properties;
  if (client->session->problem_information() && client->session->version() == mqtt::ProtocolVersion::V5) {
    write_outcome(properties, outcome);
  }
  if (origin.names_id) {
    // Nothing is noted: the conversation knows what it has, and whoever sends again gets the same receipt.
    client->session->complete_publish(origin.ticket, ReasonCode::Success, properties.bytes());
  } else {
    acknowledge(*client, origin.ticket, ReasonCode::Success, properties.bytes());
  }
  shard_.wrote(*client);
}

bool Publishing::send_receipt(Client& client, const ReceiptAddress& address, const Outcome& outcome) {
  if (send_to(client, address, receipt_message(address, outcome))) return true;
  // What was done is done. What was only asked for can't be said.
  const bool asks = outcome.refusal == chat::Refusal::None && outcome.seq.value == 0 && !outcome.detail.empty();
  const bool fits = !asks || outcome.detail == Outcome::kUnchanged;
  send_to(client, address, short_receipt(address, fits ? outcome : Outcome{.refusal = chat::Refusal::TooLarge}));
  return fits;
}

bool Publishing::send_to(Client& client, const ReceiptAddress& address, const mqtt::MessagePtr& message) {
  if (address.topic == reply_topic(client.session->client_id())) return send_reply(client, message);
  const auto* own = subscription_to(client, address.topic);
  if (own != nullptr && !client.session->takes(*message, own->options.qos, {})) return false;
  if (!is_reserved(address.topic) && !chat::in_subtree(shard_.options().root, address.topic) &&
      shard_.access().may_publish(client, address.topic)) {
    shard_.plain_topics().publish(message);
  }
  return true;
}

void Publishing::refuse(Client& client, const Origin& origin, const Outcome& outcome) {
  const session::PublishTicket ticket = origin.ticket;
  const auto& rule = chat::rule_of(outcome.refusal);
  if (!client.session->connected()) {
    client.session->complete_publish(ticket, static_cast<ReasonCode>(rule.reason), {});
    return;
  }
  if (client.session->version() == mqtt::ProtocolVersion::V5) {
    mqtt::PropertyWriter properties;
    write_outcome(properties, outcome);
    client.session->complete_publish(ticket, static_cast<ReasonCode>(rule.reason), properties.bytes());
    shard_.wrote(client);
    return;
  }
  // 3.x has no way to refuse a PUBLISH. What may pass is left unacknowledged, so that the client sends it again.
  if (rule.retry_after != 0 || shard_.options().v3_refuse_closes) {
    log::info("refusing a publish of a 3.x client by closing its connection",
              {{"client_id", client.session->client_id()}, {"error", rule.word}});
    shard_.close_client(client, static_cast<ReasonCode>(rule.reason));
    return;
  }
  client.session->complete_publish(ticket, ReasonCode::Success, {});
  const std::string reply = reply_topic(client.session->client_id());
  if (!origin.receipt || origin.receipt->topic != reply)
    send_reply(client, receipt_message({reply, "", false}, outcome));
  shard_.wrote(client);
}

/// Of several that match the one with the highest QoS. MQTT 5 §3.3.4
const session::Subscription* Publishing::subscription_to(const Client& client, std::string_view topic) {
  const session::Subscription* best = nullptr;
  for (const session::Subscription& one : client.session->subscriptions()) {
    const bool better = best == nullptr || one.options.qos > best->options.qos;
    if (better && mqtt::matches(one.filter, topic)) best = &one;
  }
  return best;
}

bool Publishing::hears_replies(const Client& client) {
  const std::string reply = reply_topic(client.session->client_id());
  return mqtt::is_topic_name(reply) && std::ranges::any_of(client.session->subscriptions(), [&](const auto& one) {
           return takes_replies(one.filter, reply);
         });
}

/// Replies are for this client alone, so they don't go through the other clients' subscriptions. Where several of its
/// own match they come once, as any message does.
bool Publishing::send_reply(Client& client, const mqtt::MessagePtr& message) {
  // A client id with a wildcard in it has no such topic, though `client/#` would match.
  if (!mqtt::is_topic_name(message->topic())) return true;
  std::optional<mqtt::Qos> qos;
  std::vector<std::uint32_t> ids;
  for (const session::Subscription& one : client.session->subscriptions()) {
    if (!takes_replies(one.filter, message->topic())) continue;
    qos = std::max(qos.value_or(mqtt::Qos::AtMostOnce), one.options.qos);
    if (one.subscription_id != 0) ids.push_back(one.subscription_id);
  }
  if (!qos) return true;
  if (!client.session->takes(*message, *qos, ids)) return false;
  const auto outcome = client.session->deliver(message, *qos, false, ids, shard_.now());
  if (outcome == session::Delivered::QueueFull) {
    shard_.counters().add(Metric::PublishesDropped);
    shard_.limit_reached(Metric::LimitQueue, client);
  }
  shard_.wrote(client);
  return true;
}

}  // namespace parley::shard
