#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <queue>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "broker/replication/node_health.hpp"
#include "broker/replication/slot.hpp"
#include "tests/broker/replication/disk.hpp"
#include "tests/broker/replication/truth.hpp"
#include "tests/simulation/dice.hpp"

namespace parley::replication::simulation {

/// What goes wrong, and how often: drawn from the seed, so that some runs have one kind of trouble and some have all.
struct Trouble {
  std::size_t nodes = 3;
  std::size_t slots = 1;
  std::uint64_t loss = 0;         ///< One message in so many; 0: none.
  std::uint64_t duplication = 0;  ///< As loss.
  Duration delay_max{};
  bool hasty = false;  ///< Short timeouts: many elections.
  bool crashes = false;
  bool leaders_fall = false;  ///< Soon after they were elected, with what only they have.
  bool pauses = false;
  bool partitions = false;
  bool full_disks = false;
  bool slow_disks = false;
  bool skewed_clocks = false;
  bool replica_changes = false;
  bool transfers = false;
  bool cuts = false;
  bool losses = false;        ///< Logs that are damaged.
  bool replacements = false;  ///< Nodes that begin with an empty directory, one at a time.
};

/// Real slots and real node health of a few nodes, with simulated disks and a simulated network between them, in one
/// thread and from one seed. It is the shell that Slot's header asks for, in small.
class Cluster {
 public:
  explicit Cluster(std::uint64_t seed);

  /// Trouble for a while; then none, until all replicas agree, take something new and fall silent.
  void run();
  [[nodiscard]] const std::string& breach() const;              ///< Empty: all promises were kept.
  [[nodiscard]] std::uint64_t trace() const { return trace_; }  ///< The same for the same run.
  struct Counts {
    std::uint64_t elections = 0;
    std::uint64_t committed = 0;
    std::uint64_t truncations = 0;
    std::uint64_t refusals = 0;
    std::uint64_t snapshots = 0;
    std::uint64_t replica_changes = 0;
    std::uint64_t transfers = 0;
    std::uint64_t crashes = 0;
    std::uint64_t losses = 0;
    std::uint64_t double_losses = 0;  ///< While another node isn't whole yet.
    std::uint64_t replacements = 0;
    std::uint64_t messages = 0;
  };
  [[nodiscard]] const Counts& counts() const { return counts_; }

 private:
  struct Replica {
    std::unique_ptr<Slot> slot;
    Log log;                  ///< What this process knows of it, durable or not.
    Index told;               ///< As committed, since this process began.
    bool installing = false;  ///< A snapshot; what comes meanwhile is dropped.
    bool dormant = false;     ///< No replica any more, and knows it.
  };
  struct Node {
    NodeId id;
    bool up = false;
    std::uint64_t life = 0;    ///< Which start of it; events of an earlier one come to nothing.
    std::uint64_t birth = 0;   ///< Which directory; nobody hears anything that was said with an earlier one.
    std::set<NodeId> parting;  ///< Nodes that were removed, and aren't let in again: as in broker/cluster/members.hpp.
    Instant paused_until;
    std::int64_t rate = 1'000;  ///< Of its clock, in thousandths.
    Duration clock_offset{};
    bool full = false;
    Duration sync_max = std::chrono::milliseconds(4);
    bool syncing = false;
    std::unique_ptr<Disk> disk;
    std::unique_ptr<NodeHealth> health;
    std::vector<Replica> replicas;
  };
  struct PeerPacket {
    PeerMessage message;
    std::shared_ptr<const std::vector<Entry>> entries;
  };
  using Packet = std::variant<PeerPacket, Heartbeat>;
  struct Event {
    Instant at;
    std::uint64_t order;
    std::function<void()> happen;
    bool operator<(const Event& other) const {
      return at != other.at ? at > other.at : order > other.order;  // The queue gives the greatest first.
    }
  };

  // -- cluster.cpp: time, nodes, what a shell does --
  void after(Duration wait, std::function<void()> happen);
  /// Of this life of the node; late while it is paused.
  void after(Duration wait, Node& node, std::function<void()> happen);
  void run_until(Instant end);
  [[nodiscard]] Instant clock_of(const Node& node) const;
  void start(Node& node);
  void crash(Node& node);
  void crash_for_a_while(Node& node);
  void tick(Node& node);
  void sync_later(Node& node);
  void report_later(Node& node);
  void take_report(Node& node, Report report);
  template <class Input>
  void input(Node& node, std::size_t slot, Input&& hand_in, const PeerPacket* received = nullptr);
  void carry_out(Node& node, std::size_t slot, const Actions& actions, const PeerPacket* received);
  void carry_out(Node& node, std::size_t slot, const Action& action, const PeerPacket* received);
  void carry_out(Node& node, const HealthActions& actions);
  void hand_to_disk(Node& node, std::size_t slot, Index first, std::vector<Entry> entries);
  bool propose(Node& node, std::size_t slot, std::uint64_t count);
  void client();

  // -- links.cpp: the network, what is sent and what comes --
  void send(Node& from, NodeId to, Packet packet);
  [[nodiscard]] bool admitted(const Node& from, const Node& to) const;
  void deliver(Node& to, NodeId from, const Packet& packet);
  void send_append(Node& from, std::size_t slot, const SendAppend& append);
  void send_snapshot(Node& from, std::size_t slot, NodeId to);
  void install_snapshot(Node& from, Node& to, std::size_t slot, const Snapshot& snapshot);

  // -- checks.cpp: what must hold after every step --
  void check(Node& node, std::size_t slot);
  void check_send(Node& from, std::size_t slot, const Send& send);
  void check_committed(Node& node, std::size_t slot, Index upto);
  void breach(std::string what);
  [[nodiscard]] std::string standing() const;  ///< How all replicas stand, for messages.

  // -- trouble.cpp: what goes wrong, and its end --
  static Trouble draw(Dice& dice);
  void trouble();
  void cause(std::uint64_t kind);
  void fall(Node& leader);
  void lose_logs(Node& node);
  void replace(Node& node);
  [[nodiscard]] bool may_replace(const Node& node) const;
  void let_go(Node& node);
  [[nodiscard]] bool somebody_parts() const;
  [[nodiscard]] bool may_lose_logs(const Node& node) const;
  [[nodiscard]] bool others_are_whole(const Node& node) const;
  void transfer();
  void change_replicas();
  void propose(Node& leader, std::size_t slot, const ReplicaChange& change, Slot& core, Actions& actions);
  void cut_logs(Node& node);
  void put_away_removed();
  void heal();
  Node* leader_of(std::size_t slot);
  bool settled();

  Node& node(NodeId id) { return nodes_.at(id.value - 1); }
  Node& some_node() { return nodes_[dice_.below(nodes_.size())]; }
  void note(std::uint64_t what) { trace_ = (trace_ ^ what) * 0x100'0000'01B3ULL; }

  Dice dice_;
  Trouble trouble_;
  Options options_;
  HeartbeatOptions heartbeats_;
  Instant now_{std::chrono::hours(1)};
  bool troubled_ = true;
  std::priority_queue<Event> events_;
  std::uint64_t order_ = 0;
  std::uint64_t payload_ = 0;
  std::uint64_t trace_ = 0xCBF2'9CE4'8422'2325ULL;
  std::vector<Node> nodes_;
  std::vector<std::vector<bool>> cut_links_;  ///< From, to.
  std::vector<Truth> truths_;                 ///< By slot.
  std::string breach_;
  Counts counts_;
};

template <class Input>
void Cluster::input(Node& node, std::size_t slot, Input&& hand_in, const PeerPacket* received) {
  Actions actions;
  hand_in(*node.replicas[slot].slot, actions);
  carry_out(node, slot, actions, received);
  if (node.up) check(node, slot);
}

}  // namespace parley::replication::simulation
