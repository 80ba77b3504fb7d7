#include "tests/broker/replication/cluster.hpp"

#include <algorithm>

namespace parley::replication::simulation {

using std::chrono::milliseconds;

Cluster::Cluster(std::uint64_t seed) : dice_(seed), trouble_(draw(dice_)), truths_(trouble_.slots) {
  if (dice_.one_in(2)) {  // Small limits are reached soon.
    options_.entries_per_append = 1 + dice_.below(4);
    options_.entries_in_flight = 1 + dice_.below(16);
  }
  if (trouble_.hasty) {
    options_.election_timeout = options_.election_spread = options_.retry_interval = milliseconds(60);
    heartbeats_.timeout = milliseconds(350);
  }
  const std::size_t count = trouble_.nodes;
  cut_links_.assign(count + 1, std::vector<bool>(count + 1));
  nodes_.resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    Node& node = nodes_[i];
    node.id = {i + 1};
    node.disk = std::make_unique<Disk>(dice_, trouble_.slots);
    node.replicas.resize(trouble_.slots);
    if (trouble_.skewed_clocks) node.rate = static_cast<std::int64_t>(900 + dice_.below(200));
    node.clock_offset = dice_.up_to(std::chrono::hours(10));
    for (std::size_t slot = 0; slot < trouble_.slots; ++slot) {
      ReplicaSet set;
      for (std::size_t voter = 0; voter < (count == 5 ? 3 : count); ++voter) set.voters.push_back({voter + 1});
      if (trouble_.nodes != 5 || set.has(node.id)) node.disk->slot(slot).log.replicas.set = set;
    }
  }
  for (Node& node : nodes_) start(node);
}

const std::string& Cluster::breach() const {
  for (const Truth& truth : truths_) {
    if (!truth.breach().empty()) return truth.breach();
  }
  return breach_;
}

void Cluster::breach(std::string what) {
  if (breach_.empty()) breach_ = std::move(what);
}

// -- Time

void Cluster::after(Duration wait, std::function<void()> happen) {
  events_.push({now_ + wait, order_++, std::move(happen)});
}

void Cluster::after(Duration wait, Node& node, std::function<void()> happen) {
  after(wait, [this, &node, life = node.life, happen = std::move(happen)]() mutable {
    if (!node.up || node.life != life) return;
    if (node.paused_until > now_) return after(node.paused_until - now_, node, std::move(happen));
    happen();
  });
}

void Cluster::run_until(Instant end) {
  while (!events_.empty() && events_.top().at <= end && breach().empty()) {
    const Event event = events_.top();
    events_.pop();
    now_ = event.at;
    note(static_cast<std::uint64_t>(now_.time_since_epoch().count()));
    event.happen();
  }
  now_ = std::max(now_, end);
}

Instant Cluster::clock_of(const Node& node) const {
  return Instant(now_.time_since_epoch() / 1'000 * node.rate + node.clock_offset);
}

// -- Nodes

void Cluster::start(Node& node) {
  node.up = true;
  ++node.life;
  node.syncing = false;
  node.health = std::make_unique<NodeHealth>(node.life, heartbeats_);
  for (const Node& other : nodes_) {
    if (other.id != node.id) node.health->add(other.id);
  }
  for (std::size_t slot = 0; slot < trouble_.slots; ++slot) {
    Replica& replica = node.replicas[slot];
    const StoredSlot& stored = node.disk->slot(slot);
    replica.log = stored.log;
    replica.installing = replica.dormant = false;
    const SlotState state = stored.state();
    replica.slot = std::make_unique<Slot>(parley::Slot{slot}, node.id, options_, state, dice_.next(), clock_of(node));
    replica.told = replica.slot->commit();
  }
  after(dice_.up_to(milliseconds(25)), node, [this, &node] { tick(node); });
}

void Cluster::crash(Node& node) {
  ++counts_.crashes;
  node.up = false;
  node.disk->crash();
  node.paused_until = {};
}

void Cluster::crash_for_a_while(Node& node) {
  crash(node);
  if (trouble_.losses && troubled_ && dice_.one_in(2)) lose_logs(node);
  if (trouble_.replacements && troubled_ && dice_.one_in(2)) replace(node);
  after(dice_.up_to(milliseconds(trouble_.hasty ? 300 : 1'500)), [this, &node] {
    if (!node.up) start(node);
  });
}

void Cluster::tick(Node& node) {
  after(milliseconds(25), node, [this, &node] { tick(node); });
  HealthActions health;
  // Heartbeats every fourth time.
  if ((now_.time_since_epoch() / milliseconds(25) + static_cast<std::int64_t>(node.id.value)) % 4 == 0) {
    node.health->tick(clock_of(node), health);
    carry_out(node, health);
  }
  for (std::size_t slot = 0; slot < trouble_.slots && node.up; ++slot) {
    const Replica& replica = node.replicas[slot];
    if (replica.dormant || replica.installing || replica.slot->deadline() > clock_of(node)) continue;
    input(node, slot, [&](Slot& core, Actions& actions) { core.tick(clock_of(node), actions); });
  }
  if (node.up) let_go(node);
}

// -- What a shell does

void Cluster::carry_out(Node& node, std::size_t slot, const Actions& actions, const PeerPacket* received) {
  for (const Action& action : actions) {
    if (troubled_ && trouble_.crashes && dice_.one_in(5'000)) {
      return crash_for_a_while(node);
    }
    note(action.index());
    carry_out(node, slot, action, received);
  }
}

void Cluster::carry_out(Node& node, std::size_t slot, const Action& action, const PeerPacket* received) {
  Replica& replica = node.replicas[slot];
  if (const auto* hard = std::get_if<PersistHardState>(&action)) {
    node.disk->hand({slot, HardStateWrite{hard->state}});
    sync_later(node);
  } else if (const auto* message = std::get_if<Send>(&action)) {
    check_send(node, slot, *message);
    send(node, message->to, PeerPacket{message->message, nullptr});
  } else if (const auto* append = std::get_if<SendAppend>(&action)) {
    send_append(node, slot, *append);
  } else if (const auto* truncate = std::get_if<Truncate>(&action)) {
    ++counts_.truncations;
    if (truncate->from <= replica.told) breach(name(node.id) + " truncates what it said to be committed");
    if (replica.slot->role() == Role::Leader) {
      if (received != nullptr) breach("a leader truncates its log");
      truths_[slot].forgotten(replica.log, truncate->from);
    }
    replica.log.truncate_after({truncate->from.value - 1});
  } else if (const auto* taken = std::get_if<Append>(&action)) {
    const auto& append_entries = std::get<AppendEntries>(received->message.body);
    const std::size_t skip = taken->first.value - append_entries.prev.index.value - 1;
    const auto begin = received->entries->begin() + static_cast<std::ptrdiff_t>(skip);
    hand_to_disk(node, slot, taken->first, {begin, received->entries->end()});
  } else if (const auto* committed = std::get_if<Committed>(&action)) {
    check_committed(node, slot, committed->upto);
    replica.told = committed->upto;
    if (dice_.one_in(4)) node.disk->slot(slot).commit = committed->upto;
  } else if (const auto* elected = std::get_if<BecameLeader>(&action)) {
    ++counts_.elections;
    node.health->set_leading({slot}, elected->term);
    truths_[slot].elected(node.id, elected->term, replica.log);
    hand_to_disk(node, slot, elected->no_op, {Entry{elected->term, ++payload_, nullptr}});
    if (trouble_.leaders_fall && troubled_) fall(node);
  } else if (std::holds_alternative<SteppedDown>(action)) {
    node.health->clear_leading({slot});
  } else if (const auto* snapshot = std::get_if<NeedSnapshot>(&action)) {
    send_snapshot(node, slot, snapshot->to);
  } else if (const auto* diverged = std::get_if<Diverged>(&action)) {
    breach(name(node.id) + " finds that " + name(diverged->from) + " contradicts what is committed");
  }
}

void Cluster::carry_out(Node& node, const HealthActions& actions) {
  for (const HealthAction& action : actions) {
    if (!node.up) return;
    if (const auto* heartbeat = std::get_if<SendHeartbeat>(&action)) {
      send(node, heartbeat->to, heartbeat->heartbeat);
      continue;
    }
    for (std::size_t slot = 0; slot < trouble_.slots && node.up; ++slot) {
      input(node, slot, [&](Slot& core, Actions& out) {
        const Instant now = clock_of(node);
        if (const auto* there = std::get_if<NodeReachable>(&action)) core.peer_reachable(there->node, now, out);
        if (const auto* gone = std::get_if<NodeUnreachable>(&action)) core.peer_unreachable(gone->node, now, out);
        if (const auto* leads = std::get_if<NodeLeads>(&action)) {
          const auto found = std::ranges::find(leads->slots, parley::Slot{slot}, &Leading::slot);
          std::optional<Term> term;
          if (found != leads->slots.end()) term = found->term;
          core.leadership(leads->node, term, now, out);
        }
      });
    }
  }
}

void Cluster::hand_to_disk(Node& node, std::size_t slot, Index first, std::vector<Entry> entries) {
  Replica& replica = node.replicas[slot];
  if (!replica.log.write(first, entries)) return breach(name(node.id) + " appends behind a hole");
  truths_[slot].written(node.id, replica.log, std::max(first, replica.log.base.index.next()));
  node.disk->hand({slot, AppendWrite{replica.slot->generation(), first, std::move(entries)}});
  sync_later(node);
}

void Cluster::sync_later(Node& node) {
  if (node.syncing) return;
  node.syncing = true;
  after(dice_.up_to(node.sync_max), node, [this, &node] {
    node.syncing = false;
    node.disk->sync(node.full);
    if (!node.disk->sound()) breach("a hole in a log of " + name(node.id));
    report_later(node);
    if (node.disk->busy()) sync_later(node);
  });
}

/// One after the other, each a little later than it happened.
void Cluster::report_later(Node& node) {
  if (node.disk->reports().empty()) return;
  after(dice_.up_to(milliseconds(1)), node, [this, &node] {
    while (node.up && !node.disk->reports().empty()) {
      Report report = std::move(node.disk->reports().front());
      node.disk->reports().pop_front();
      take_report(node, std::move(report));
    }
  });
}

void Cluster::take_report(Node& node, Report report) {
  const Instant now = clock_of(node);
  if (!report.stored) {
    ++counts_.refusals;
    // What was handed over before this call is refused, too: the disk doesn't try it.
    input(node, report.slot, [&](Slot& core, Actions& actions) { core.append_failed(now, actions); });
    return;
  }
  input(node, report.slot, [&](Slot& core, Actions& actions) {
    if (const auto* hard = std::get_if<HardStateWrite>(&report.done.what)) {
      core.hard_state_synced(hard->state, now, actions);
    } else if (const auto* append = std::get_if<AppendWrite>(&report.done.what)) {
      core.synced(append->generation, {append->first.value + append->entries.size() - 1}, now, actions);
    } else {
      const Snapshot& snapshot = std::get<SnapshotWrite>(report.done.what).snapshot;
      Replica& replica = node.replicas[report.slot];
      replica.log.reset(snapshot.position, snapshot.replicas);
      replica.installing = false;
      core.snapshot_installed(snapshot.position, snapshot.replicas, now, actions);
    }
  });
}

bool Cluster::propose(Node& node, std::size_t slot, std::uint64_t count) {
  bool taken = false;
  input(node, slot, [&](Slot& core, Actions& actions) {
    const auto place = core.propose(count);
    if (!place) return;
    std::vector<Entry> entries;
    for (std::uint64_t i = 0; i < count; ++i) entries.push_back({place->term, ++payload_, nullptr});
    hand_to_disk(node, slot, place->index, std::move(entries));
    core.replicate(clock_of(node), actions);
    taken = true;
  });
  return taken;
}

void Cluster::client() {
  if (!troubled_) return;
  after(dice_.up_to(milliseconds(60)), [this] { client(); });
  const std::size_t slot = dice_.below(trouble_.slots);
  Node& node = some_node();
  if (node.up && node.paused_until <= now_) propose(node, slot, 1 + dice_.below(4));
}

void Cluster::run() {
  after({}, [this] { client(); });
  after({}, [this] { trouble(); });
  run_until(now_ + milliseconds(2'000 + dice_.below(6'000)));
  heal();
  const Instant patience = now_ + milliseconds(30'000);
  while (now_ < patience && breach().empty() && !settled()) run_until(now_ + milliseconds(250));
  if (breach().empty() && !settled()) return breach("no progress after the trouble:" + standing());
  // Something new is taken everywhere; then nothing is said.
  for (std::size_t slot = 0; slot < trouble_.slots && breach().empty(); ++slot) {
    Node* leader = leader_of(slot);
    while (now_ < patience && breach().empty() && (leader == nullptr || !propose(*leader, slot, 1))) {
      run_until(now_ + milliseconds(50));  // A transfer may not be over yet.
      leader = leader_of(slot);
    }
    if (now_ >= patience) breach("nobody takes anything new:" + standing());
  }
  run_until(now_ + milliseconds(3'000));
  if (breach().empty() && !settled()) return breach("what was said last isn't everywhere:" + standing());
  const std::uint64_t said = counts_.messages;
  run_until(now_ + milliseconds(2'000));
  if (breach().empty() && counts_.messages != said) breach("quiet slots send messages");
  for (Truth& truth : truths_) {
    truth.check_acknowledged();
    counts_.committed += truth.commit().value;
  }
}

}  // namespace parley::replication::simulation
