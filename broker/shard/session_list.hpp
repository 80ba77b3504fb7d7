#pragma once

#include "broker/shard/ports.hpp"

namespace parley::shard {

/// Adds a stored session to the answer for `shard`, where it belongs there. Pure; any thread.
void list_session(SessionList& list, ShardId shard, const LogStore::ListSessionsRequest& request,
                  const StoredSession& stored);

}  // namespace parley::shard
