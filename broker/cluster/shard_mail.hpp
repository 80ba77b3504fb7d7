#pragma once

#include <memory>

#include "broker/shard/ports.hpp"

/// How the cluster's threads reach the shards: broker/net delivers, main hands the two to each other.
namespace parley::cluster {

/// Delivered on the shard's thread, then destroyed there.
class ShardLetter {
 public:
  virtual ~ShardLetter() = default;
  virtual void deliver(shard::PeerNodesEvents& events) = 0;
};

class ShardMail {
 public:
  virtual ~ShardMail() = default;
  /// Any thread. Letters of one thread arrive in order; before the shards run they are kept, after that they get lost.
  virtual void post(shard::ShardId shard, std::unique_ptr<ShardLetter> letter) = 0;
  /// The shard shall run_placement and report; any thread. Asked again only when it has reported.
  virtual void ask_for_placement(shard::ShardId shard) = 0;
};

}  // namespace parley::cluster
