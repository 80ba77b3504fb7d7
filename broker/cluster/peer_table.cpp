#include "broker/cluster/peer_table.hpp"

namespace parley::cluster {

Peer* PeerTable::find(NodeId id) {
  const auto found = peers_.find(id);
  return found == peers_.end() ? nullptr : found->second.get();
}

Peer* PeerTable::find_or_add(NodeId id, const asio::any_io_executor& executor) {
  if (Peer* known = find(id)) return known;
  if (peers_.size() >= kPeersMax) return nullptr;
  auto port = std::make_shared<PeerPort>(options_, [wake = &wake_, id] { (*wake)(id); });
  {
    const std::lock_guard lock(mutex_);
    ports_.emplace(id, port);
  }
  return peers_.emplace(id, std::make_unique<Peer>(id, executor, std::move(port))).first->second.get();
}

std::shared_ptr<PeerPort> PeerTable::port(NodeId id) const {
  const std::lock_guard lock(mutex_);
  const auto found = ports_.find(id);
  return found == ports_.end() ? nullptr : found->second;
}

std::map<NodeId, LinkCounters> PeerTable::counters() const {
  std::map<NodeId, LinkCounters> all;
  const std::lock_guard lock(mutex_);
  for (const auto& [id, port] : ports_) {
    const LinkStatistics& statistics = port->statistics;
    all[id] = {.bytes_in = statistics.bytes_in.load(std::memory_order_relaxed),
               .bytes_out = statistics.bytes_out.load(std::memory_order_relaxed),
               .frames_in = statistics.frames_in.load(std::memory_order_relaxed),
               .frames_out = statistics.frames_out.load(std::memory_order_relaxed),
               .connects = statistics.connects.load(std::memory_order_relaxed),
               .refusals = statistics.refusals.load(std::memory_order_relaxed),
               .round_trip = Duration(statistics.round_trip_ns.load(std::memory_order_relaxed)),
               .buffered = port->outbox.buffered(),
               .connected = statistics.connected.load(std::memory_order_relaxed)};
  }
  return all;
}

}  // namespace parley::cluster
