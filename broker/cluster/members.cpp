#include "broker/cluster/members.hpp"

#include <algorithm>
#include <utility>

namespace parley::cluster {
namespace {

constexpr std::string_view kUnknownHost = "?";

}  // namespace

Members::Members(NodeFile file, Instant now) : file_(std::move(file)), self_(node_id(file_.node)) {
  for (const auto& [id, known] : file_.peers) {
    Member& member = find_or_add(id, known, now);
    if (known.host == kUnknownHost) member.known.host.clear();
  }
}

void Members::leases(const std::map<NodeId, NodeLease>& alive, Instant now) {
  for (auto& [id, member] : peers_) member.has_lease = alive.contains(id);
  for (const auto& [id, lease] : alive) {
    if (id == self_ || !is_host(lease.host) || node_id(lease.name) != id) continue;
    Member& member = find_or_add(id, {.name = lease.name, .host = {}, .port = 0, .birth = 0}, now);
    member.has_lease = true;
    if (member.known.host == lease.host && member.known.port == lease.port) continue;
    member.known.host = lease.host;
    member.known.port = lease.port;
    addresses_changed_ = true;
    keep(id, member);
  }
}

void Members::connected(const RemoteNode& peer, Instant now) {
  Member& member = find_or_add(peer.id, {.name = peer.name, .host = {}, .port = 0, .birth = 0}, now);
  if (member.known.birth == peer.birth && member.known.name == peer.name) return;
  member.known.name = peer.name;
  member.known.birth = peer.birth;
  keep(peer.id, member);
}

void Members::told(NodeId peer, const PeerAddress& address, bool draining) {
  const auto found = peers_.find(peer);
  if (found == peers_.end()) return;
  Member& member = found->second;
  member.draining = draining;
  if (address.host.empty() || (member.known.host == address.host && member.known.port == address.port)) return;
  member.known.host = address.host;
  member.known.port = address.port;
  addresses_changed_ = true;
  keep(peer, member);
}

void Members::told(NodeId peer, const ClientsNotice& notice) {
  const auto found = peers_.find(peer);
  if (found == peers_.end()) return;
  found->second.leaving = notice.leaving;
  found->second.client_address = notice.address;
}

void Members::told(NodeId peer, const PinsNotice& notice) {
  const auto found = peers_.find(peer);
  if (found == peers_.end()) return;
  found->second.pins = notice.pins;
  for (const auto& [slot, stamp] : notice.pins) {
    const auto own = file_.pins.find(slot);
    if (own == file_.pins.end() || std::pair(own->second, self_) > std::pair(stamp, peer)) continue;
    file_.pins.erase(own);
    file_changed_ = true;
  }
}

void Members::set_pin(Slot slot, std::optional<std::uint64_t> stamp) {
  if (stamp) {
    file_.pins[slot] = *stamp;
  } else {
    file_.pins.erase(slot);
  }
  file_changed_ = true;
}

std::uint64_t Members::next_stamp(Slot slot, std::uint64_t now) const {
  std::uint64_t stamp = now;
  const auto behind = [&stamp, slot](const std::map<Slot, std::uint64_t>& pins) {
    if (const auto pin = pins.find(slot); pin != pins.end()) stamp = std::max(stamp, pin->second + 1);
  };
  behind(file_.pins);
  for (const auto& [id, member] : peers_) behind(member.pins);
  return stamp;
}

void Members::reachable(NodeId peer, bool is, Instant now) {
  const auto found = peers_.find(peer);
  if (found == peers_.end() || found->second.reachable == is) return;
  found->second.reachable = is;
  found->second.since = now;
}

void Members::set_draining(bool draining) {
  if (std::exchange(file_.draining, draining) != draining) file_changed_ = true;
}

bool Members::remove(NodeId peer) {
  const auto found = peers_.find(peer);
  if (found == peers_.end()) return false;
  if (found->second.known.birth != 0) file_.removed.insert(found->second.known.birth);
  peers_.erase(found);
  file_.parting.insert(peer);
  file_.peers.erase(peer);
  file_changed_ = true;
  addresses_changed_ = true;
  return true;
}

void Members::removed(std::uint64_t birth) {
  if (birth == file_.birth || !file_.removed.insert(birth).second) return;
  file_changed_ = true;
  const auto found =
      std::ranges::find_if(peers_, [birth](const auto& peer) { return peer.second.known.birth == birth; });
  if (found != peers_.end()) remove(found->first);
}

void Members::replicas(const std::set<NodeId>& nodes) {
  const auto gone = std::erase_if(file_.parting, [&nodes](NodeId node) { return !nodes.contains(node); });
  if (gone != 0) file_changed_ = true;
}

std::vector<NodeView> Members::views(Instant now) const {
  std::vector<NodeView> views{{.node = self_,
                               .reachable = true,
                               .since = Duration::max(),
                               .draining = file_.draining,
                               .leaving = leaving(),
                               .pins = file_.pins}};
  for (const auto& [id, member] : peers_) {
    if (member.known.birth == 0) continue;
    views.push_back({.node = id,
                     .reachable = member.reachable,
                     .since = now - member.since,
                     .draining = member.draining,
                     .leaving = member.leaving,
                     .pins = member.pins});
  }
  return views;
}

std::map<NodeId, PeerAddress> Members::addresses() const {
  std::map<NodeId, PeerAddress> addresses;
  for (const auto& [id, member] : peers_) {
    if (!member.known.host.empty()) addresses[id] = {.host = member.known.host, .port = member.known.port};
  }
  return addresses;
}

std::optional<HandshakeRefusal> Members::refusal(const RemoteNode& peer) const {
  const std::string name = "'" + peer.name + "'";
  if (file_.removed.contains(peer.birth)) {
    return HandshakeRefusal{
        .code = RefuseCode::Removed,
        .sentence = "node " + name + " was removed from the cluster; with an empty data directory it may join again"};
  }
  if (file_.parting.contains(peer.id)) {
    return HandshakeRefusal{.code = RefuseCode::Removed,
                            .sentence = "node " + name + " was removed from the cluster and may join again once '" +
                                        file_.node + "' has taken it out of all slots"};
  }
  const auto known = peers_.find(peer.id);
  if (known == peers_.end() || known->second.known.birth == 0 || known->second.known.birth == peer.birth) {
    return std::nullopt;
  }
  return HandshakeRefusal{.code = RefuseCode::LostDirectory,
                          .sentence = "node " + name + " has another data directory than it had in '" + file_.node +
                                      "''s memory: give it back its own, or take the node out first (parleyctl nodes "
                                      "remove " +
                                      peer.name + ")"};
}

Members::Member& Members::find_or_add(NodeId node, const KnownNode& known, Instant now) {
  return peers_
      .try_emplace(node, Member{.known = known,
                                .reachable = false,
                                .since = now,
                                .draining = false,
                                .has_lease = false,
                                .leaving = false,
                                .client_address = {},
                                .pins = {}})
      .first->second;
}

/// The file has those that have proved themselves.
void Members::keep(NodeId node, const Member& member) {
  if (member.known.birth == 0) return;
  KnownNode& kept = file_.peers[node];
  KnownNode known = member.known;
  if (known.host.empty()) known.host = kUnknownHost;  // It dials.
  if (kept == known) return;
  kept = std::move(known);
  file_changed_ = true;
}

}  // namespace parley::cluster
