#include "broker/cluster/shard_letters.hpp"

#include <optional>

namespace parley::cluster {

void MessagesLetter::deliver(shard::PeerNodesEvents& events) {
  const auto channel = static_cast<shard::NodeChannel>(delivery_->channel);
  for (const Message& message : messages_) {
    events.node_message(delivery_->peer, channel, delivery_->message(message.place).substr(message.begin));
  }
}

void NodeEventLetter::deliver(shard::PeerNodesEvents& events) {
  switch (event_) {
    case NodeEvent::Connected: events.node_connected(node_); return;
    case NodeEvent::Reachable: events.node_reachable(node_); return;
    case NodeEvent::Unreachable: events.node_unreachable(node_); return;
  }
}

void LeadsLetter::deliver(shard::PeerNodesEvents& events) {
  auto next = leading_->begin();
  for (std::uint64_t slot = first_; slot < slots_; slot += step_) {
    while (next != leading_->end() && next->slot.value < slot) ++next;
    const bool leads = next != leading_->end() && next->slot.value == slot;
    events.node_leads(node_, Slot{slot}, leads ? std::optional(next->term) : std::nullopt);
  }
}

}  // namespace parley::cluster
