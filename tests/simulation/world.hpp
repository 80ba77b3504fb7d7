#pragma once

#include <deque>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/shard/lone_node.hpp"
#include "broker/shard/shard.hpp"
#include "tests/simulation/authenticator.hpp"
#include "tests/simulation/client.hpp"
#include "tests/simulation/dice.hpp"
#include "tests/simulation/links.hpp"
#include "tests/simulation/store.hpp"

namespace parley::simulation {

struct WorldOptions {
  shard::ShardOptions shard;
  bool orderly = true;  ///< Bytes and events arrive whole and at once; else in pieces, as chance will have it.
  Duration store_latency{};
  shard::PeerNodes* nodes = nullptr;  ///< Null: a standalone broker.
};

/// Rights on ordinary topics, which a broker has before it takes up its sessions.
using AccessRulesPtr = std::shared_ptr<const auth::AccessRules>;

/// One broker of some shards with its store and clients. Nothing happens but by its functions.
class World {
 public:
  explicit World(std::uint64_t seed = 1, WorldOptions options = {});
  ~World();

  /// Clients live as long as the world.
  Client& client(const std::string& id);
  void accept(WirePtr wire, std::optional<shard::ShardId> shard);

  /// Turns until nothing is under way any more: store, shards and clients have had their say.
  void settle();
  /// One turn of a shard that chance chooses; clients don't read.
  void step();
  /// One turn of every shard, after which the clients read; true when something was under way.
  bool round();
  /// Time passes; then everything settles. Timers fire in their order.
  void advance(Duration by);
  /// How many packets of one connection a shard handles in a turn.
  void packets_a_turn(std::size_t count) { packets_a_turn_ = count; }
  void take_large_packets(bool take) { takes_large_packets_ = take; }
  /// kill -9: the store keeps what it had synced, connections break.
  void crash();
  /// In order, as after SIGTERM.
  void shut_down();
  void start(const AccessRulesPtr& rules = nullptr);
  [[nodiscard]] bool running() const { return !shards_.empty(); }

  Dice& dice() { return dice_; }
  Clock& clock() { return clock_; }
  Store& store() { return store_; }
  Authenticator& authenticator() { return authenticator_; }
  shard::Shard& shard(shard::ShardId id) { return *shards_.at(id)->shard; }
  [[nodiscard]] shard::ShardId home(const std::string& name) const { return shard::home_of_name(name, options_.shard); }
  [[nodiscard]] shard::ShardId home_of(Slot slot) const { return shard::home_of_slot(slot, options_.shard); }
  [[nodiscard]] std::size_t output_bytes() const;
  [[nodiscard]] const WorldOptions& options() const { return options_; }

 private:
  /// The way to the other shards, in order.
  class Peers final : public shard::PeerShards {
   public:
    explicit Peers(shard::ShardId from) : from_(from) {}
    void post(shard::ShardId target, shard::PeerEvent event) override;
    std::vector<std::pair<shard::ShardId, shard::PeerEvent>> outgoing;

   private:
    shard::ShardId from_;
  };
  struct Home {
    std::unique_ptr<Links> links;
    std::unique_ptr<Peers> peers;
    std::vector<std::deque<shard::PeerEvent>> inbox;  ///< By sender.
    std::unique_ptr<shard::Shard> shard;
  };

  void turn(shard::ShardId id);
  bool has_work(const Home& home) const;

  WorldOptions options_;
  bool takes_large_packets_ = true;
  std::size_t packets_a_turn_ = std::numeric_limits<std::size_t>::max();
  Dice dice_;
  Clock clock_;
  Store store_;
  shard::LoneNode nodes_;
  Authenticator authenticator_;
  std::vector<std::unique_ptr<Home>> shards_;
  std::vector<std::unique_ptr<Client>> clients_;
};

}  // namespace parley::simulation
