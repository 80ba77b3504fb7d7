#include "broker/shard/node_links.hpp"

#include <algorithm>
#include <utility>

#include "base/log.hpp"

namespace parley::shard {

bool NodeLinks::connected(NodeId node) const {
  const auto found = links_.find(node);
  return found != links_.end() && found->second.connected;
}

bool NodeLinks::all_speak(std::uint16_t version) const {
  if (nodes_.peer(nodes_.self()).version < version) return false;
  return std::ranges::all_of(links_, [&](const auto& link) {
    const std::uint16_t spoken = nodes_.peer(link.first).version;
    return spoken == 0 || spoken >= version;
  });
}

bool NodeLinks::writable(NodeId node, NodeChannel channel) const {
  const auto found = links_.find(node);
  return found != links_.end() && found->second.connected && !found->second.queues.at(std::size_t(channel)).full;
}

bool NodeLinks::try_send(NodeId node, NodeChannel channel, std::string message) {
  if (!writable(node, channel)) return false;
  Queue& queue = links_[node].queues.at(std::size_t(channel));
  queue.full = !nodes_.send(node, channel, std::move(message));
  return !queue.full;
}

void NodeLinks::send(NodeId node, NodeChannel channel, std::string message) {
  const auto found = links_.find(node);
  if (found == links_.end() || !found->second.connected) return;
  Queue& queue = found->second.queues.at(std::size_t(channel));
  if (!queue.full && nodes_.send(node, channel, message)) return;
  queue.full = true;
  if (!queue.messages.empty() && queue.bytes + message.size() > kQueuedBytesMax) {
    log::warn("a node takes no more messages, connecting anew", {{"node", node}, {"channel", std::uint64_t(channel)}});
    found->second = {};
    nodes_.drop(node);
    return;
  }
  queue.bytes += message.size();
  queue.messages.push_back(std::move(message));
}

bool NodeLinks::takes(NodeId node, std::size_t size) const {
  const std::size_t most = nodes_.peer(node).message_max;
  return most == 0 || size <= most;
}

void NodeLinks::node_connected(NodeId node) {
  Link& link = links_[node];
  link = {};
  link.connected = true;
  message_max_ = std::numeric_limits<std::size_t>::max();
  for (const auto& [id, one] : links_) {
    if (const std::size_t most = nodes_.peer(id).message_max; most != 0) message_max_ = std::min(message_max_, most);
  }
}

void NodeLinks::node_unreachable(NodeId node) {
  if (const auto found = links_.find(node); found != links_.end()) found->second = {};
}

bool NodeLinks::node_writable(NodeId node, NodeChannel channel) {
  const auto found = links_.find(node);
  if (found == links_.end() || !found->second.connected) return false;
  Queue& queue = found->second.queues.at(std::size_t(channel));
  queue.full = false;
  while (!queue.messages.empty()) {
    if (!nodes_.send(node, channel, queue.messages.front())) {
      queue.full = true;
      return false;
    }
    queue.bytes -= queue.messages.front().size();
    queue.messages.pop_front();
  }
  return true;
}

}  // namespace parley::shard
