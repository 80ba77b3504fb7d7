#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "base/time.hpp"
#include "broker/cluster/members.hpp"
#include "broker/cluster/placement_pass.hpp"

/// How this node leaves others what it has: first the slots that it leads, then its clients.
namespace parley::cluster {

/// What a node does with clients.
struct ClientPolicy {
  bool refuses = false;                 ///< It takes no new ones …
  bool dismisses = false;               ///< … and sends away those it has.
  std::vector<std::string> references;  ///< Where they shall go; may be empty.
};

/// Pure; belongs to one thread.
class Departure {
 public:
  /// Clients go after `hand_over_timeout`, also when slots couldn't be handed over.
  Departure(std::size_t shards, Duration hand_over_timeout);

  /// The node leaves, or doesn't (any more), see Members::leaving. What shards have done before that counts no more.
  void leaving(bool is, Instant now);
  /// What a shard has done; `pass.slots` isn't needed.
  void report(std::size_t shard, PlacementPass pass);

  /// The shards shall be asked again soon: they may not know yet that clients go.
  [[nodiscard]] bool waits_for(const PlacementPass& pass) const { return since_ && !pass.dismissing; }
  /// Nobody is sent away before there is another node to go to.
  ClientPolicy policy(const Members& members, Instant now);
  /// Nothing is led here that another node could lead, and no client is there; or there is no other node.
  [[nodiscard]] bool over(const Members& members) const;
  [[nodiscard]] std::size_t clients() const;  ///< Connected here.

 private:
  [[nodiscard]] bool handed_over(Instant now) const;

  const Duration hand_over_timeout_;
  std::vector<PlacementPass> passes_;  ///< The last ones, by shard; empty since `since_` was set.
  std::optional<Instant> since_;
  bool dismisses_ = false;
};

}  // namespace parley::cluster
