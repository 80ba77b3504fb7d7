#include "broker/shard/appending.hpp"

#include <algorithm>
#include <limits>
#include <memory>
#include <utility>

#include "base/log.hpp"
#include "broker/shard/shard.hpp"

namespace parley::shard {

std::size_t Appending::record_max() const {
  if (shard_.nodes().standalone()) return std::numeric_limits<std::size_t>::max();
  return record_size_max(std::min(node_message_max(shard_.options()), shard_.nodes().message_max()));
}

void Appending::append(Slot slot, const format::RecordBody& body, std::uint64_t generation, Done done) {
  const auto* session = std::get_if<format::SessionRecord>(&body);
  if (session != nullptr && session->state.size() > record_max()) {
    log::error("a session is larger than other nodes take, not writing it",
               {{"client_id", session->client_id}, {"size", session->state.size()}, {"takes", record_max()}});
    if (done) done(chat::Refusal::TooLarge);
    return;
  }
  const std::string_view client_id = shard::client_of(body);
  const bool unclaimed = shard_.nodes().standalone() || client_id.empty();
  if (unclaimed && shard_.may_host(slot) && append_here(slot, body, done)) return;
  std::string record = format::encode_record({.slot = slot, .term = {}, .index = {}}, body);
  if (unclaimed || !shard_.may_host(slot)) {
    shard_.remote_homes().append(slot, std::move(record), generation, std::move(done));
    return;
  }
  shard_.session_claims().check(
      shard_.nodes().self(), slot, std::string(client_id), generation,
      [this, slot, generation, bytes = std::move(record), then = std::move(done)](remote::Status status) mutable {
        append_checked(slot, std::move(bytes), generation, status, std::move(then));
      });
}

/// Of a session that this node has, while it leads the session's slot.
void Appending::append_checked(Slot slot, std::string record, std::uint64_t generation, remote::Status status,
                               Done done) {
  const auto decoded = format::decode_trusted_record(record);
  switch (status) {
    case remote::Status::Done: break;
    case remote::Status::NotLeader:
      shard_.remote_homes().append(slot, std::move(record), generation, std::move(done));
      return;
    case remote::Status::Refused:
      shard_.session_claims().lose_later(std::string(shard::client_of(decoded->body)), generation, std::move(done));
      return;
    case remote::Status::Failed:
      if (done) done(StorageError::Failed);
      return;
  }
  // Another leader gets what this one could not commit.
  Done again = [this, slot, generation, record, done](Result<void> outcome) {
    if (!outcome && refusal_of(outcome.error()) == chat::Refusal::NotLeader) {
      shard_.remote_homes().append(slot, record, generation, done);
    } else if (done) {
      done(outcome);
    }
  };
  if (!append_here(slot, decoded->body, again)) {
    shard_.remote_homes().append(slot, std::move(record), generation, std::move(done));
  }
}

/// Whoever follows the user hears of it once it is committed.
Appending::Done Appending::telling(const format::UserConversationRecord& record, Done done) {
  return [this, user = std::string(record.user),
          change = UserConversation{record.conversation, std::string(record.name), record.epoch, record.present,
                                    record.changed},
          then = std::move(done)](Result<void> outcome) {
    if (outcome) shard_.user_lists().committed(user, change);
    if (then) then(outcome);
  };
}

bool Appending::append_here(Slot slot, const format::RecordBody& body, Done& done) {
  const auto position = shard_.replicas().propose(slot);
  if (!position) return false;
  if (const auto* of = std::get_if<format::UserConversationRecord>(&body)) done = telling(*of, std::move(done));
  shard_.replicas().add(*position, std::make_shared<const std::string>(format::encode_record(*position, body)),
                        std::move(done));
  return true;
}

}  // namespace parley::shard
