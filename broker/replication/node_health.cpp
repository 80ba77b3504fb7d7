#include "broker/replication/node_health.hpp"

#include <algorithm>
#include <utility>

namespace parley::replication {

void NodeHealth::add(NodeId node) { nodes_.try_emplace(node); }

void NodeHealth::remove(NodeId node, HealthActions& actions) {
  const auto found = nodes_.find(node);
  if (found == nodes_.end()) return;
  lose(node, found->second, actions);
  nodes_.erase(found);
}

void NodeHealth::set_leading(parley::Slot slot, Term term) {
  leading_[slot] = term;
  ++version_;
}

void NodeHealth::clear_leading(parley::Slot slot) {
  leading_.erase(slot);
  ++version_;
}

void NodeHealth::tick(Instant now, HealthActions& actions) {
  std::vector<Leading> list;
  list.reserve(leading_.size());
  for (const auto& [slot, term] : leading_) list.push_back({slot, term});
  for (auto& [id, node] : nodes_) {
    if (node.reachable && now - node.answered > options_.timeout) lose(id, node, actions);
    Heartbeat heartbeat{.incarnation = incarnation_,
                        .sent = stamp(now),
                        .peer_incarnation = node.incarnation,
                        .echo = node.sent,
                        .version = version_,
                        .peer_version = node.version_seen};
    if (node.version_there != version_) heartbeat.leading = list;
    actions.push_back(SendHeartbeat{id, std::move(heartbeat)});
  }
}

void NodeHealth::receive(NodeId from, const Heartbeat& heartbeat, Instant now, HealthActions& actions) {
  const auto found = nodes_.find(from);
  if (found == nodes_.end() || heartbeat.incarnation < found->second.incarnation) return;
  Node& node = found->second;
  if (heartbeat.incarnation > node.incarnation) {
    lose(from, node, actions);
    node = {.incarnation = heartbeat.incarnation};
  } else if (heartbeat.sent <= node.sent) {
    return;  // Doubled, or overtaken by a later one.
  }
  node.sent = heartbeat.sent;
  if (heartbeat.peer_incarnation == incarnation_ && heartbeat.echo <= stamp(now)) {
    node.answered = std::max(node.answered, Instant(Duration(static_cast<std::int64_t>(heartbeat.echo))));
    node.version_there = heartbeat.peer_version;
    if (!node.reachable && now - node.answered <= options_.timeout) {
      node.reachable = true;
      actions.push_back(NodeReachable{from});
    }
  }
  // Who isn't reachable can't be lost again, so nobody shall trust it as a leader.
  if (node.reachable && heartbeat.leading && heartbeat.version > node.version_seen) {
    node.version_seen = heartbeat.version;
    actions.push_back(NodeLeads{from, *heartbeat.leading});
  }
}

bool NodeHealth::reachable(NodeId node) const {
  const auto found = nodes_.find(node);
  return found != nodes_.end() && found->second.reachable;
}

/// Its list counts for nothing any more, and is asked for again.
void NodeHealth::lose(NodeId id, Node& node, HealthActions& actions) {
  node.version_seen = 0;
  if (!std::exchange(node.reachable, false)) return;
  actions.push_back(NodeUnreachable{id});
}

}  // namespace parley::replication
