#pragma once

#include <string>
#include <string_view>

#include "broker/cluster/node.hpp"

/// The names under which a cluster's state stands in Redis. Pure. All begin with `parley:{cluster}` but for session
/// locations, which Redis Cluster may spread: the part in braces decides on the server. Format: docs/formats/redis.md.
namespace parley::cluster {

class StateKeys {
 public:
  /// Braces in `cluster` are no hash tags: they become `%7B` and `%7D`, and `%` becomes `%25`.
  explicit StateKeys(std::string_view cluster);

  const std::string nodes;            ///< Set of ids: who has ever been alive.
  const std::string formation;        ///< That the cluster was formed.
  const std::string mark;             ///< A random text; another one, or none, means that everything was lost.
  const std::string slots;            ///< Hash: slot -> claim.
  const std::string slots_version;    ///< Rises with each change of `slots`.
  const std::string filter_versions;  ///< Hash: node id -> version.
  const std::string hints;            ///< Channel.

  [[nodiscard]] std::string lease(NodeId node) const;
  [[nodiscard]] std::string filters(NodeId node) const;       ///< Set.
  [[nodiscard]] std::string filters_next(NodeId node) const;  ///< Set: all anew, until it is complete.
  [[nodiscard]] std::string sessions(Slot slot) const;        ///< Hash: client id -> location.

 private:
  std::string name_;
  std::string base_;
};

}  // namespace parley::cluster
