#include "broker/shard/session_list.hpp"

#include <algorithm>
#include <chrono>

#include "base/bytes.hpp"
#include "broker/shard/stored_will.hpp"

namespace parley::shard {

void list_session(SessionList& list, ShardId shard, const LogStore::ListSessionsRequest& request,
                  const StoredSession& stored) {
  const std::uint64_t slot = stable_hash(stored.client_id) % request.slots;
  if (slot % request.shards != shard || std::ranges::find(request.without, stored.owner) != request.without.end()) {
    return;
  }
  constexpr std::uint32_t kNever = 0xFFFF'FFFF;
  const auto split = split_will(stored.state);
  const bool has_will = split && split->will;
  if (stored.expiry_interval == kNever && !has_will) return;
  SessionList::One one{.client_id = stored.client_id,
                       .owner = stored.owner,
                       .generation = stored.generation,
                       .expiry_interval = stored.expiry_interval,
                       .disconnected = stored.disconnected,
                       .will_delay = {}};
  if (has_will) {
    const auto delay = std::chrono::duration_cast<std::chrono::seconds>(split->will->delay).count();
    one.will_delay = static_cast<std::uint32_t>(delay);
  }
  list.sessions.push_back(std::move(one));
}

}  // namespace parley::shard
