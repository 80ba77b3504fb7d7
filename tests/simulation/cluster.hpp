#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "broker/replication/node_health.hpp"
#include "tests/simulation/network.hpp"
#include "tests/simulation/world.hpp"

namespace parley::simulation {

struct ClusterOptions {
  std::size_t nodes = 3;
  WorldOptions world;  ///< Of each node.
  // -- What goes wrong --
  bool crashes = false;
  bool leaders_fall = false;  ///< Who leads, soon after something was said to it.
  bool voters_fall = false;   ///< Who has just given its vote, and is back at once; the vote may arrive. When a leader
                              ///< falls, its followers don't hear each other.
  bool pauses = false;
  bool partitions = false;
  bool broken_links = false;
  bool late_heartbeats = false;  ///< Of one node at another: it is unreachable for a moment, though connected.
  bool slow_disks = false;
  bool full_disks = false;
  bool skewed_clocks = false;
  bool transfers = false;
  bool slow_network = false;
  bool narrow_network = false;  ///< Channels are full soon.
  bool cuts_logs = false;       ///< Of what is in the store, at any time.
  bool loses_logs = false;  ///< Of nodes that crash, one at a time. Nodes are slow to materialise, and trouble begins
  ///< when each slot has enough replicas for that.
  Duration down_min{};     ///< How long a crashed node is down at least.
  bool late_node = false;  ///< The last one comes up for the first time when there is much to be caught up with.
  // -- Promises that are broken; see Store::Faults --
  Store::Faults faults;
  bool skips_log_check = false;  ///< Candidates' logs seem to be as long as one wants.
};

/// A few nodes, each a World of its own with store, clock and clients, and a network between them, in one thread and
/// from one seed. The first node founds the slots; a simple placement gives each a replica on every node.
class Cluster {
 public:
  Cluster(std::uint64_t seed, ClusterOptions options);
  ~Cluster();

  /// Time passes in small steps, with trouble unless healed; `between` is called after each.
  void run_for(Duration time, const std::function<void()>& between);
  /// No trouble any more, and everything that was down comes up.
  void heal();

  Dice& dice() { return dice_; }
  [[nodiscard]] std::size_t size() const { return nodes_.size(); }
  World& world(std::size_t node);
  [[nodiscard]] bool up(std::size_t node) const;
  [[nodiscard]] Instant now() const { return now_; }

  /// What should never have been, of all nodes.
  [[nodiscard]] std::vector<std::string> violations() const;
  /// Of all that was committed, in the order in which it was first known; equal for equal runs.
  [[nodiscard]] std::uint64_t trace() const { return trace_; }
  struct Counts {
    std::size_t committed = 0;
    std::size_t elections = 0;
    std::size_t crashes = 0;
    std::size_t log_reads = 0;
    std::size_t snapshots = 0;
    std::size_t losses = 0;  ///< Of whole logs.
  };
  [[nodiscard]] Counts counts() const;
  /// Every slot is led, and all its replicas are level and whole; else who isn't.
  [[nodiscard]] std::string unsettled();

 private:
  struct Node;

  void step(Duration by);
  void work(Node& node);
  void trouble();
  void crash(Node& node);
  [[nodiscard]] bool has_grown() const;
  [[nodiscard]] bool may_lose_log(const Node& node) const;
  void part_the_others(const Node& node);
  void start(Node& node);
  void place(Node& node);
  void committed(Slot slot, Index index, const std::string& record);
  void elected(NodeId node, Slot slot, Term term);
  Node& some_node();

  ClusterOptions options_;
  Dice dice_;
  Network network_;
  Instant now_{std::chrono::hours(1)};
  Instant next_placement_;
  bool troubled_ = true;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::map<std::pair<Slot, Index>, std::string> truth_;  ///< What was committed where.
  std::map<std::pair<Slot, Term>, NodeId> leaders_;
  std::map<Slot, std::vector<NodeId>> voters_;  ///< Of the last set that was committed.
  std::vector<std::string> breaches_;
  std::uint64_t trace_ = 0xCBF2'9CE4'8422'2325ULL;
  Counts counts_;
};

}  // namespace parley::simulation
