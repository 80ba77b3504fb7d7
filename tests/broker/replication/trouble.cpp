#include <algorithm>

#include "tests/broker/replication/cluster.hpp"

namespace parley::replication::simulation {

using std::chrono::milliseconds;

Trouble Cluster::draw(Dice& dice) {
  const auto odds = [&dice] { return dice.one_in(2) ? 3 + dice.below(60) : 0; };
  const auto maybe = [&dice] { return dice.one_in(2); };
  static constexpr std::size_t kNodes[] = {1, 3, 3, 3, 5, 5};
  static constexpr std::int64_t kDelays[] = {1, 5, 50, 400};
  return {.nodes = kNodes[dice.below(std::size(kNodes))],
          .slots = 1 + dice.below(4),
          .loss = odds(),
          .duplication = odds(),
          .delay_max = milliseconds(kDelays[dice.below(std::size(kDelays))]),
          .hasty = maybe(),
          .crashes = maybe(),
          .leaders_fall = maybe(),
          .pauses = maybe(),
          .partitions = maybe(),
          .full_disks = maybe(),
          .slow_disks = maybe(),
          .skewed_clocks = maybe(),
          .replica_changes = maybe(),
          .transfers = maybe(),
          .cuts = maybe(),
          .losses = dice.one_in(4),
          .replacements = dice.one_in(4)};
}

void Cluster::trouble() {
  if (!troubled_) return;
  after(dice_.up_to(milliseconds(250)), [this] { trouble(); });
  cause(dice_.below(16));
}

void Cluster::cause(std::uint64_t kind) {
  Node& node = some_node();
  const std::size_t slot = dice_.below(trouble_.slots);
  const bool works = node.up && node.paused_until <= now_;
  switch (kind) {
    case 0:
      if (trouble_.crashes && node.up) crash_for_a_while(node);
      return;
    case 1:
      if (trouble_.pauses) node.paused_until = now_ + dice_.up_to(milliseconds(1'500));
      return;
    case 2:  // One way, one link.
      if (trouble_.partitions) cut_links_[node.id.value][some_node().id.value] = true;
      return;
    case 3:  // A node alone.
      for (const Node& other : nodes_) {
        if (!trouble_.partitions) return;
        cut_links_[node.id.value][other.id.value] = cut_links_[other.id.value][node.id.value] = true;
      }
      return;
    case 4:
      for (auto& row : cut_links_) std::fill(row.begin(), row.end(), false);
      return;
    case 5: node.full = trouble_.full_disks && !node.full; return;
    case 6: node.sync_max = milliseconds(trouble_.slow_disks && dice_.one_in(2) ? 800 : 4); return;
    case 7:
      if (trouble_.skewed_clocks) node.clock_offset += dice_.up_to(milliseconds(3'000));
      return;
    case 8:
    case 9: return trouble_.transfers ? transfer() : void();
    case 10:
      if (works) input(node, slot, [&](Slot& core, Actions& actions) { core.stand(clock_of(node), actions); });
      return;
    case 11:
    case 12:
      if (trouble_.cuts && works) cut_logs(node);
      return;
    default:
      if (trouble_.replica_changes) change_replicas();
      return put_away_removed();
  }
}

bool Cluster::others_are_whole(const Node& node) const {
  return std::ranges::all_of(nodes_, [&](const Node& other) {
    for (std::size_t slot = 0; slot < trouble_.slots; ++slot) {
      if (&other != &node && !std::as_const(*other.disk).slot(slot).whole()) return false;
    }
    return true;
  });
}

/// As long as each slot has a majority that has lost nothing, or somebody left who may get everybody's vote.
bool Cluster::may_lose_logs(const Node& node) const {
  if (somebody_parts()) return false;
  const bool alone = others_are_whole(node);
  for (std::size_t slot = 0; slot < trouble_.slots; ++slot) {
    LogPosition best;
    LogPosition needed;
    for (const Node& other : nodes_) {
      const StoredSlot& stored = std::as_const(*other.disk).slot(slot);
      const bool stays = &other != &node && stored.whole();
      const bool votes = other.replicas[slot].slot->replicas().has_voter(other.id);
      if (!stays) needed = std::max(needed, stored.remembered());
      // Where nothing was written yet there is no end to be remembered.
      const LogPosition end = stored.whole() ? stored.remembered() : stored.lost_upto;
      if (!alone && !stays && end == LogPosition{}) return false;
      if (stays && votes) best = std::max(best, stored.remembered());
      for (const Log* log : {&stored.log, &other.replicas[slot].log}) {
        if (log->smallest_set_with(node.id) < 3) return false;
      }
    }
    if (!alone && best < needed) return false;
  }
  return true;
}

void Cluster::lose_logs(Node& node) {
  if (!may_lose_logs(node)) return;
  const bool alone = others_are_whole(node);
  ++(alone ? counts_.losses : counts_.double_losses);
  // Who asks for too much gives no vote, without which two aren't enough.
  node.disk->lose_logs(alone && dice_.one_in(3));
}

/// One node, as an operator would: the others remember, and aren't waiting for another one. Not a second one: the first
/// replica set is in no log here, so who was added since knows it from nobody but those who were there.
bool Cluster::may_replace(const Node& node) const {
  constexpr std::size_t kVotersMin = 3;
  constexpr std::size_t kVotersMax = 4;  // Of five, two who don't know that it was taken out could elect with its vote.
  if (counts_.replacements > 0 || somebody_parts()) return false;
  for (std::size_t slot = 0; slot < trouble_.slots; ++slot) {
    for (const Node& other : nodes_) {
      const StoredSlot& stored = std::as_const(*other.disk).slot(slot);
      if (!stored.whole()) return false;
      for (const Log* log : std::initializer_list<const Log*>{&stored.log, &other.replicas[slot].log}) {
        if (log->smallest_set_with(node.id) < kVotersMin || log->largest_set_with(node.id) > kVotersMax) return false;
      }
    }
  }
  return true;
}

void Cluster::replace(Node& node) {
  if (!may_replace(node)) return;
  ++counts_.replacements;
  node.disk->replace();
  ++node.birth;
  node.parting.clear();
  for (Node& other : nodes_) {
    if (other.id != node.id) other.parting.insert(node.id);
  }
}

bool Cluster::somebody_parts() const {
  return std::ranges::any_of(nodes_, [](const Node& node) { return !node.parting.empty(); });
}

/// Takes nodes that were removed out of the slots that it leads, and lets them in once no slot counts on them as far as
/// it can say: counted_on in broker/cluster/placement_pass.hpp.
void Cluster::let_go(Node& node) {
  if (node.parting.empty()) return;
  bool may_say = true;
  std::set<NodeId> counted;
  for (std::size_t slot = 0; slot < trouble_.slots && node.up; ++slot) {
    const Slot& core = *node.replicas[slot].slot;
    const ReplicaSet set = core.replicas();
    if (core.role() != Role::Leader) {
      const bool led = core.leader() != NodeId{} && !node.parting.contains(core.leader());
      may_say = may_say && (led || !set.has_voter(node.id));
      continue;
    }
    may_say = may_say && core.replicas_committed();
    counted.insert(set.voters.begin(), set.voters.end());
    counted.insert(set.learners.begin(), set.learners.end());
    for (const NodeId gone : node.parting) {
      if (!set.has(gone)) continue;
      input(node, slot, [&](Slot& leader, Actions& actions) {
        propose(node, slot, {ReplicaChange::Kind::Remove, gone}, leader, actions);
        leader.replicate(clock_of(node), actions);
      });
    }
  }
  if (may_say) std::erase_if(node.parting, [&counted](NodeId gone) { return !counted.contains(gone); });
}

/// A leader's first entries stay with it; or it crashes when it has just said something. Raft figure 8.
void Cluster::fall(Node& leader) {
  if (dice_.one_in(2)) {
    const Duration soon = dice_.up_to(milliseconds(dice_.one_in(2) ? 10 : 100));
    return after(soon, leader, [this, &leader] {
      if (troubled_) crash_for_a_while(leader);
    });
  }
  if (dice_.one_in(2)) return;
  auto& links = cut_links_[leader.id.value];
  std::fill(links.begin(), links.end(), true);
  after(dice_.up_to(milliseconds(400)), [&links] { std::fill(links.begin(), links.end(), false); });
}

void Cluster::transfer() {
  const std::size_t slot = dice_.below(trouble_.slots);
  Node* leader = leader_of(slot);
  if (leader == nullptr || leader->paused_until > now_) return;
  input(*leader, slot, [&](Slot& core, Actions& actions) {
    if (core.transfer_to(some_node().id, clock_of(*leader), actions)) ++counts_.transfers;
  });
}

void Cluster::change_replicas() {
  if (somebody_parts()) return;
  // A slot of two voters, one of which gives no vote, may find no leader.
  for (const Node& node : nodes_) {
    for (std::size_t slot = 0; slot < trouble_.slots; ++slot) {
      if (!node.disk->slot(slot).whole()) return;
    }
  }
  const std::size_t slot = dice_.below(trouble_.slots);
  Node* leader = leader_of(slot);
  if (leader == nullptr || leader->paused_until > now_) return;
  input(*leader, slot, [&](Slot& core, Actions& actions) {
    // Now and then two at once: only one may be taken.
    for (std::uint64_t tries = 1 + dice_.below(4); tries > 0; --tries) {
      const ReplicaChange change{.kind = static_cast<ReplicaChange::Kind>(dice_.below(4)), .node = some_node().id};
      propose(*leader, slot, change, core, actions);
    }
    core.replicate(clock_of(*leader), actions);
  });
}

void Cluster::propose(Node& leader, std::size_t slot, const ReplicaChange& change, Slot& core, Actions& actions) {
  const auto place = core.propose_replicas(change, actions);
  if (!place) return;
  ++counts_.replica_changes;
  hand_to_disk(leader, slot, place->index,
               {Entry{place->term, ++payload_, std::make_shared<const ReplicaSet>(core.replicas())}});
}

/// Below what is committed and materialised.
void Cluster::cut_logs(Node& node) {
  for (std::size_t slot = 0; slot < trouble_.slots; ++slot) {
    StoredSlot& stored = node.disk->slot(slot);
    Replica& replica = node.replicas[slot];
    const std::uint64_t base = stored.log.base.index.value;
    if (stored.commit.value <= base || replica.installing || stored.commit > replica.told) continue;
    const Index upto{base + 1 + dice_.below(stored.commit.value - base)};
    stored.log.cut(upto);
    replica.log.cut(upto);
    replica.slot->cut(upto);
    check(node, slot);
  }
}

/// Nodes that are no replicas any more are told so by whoever places slots.
void Cluster::put_away_removed() {
  for (std::size_t slot = 0; slot < trouble_.slots; ++slot) {
    const Node* leader = leader_of(slot);
    if (leader == nullptr) continue;
    const Slot& core = *leader->replicas[slot].slot;
    if (!core.replicas_committed() || core.terms().term_at(core.commit()) != core.term()) continue;
    for (Node& node : nodes_) {
      if (!core.replicas().has(node.id)) node.replicas[slot].dormant = true;
    }
  }
}

void Cluster::heal() {
  troubled_ = false;
  for (auto& row : cut_links_) std::fill(row.begin(), row.end(), false);
  for (Node& node : nodes_) {
    node.full = false;
    node.sync_max = milliseconds(4);
    node.paused_until = {};
    if (!node.up) start(node);
  }
}

/// The one with the highest term.
Cluster::Node* Cluster::leader_of(std::size_t slot) {
  Node* leader = nullptr;
  for (Node& node : nodes_) {
    if (!node.up || node.replicas[slot].slot->role() != Role::Leader) continue;
    if (leader == nullptr || node.replicas[slot].slot->term() > leader->replicas[slot].slot->term()) leader = &node;
  }
  return leader;
}

/// Each slot has a leader, and its replicas have, and know as committed, everything.
bool Cluster::settled() {
  put_away_removed();
  if (somebody_parts()) return false;
  for (std::size_t slot = 0; slot < trouble_.slots; ++slot) {
    Node* leader = leader_of(slot);
    if (leader == nullptr) return false;
    const Slot& core = *leader->replicas[slot].slot;
    if (core.last().term != core.term()) return false;
    for (Node& node : nodes_) {
      const Slot& other = *node.replicas[slot].slot;
      if (!core.replicas().has(node.id)) continue;
      if (other.commit() != core.last().index || other.leader() != leader->id) return false;
      if (other.lost_before() != Term{}) return false;
    }
  }
  return true;
}

}  // namespace parley::replication::simulation
