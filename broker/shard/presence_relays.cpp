#include "broker/shard/presence_relays.hpp"

#include <algorithm>
#include <set>

#include "broker/shard/presence_events.hpp"
#include "broker/shard/shard.hpp"

namespace parley::shard {
namespace {

/// What the leader would hear of one user more often waits.
constexpr Duration kInterval = std::chrono::seconds(1);

}  // namespace

std::uint64_t PresenceRelays::Relayed::count() const {
  std::uint64_t sum = 0;
  for (const auto& [shard, count] : devices) sum += count;
  return sum;
}

Slot PresenceRelays::slot_of(std::string_view user) const { return slot_of_name(user, shard_.options()); }

// -- What this node's shards say --

void PresenceRelays::report(PresenceEvent& event) {
  Relayed& relayed = relayed_[event.user];
  const bool was_here = relayed.count() != 0;
  std::erase_if(relayed.devices, [&](const auto& one) { return one.first == event.shard; });
  if (event.report.devices != 0) relayed.devices.emplace_back(event.shard, event.report.devices);
  relayed.next.grace = event.report.grace;
  if (event.report.parting) relayed.next.parting = std::move(event.report.parting);
  if (relayed.count() != 0 && event.report.devices != 0) relayed.next.parting.reset();
  if (event.report.status) {
    relayed.status = *event.report.status;
    relayed.status_at = event.report.status_at;
    relayed.next.status = std::move(event.report.status);
    relayed.next.status_at = event.report.status_at;
  }
  const Instant waits_for = std::exchange(relayed.untold, true) ? relayed.due : Instant{};
  const bool is_here = relayed.count() != 0;
  relayed.due = relayed.told == Instant{} ? shard_.now() : relayed.told + kInterval;
  if (is_here && relayed.told_devices == 0) relayed.due = shard_.now();
  if (was_here && !is_here) relayed.left = shard_.now();
  if (relayed.due <= shard_.now()) {
    tell_leader(event.user, relayed);
  } else {
    if (relayed.due != waits_for) untold_.emplace(relayed.due, event.user);
    timer_.start(relayed.due);
  }
}

/// May forget it.
void PresenceRelays::tell_leader(const std::string& user, Relayed& relayed) {
  const Slot slot = slot_of(user);
  const auto leadership = shard_.replicas().leadership(slot);
  const bool reachable =
      leadership.state == Leadership::State::Here ||
      (leadership.state == Leadership::State::Elsewhere && shard_.nodes().connected(leadership.node));
  if (!reachable) return;  // It is told once somebody leads.
  chat::PresenceReport report = std::exchange(relayed.next, {});
  report.devices = relayed.told_devices = relayed.count();
  const Instant left = std::exchange(relayed.left, {});
  if (report.devices == 0 && left != Instant{}) {
    const Duration grace = report.grace.value_or(shard_.options().presence_grace);
    report.grace = std::max<Duration>(grace - (shard_.now() - left), Duration::zero());
  }
  relayed.untold = false;
  relayed.told = shard_.now();
  if (leadership.state == Leadership::State::Here) {
    homes_.take(shard_.nodes().self(), user, std::move(report));
  } else {
    shard_.nodes().send(leadership.node, NodeChannel::Sessions,
                        remote::encode_for(slot, remote::report_of(user, report)));
  }
  forget_if_unused(std::string(user));
}

// -- What they want to know --

void PresenceRelays::follow(const PresenceFollowEvent& event) {
  Relayed& relayed = relayed_[event.user];
  std::erase(relayed.followers, event.shard);
  if (event.wanted) {
    relayed.followers.push_back(event.shard);
    if (relayed.follows && relayed.last) {
      shard_.send(event.shard, PeerEvent{PresenceShownEvent{event.user, *relayed.last}});
    }
  }
  const bool wanted = !relayed.followers.empty();
  if (wanted != relayed.follows) follow_leader(event.user, relayed);
  forget_if_unused(event.user);
}

void PresenceRelays::follow_leader(const std::string& user, Relayed& relayed) {
  const Slot slot = slot_of(user);
  const auto leadership = shard_.replicas().leadership(slot);
  const bool wanted = !relayed.followers.empty();
  if (!wanted) relayed.last.reset();
  relayed.follows = false;
  if (leadership.state == Leadership::State::Here) {
    relayed.follows = wanted;
    homes_.follow(shard_.nodes().self(), user, wanted);
  } else if (leadership.state == Leadership::State::Elsewhere && shard_.nodes().connected(leadership.node)) {
    relayed.follows = wanted;
    shard_.nodes().send(leadership.node, NodeChannel::Sessions,
                        remote::encode_for(slot, remote::PresenceFollow{user, wanted}));
  }
}

void PresenceRelays::told(const std::string& user, const chat::Presence& presence) {
  const auto found = relayed_.find(user);
  if (found == relayed_.end()) return;
  found->second.last = presence;
  for (const ShardId follower : std::vector(found->second.followers)) {
    shard_.send(follower, PeerEvent{PresenceShownEvent{user, presence}});
  }
}

void PresenceRelays::recheck(const std::string& user) {
  const auto found = relayed_.find(user);
  if (found == relayed_.end()) return;
  for (const ShardId follower : std::vector(found->second.followers)) {
    shard_.send(follower, PeerEvent{PresenceRecheckEvent{user}});
  }
}

void PresenceRelays::forget_if_unused(const std::string& user) {
  const auto found = relayed_.find(user);
  if (found == relayed_.end()) return;
  const Relayed& relayed = found->second;
  if (relayed.devices.empty() && !relayed.untold && relayed.followers.empty() && !relayed.follows)
    relayed_.erase(found);
}

// -- Another leader --

/// Everything that this node has to say to the slot's leader, and wants to hear of it.
void PresenceRelays::tell_again(Slot slot) {
  std::vector<std::string> users;
  for (const auto& [user, relayed] : relayed_) {
    if (slot_of(user) == slot) users.push_back(user);
  }
  for (const std::string& user : users) {
    Relayed& relayed = relayed_.at(user);
    if (!relayed.followers.empty()) {
      const auto last = relayed.last;
      follow_leader(user, relayed);
      if (last) tell_last(slot, user, *last);
    }
    if (relayed.status_at.milliseconds != 0 && !relayed.next.status) {
      relayed.next.status = relayed.status;
      relayed.next.status_at = relayed.status_at;
    }
    tell_leader(user, relayed);
  }
}

/// What the last leader said: the next one may have been told less.
void PresenceRelays::tell_last(Slot slot, const std::string& user, const chat::Presence& last) {
  const auto leadership = shard_.replicas().leadership(slot);
  if (leadership.state == Leadership::State::Here) {
    homes_.remember(user, last);
  } else if (leadership.state == Leadership::State::Elsewhere && shard_.nodes().connected(leadership.node)) {
    shard_.nodes().send(leadership.node, NodeChannel::Sessions, remote::encode_for(slot, remote::shown_of(user, last)));
  }
}

void PresenceRelays::node_connected(NodeId node) {
  std::set<Slot> slots;
  for (const auto& [user, relayed] : relayed_) slots.insert(slot_of(user));
  for (const Slot slot : slots) {
    const auto leadership = shard_.replicas().leadership(slot);
    if (leadership.state == Leadership::State::Elsewhere && leadership.node == node) tell_again(slot);
  }
}

// -- Time --

std::optional<Instant> PresenceRelays::run_timer() {
  while (!untold_.empty() && untold_.begin()->first <= shard_.now()) {
    const std::string user = untold_.begin()->second;
    untold_.erase(untold_.begin());
    // Has it been told meanwhile, or been put off, there is nothing to do now.
    const auto found = relayed_.find(user);
    if (found == relayed_.end() || !found->second.untold || found->second.due > shard_.now()) continue;
    tell_leader(user, found->second);
  }
  return untold_.empty() ? std::nullopt : std::optional(untold_.begin()->first);
}

}  // namespace parley::shard
