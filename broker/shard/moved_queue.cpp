#include "broker/shard/moved_queue.hpp"

#include "base/bytes.hpp"
#include "broker/shard/stored_will.hpp"
#include "storage/format/error.hpp"
#include "storage/format/field_reader.hpp"

namespace parley::shard {
namespace {

/// A state alone begins with a lower one.
constexpr char kWithMessages = 2;

std::string encode_message_of(const session::Session::RestoredFlight& owed, Moment moment) {
  // A row names a queue; here there is one only.
  const PlainTarget target{.queue = 1,
                           .qos = owed.qos,
                           .retain = owed.retain,
                           .subscription_ids = owed.subscription_ids,
                           .share = owed.share};
  return encode_message(*owed.message, {&target, 1}, {}, moment);
}

}  // namespace

std::string pack_session(const session::Session& session, Moment moment, std::size_t bytes_max, std::size_t& left_out) {
  left_out = 0;
  std::string state = session.encode_state();
  const auto owed = session.owed();
  if (owed.empty()) return state;
  std::string packed(1, kWithMessages);
  append_big_endian(packed, static_cast<std::uint32_t>(state.size()));
  packed += state;
  for (const auto& one : owed) {
    const std::string message = one.message ? encode_message_of(one, moment) : std::string();
    if (left_out != 0 || packed.size() + message.size() > bytes_max) {
      ++left_out;
      continue;
    }
    append_big_endian(packed, one.id);
    append_big_endian(packed, static_cast<std::uint32_t>(message.size()));
    packed += message;
  }
  return packed;
}

Result<MovedSession> unpack_session(std::string_view state, Moment moment) {
  MovedSession unpacked;
  PARLEY_TRY(auto split, split_will(state));
  unpacked.will = std::move(split.will);
  state = split.state;
  if (state.empty() || state.front() != kWithMessages) {
    unpacked.state = state;
    return unpacked;
  }
  unpacked.moves = true;
  format::FieldReader reader(state.substr(1));
  unpacked.state = reader.text(reader.integer<std::uint32_t>());
  for (auto rest = reader.rest(); !rest.empty() && !reader.failed();) {
    format::FieldReader item(rest);
    MovedMessage one;
    one.id = item.integer<std::uint16_t>();
    const auto bytes = item.text(item.integer<std::uint32_t>());
    rest = item.rest();
    if (item.failed() || (bytes.empty() && one.id == 0)) return StorageError::CorruptRecord;
    if (!bytes.empty()) {
      PARLEY_TRY(auto read, decode_message(bytes, moment));
      if (read.targets.size() != 1) return StorageError::CorruptRecord;
      one.message = std::move(read.message);
      one.target = std::move(read.targets.front());
    }
    unpacked.messages.push_back(std::move(one));
  }
  if (reader.failed()) return StorageError::CorruptRecord;
  return unpacked;
}

}  // namespace parley::shard
