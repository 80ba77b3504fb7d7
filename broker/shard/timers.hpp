#pragma once

#include <cstdint>
#include <optional>
#include <queue>
#include <vector>

#include "base/time.hpp"

namespace parley::shard {

enum class TimerKind : std::uint8_t {
  Client,
  Login,
  CursorFlush,
  Housekeeping,
  Sweep,
  LeaderWait,
  NodeTopics,
  SessionClaims,
  SystemTopics,
  Dismissal,
  Retention,
  UserLists,
  Inbox,
  InboxListeners,
  Shows,
  RetainedShows,
  Rosters,
  Marks,
  Presence,
  PresenceCheck,
  Wills,
  Orphans,
  Strays,
  Erasures,
  Shares,
  ShareMembers,
};

/// What a shard has to do later. Timers aren't cancelled: whoever gets one looks whether it still means something.
class Timers {
 public:
  struct Timer {
    Instant due;
    TimerKind kind{};
    std::uint32_t client = 0;  ///< LeaderWait: the slot.
    std::uint64_t identity = 0;
  };

  void add(Timer timer) { queue_.push(timer); }
  [[nodiscard]] std::optional<Instant> next() const {
    return queue_.empty() ? std::nullopt : std::optional(queue_.top().due);
  }
  std::optional<Timer> take_due(Instant now) {
    if (queue_.empty() || queue_.top().due > now) return std::nullopt;
    const Timer timer = queue_.top();
    queue_.pop();
    return timer;
  }

 private:
  struct Later {
    bool operator()(const Timer& a, const Timer& b) const { return a.due > b.due; }
  };
  std::priority_queue<Timer, std::vector<Timer>, Later> queue_;
};

}  // namespace parley::shard
