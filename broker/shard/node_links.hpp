#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <limits>
#include <map>
#include <string>

#include "broker/shard/ports.hpp"

namespace parley::shard {

/// The way to the other nodes, with a queue for each channel that is full. What is given to it arrives over the
/// connection that there is, or that one ends and node_connected comes on both sides. Belongs to its shard's thread.
class NodeLinks {
 public:
  /// What a channel keeps while it is full; with a message more the connection is ended, so that both sides say anew
  /// what counts. What other nodes ask for is bounded by what they may have under way, so this is for those that don't
  /// keep to it.
  static constexpr std::size_t kQueuedBytesMax = 64ULL * 1024 * 1024;

  explicit NodeLinks(PeerNodes& nodes) : nodes_(nodes) {}

  [[nodiscard]] NodeId self() const { return nodes_.self(); }
  [[nodiscard]] bool standalone() const { return nodes_.standalone(); }
  /// No other node was ever connected.
  [[nodiscard]] bool alone() const { return links_.empty(); }
  [[nodiscard]] bool connected(NodeId node) const;
  /// Of those that were ever connected.
  template <class Visit>
  void for_each_connected(Visit visit) const {
    for (const auto& [node, link] : links_) {
      if (link.connected) visit(node);
    }
  }

  [[nodiscard]] PeerState peer(NodeId node) const { return nodes_.peer(node); }
  /// This node and every member that was ever connected, as far as it isn't removed, knows this version of what nodes
  /// say to each other.
  [[nodiscard]] bool all_speak(std::uint16_t version) const;

  /// What is sent now leaves at once.
  [[nodiscard]] bool writable(NodeId node, NodeChannel channel) const;
  /// False when nothing was taken: the node isn't connected, or the channel is full.
  bool try_send(NodeId node, NodeChannel channel, std::string message);
  /// Waits for room behind what waits already. Lost with the connection, or without one.
  void send(NodeId node, NodeChannel channel, std::string message);

  /// Every node takes that much, so none needs to be asked.
  static constexpr std::size_t kAlwaysTaken = 256 * 1024;
  /// What is larger than this can't be sent to the node, ever.
  [[nodiscard]] bool takes(NodeId node, std::size_t size) const;
  /// The largest message that all take which were ever connected.
  [[nodiscard]] std::size_t message_max() const { return message_max_; }

  // -- PeerNodesEvents --
  void node_connected(NodeId node);
  /// What waited for the connection is gone with it.
  void node_unreachable(NodeId node);
  /// True when nothing waits for the channel any more.
  bool node_writable(NodeId node, NodeChannel channel);

 private:
  static constexpr std::size_t kChannels = static_cast<std::size_t>(NodeChannel::Snapshots) + 1;
  struct Queue {
    bool full = false;
    std::deque<std::string> messages;
    std::size_t bytes = 0;
  };
  struct Link {
    bool connected = false;
    std::array<Queue, kChannels> queues;
  };

  PeerNodes& nodes_;
  std::map<NodeId, Link> links_;
  std::size_t message_max_ = std::numeric_limits<std::size_t>::max();
};

}  // namespace parley::shard
