#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

/// What the admin socket may ask of the node, and tell it.
namespace parley::admin {

struct NodeStatus {
  std::string node;
  std::string version;
  std::int64_t pid = 0;
  std::uint64_t uptime_seconds = 0;
  std::uint64_t threads = 0;
  bool clustered = false;
  std::string cluster;     ///< Name; of a clustered node, as the rest.
  std::string cluster_id;  ///< 16 hexadecimal digits.
  bool redis = false;
  std::uint64_t clients = 0;  ///< Connected to this node.
};

/// A node of the cluster as this one sees it.
struct NodeRow {
  std::string name;
  std::string id;  ///< 16 hexadecimal digits.
  std::string address;
  std::string state;  ///< `self`, `up`, `down`; down ones that have never been there are `unknown`.
  std::uint64_t since_seconds = 0;
  bool draining = false;
  bool leaving = false;       ///< Drains or stops: it leads and takes clients no more.
  bool has_lease = false;     ///< In Redis.
  std::uint64_t slots = 0;    ///< That have a replica there …
  std::uint64_t leading = 0;  ///< … and that it leads, as far as this node knows.
  std::uint64_t round_trip_us = 0;
};

/// A slot as this node sees it.
struct SlotRow {
  std::uint64_t slot = 0;
  std::string leader;  ///< A node's name; empty: nobody, as far as is known.
  std::uint64_t term = 0;
  std::vector<std::string> replicas;
  std::vector<std::string> learners;
  std::string pinned;      ///< The node that an operator has moved it to; empty: none.
  std::uint64_t last = 0;  ///< Of this node's log; 0 when it has no replica.
  std::uint64_t commit = 0;
};

/// Called on the admin server's thread; may wait for other threads, but no longer than a second or two.
class NodeAdmin {
 public:
  virtual ~NodeAdmin() = default;
  virtual NodeStatus status() = 0;
  /// In Prometheus' text format.
  virtual std::string metrics() = 0;
  virtual std::vector<NodeRow> nodes() = 0;
  virtual std::vector<SlotRow> slots() = 0;
  /// Each answers why it can't be done, if so.
  virtual std::optional<std::string> set_draining(const std::string& node, bool draining) = 0;
  virtual std::optional<std::string> remove_node(const std::string& node) = 0;
  virtual std::optional<std::string> move_slot(std::uint64_t slot, const std::string& node) = 0;
  virtual std::optional<std::string> release_slot(std::uint64_t slot) = 0;
};

}  // namespace parley::admin
