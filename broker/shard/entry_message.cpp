#include "broker/shard/entry_message.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <string>

#include "json/entry_json.hpp"

namespace parley::shard {
namespace {

/// User properties that only the server sets in a message; a publisher's are dropped.
constexpr std::array<std::string_view, 21> kServerNames{
    "seq",   "ts",     "from", "id",   "kind",   "ref",    "dup",     "epoch", "error", "edited",     "redacted",
    "batch", "notice", "end",  "head", "oldest", "filter", "expires", "first", "last",  "retry-after"};

class Decimal {
 public:
  explicit Decimal(std::uint64_t number) {
    end_ = std::to_chars(digits_.data(), digits_.data() + digits_.size(), number).ptr;
  }
  operator std::string_view() const { return {digits_.data(), static_cast<std::size_t>(end_ - digits_.data())}; }

 private:
  std::array<char, 20> digits_{};
  char* end_;
};

std::string topic_of(std::string_view root, std::string_view conversation, std::string_view form) {
  std::string topic;
  topic.reserve(root.size() + conversation.size() + form.size() + 2);
  return topic.append(root).append("/").append(conversation).append("/").append(form);
}

mqtt::MessagePtr make_message(std::string_view topic, std::string_view properties, std::string_view payload,
                              mqtt::Qos qos) {
  return mqtt::Message::make({.topic = topic, .properties = properties, .payload = payload, .qos = qos});
}

bool is_change(const format::EntryRecord& entry) {
  return entry.kind == format::EntryKind::Member || entry.kind == format::EntryKind::Settings;
}

void write_description(mqtt::PropertyWriter& properties, const format::Entry& entry) {
  if (is_change(*entry)) {
    properties.integer(mqtt::PropertyId::PayloadFormatIndicator, 1);
    properties.text(mqtt::PropertyId::ContentType, "application/json");
  }
  properties.raw(entry->properties);
  properties.user("seq", Decimal(entry->seq.value)).user("ts", Decimal(entry->ts.milliseconds));
  properties.user("from", entry->from).user("id", entry->id);
  if (entry->kind != format::EntryKind::Message) {
    properties.user("kind", format::name_of(entry->kind));
    if (entry->ref.value != 0) properties.user("ref", Decimal(entry->ref.value));
  }
  if (entry->edited) properties.user("edited", "1");
  if (entry->redacted) properties.user("redacted", "1");
}

mqtt::MessagePtr write_gap(std::string_view topic, mqtt::PropertyWriter& properties, Seq first, Seq last,
                           mqtt::Qos qos) {
  properties.user("kind", "gap").user("first", Decimal(first.value)).user("last", Decimal(last.value));
  std::string payload("{\"kind\":\"gap\",\"first\":");
  payload.append(Decimal(first.value)).append(",\"last\":").append(Decimal(last.value)).append("}");
  return make_message(topic, properties.bytes(), payload, qos);
}

}  // namespace

std::string_view payload_of(const format::EntryRecord& entry, std::string& room) {
  if (!is_change(entry)) return entry.payload;
  json::append_change(room, entry);
  return room;
}

mqtt::MessagePtr entry_message(std::string_view root, std::string_view conversation, const format::Entry& entry,
                               chat::Form form) {
  mqtt::PropertyWriter properties;
  if (form == chat::Form::Json) {
    std::string json;
    json::append_entry(json, *entry);
    properties.integer(mqtt::PropertyId::PayloadFormatIndicator, 1);
    properties.text(mqtt::PropertyId::ContentType, "application/json");
    return make_message(topic_of(root, conversation, "json"), properties.bytes(), json, mqtt::Qos::ExactlyOnce);
  }
  write_description(properties, entry);
  std::string room;
  return make_message(topic_of(root, conversation, "msg"), properties.bytes(), payload_of(*entry, room),
                      mqtt::Qos::ExactlyOnce);
}

mqtt::MessagePtr page_entry_message(const ReceiptAddress& address, const format::Entry& entry, bool json) {
  mqtt::PropertyWriter properties;
  if (address.has_correlation) properties.text(mqtt::PropertyId::CorrelationData, address.correlation);
  std::string room;
  if (json) {
    json::append_entry(room, *entry);
    properties.integer(mqtt::PropertyId::PayloadFormatIndicator, 1);
    properties.text(mqtt::PropertyId::ContentType, "application/json");
    return make_message(address.topic, properties.bytes(), room, mqtt::Qos::AtLeastOnce);
  }
  write_description(properties, entry);
  return make_message(address.topic, properties.bytes(), payload_of(*entry, room), mqtt::Qos::AtLeastOnce);
}

mqtt::MessagePtr page_gap_message(const ReceiptAddress& address, Seq first, Seq last) {
  mqtt::PropertyWriter properties;
  if (address.has_correlation) properties.text(mqtt::PropertyId::CorrelationData, address.correlation);
  return write_gap(address.topic, properties, first, last, mqtt::Qos::AtLeastOnce);
}

mqtt::MessagePtr page_end_message(const ReceiptAddress& address, const PageEnd& end) {
  mqtt::PropertyWriter properties;
  properties.integer(mqtt::PropertyId::PayloadFormatIndicator, 1);
  properties.text(mqtt::PropertyId::ContentType, "application/json");
  if (address.has_correlation) properties.text(mqtt::PropertyId::CorrelationData, address.correlation);
  properties.user("end", Decimal(end.entries));
  write_standing(properties, end.head, end.oldest, end.epoch);
  std::string payload("{\"end\":true,\"entries\":");
  payload.append(Decimal(end.entries));
  if (end.first <= end.last) {
    payload.append(",\"first\":").append(Decimal(end.first.value));
    payload.append(",\"last\":").append(Decimal(end.last.value));
  }
  payload.append(",\"more\":").append(end.more ? "true" : "false");
  payload.append(",\"head\":").append(Decimal(end.head.value)).append(",\"oldest\":").append(Decimal(end.oldest.value));
  payload.append(",\"epoch\":\"").append(Decimal(end.epoch.value)).append("\"}");
  return make_message(address.topic, properties.bytes(), payload, mqtt::Qos::AtLeastOnce);
}

mqtt::MessagePtr compact_entry_message(std::string_view root, std::string_view conversation, const format::Entry& entry,
                                       CompactParts parts) {
  mqtt::PropertyWriter properties;
  properties.text(mqtt::PropertyId::CorrelationData, compact_meta(*entry, parts));
  properties.raw(entry->properties);
  std::string room;
  return make_message(topic_of(root, conversation, "msg"), properties.bytes(), payload_of(*entry, room),
                      mqtt::Qos::ExactlyOnce);
}

mqtt::MessagePtr bare_entry_message(std::string_view root, std::string_view conversation, const format::Entry& entry) {
  std::string room;
  return make_message(topic_of(root, conversation, "msg"), entry->properties, payload_of(*entry, room),
                      mqtt::Qos::ExactlyOnce);
}

mqtt::MessagePtr gap_notice(std::string_view topic, Seq first, Seq last) {
  mqtt::PropertyWriter properties;
  return write_gap(topic, properties, first, last, mqtt::Qos::ExactlyOnce);
}

mqtt::MessagePtr epoch_notice(std::string_view topic, Epoch epoch) {
  mqtt::PropertyWriter properties;
  properties.user("kind", "gap").user("epoch", Decimal(epoch.value));
  std::string payload("{\"kind\":\"gap\",\"epoch\":\"");
  payload.append(Decimal(epoch.value)).append("\"}");
  return make_message(topic, properties.bytes(), payload, mqtt::Qos::ExactlyOnce);
}

mqtt::MessagePtr typing_message(std::string_view root, std::string_view conversation, std::string_view user,
                                Instant expires) {
  mqtt::PropertyWriter properties;
  properties.integer(mqtt::PropertyId::PayloadFormatIndicator, 1);
  properties.text(mqtt::PropertyId::ContentType, "application/json");
  properties.user("from", user);
  std::string payload("{\"from\":");
  json::append_string(payload, user);
  payload.append("}");
  return mqtt::Message::make({.topic = topic_of(root, conversation, "typing"),
                              .properties = properties.bytes(),
                              .payload = payload,
                              .qos = mqtt::Qos::AtMostOnce,
                              .expires = expires});
}

mqtt::MessagePtr marks_message(std::string_view root, std::string_view conversation, const chat::UserMarks& marks) {
  mqtt::PropertyWriter properties;
  properties.integer(mqtt::PropertyId::PayloadFormatIndicator, 1);
  properties.text(mqtt::PropertyId::ContentType, "application/json");
  properties.user("from", marks.user);
  std::string payload("{\"user\":");
  json::append_string(payload, marks.user);
  payload.append(",\"read\":").append(Decimal(marks.mark.read.value));
  payload.append(",\"delivered\":").append(Decimal(marks.mark.delivered.value)).append("}");
  return make_message(topic_of(root, conversation, "read"), properties.bytes(), payload, mqtt::Qos::AtMostOnce);
}

mqtt::MessagePtr presence_message(std::string_view user, const chat::Presence& presence) {
  mqtt::PropertyWriter properties;
  properties.integer(mqtt::PropertyId::PayloadFormatIndicator, 1);
  properties.text(mqtt::PropertyId::ContentType, "application/json");
  std::string payload(presence.online ? R"({"state":"online")" : R"({"state":"offline")");
  if (presence.since.milliseconds != 0) payload.append(",\"since\":").append(Decimal(presence.since.milliseconds));
  payload.append(",\"devices\":").append(Decimal(presence.devices)).append(",\"status\":");
  json::append_string(payload, presence.status);
  payload.append("}");
  return make_message(std::string("presence/").append(user), properties.bytes(), payload, mqtt::Qos::AtLeastOnce);
}

void write_refusal(mqtt::PropertyWriter& to, chat::Refusal refusal) {
  const auto& rule = chat::rule_of(refusal);
  to.user("error", rule.word);
  if (rule.retry_after != 0) to.user("retry-after", Decimal(rule.retry_after));
}

void write_standing(mqtt::PropertyWriter& to, Seq head, Seq oldest, Epoch epoch) {
  to.user("head", Decimal(head.value)).user("oldest", Decimal(oldest.value)).user("epoch", Decimal(epoch.value));
}

void write_outcome(mqtt::PropertyWriter& to, const Outcome& outcome) {
  if (outcome.refusal != chat::Refusal::None) {
    to.text(mqtt::PropertyId::ReasonString, chat::rule_of(outcome.refusal).message);
    write_refusal(to, outcome.refusal);
    return;
  }
  if (outcome.seq.value == 0) return;  // Nothing was appended.
  to.user("seq", Decimal(outcome.seq.value)).user("ts", Decimal(outcome.ts.milliseconds)).user("id", outcome.id);
  if (outcome.duplicate) to.user("dup", "1");
}

mqtt::MessagePtr receipt_message(const ReceiptAddress& address, const Outcome& outcome) {
  mqtt::PropertyWriter properties;
  properties.integer(mqtt::PropertyId::PayloadFormatIndicator, 1);
  properties.text(mqtt::PropertyId::ContentType, "application/json");
  if (address.has_correlation) properties.text(mqtt::PropertyId::CorrelationData, address.correlation);
  std::string payload;
  if (outcome.refusal == chat::Refusal::None) {
    write_outcome(properties, outcome);
    payload.append("{\"ok\":true");
    if (outcome.seq.value != 0) {
      payload.append(",\"seq\":").append(Decimal(outcome.seq.value)).append(",\"ts\":");
      payload.append(Decimal(outcome.ts.milliseconds)).append(",\"id\":");
      json::append_string(payload, outcome.id);
    }
    if (outcome.duplicate) payload.append(",\"dup\":true");
    payload.append(outcome.detail);
  } else {
    const auto& rule = chat::rule_of(outcome.refusal);
    write_refusal(properties, outcome.refusal);
    payload.append("{\"ok\":false,\"error\":");
    json::append_string(payload, rule.word);
    payload.append(",\"message\":");
    json::append_string(payload, rule.message);
    if (rule.retry_after != 0) payload.append(",\"retry_after\":").append(Decimal(rule.retry_after));
  }
  payload.append("}");
  return make_message(address.topic, properties.bytes(), payload, mqtt::Qos::AtLeastOnce);
}

mqtt::MessagePtr short_receipt(const ReceiptAddress& address, const Outcome& outcome) {
  mqtt::PropertyWriter properties;
  if (address.has_correlation) properties.text(mqtt::PropertyId::CorrelationData, address.correlation);
  std::string payload("{\"ok\":true");
  if (outcome.seq.value != 0) payload.append(",\"seq\":").append(Decimal(outcome.seq.value));
  if (outcome.refusal != chat::Refusal::None) {
    payload = "{\"ok\":false,\"error\":";
    json::append_string(payload, chat::rule_of(outcome.refusal).word);
  }
  payload.append("}");
  return make_message(address.topic, properties.bytes(), payload, mqtt::Qos::AtLeastOnce);
}

mqtt::MessagePtr login_notice(std::string_view client_id, Timestamp expires) {
  const Decimal when(expires.milliseconds);
  mqtt::PropertyWriter properties;
  properties.user("notice", "reauthenticate").user("expires", when);
  const std::string payload = std::string("{\"notice\":\"reauthenticate\",\"expires\":").append(when).append("}");
  return make_message(reply_topic(client_id), properties.bytes(), payload, mqtt::Qos::AtLeastOnce);
}

mqtt::MessagePtr inbox_cursor_notice(std::string_view client_id, std::string_view filter, std::string_view token) {
  mqtt::PropertyWriter properties;
  properties.integer(mqtt::PropertyId::PayloadFormatIndicator, 1);
  properties.text(mqtt::PropertyId::ContentType, "application/json");
  properties.user("notice", "cursor").user("filter", filter);
  std::string payload("{\"notice\":\"cursor\",\"filter\":");
  json::append_string(payload, filter);
  payload.append(",\"cursor\":\"").append(token).append("\"}");
  return make_message(reply_topic(client_id), properties.bytes(), payload, mqtt::Qos::AtLeastOnce);
}

std::string reply_topic(std::string_view client_id) {
  return std::string("client/").append(client_id).append("/reply");
}

std::string mode_topic(std::string_view client_id) { return std::string("client/").append(client_id).append("/mode"); }

void write_stored_properties(mqtt::PropertyWriter& to, const mqtt::Properties& received, bool from_json) {
  for (const auto& item : received) {
    const bool described =
        item.id == mqtt::PropertyId::PayloadFormatIndicator || item.id == mqtt::PropertyId::ContentType;
    const bool users =
        item.id == mqtt::PropertyId::UserProperty && std::ranges::find(kServerNames, item.name) == kServerNames.end();
    if ((described && !from_json) || users) to.raw(item.raw);
  }
}

}  // namespace parley::shard
