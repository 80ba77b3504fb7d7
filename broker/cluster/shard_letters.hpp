#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "broker/cluster/peer_links.hpp"
#include "broker/cluster/shard_mail.hpp"
#include "broker/replication/messages.hpp"

/// What the cluster's threads tell a shard.
namespace parley::cluster {

/// Messages of one channel that are for one shard. The delivery is kept until they are processed, so that a shard that
/// can't keep up makes the sender stop.
class MessagesLetter final : public ShardLetter {
 public:
  struct Message {
    std::uint32_t place = 0;  ///< In the delivery.
    std::uint32_t begin = 0;  ///< Behind its envelope.
  };
  MessagesLetter(std::shared_ptr<const Delivery> delivery, std::vector<Message> messages)
      : delivery_(std::move(delivery)), messages_(std::move(messages)) {}
  void deliver(shard::PeerNodesEvents& events) override;

 private:
  std::shared_ptr<const Delivery> delivery_;
  std::vector<Message> messages_;
};

enum class NodeEvent : std::uint8_t { Connected, Reachable, Unreachable };

class NodeEventLetter final : public ShardLetter {
 public:
  NodeEventLetter(NodeId node, NodeEvent event) : node_(node), event_(event) {}
  void deliver(shard::PeerNodesEvents& events) override;

 private:
  NodeId node_;
  NodeEvent event_;
};

class WritableLetter final : public ShardLetter {
 public:
  WritableLetter(NodeId node, shard::NodeChannel channel) : node_(node), channel_(channel) {}
  void deliver(shard::PeerNodesEvents& events) override { events.node_writable(node_, channel_); }

 private:
  NodeId node_;
  shard::NodeChannel channel_;
};

/// Which of the shard's slots a node leads, and that it leads none of the others.
class LeadsLetter final : public ShardLetter {
 public:
  /// `leading` is sorted by slot. The shard's slots are `first`, `first` + `step`, … below `slots`.
  LeadsLetter(NodeId node, std::shared_ptr<const std::vector<replication::Leading>> leading, std::uint64_t first,
              std::uint64_t step, std::uint64_t slots)
      : node_(node), leading_(std::move(leading)), first_(first), step_(step), slots_(slots) {}
  void deliver(shard::PeerNodesEvents& events) override;

 private:
  NodeId node_;
  std::shared_ptr<const std::vector<replication::Leading>> leading_;
  std::uint64_t first_;
  std::uint64_t step_;
  std::uint64_t slots_;
};

}  // namespace parley::cluster
