#pragma once

#include <string>
#include <string_view>

#include "broker/chat/topic.hpp"
#include "broker/shard/compact_meta.hpp"
#include "broker/shard/events.hpp"
#include "mqtt/message.hpp"
#include "mqtt/properties.hpp"
#include "storage/format/record.hpp"

/// What conversations look like as MQTT: entries, notices and receipts as messages and properties. docs/PROTOCOL.md.
namespace parley::shard {

/// What subscribers get as payload; `room` holds it where it is made.
std::string_view payload_of(const format::EntryRecord& entry, std::string& room);

/// The PUBLISH that delivers an entry on {root}/{conversation}/msg or /json.
mqtt::MessagePtr entry_message(std::string_view root, std::string_view conversation, const format::Entry& entry,
                               chat::Form form);

/// As entry_message in form Message, described by one value in Correlation Data.
mqtt::MessagePtr compact_entry_message(std::string_view root, std::string_view conversation, const format::Entry& entry,
                                       CompactParts parts);
/// With nothing but what its sender has said.
mqtt::MessagePtr bare_entry_message(std::string_view root, std::string_view conversation, const format::Entry& entry);

/// An entry of a page of history: as in form Message, or as a JSON object.
mqtt::MessagePtr page_entry_message(const ReceiptAddress& address, const format::Entry& entry, bool json);
/// In place of entries of a page that aren't there any more, or one that is larger than the client takes.
mqtt::MessagePtr page_gap_message(const ReceiptAddress& address, Seq first, Seq last);
/// What closes a page.
struct PageEnd {
  Seq first;  ///< What the page is of; nothing when it is above `last`.
  Seq last;
  std::size_t entries = 0;  ///< That were sent.
  bool more = false;        ///< In the direction that was asked for.
  Seq head;
  Seq oldest;
  Epoch epoch;
};
mqtt::MessagePtr page_end_message(const ReceiptAddress& address, const PageEnd& end);

/// Tells a subscriber that the entries `first` to `last` are not there any more. The payload says it, too, in JSON, for
/// clients that see no properties. Delivered at the subscription's QoS.
mqtt::MessagePtr gap_notice(std::string_view topic, Seq first, Seq last);
/// Tells a subscriber that the positions it knows are void: the conversation has another epoch now.
mqtt::MessagePtr epoch_notice(std::string_view topic, Epoch epoch);

/// That a user types, on {root}/{conversation}/typing.
mqtt::MessagePtr typing_message(std::string_view root, std::string_view conversation, std::string_view user,
                                Instant expires);

/// Up to where a user has read, on {root}/{conversation}/read.
mqtt::MessagePtr marks_message(std::string_view root, std::string_view conversation, const chat::UserMarks& marks);

/// How a user is, on presence/{user}.
mqtt::MessagePtr presence_message(std::string_view user, const chat::Presence& presence);

/// The user properties of a receipt (PUBACK, PUBREC, and the message to the Response Topic), or of a refusal.
void write_outcome(mqtt::PropertyWriter& to, const Outcome& outcome);
/// The user properties that say why something is refused: `error` and `retry-after`.
void write_refusal(mqtt::PropertyWriter& to, chat::Refusal refusal);
/// How a conversation stands: `head`, `oldest`, `epoch`.
void write_standing(mqtt::PropertyWriter& to, Seq head, Seq oldest, Epoch epoch);

/// The receipt, or refusal, as a message to `address`.
mqtt::MessagePtr receipt_message(const ReceiptAddress& address, const Outcome& outcome);

/// The same in few bytes, for a client that takes no more: whether it is done, the seq or the word.
mqtt::MessagePtr short_receipt(const ReceiptAddress& address, const Outcome& outcome);

/// Tells a client on its reply topic that its credentials expire, so that it authenticates again in time.
mqtt::MessagePtr login_notice(std::string_view client_id, Timestamp expires);

/// Tells a client where it stands in all conversations; see chat::InboxCursor.
mqtt::MessagePtr inbox_cursor_notice(std::string_view client_id, std::string_view filter, std::string_view token);

/// Where answers, receipts and notices for a client go unless it names another topic: client/{client id}/reply.
std::string reply_topic(std::string_view client_id);

/// Where a client says whether it wants presence, typing and marks: client/{client id}/mode.
std::string mode_topic(std::string_view client_id);

/// Of a PUBLISH's properties those that are stored with the entry: Payload Format Indicator, Content Type and user
/// properties except the server's own names. `from_json`: the payload came out of a JSON object, so the first two,
/// which describe that object, are left out.
void write_stored_properties(mqtt::PropertyWriter& to, const mqtt::Properties& received, bool from_json);

}  // namespace parley::shard
