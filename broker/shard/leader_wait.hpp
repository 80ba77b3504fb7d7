#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "broker/shard/events.hpp"
#include "broker/shard/replica_slots.hpp"

namespace parley::shard {

class Shard;

/// What is asked of slots that nobody is known to lead: kept in order until this node leads, for
/// ShardOptions::leader_wait at most, then refused. Belongs to its shard's thread.
class LeaderWait {
 public:
  using Done = std::function<void(Result<void>)>;

  explicit LeaderWait(Shard& shard) : shard_(shard) {}

  /// Something waits of this slot: what comes now has to wait behind it.
  [[nodiscard]] bool holds(Slot slot) const { return !slots_.empty() && slots_.contains(slot); }
  /// Nobody waits for an answer.
  [[nodiscard]] bool empty() const { return slots_.empty(); }

  void propose(Slot slot, ProposeEvent proposal);
  void follow(Slot slot, std::string conversation, ShardId follower);
  /// The follower has had its answer, and is to hear how the conversation stands when somebody leads.
  void follow_again(Slot slot, std::string conversation, ShardId follower);
  void unfollow(Slot slot, const std::string& conversation, ShardId follower);
  /// `record` is encoded for any place in the slot's log.
  void append(Slot slot, std::string record, Done done);

  void leadership_changed(Slot slot, const Leadership& leadership);
  /// Due while something waits; see TimerKind::LeaderWait.
  void run_timer(Slot slot);

 private:
  struct Record {
    std::string bytes;
    Done done;
  };
  using Item = std::variant<ProposeEvent, FollowEvent, Record>;
  struct Waiting {
    Instant since;
    std::size_t bytes = 0;
    std::deque<Item> items;
  };

  /// Null when there is too much of it already.
  Waiting* room(Slot slot, std::size_t bytes);
  void hand_over(Slot slot);
  void refuse(Slot slot, boost::system::error_code why);
  void refuse(const Item& item, boost::system::error_code why);

  Shard& shard_;
  std::map<Slot, Waiting> slots_;
  std::size_t bytes_ = 0;
  std::map<Slot, std::vector<FollowEvent>> followers_;  ///< See follow_again.
};

}  // namespace parley::shard
