#include "tests/simulation/world.hpp"

#include <algorithm>
#include <utility>

#include "base/check.hpp"
#include "broker/shard/plain_recovery.hpp"

namespace parley::simulation {
namespace {

constexpr int kTurnsMax = 1'000'000;

}  // namespace

World::World(std::uint64_t seed, WorldOptions options)
    : options_(std::move(options)), dice_(seed), store_(dice_, clock_, options_.shard.shards) {
  store_.set_latency(options_.store_latency);
  start();
}

World::~World() = default;

void World::Peers::post(shard::ShardId target, shard::PeerEvent event) {
  PARLEY_CHECK(target != from_, "a shard sends a message to itself");
  outgoing.emplace_back(target, std::move(event));
}

void World::start(const AccessRulesPtr& rules) {
  const std::uint32_t count = options_.shard.shards;
  for (shard::ShardId id = 0; id < count; ++id) {
    auto home = std::make_unique<Home>();
    home->links = std::make_unique<Links>(dice_, [this](shard::ShardId target, WirePtr wire, std::string unread) {
      shards_.at(target)->links->add(std::move(wire), std::move(unread));
    });
    home->peers = std::make_unique<Peers>(id);
    home->inbox.resize(count);
    home->shard =
        std::make_unique<shard::Shard>(id, options_.shard, store_, *home->links, *home->peers,
                                       options_.nodes != nullptr ? *options_.nodes : nodes_, dice_, authenticator_);
    home->shard->access().set(rules);
    shards_.push_back(std::move(home));
  }
  for (const auto& slot : store_.slots()) shards_.at(home_of(slot.slot))->shard->restore_slot(slot);
  for (const auto& session : store_.restorable_sessions())
    shard(home(session.client_id)).restore(session, {clock_.now, clock_.wall});
  std::vector<shard::Shard*> shards;
  for (auto& home : shards_) shards.push_back(home->shard.get());
  shard::PlainRecovery plain(
      std::move(shards),
      [this](std::string_view client_id) -> shard::Shard& { return shard(home(std::string(client_id))); },
      {clock_.now, clock_.wall});
  using shard::PlainTable;
  for (const auto table :
       {PlainTable::Queues, PlainTable::Outbound, PlainTable::Inbound, PlainTable::Messages, PlainTable::Retained}) {
    for (const auto& [key, value] : store_.plain()) {
      if (key.first == table) plain.row(table, key.second, value);
    }
  }
  plain.finish();
}

Client& World::client(const std::string& id) {
  for (auto& client : clients_) {
    if (client->id() == id) return *client;
  }
  clients_.push_back(std::make_unique<Client>(*this, id));
  return *clients_.back();
}

void World::accept(WirePtr wire, std::optional<shard::ShardId> shard) {
  if (!running()) {
    wire->broker_gone = true;
    return;
  }
  const auto chosen = shard.value_or(static_cast<shard::ShardId>(dice_.below(shards_.size())));
  shards_.at(chosen)->links->add(std::move(wire));
}

void World::turn(shard::ShardId id) {
  Home& home = *shards_[id];
  shard::Shard& shard = *home.shard;
  shard.begin_turn(clock_.now, clock_.wall, packets_a_turn_);
  shard.take_large_packets(takes_large_packets_);
  for (auto& inbox : home.inbox) {
    std::size_t count = options_.orderly ? inbox.size() : dice_.below(inbox.size() + 1);
    for (; count > 0; --count) {
      shard::PeerEvent event = std::move(inbox.front());
      inbox.pop_front();
      shard.peer_event(event);
    }
  }
  store_.work(id, shard);
  authenticator_.work(id, shard);
  home.links->work(shard, options_.orderly);
  shard.end_turn();
  for (auto& [target, event] : std::exchange(home.peers->outgoing, {})) {
    shards_[target]->inbox[id].push_back(std::move(event));
  }
}

bool World::has_work(const Home& home) const {
  return home.links->has_work() || std::ranges::any_of(home.inbox, [](const auto& inbox) { return !inbox.empty(); });
}

void World::step() { turn(static_cast<shard::ShardId>(dice_.below(shards_.size()))); }

bool World::round() {
  for (shard::ShardId id = 0; id < shards_.size(); ++id) turn(id);
  bool busy = false;
  for (auto& client : clients_) busy = client->read() || busy;
  busy = busy || authenticator_.has_work();
  return busy || std::ranges::any_of(shards_, [&](const auto& home) { return has_work(*home); });
}

void World::settle() {
  for (int i = 0; i < kTurnsMax; ++i) {
    bool busy = round();
    if (const auto due = store_.next_due()) {
      if (!busy && *due > clock_.now) clock_.advance(*due - clock_.now);
      busy = true;
    }
    if (!busy) return;
  }
  PARLEY_CHECK(false, "the world doesn't come to rest");
}

void World::advance(Duration by) {
  const Instant until = clock_.now + by;
  settle();
  for (int i = 0; i < kTurnsMax; ++i) {
    std::optional<Instant> next;
    for (auto& home : shards_) {
      if (const auto timer = home->shard->next_timer()) next = next ? std::min(*next, *timer) : *timer;
    }
    if (!next || *next > until) break;
    if (*next > clock_.now) clock_.advance(*next - clock_.now);
    settle();
  }
  if (until > clock_.now) clock_.advance(until - clock_.now);
  settle();
}

void World::crash() {
  store_.crash();
  authenticator_.crash();
  for (auto& home : shards_) home->links->crash();
  shards_.clear();
}

void World::shut_down() {
  for (auto& home : shards_) {
    home->shard->begin_turn(clock_.now, clock_.wall);
    home->shard->shut_down();
    home->shard->end_turn();
  }
  settle();
  for (auto& home : shards_) {
    PARLEY_CHECK(home->shard->settled(), "a shard that has shut down still waits for the store");
    home->links->crash();
  }
  shards_.clear();
}

std::size_t World::output_bytes() const {
  std::size_t bytes = 0;
  for (const auto& home : shards_) bytes += home->links->output_bytes();
  return bytes;
}

}  // namespace parley::simulation
