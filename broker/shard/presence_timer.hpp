#pragma once

#include <set>

#include "broker/shard/timers.hpp"

namespace parley::shard {

/// One timer for all the parts of Presence. Belongs to its shard's thread.
class PresenceTimer {
 public:
  explicit PresenceTimer(Timers& timers) : timers_(timers) {}

  /// It rings then, or earlier.
  void start(Instant due) {
    if (!due_.empty() && *due_.begin() <= due) return;
    due_.insert(due);
    timers_.add({.due = due, .kind = TimerKind::Presence});
  }
  void rang(Instant now) {
    std::erase_if(due_, [now](Instant due) { return due <= now; });
  }

 private:
  Timers& timers_;
  std::set<Instant> due_;
};

}  // namespace parley::shard
