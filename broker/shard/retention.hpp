#pragma once

#include <unordered_map>

#include "base/number.hpp"
#include "broker/shard/ports.hpp"

namespace parley::shard {

class Shard;

/// Has what conversations needn't keep any longer taken away: by a record in the slot's log, so that all its replicas
/// agree about where the conversation begins. For the slots led here, a few conversations at a time. Belongs to its
/// shard's thread.
class RetentionJob {
 public:
  explicit RetentionJob(Shard& shard) : shard_(shard) {}

  /// Looks at the next conversations; to be called every second.
  void run();

 private:
  void take(Slot slot, const LogStore::RetentionDue& due);

  Shard& shard_;
  std::uint32_t slot_ = 0;                            ///< Which comes next.
  ConversationNumber after_;                          ///< Of that slot.
  std::unordered_map<ConversationNumber, Seq> told_;  ///< The store may not have these yet.
};

}  // namespace parley::shard
