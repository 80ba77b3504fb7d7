#include "broker/shard/shard.hpp"

/// What a shard hears of other nodes, handed to whom it concerns.
namespace parley::shard {

void Shard::node_reachable(NodeId node) { replicas_.node_reachable(node); }

void Shard::node_unreachable(NodeId node) { replicas_.node_unreachable(node); }

void Shard::node_leads(NodeId node, Slot slot, std::optional<Term> term) { replicas_.node_leads(node, slot, term); }

void Shard::node_connected(NodeId node) { replicas_.node_connected(node); }

void Shard::node_writable(NodeId node, NodeChannel channel) { replicas_.node_writable(node, channel); }

void Shard::node_message(NodeId from, NodeChannel channel, std::string_view message) {
  if (channel == NodeChannel::Replication || channel == NodeChannel::Votes) replicas_.node_message(from, message);
}

}  // namespace parley::shard
