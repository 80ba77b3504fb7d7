#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "broker/session/session.hpp"
#include "broker/shard/plain_rows.hpp"

/// What ordinary topics owe a session that goes on at another node, behind its state in its record. Pure. Format:
/// docs/formats/session.md.
namespace parley::shard {

struct MovedMessage {
  mqtt::PacketId id = 0;     ///< 0: it hasn't been sent yet.
  mqtt::MessagePtr message;  ///< Null: its PUBREC was there.
  PlainTarget target;        ///< Without a queue.
};
struct MovedSession {
  std::string state;
  std::vector<MovedMessage> messages;
  bool moves = false;  ///< The record was written for another node.
  std::optional<session::WillPlan> will;
};

/// The state with what the session owes its client, as much of it as fits into `bytes_max`, in order. `left_out`
/// becomes the number of messages that don't.
std::string pack_session(const session::Session& session, Moment moment, std::size_t bytes_max, std::size_t& left_out);
/// Also of a state without messages, and with a will. Fails with CorruptRecord, NewerFormat.
Result<MovedSession> unpack_session(std::string_view state, Moment moment);

}  // namespace parley::shard
