#pragma once

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/varint.hpp"
#include "tests/broker/shard/scene.hpp"

/// A few nodes in one thread, each a World of its own, joined by links that keep PeerNodes' promises. The first node
/// leads every slot; replication is not played here.
namespace parley::shard {

class Nodes {
 public:
  explicit Nodes(std::size_t count, const WorldOptions& options = dev(), const WorldOptions& others = dev()) {
    for (std::size_t i = 0; i < count; ++i) {
      auto node = std::make_unique<Node>(*this, NodeId{i + 1});
      WorldOptions own = i == 0 ? options : others;
      own.shard.founds_slots = i == 0;
      own.nodes = &node->port;
      node->world = std::make_unique<World>(i + 1, own);
      nodes_.push_back(std::move(node));
    }
    settle();
    for (std::size_t a = 0; a < count; ++a) {
      for (std::size_t b = a + 1; b < count; ++b) connect(a, b);
    }
    settle();
  }

  World& at(std::size_t i) { return *nodes_[i]->world; }

  // -- Links --
  void connect(std::size_t a, std::size_t b) {
    disconnected_.erase({std::min(a, b), std::max(a, b)});
    for (const auto& [here, there] : {std::pair(a, b), std::pair(b, a)}) {
      auto& inbox = nodes_[here]->inbox;
      inbox.push_back({Letter::Kind::Connected, id(there), {}, {}});
      inbox.push_back({Letter::Kind::Reachable, id(there), {}, {}});
      inbox.push_back({Letter::Kind::Leads, id(there), {}, {}});
    }
  }
  /// What is on its way is lost.
  void disconnect(std::size_t a, std::size_t b) {
    disconnected_.insert({std::min(a, b), std::max(a, b)});
    for (const auto& [here, there] : {std::pair(a, b), std::pair(b, a)}) {
      auto& inbox = nodes_[here]->inbox;
      std::erase_if(inbox, [from = id(there)](const Letter& letter) { return letter.from == from; });
      inbox.push_back({Letter::Kind::Unreachable, id(there), {}, {}});
    }
  }
  /// As a cluster does when heartbeats come late: unreachable, and there again over another connection.
  void reconnect(std::size_t a, std::size_t b) {
    disconnect(a, b);
    connect(a, b);
  }
  /// How often a shard has asked for that.
  [[nodiscard]] std::size_t drops() const { return drops_; }
  /// The node dies, and the others notice at once.
  void crash(std::size_t a) {
    nodes_[a]->world->crash();
    nodes_[a]->inbox.clear();
    for (std::size_t b = 0; b < nodes_.size(); ++b) {
      if (b != a) disconnect(a, b);
    }
    nodes_[a]->inbox.clear();
  }
  /// `cut_off`: nodes that it can't reach yet.
  void start(std::size_t a, const std::set<std::size_t>& cut_off = {}) {
    ++nodes_[a]->incarnation;
    nodes_[a]->world->start();
    nodes_[a]->world->round();  // There is a first turn before anything is heard.
    for (std::size_t b = 0; b < nodes_.size(); ++b) {
      if (b != a && !cut_off.contains(b)) connect(a, b);
    }
  }
  /// Which version of the protocol between nodes it speaks, from its next connections on.
  void speak(std::size_t a, std::uint16_t version) { nodes_[a]->version = version; }

  /// How large a message `a` takes, from its next connections on.
  void takes(std::size_t a, std::size_t message_max) { nodes_[a]->message_max = message_max; }
  /// Messages that were lost because they were larger than that.
  [[nodiscard]] std::size_t too_large() const { return too_large_; }

  /// The channel from `a` to `b` takes no more, until it is opened.
  void block(std::size_t a, NodeChannel channel) { nodes_[a]->full.insert(channel); }
  void open(std::size_t a, NodeChannel channel) {
    nodes_[a]->full.erase(channel);
    for (std::size_t b = 0; b < nodes_.size(); ++b) {
      if (b != a) nodes_[a]->inbox.push_back({Letter::Kind::Writable, id(b), channel, {}});
    }
  }
  /// The next message from `a` on this channel is lost, though the connection stays: what links never do.
  void lose_next(std::size_t a, NodeChannel channel) { nodes_[a]->losing.insert(channel); }
  /// Messages that were handed over on this channel.
  std::size_t delivered(NodeChannel channel) { return delivered_[channel]; }

  // -- Time --
  void settle() {
    for (int i = 0; i < 100'000; ++i) {
      bool busy = false;
      for (auto& node : nodes_) busy = deliver(*node) || busy;
      for (auto& node : nodes_) busy = node->world->round() || busy;
      for (auto& node : nodes_) busy = busy || !node->inbox.empty() || !node->world->store().idle();
      if (!busy) return;
    }
    FAIL() << "the nodes don't come to rest";
  }
  /// In steps, so that timers fire on all nodes at about the same time.
  void advance(Duration by) {
    for (Duration step = 50ms; by > Duration::zero(); by -= step) {
      settle();
      for (auto& node : nodes_) node->world->clock().advance(step);
    }
    settle();
  }
  /// One exchange only: whatever is on its way is one step further.
  void step() {
    for (auto& node : nodes_) deliver(*node);
    for (auto& node : nodes_) node->world->round();
  }

 private:
  struct Letter {
    enum class Kind { Message, Connected, Reachable, Unreachable, Leads, Writable } kind = Kind::Message;
    NodeId from;
    NodeChannel channel{};
    std::string bytes;
  };
  struct Node;
  class Port final : public PeerNodes {
   public:
    Port(Nodes& nodes, NodeId self) : nodes_(nodes), self_(self) {}
    [[nodiscard]] NodeId self() const override { return self_; }
    [[nodiscard]] PeerState peer(NodeId node) const override {
      const Node& one = *nodes_.nodes_.at(node.value - 1);
      const std::uint16_t own = nodes_.nodes_.at(self_.value - 1)->version;
      return {.version = std::min(one.version, own), .incarnation = one.incarnation, .message_max = one.message_max};
    }
    bool send(NodeId node, NodeChannel channel, std::string message) override {
      return nodes_.send(self_, node, channel, std::move(message));
    }
    void drop(NodeId node) override {
      ++nodes_.drops_;
      nodes_.reconnect(self_.value - 1, node.value - 1);
    }
    void leading(Slot slot, std::optional<Term> term) override {
      if (term) {
        leads[slot] = *term;
      } else {
        leads.erase(slot);
      }
    }
    std::map<Slot, Term> leads;

   private:
    Nodes& nodes_;
    NodeId self_;
  };
  struct Node {
    Node(Nodes& nodes, NodeId self) : port(nodes, self) {}
    Port port;
    std::unique_ptr<World> world;
    std::deque<Letter> inbox;
    std::set<NodeChannel> full;
    std::set<NodeChannel> losing;
    std::uint64_t incarnation = 1;
    std::uint16_t version = kSharesVersion;
    std::size_t message_max = 0;
  };

  static NodeId id(std::size_t i) { return {i + 1}; }

  bool send(NodeId from, NodeId to, NodeChannel channel, std::string message) {
    const std::size_t a = from.value - 1;
    const std::size_t b = to.value - 1;
    if (disconnected_.contains({std::min(a, b), std::max(a, b)}) || nodes_[a]->full.contains(channel)) return false;
    if (nodes_[a]->losing.erase(channel) != 0) return true;
    if (nodes_[b]->message_max != 0 && message.size() > nodes_[b]->message_max) {
      ++too_large_;
      return true;
    }
    nodes_[b]->inbox.push_back({Letter::Kind::Message, from, channel, std::move(message)});
    return true;
  }

  bool deliver(Node& node) {
    const bool some = !node.inbox.empty();
    for (Letter& letter : std::exchange(node.inbox, {})) {
      if (node.world->running()) deliver(node, letter);
    }
    return some;
  }
  void deliver(Node& node, const Letter& letter) {
    World& world = *node.world;
    if (letter.kind == Letter::Kind::Message) {
      std::string_view rest = letter.bytes;
      const bool to_shard = rest[0] == 1;
      rest.remove_prefix(1);
      const auto number = *take_varint(rest);
      const ShardId target = static_cast<ShardId>(to_shard ? number : number % world.options().shard.shards);
      ++delivered_[letter.channel];
      world.shard(target).node_message(letter.from, letter.channel, rest);
      return;
    }
    for (ShardId i = 0; i < world.options().shard.shards; ++i) {
      auto& shard = world.shard(i);
      switch (letter.kind) {
        case Letter::Kind::Connected: shard.node_connected(letter.from); break;
        case Letter::Kind::Reachable: shard.node_reachable(letter.from); break;
        case Letter::Kind::Unreachable: shard.node_unreachable(letter.from); break;
        case Letter::Kind::Writable: shard.node_writable(letter.from, letter.channel); break;
        default:
          for (const auto& [slot, term] : nodes_[letter.from.value - 1]->port.leads) {
            shard.node_leads(letter.from, slot, term);
          }
      }
    }
  }

  std::vector<std::unique_ptr<Node>> nodes_;
  std::set<std::pair<std::size_t, std::size_t>> disconnected_;
  std::map<NodeChannel, std::size_t> delivered_;
  std::size_t drops_ = 0;
  std::size_t too_large_ = 0;
};

inline simulation::Client& join(Nodes& nodes, std::size_t at, const std::string& id,
                                const ConnectOptions& options = {}) {
  auto& client = nodes.at(at).client(id);
  client.connect(options);
  nodes.settle();
  const auto* connack = client.connack();
  EXPECT_TRUE(client.connected() && connack != nullptr) << id << " is not connected";
  if (connack != nullptr) {
    EXPECT_EQ(connack->reason(), ReasonCode::Success) << id;
  }
  return client;
}

inline ReasonCode follow(Nodes& nodes, simulation::Client& client, const std::string& filter,
                         const SubscribeOptions& options = {}) {
  const auto id = client.subscribe(filter, options);
  nodes.settle();
  const auto* suback = client.answer(PacketType::Suback, id);
  EXPECT_NE(suback, nullptr) << "no SUBACK for " << filter;
  return suback == nullptr ? ReasonCode::UnspecifiedError : suback->reason();
}

inline simulation::Answer say(Nodes& nodes, simulation::Client& client, const std::string& topic,
                              const std::string& payload, const PublishOptions& options = {}) {
  const auto id = client.publish(topic, payload, options);
  nodes.settle();
  const auto* ack = client.answer(options.qos == Qos::AtLeastOnce ? PacketType::Puback : PacketType::Pubrec, id);
  EXPECT_NE(ack, nullptr) << "no acknowledgement for " << payload;
  return ack == nullptr ? simulation::Answer{} : *ack;
}

}  // namespace parley::shard
