#pragma once

#include <string>
#include <string_view>
#include <variant>

#include "base/result.hpp"
#include "broker/replication/messages.hpp"

/// Peer messages as bytes: no length of the whole, which is the frame's business. Format: docs/formats/replication.md.
namespace parley::replication {

inline constexpr std::uint8_t kMessageVersion = 1;

using Message = std::variant<PeerMessage, Heartbeat>;

/// Appends to `out`. An AppendEntries ends with its records: whoever leaves `records` empty may put them behind `out`,
/// one after the other as append_record does, without copying them here.
void encode(const PeerMessage& message, std::string& out);
void encode(const Heartbeat& heartbeat, std::string& out);

/// Takes all of `bytes`. Every value has one encoding only. Fails with MalformedMessage, NewerProtocol. `records` is a
/// view into `bytes`, with as many records in it as `count` says.
Result<Message> decode(std::string_view bytes);

/// A record's length and bytes.
void append_record(std::string& out, std::string_view record);
/// The length alone, for those who send the bytes from where they are.
void append_record_length(std::string& out, std::size_t length);
/// Takes the next record from the front of an AppendEntries' `records`, which were decoded here and aren't empty.
std::string_view next_record(std::string_view& records);

}  // namespace parley::replication
