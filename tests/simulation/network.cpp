#include "tests/simulation/network.hpp"

#include <algorithm>
#include <utility>

namespace parley::simulation {

using shard::NodeChannel;

bool Network::send(NodeId from, NodeId to, NodeChannel channel, std::string message, Instant now) {
  if (to.value == 0 || to.value > nodes_ || to == from) return false;
  Link& link = at(from, to);
  if (!link.open) return false;
  Queue& queue = link.queues[static_cast<std::size_t>(channel)];
  if (!queue.messages.empty() && queue.bytes + message.size() > room_) {
    queue.refused = true;
    return false;
  }
  Instant due = now + dice_.up_to(delay_);
  if (!queue.messages.empty()) due = std::max(due, queue.messages.back().due);
  queue.bytes += message.size();
  queue.messages.push_back({due, std::move(message)});
  return true;
}

void Network::deliver(NodeId to, Instant now, Receiver& receiver) {
  for (NodeId from{1}; from.value <= nodes_; from = from.next()) {
    if (from == to) continue;
    connect(from, to);
    Link& back = at(to, from);
    if (std::exchange(back.ended, false)) receiver.disconnected(from);
    if (std::exchange(back.fresh, false)) receiver.connected(from);
    for (std::size_t channel = 0; channel < kChannels; ++channel) {
      Queue& sent = back.queues[channel];
      if (sent.refused && sent.bytes <= room_ / 2) {
        sent.refused = false;
        receiver.writable(from, static_cast<NodeChannel>(channel));
      }
      Link& link = at(from, to);
      Queue& queue = link.queues[channel];
      // What is received may be the reason to end the connection.
      const bool heartbeats = channel == static_cast<std::size_t>(NodeChannel::Heartbeats);
      if (heartbeats && now < link.silent_until) continue;
      while (back.open && !link.cut && !queue.messages.empty() && queue.messages.front().due <= now) {
        const Message message = std::move(queue.messages.front());
        queue.messages.pop_front();
        queue.bytes -= message.bytes.size();
        receiver.received(from, static_cast<NodeChannel>(channel), message.bytes);
      }
    }
  }
}

void Network::down(NodeId node) {
  up_[node.value] = false;
  for (NodeId other{1}; other.value <= nodes_; other = other.next()) {
    for (Link* link : {&at(node, other), &at(other, node)}) {
      link->open = link->fresh = false;
      link->queues = {};
    }
    at(other, node).ended = true;
  }
}

/// Where there is no connection, if there can be one.
void Network::connect(NodeId one, NodeId other) {
  const Link& there = at(one, other);
  const Link& back = at(other, one);
  if (there.open && back.open) return;
  if (up_[one.value] && up_[other.value] && !there.cut && !back.cut) reconnect(one, other);
}

void Network::reconnect(NodeId one, NodeId other) {
  if (!up_[one.value] || !up_[other.value]) return;
  for (Link* link : {&at(one, other), &at(other, one)}) {
    link->open = link->ended = link->fresh = true;
    link->queues = {};
  }
}

void Network::mend() {
  for (NodeId from{1}; from.value <= nodes_; from = from.next()) {
    for (NodeId to{1}; to.value <= nodes_; to = to.next()) {
      if (std::exchange(at(from, to).cut, false) && dice_.one_in(2)) reconnect(from, to);
    }
  }
}

}  // namespace parley::simulation
