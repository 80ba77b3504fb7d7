#pragma once

#include <compare>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "base/time.hpp"
#include "broker/routing/retained_messages.hpp"
#include "mqtt/message.hpp"

/// Rows of plain.mdb: ordinary messages, who is owed them, and how far everybody is. Pure. Format:
/// docs/formats/plain.md.
namespace parley::shard {

/// Somebody who is owed a stored message.
struct PlainTarget {
  std::uint64_t queue = 0;
  mqtt::Qos qos = mqtt::Qos::AtLeastOnce;
  bool retain = false;  ///< The flag that its client sees.
  std::vector<std::uint32_t> subscription_ids;
  std::shared_ptr<const std::string> share;  ///< `$share/{group}/{filter}`; null: not for a shared subscription.
};

/// Two clocks at one moment: what is stored has the wall's time, what is in memory the steady one's.
struct Moment {
  Instant now;
  Timestamp wall;
};

/// The QoS 2 publish that a message came with: the queue of the lasting session that sent it, and its packet id. It is
/// known to be taken over only a commit later, so after a crash it may come once more. 0: none.
struct PlainOrigin {
  std::uint64_t queue = 0;
  mqtt::PacketId id = 0;
  friend auto operator<=>(const PlainOrigin&, const PlainOrigin&) = default;
};

struct PlainMessageRow {
  mqtt::MessagePtr message;
  std::vector<PlainTarget> targets;
  PlainOrigin origin;
};
std::string encode_message(const mqtt::Message& message, std::span<const PlainTarget> targets, PlainOrigin origin,
                           Moment moment);
/// Fails with CorruptRecord, NewerFormat.
Result<PlainMessageRow> decode_message(std::string_view row, Moment moment);

/// A retained message; one without payload says that the topic's was removed.
struct PlainRetainedRow {
  routing::RetainStamp stamp;
  mqtt::MessagePtr message;
};
std::string encode_retained(const mqtt::Message& message, const routing::RetainStamp& stamp, Moment moment);
Result<PlainRetainedRow> decode_retained(std::string_view row, Moment moment);

/// A session's queue: everything up to `settled` needs nothing more.
struct PlainQueueRow {
  std::uint64_t settled = 0;
  std::string client_id;
};
std::string encode_queue(const PlainQueueRow& queue);
Result<PlainQueueRow> decode_queue(std::string_view row);

/// A QoS 2 delivery under way: PUBREC has been received, or not yet.
struct PlainOutboundRow {
  std::uint64_t number = 0;
  bool received = false;
};
std::string encode_outbound(const PlainOutboundRow& row);
Result<PlainOutboundRow> decode_outbound(std::string_view row);

std::string number_key(std::uint64_t number);
/// A queue's number and a packet id.
std::string flow_key(std::uint64_t queue, mqtt::PacketId id);
std::uint64_t number_of_key(std::string_view key);
mqtt::PacketId id_of_key(std::string_view key);

}  // namespace parley::shard
