#include "broker/cluster/departure.hpp"

#include <algorithm>
#include <utility>

namespace parley::cluster {
namespace {

bool takes_clients(const Members::Member& member) { return member.reachable && !member.leaving; }

bool has_refuge(const Members& members) {
  return std::ranges::any_of(members.peers(), [](const auto& peer) { return takes_clients(peer.second); });
}

}  // namespace

Departure::Departure(std::size_t shards, Duration hand_over_timeout)
    : hand_over_timeout_(hand_over_timeout), passes_(shards) {}

void Departure::leaving(bool is, Instant now) {
  if (!is) {
    since_.reset();
  } else if (!since_) {
    since_ = now;
  }
  for (PlacementPass& pass : passes_) pass = {};
}

void Departure::report(std::size_t shard, PlacementPass pass) {
  pass.slots.clear();
  passes_[shard] = std::move(pass);
}

bool Departure::handed_over(Instant now) const {
  if (now - *since_ >= hand_over_timeout_) return true;
  return std::ranges::all_of(passes_, [](const PlacementPass& pass) { return pass.leaving && pass.to_hand_over == 0; });
}

ClientPolicy Departure::policy(const Members& members, Instant now) {
  ClientPolicy policy{.refuses = since_ && has_refuge(members), .dismisses = false, .references = {}};
  policy.dismisses = policy.refuses && (dismisses_ || handed_over(now));
  dismisses_ = policy.dismisses;
  if (!policy.refuses) return policy;
  for (const auto& [id, member] : members.peers()) {
    if (takes_clients(member) && !member.client_address.empty()) policy.references.push_back(member.client_address);
  }
  return policy;
}

bool Departure::over(const Members& members) const {
  if (!since_) return false;
  return !has_refuge(members) ||
         std::ranges::all_of(passes_, [](const PlacementPass& pass) { return pass.dismissing && pass.clients == 0; });
}

std::size_t Departure::clients() const {
  std::size_t count = 0;
  for (const PlacementPass& pass : passes_) count += pass.clients;
  return count;
}

}  // namespace parley::cluster
