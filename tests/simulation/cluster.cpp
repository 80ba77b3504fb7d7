#include "tests/simulation/cluster.hpp"

#include <algorithm>
#include <set>

#include "base/bytes.hpp"
#include "base/check.hpp"
#include "base/varint.hpp"
#include "broker/replication/messages_codec.hpp"

namespace parley::simulation {

using namespace std::chrono_literals;
using shard::NodeChannel;

/// Of a slot with a replica that may lose its log.
constexpr std::size_t kVotersMin = 3;

struct Cluster::Node final : shard::PeerNodes, Network::Receiver {
  Node(Cluster& of, NodeId number) : cluster(of), id(number) {}

  // -- PeerNodes --
  [[nodiscard]] NodeId self() const override { return id; }
  [[nodiscard]] shard::PeerState peer(NodeId node) const override {
    return {.version = shard::kSharesVersion, .incarnation = cluster.nodes_.at(node.value - 1)->incarnation};
  }
  bool send(NodeId to, NodeChannel channel, std::string message) override {
    if (cluster.options_.skips_log_check) lengthen(message);
    if (cluster.options_.voters_fall && cluster.troubled_ && gives_vote(message) && cluster.dice_.one_in(2))
      falls_at = cluster.now_ + cluster.dice_.up_to(20ms);
    return cluster.network_.send(id, to, channel, std::move(message), cluster.now_);
  }
  void drop(NodeId node) override { dropped.push_back(node); }
  void leading(Slot slot, std::optional<Term> term) override {
    if (term) {
      health->set_leading(slot, *term);
      cluster.elected(id, slot, *term);
    } else {
      health->clear_leading(slot);
    }
  }

  // -- Receiver --
  void connected(NodeId to) override {
    connections.insert(to);
    health->add(to);
    each_shard([to](shard::Shard& one) { one.node_connected(to); });
  }
  void disconnected(NodeId to) override {
    replication::HealthActions gone;
    health->remove(to, gone);
    if (connections.erase(to) == 0) return;
    each_shard([to](shard::Shard& one) { one.node_unreachable(to); });
  }
  void writable(NodeId to, NodeChannel channel) override {
    each_shard([to, channel](shard::Shard& one) { one.node_writable(to, channel); });
  }
  void received(NodeId from, NodeChannel channel, std::string_view message) override {
    if (channel == NodeChannel::Heartbeats) {
      const auto heartbeat = replication::decode(message);
      replication::HealthActions actions;
      health->receive(from, std::get<replication::Heartbeat>(*heartbeat), world->clock().now, actions);
      carry_out(actions);
      return;
    }
    const bool to_slot = message.front() == '\0';
    message.remove_prefix(1);
    const std::uint64_t number = *take_varint(message);
    const shard::ShardId to = to_slot ? world->home_of({number}) : static_cast<shard::ShardId>(number);
    world->shard(to).node_message(from, channel, message);
  }

  void carry_out(const replication::HealthActions& actions) {
    for (const auto& action : actions) {
      if (const auto* heartbeat = std::get_if<replication::SendHeartbeat>(&action)) {
        std::string bytes;
        replication::encode(heartbeat->heartbeat, bytes);
        cluster.network_.send(id, heartbeat->to, NodeChannel::Heartbeats, std::move(bytes), cluster.now_);
      } else if (const auto* there = std::get_if<replication::NodeReachable>(&action)) {
        each_shard([&](shard::Shard& one) { one.node_reachable(there->node); });
      } else if (const auto* gone = std::get_if<replication::NodeUnreachable>(&action)) {
        give_up(gone->node);
      } else if (const auto* leads = std::get_if<replication::NodeLeads>(&action)) {
        tell_leads(*leads);
      }
    }
  }
  /// As ClusterNode does: over this connection it can't be there again.
  void give_up(NodeId node) {
    disconnected(node);
    cluster.network_.drop(id, node);
  }
  void tell_leads(const replication::NodeLeads& leads) {
    for (Slot slot{0}; slot.value < world->options().shard.slots; slot = slot.next()) {
      const auto found = std::ranges::find(leads.slots, slot, &replication::Leading::slot);
      const auto term = found == leads.slots.end() ? std::nullopt : std::optional(found->term);
      world->shard(world->home_of(slot)).node_leads(leads.node, slot, term);
    }
  }
  template <class Call>
  void each_shard(Call call) {
    for (shard::ShardId at = 0; at < world->options().shard.shards; ++at) call(world->shard(at));
  }
  static bool gives_vote(std::string_view message) {
    message.remove_prefix(1);
    take_varint(message);
    const auto decoded = replication::decode(message);
    const auto* peer = decoded ? std::get_if<replication::PeerMessage>(&*decoded) : nullptr;
    const auto* reply = peer != nullptr ? std::get_if<replication::RequestVoteReply>(&peer->body) : nullptr;
    return reply != nullptr && reply->granted;
  }
  /// A planted fault: who is asked for a vote can't see that the candidate lacks something.
  static void lengthen(std::string& message) {
    std::string_view rest = message;
    rest.remove_prefix(1);
    take_varint(rest);
    auto decoded = replication::decode(rest);
    auto* peer = decoded ? std::get_if<replication::PeerMessage>(&*decoded) : nullptr;
    if (peer == nullptr) return;
    constexpr replication::LogPosition kEnd{{1'000'000}, {1'000'000}};
    if (auto* vote = std::get_if<replication::RequestVote>(&peer->body)) vote->last = kEnd;
    if (auto* vote = std::get_if<replication::PreVote>(&peer->body)) vote->last = kEnd;
    const bool asks = std::holds_alternative<replication::RequestVote>(peer->body) ||
                      std::holds_alternative<replication::PreVote>(peer->body);
    if (!asks) return;
    std::string bytes(message.substr(0, message.size() - rest.size()));
    replication::encode(*peer, bytes);
    message = std::move(bytes);
  }

  Cluster& cluster;
  const NodeId id;
  std::unique_ptr<replication::NodeHealth> health;
  std::unique_ptr<World> world;
  std::uint64_t incarnation = 0;
  std::set<NodeId> connections;  ///< As the shards know them.
  std::vector<NodeId> dropped;   ///< By the shards, since the last turn.
  std::int64_t rate = 1'000;     ///< Of its clock, in thousandths.
  Instant up_at;                 ///< While it is down.
  Instant paused_until;
  Instant next_heartbeat;
  Instant falls_at = Instant::max();
};

Cluster::Cluster(std::uint64_t seed, ClusterOptions options)
    : options_(std::move(options)), dice_(seed), network_(dice_, options_.nodes) {
  if (options_.slow_network) network_.set_delay(60ms);
  if (options_.narrow_network) network_.set_room(4'000);
  for (std::size_t i = 0; i < options_.nodes; ++i) {
    nodes_.push_back(std::make_unique<Node>(*this, NodeId{i + 1}));
    Node& node = *nodes_.back();
    WorldOptions own = options_.world;
    own.nodes = &node;
    own.shard.founds_slots = i == 0;
    if (options_.skewed_clocks) node.rate = 800 + static_cast<std::int64_t>(dice_.below(400));
    node.health = std::make_unique<replication::NodeHealth>(1, replication::HeartbeatOptions{});
    node.world = std::make_unique<World>(seed * 101 + i, own);
    if (options_.skewed_clocks) node.world->clock().wall.milliseconds += dice_.below(60'000);
    node.world->store().share_slots();
    node.world->store().faults = options_.faults;
    if (options_.loses_logs) {
      static constexpr std::uint64_t kSeldom[] = {4, 100, 600};
      node.world->store().set_materialising(kSeldom[dice_.below(std::size(kSeldom))]);
    }
    node.world->store().on_committed = [this](Slot slot, Index index, const std::string& record) {
      committed(slot, index, record);
    };
    start(node);
  }
  if (!options_.late_node) return;
  crash(*nodes_.back());
  nodes_.back()->up_at = now_ + 5s;
}

Cluster::~Cluster() = default;

World& Cluster::world(std::size_t node) { return *nodes_.at(node)->world; }
bool Cluster::up(std::size_t node) const { return nodes_.at(node)->world->running(); }
Cluster::Node& Cluster::some_node() { return *nodes_[dice_.below(nodes_.size())]; }

// -- Time

void Cluster::run_for(Duration time, const std::function<void()>& between) {
  const Instant end = now_ + time;
  while (now_ < end) {
    step(1ms + dice_.up_to(4ms));
    between();
    if (troubled_ && (!options_.loses_logs || has_grown()) && dice_.one_in(60)) trouble();
    if (troubled_ && options_.late_heartbeats && dice_.one_in(100)) {
      network_.hold_heartbeats(some_node().id, some_node().id, now_ + 900ms + dice_.up_to(200ms));
    }
    if (troubled_ && options_.cuts_logs && dice_.one_in(20)) some_node().world->store().cut_logs();
  }
}

void Cluster::step(Duration by) {
  now_ += by;
  const bool places = now_ >= next_placement_;
  if (places) next_placement_ = now_ + 200ms;
  for (auto& node : nodes_) {
    node->world->clock().advance(by * node->rate / 1'000);
    if (!node->world->running() && now_ >= node->up_at) start(*node);
    if (!node->world->running() || now_ < node->paused_until) continue;
    if (places) place(*node);
    work(*node);
    if (now_ < node->falls_at) continue;
    node->falls_at = Instant::max();
    crash(*node);
    node->up_at = now_;
  }
}

void Cluster::work(Node& node) {
  Clock& clock = node.world->clock();
  node.each_shard([&](shard::Shard& one) { one.begin_turn(clock.now, clock.wall); });
  for (const NodeId dropped : std::exchange(node.dropped, {})) node.give_up(dropped);
  network_.deliver(node.id, now_, node);
  if (clock.now >= node.next_heartbeat) {
    node.next_heartbeat = clock.now + replication::HeartbeatOptions{}.interval;
    replication::HealthActions actions;
    node.health->tick(clock.now, actions);
    node.carry_out(actions);
  }
  node.world->round();
}

void Cluster::start(Node& node) {
  node.health = std::make_unique<replication::NodeHealth>(++node.incarnation, replication::HeartbeatOptions{});
  node.connections.clear();
  node.dropped.clear();
  network_.up(node.id);
  if (!node.world->running()) node.world->start();
}

/// Every node shall keep every slot.
void Cluster::place(Node& node) {
  using Kind = replication::ReplicaChange::Kind;
  node.each_shard([&](shard::Shard& one) {
    for (const shard::SlotStatus& slot : one.replicas().status()) {
      if (!slot.ready || !slot.replicas_committed) continue;
      const NodeId other = some_node().id;
      if (slot.replicas.has_voter(other)) {
        if (!troubled_ || !options_.transfers || !dice_.one_in(30)) continue;
        if (!one.replicas().transfer_leadership(slot.slot, other)) continue;
      } else {
        const Kind kind = slot.replicas.has_learner(other) ? Kind::PromoteLearner : Kind::AddLearner;
        if (!one.replicas().change_replicas(slot.slot, {.kind = kind, .node = other})) continue;
      }
    }
  });
}

// -- Trouble

void Cluster::trouble() {
  Node& node = some_node();
  Node& other = some_node();
  Store& store = node.world->store();
  switch (dice_.below(12)) {
    case 0:
      if (options_.crashes) crash(node);
      return;
    case 1:
      if (options_.leaders_fall) {
        for (auto& one : nodes_) {
          if (!one->world->running()) continue;
          const auto slots = one->world->shard(0).replicas().status();
          if (slots.empty() || !slots.front().ready) continue;
          crash(*one);
          if (options_.voters_fall) {
            part_the_others(*one);
            one->up_at = now_;
          }
          return;
        }
      }
      return;
    case 2:
      if (options_.pauses) node.paused_until = now_ + dice_.up_to(3s);
      return;
    case 3:
      if (options_.partitions) network_.cut(node.id, other.id);
      return;
    case 4:  // A node alone.
      if (!options_.partitions) return;
      for (auto& one : nodes_) {
        network_.cut(node.id, one->id);
        network_.cut(one->id, node.id);
      }
      return;
    case 5:
    case 6:
    case 7: return network_.mend();
    case 8:
      if (options_.broken_links && node.id != other.id) network_.reconnect(node.id, other.id);
      return;
    case 9:
      if (options_.slow_disks) store.set_latency(dice_.one_in(2) ? 300ms : 2ms);
      return;
    case 10:
      if (options_.full_disks) store.fail_with(dice_.one_in(2) ? StorageError::DiskFull : StorageError::Failed);
      return;
    default: store.heal(); return;
  }
}

/// So that each of them needs the vote of this one.
void Cluster::part_the_others(const Node& node) {
  for (auto& one : nodes_) {
    for (auto& other : nodes_) {
      if (one->id != node.id && other->id != node.id && one->id != other->id) network_.cut(one->id, other->id);
    }
  }
}

void Cluster::crash(Node& node) {
  if (!node.world->running()) return;
  ++counts_.crashes;
  node.world->crash();
  if (options_.loses_logs && troubled_ && dice_.one_in(2) && may_lose_log(node)) {
    ++counts_.losses;
    node.world->store().lose_log();
  }
  node.up_at = now_ + options_.down_min + dice_.up_to(3s);
  network_.down(node.id);
}

/// No slot has so few voters that it has no majority that remembers when one has lost its log: now, or once a change is
/// taken back. Sets of replicas only grow here, so the last one that is committed is the smallest in anybody's log that
/// may come into force yet.
bool Cluster::has_grown() const {
  for (Slot slot{0}; slot.value < options_.world.shard.slots; slot = slot.next()) {
    const auto voters = voters_.find(slot);
    if (voters == voters_.end() || voters->second.size() < kVotersMin) return false;
  }
  return true;
}

/// One node at a time. Nor does a node go on that sees itself as one of too few voters.
bool Cluster::may_lose_log(const Node& node) const {
  if (!has_grown()) return false;
  for (const auto& other : nodes_) {
    if (other->id != node.id && !other->world->store().is_whole()) return false;
  }
  return std::ranges::all_of(node.world->store().slots_without_log(), [&](const shard::StoredSlot& left) {
    if (left.replicas.empty()) return !node.world->options().shard.founds_slots;
    const auto& voters = left.replicas.back().voters;
    return voters.size() >= kVotersMin || std::ranges::find(voters, node.id) == voters.end();
  });
}

void Cluster::heal() {
  troubled_ = false;
  network_.mend();
  for (auto& node : nodes_) {
    node->up_at = node->paused_until = {};
    node->world->store().heal();
    node->world->store().set_latency(2ms);
    node->world->store().set_materialising(4);
  }
}

// -- What must hold

void Cluster::committed(Slot slot, Index index, const std::string& record) {
  const auto [known, added] = truth_.try_emplace({slot, index}, record);
  if (!added) {
    if (known->second != record) {
      breaches_.push_back("slot " + std::to_string(slot.value) + " has two committed records at index " +
                          std::to_string(index.value));
    }
    return;
  }
  ++counts_.committed;
  const auto decoded = format::decode_trusted_record(record);
  if (const auto* named = std::get_if<format::ReplicasRecord>(&decoded->body)) {
    voters_[slot] = format::nodes_of(named->voters);
  }
  trace_ = (trace_ ^ stable_hash(record)) * 0x100'0000'01B3ULL;
}

/// Raft figure 3, election safety.
void Cluster::elected(NodeId node, Slot slot, Term term) {
  ++counts_.elections;
  const auto [known, added] = leaders_.try_emplace({slot, term}, node);
  if (added || known->second == node) return;
  breaches_.push_back("slot " + std::to_string(slot.value) + " has two leaders in term " + std::to_string(term.value));
}

std::vector<std::string> Cluster::violations() const {
  std::vector<std::string> all = breaches_;
  for (const auto& node : nodes_) {
    for (const std::string& one : node->world->store().violations()) {
      all.push_back("node " + std::to_string(node->id.value) + ": " + one);
    }
  }
  return all;
}

Cluster::Counts Cluster::counts() const {
  Counts counts = counts_;
  for (const auto& node : nodes_) counts.snapshots += node->world->store().snapshots();
  return counts;
}

std::string Cluster::unsettled() {
  std::map<Slot, std::vector<shard::SlotStatus>> slots;
  for (auto& node : nodes_) {
    if (!node->world->running()) return "node " + std::to_string(node->id.value) + " is down";
    bool waits = false;
    node->each_shard([&](shard::Shard& one) {
      for (const auto& slot : one.replicas().status()) slots[slot.slot].push_back(slot);
      waits = waits || !one.remote_homes().empty();
    });
    if (waits) return "node " + std::to_string(node->id.value) + " waits for an answer of another one";
  }
  for (const auto& [slot, replicas] : slots) {
    const auto leader = std::ranges::find(replicas, true, &shard::SlotStatus::ready);
    const std::string name = "slot " + std::to_string(slot.value);
    if (leader == replicas.end()) {
      std::string text = name + " has no leader:";
      for (const auto& one : replicas) {
        text += " [role " + std::to_string(static_cast<int>(one.role)) + " term " + std::to_string(one.term.value) +
                " last " + std::to_string(one.last.value) + " durable " + std::to_string(one.durable.value) +
                " committed " + std::to_string(one.commit.value) + " voters " +
                std::to_string(one.replicas.voters.size()) + "]";
      }
      return text;
    }
    if (leader->replicas.voters.size() != nodes_.size()) return name + " isn't on all nodes";
    for (const auto& one : replicas) {
      if (one.commit != leader->last) {
        return name + " isn't level: " + std::to_string(one.commit.value) + " of " + std::to_string(leader->last.value);
      }
    }
  }
  for (const auto& node : nodes_) {
    if (!node->world->store().is_whole()) return "node " + std::to_string(node->id.value) + " isn't whole again";
  }
  return {};
}

}  // namespace parley::simulation
