#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/cluster/node.hpp"

/// What stands in Redis: texts <-> values. Pure. Whoever may write to Redis may write nonsense, so nothing is taken
/// that isn't whole. Format: docs/formats/redis.md.
namespace parley::cluster {

/// Alive, here, and how busy. Gone when its time to live is over.
struct NodeLease {
  NodeId node;
  std::string name;
  std::string host;  ///< For peers.
  std::uint16_t port = 0;
  std::uint64_t incarnation = 0;
  std::string version;     ///< Of the program.
  std::uint32_t load = 0;  ///< Per mille of what the node can do.
  bool draining = false;
  friend bool operator==(const NodeLease&, const NodeLease&) = default;
};

/// Who leads a slot, as far as Redis knows; what counts are the votes of its replicas.
struct SlotClaim {
  Slot slot;
  Term term;
  NodeId leader;
  std::vector<NodeId> replicas;
  friend bool operator==(const SlotClaim&, const SlotClaim&) = default;
};

/// Which node holds a session. Of two, the one of the higher generation counts.
struct SessionLocation {
  std::uint64_t generation = 0;
  NodeId node;
  std::uint64_t incarnation = 0;  ///< A location is void when the node has another one by now.
  friend bool operator==(const SessionLocation&, const SessionLocation&) = default;
};

/// Said on the channel when a node's filters change: enough for those who had `from` to have `to`.
struct FilterHint {
  NodeId node;
  std::uint64_t from = 0;
  std::uint64_t to = 0;
  std::vector<std::string> added;
  std::vector<std::string> removed;
  friend bool operator==(const FilterHint&, const FilterHint&) = default;
};

std::string hex_text(std::uint64_t number);  ///< 16 digits.
std::optional<std::uint64_t> read_hex(std::string_view text);
std::optional<std::uint64_t> read_decimal(std::string_view text);

std::string encode(const NodeLease& lease);
std::optional<NodeLease> read_lease(std::string_view text);

/// 20 digits of term, so that texts compare like terms, the leader, the replicas.
std::string encode(const SlotClaim& claim);
std::optional<SlotClaim> read_claim(Slot slot, std::string_view text);

std::string encode(const SessionLocation& location);
std::optional<SessionLocation> read_location(std::string_view text);

std::string encode(const FilterHint& hint);
std::optional<FilterHint> read_filter_hint(std::string_view text);

}  // namespace parley::cluster
