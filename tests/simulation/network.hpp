#pragma once

#include <array>
#include <cstddef>
#include <deque>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "broker/shard/ports.hpp"
#include "tests/simulation/dice.hpp"

namespace parley::simulation {

/// Connections between nodes, one for each pair: what is sent arrives late and in order within a channel, or is lost
/// together with the connection. A direction may be cut: what is sent there waits, and meanwhile no new connection is
/// made. Nodes are numbered from 1.
class Network {
 public:
  /// What a node hears of its connections.
  class Receiver {
   public:
    virtual ~Receiver() = default;
    virtual void connected(NodeId to) = 0;
    /// May be said twice.
    virtual void disconnected(NodeId to) = 0;
    virtual void writable(NodeId to, shard::NodeChannel channel) = 0;
    virtual void received(NodeId from, shard::NodeChannel channel, std::string_view message) = 0;
  };

  Network(Dice& dice, std::size_t nodes)
      : dice_(dice), nodes_(nodes), up_(nodes + 1), links_((nodes + 1) * (nodes + 1)) {}

  /// The node's process begins.
  void up(NodeId node) { up_[node.value] = true; }
  /// It is gone, and the others hear of it.
  void down(NodeId node);
  /// `from` ends its connection to `to`, of which it hears no more; `to` hears of that with the next one.
  void drop(NodeId from, NodeId to) { at(from, to).open = false; }

  /// As PeerNodes::send.
  bool send(NodeId from, NodeId to, shard::NodeChannel channel, std::string message, Instant now);
  /// Everything that is due for the node `to`.
  void deliver(NodeId to, Instant now, Receiver& receiver);

  // -- Trouble --
  void set_delay(Duration longest) { delay_ = longest; }
  void set_room(std::size_t bytes) { room_ = bytes; }
  void cut(NodeId from, NodeId to) { at(from, to).cut = true; }
  /// Heartbeats from one node to another are late, and nothing else is.
  void hold_heartbeats(NodeId from, NodeId to, Instant until) { at(from, to).silent_until = until; }
  /// The connection breaks, in both directions, and is there again at once.
  void reconnect(NodeId one, NodeId other);
  /// What waits in cut directions arrives, or its connection has broken meanwhile.
  void mend();

 private:
  static constexpr std::size_t kChannels = static_cast<std::size_t>(shard::NodeChannel::Snapshots) + 1;
  struct Message {
    Instant due;
    std::string bytes;
  };
  struct Queue {
    std::deque<Message> messages;
    std::size_t bytes = 0;
    bool refused = false;  ///< Who sends is owed a word when there is room.
  };
  /// One direction.
  struct Link {
    bool cut = false;
    Instant silent_until;
    bool open = false;   ///< The sender knows of no end.
    bool ended = false;  ///< The sender is owed `disconnected`.
    bool fresh = false;  ///< The sender is owed `connected`.
    std::array<Queue, kChannels> queues;
  };

  void connect(NodeId one, NodeId other);
  Link& at(NodeId from, NodeId to) { return links_[from.value * (nodes_ + 1) + to.value]; }

  Dice& dice_;
  std::size_t nodes_;
  std::vector<bool> up_;
  std::vector<Link> links_;
  Duration delay_ = std::chrono::milliseconds(1);
  std::size_t room_ = 1024 * 1024;
};

}  // namespace parley::simulation
