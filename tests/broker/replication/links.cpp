#include "tests/broker/replication/cluster.hpp"

namespace parley::replication::simulation {

using std::chrono::milliseconds;

void Cluster::send(Node& from, NodeId to, Packet packet) {
  const bool heartbeat = std::holds_alternative<Heartbeat>(packet);
  if (!heartbeat) ++counts_.messages;
  if (cut_links_[from.id.value][to.value]) return;
  if (troubled_ && trouble_.loss != 0 && dice_.one_in(trouble_.loss)) return;
  const bool twice = troubled_ && trouble_.duplication != 0 && dice_.one_in(trouble_.duplication);
  const Duration delay_max = troubled_ ? trouble_.delay_max : milliseconds(2);
  const auto shared = std::make_shared<const Packet>(std::move(packet));
  for (int copies = twice ? 2 : 1; copies > 0; --copies) {
    after(dice_.up_to(delay_max), [this, &receiver = node(to), &from, births = from.birth + node(to).birth, shared] {
      // Not bound to a life of the receiver: it may have been started again meanwhile.
      if (!receiver.up || from.birth + receiver.birth != births) return;
      const NodeId sender = from.id;
      if (receiver.paused_until <= now_) return deliver(receiver, sender, *shared);
      after(receiver.paused_until - now_, receiver,
            [this, &receiver, sender, shared] { deliver(receiver, sender, *shared); });
    });
  }
}

bool Cluster::admitted(const Node& from, const Node& to) const {
  return !to.parting.contains(from.id) && !from.parting.contains(to.id);
}

void Cluster::deliver(Node& to, NodeId from, const Packet& packet) {
  if (!admitted(node(from), to)) return;
  if (const auto* heartbeat = std::get_if<Heartbeat>(&packet)) {
    HealthActions actions;
    to.health->receive(from, *heartbeat, clock_of(to), actions);
    return carry_out(to, actions);
  }
  const auto& peer = std::get<PeerPacket>(packet);
  const std::size_t slot = peer.message.slot.value;
  Replica& replica = to.replicas[slot];
  if (replica.installing) return;
  if (std::holds_alternative<AppendEntries>(peer.message.body)) replica.dormant = false;
  if (replica.dormant) return;
  input(
      to, slot, [&](Slot& core, Actions& actions) { core.receive(from, peer.message, clock_of(to), actions); }, &peer);
}

/// At once, or later as when the records must be read from the disk first; in one piece or two, or not all of it.
void Cluster::send_append(Node& from, std::size_t slot, const SendAppend& append) {
  Replica& replica = from.replicas[slot];
  if (troubled_ && dice_.one_in(10)) {
    after(dice_.up_to(milliseconds(20)), from, [this, &from, slot, append] {
      const Replica& later = from.replicas[slot];
      const bool same = later.slot->role() == Role::Leader && later.slot->term() == append.term &&
                        append.first > later.log.base.index && append.last <= later.log.last();
      if (!same) return;
      const auto range = later.log.range(append.first, append.last);
      send(from, append.to,
           PeerPacket{part_of(append, append.first, append.last),
                      std::make_shared<const std::vector<Entry>>(range.begin(), range.end())});
    });
    return;
  }
  Index first = append.first;
  while (first <= append.last) {
    Index last = append.last;
    if (dice_.one_in(4)) last = {first.value + dice_.below(last.value - first.value + 1)};
    if (troubled_ && dice_.one_in(40)) {  // The link takes no more for now.
      replica.slot->append_unsent(append.to, first);
      after(dice_.up_to(milliseconds(50)), from, [this, &from, slot, to = append.to] {
        input(from, slot, [&](Slot& core, Actions& actions) { core.peer_writable(to, clock_of(from), actions); });
      });
      return;
    }
    const auto range = replica.log.range(first, last);
    send(from, append.to,
         PeerPacket{part_of(append, first, last),
                    std::make_shared<const std::vector<Entry>>(range.begin(), range.end())});
    first = last.next();
  }
}

void Cluster::send_snapshot(Node& from, std::size_t slot, NodeId to) {
  ++counts_.snapshots;
  const Replica& replica = from.replicas[slot];
  const Index upto = replica.slot->commit();
  Snapshot snapshot{.position = {replica.log.term_at(upto).value(), upto}, .replicas = replica.log.replicas};
  for (Index i = replica.log.base.index.next(); i <= upto; i = i.next()) {
    if (replica.log.at(i).replicas) snapshot.replicas = {i, *replica.log.at(i).replicas};
  }
  if (truths_[slot].at(upto).term != snapshot.position.term) breach("a snapshot of something that isn't committed");
  const bool lost = troubled_ && dice_.one_in(4);
  after(dice_.up_to(milliseconds(200)), from, [this, &from, slot, to, snapshot, lost] {
    if (!lost && !cut_links_[from.id.value][to.value] && admitted(from, node(to)))
      return install_snapshot(from, node(to), slot, snapshot);
    input(from, slot,
          [&](Slot& core, Actions& actions) { core.snapshot_sent(to, std::nullopt, clock_of(from), actions); });
  });
}

void Cluster::install_snapshot(Node& from, Node& to, std::size_t slot, const Snapshot& snapshot) {
  const bool ready = to.up && to.paused_until <= now_ && !to.replicas[slot].installing;
  if (ready) {
    to.replicas[slot].installing = true;
    to.replicas[slot].dormant = false;
    to.disk->hand({slot, SnapshotWrite{snapshot}});
    sync_later(to);
  }
  // The sender is told soon, when the receiver may not have finished yet, or not at all, or had no time.
  after(dice_.up_to(milliseconds(100)), from, [this, &from, slot, to = to.id, snapshot, ready] {
    std::optional<LogPosition> position;
    if (ready) position = snapshot.position;
    input(from, slot, [&](Slot& core, Actions& actions) { core.snapshot_sent(to, position, clock_of(from), actions); });
  });
}

}  // namespace parley::replication::simulation
