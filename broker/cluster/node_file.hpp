#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "broker/cluster/node.hpp"

/// What a node knows of its cluster without asking anybody: the file `cluster` in its data directory. Format:
/// docs/formats/node.md.
namespace parley::cluster {

/// Another node of the cluster, as last seen.
struct KnownNode {
  std::string name;
  std::string host;
  std::uint16_t port = 0;
  std::uint64_t birth = 0;  ///< Of its data directory; 0: not seen yet.
  friend bool operator==(const KnownNode&, const KnownNode&) = default;
};

struct NodeFile {
  enum class Standing : std::uint8_t {
    Forming,  ///< About to form the cluster: whether it has is in Redis.
    Founder,  ///< Has formed it: a slot that has named no replicas yet is this node's alone.
    Joined,
  };
  std::string cluster;
  std::uint64_t cluster_id = 0;  ///< Random, of the formation.
  std::string node;
  std::uint64_t birth = 0;  ///< Random, made with the data directory: one that was lost is told from the one after it.
  std::uint32_t slots = 0;
  Standing standing = Standing::Joined;
  std::uint64_t starts = 0;  ///< Of the process; NodeHealth's incarnation.
  bool draining = false;
  std::map<Slot, std::uint64_t> pins;  ///< Slots that an operator has moved here, and when (Unix ms).
  std::map<NodeId, KnownNode> peers;
  std::set<std::uint64_t> removed;  ///< Births of directories that don't belong to the cluster any more.
  std::set<NodeId> parting;         ///< Nodes that had them, and that slots may still count on.
  friend bool operator==(const NodeFile&, const NodeFile&) = default;
};

// -- Pure --
/// A host as it may stand in the file: printable, without blanks.
bool is_host(std::string_view text);
std::string encode(const NodeFile& file);
/// Nothing unless it is whole.
std::optional<NodeFile> read_node_file(std::string_view text);
/// The sentence why a data directory with this file isn't for this node; nothing when it is.
std::optional<std::string> why_another(const NodeFile& file, std::string_view cluster, std::string_view node,
                                       std::uint32_t slots);

// -- On disk --
/// Nothing when there is none. Throws std::runtime_error, with a sentence, when it can't be read or is damaged.
std::optional<NodeFile> load_node_file(const std::string& data_dir);
/// Replaces it durably, by renaming. Fails with the system's error; the old one is there then.
Result<void> save_node_file(const std::string& data_dir, const NodeFile& file);

}  // namespace parley::cluster
