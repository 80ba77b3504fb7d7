#include "tests/simulation/cluster.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <set>

#include "base/log.hpp"
#include "tests/simulation/seeds.hpp"

/// Clients chat with a cluster whose nodes die, stall and lose each other; what was acknowledged must be there for
/// ever, the same on all nodes. A seed that fails runs again with PARLEY_SEED.
namespace parley::simulation {
namespace {

using namespace std::chrono_literals;
using mqtt::PacketType;
using mqtt::ReasonCode;

constexpr int kConversations = 3;
constexpr int kActors = 4;
constexpr int kWorkers = 3;

std::string conversation(std::uint64_t number) { return "r" + std::to_string(number); }

/// What all clients together were told.
struct Told {
  using Place = std::pair<std::string, std::uint64_t>;  ///< Conversation and seq.
  std::map<Place, std::string> ids;
  std::map<std::string, Place> acknowledged;  ///< By id.
  std::vector<std::string> complaints;
  std::vector<std::string> stuck;  ///< What didn't come to an end.

  void tell(const Place& place, const std::string& id, const std::string& how) {
    const auto [known, added] = ids.try_emplace(place, id);
    if (!added && known->second != id) {
      complaints.push_back(place.first + " " + std::to_string(place.second) + " was " + known->second + " and is " +
                           how + " " + id);
    }
  }
};

/// Sends each message until it is acknowledged, on whichever node; follows conversations where it is.
class Actor {
 public:
  Actor(Cluster& cluster, Told& told, std::string name) : cluster_(cluster), told_(told), name_(std::move(name)) {}

  void act(bool says_more) {
    look();
    auto& dice = cluster_.dice();
    if (client_ == nullptr || !client_->connected()) return connect();
    if (says_more && dice.one_in(300)) return client_->drop();
    if (client_->connack() == nullptr) return;
    if (says_more && dice.one_in(12)) {
      const std::string id = name_ + "-" + std::to_string(++said_);
      pending_[id] = conversation(dice.below(kConversations));
      send(id);
    }
    if (!pending_.empty() && dice.one_in(says_more ? 20 : 3)) {
      auto one = pending_.begin();
      std::advance(one, static_cast<std::ptrdiff_t>(dice.below(pending_.size())));
      send(one->first);
    }
    if (dice.one_in(40)) client_->subscribe("chat/" + conversation(dice.below(kConversations)) + "/msg");
  }
  [[nodiscard]] bool content() const { return pending_.empty(); }
  [[nodiscard]] std::string wants() const {
    return pending_.begin()->first + " to " + pending_.begin()->second + ", the last of " + last_answer_ + ",";
  }

 private:
  void connect() {
    auto& dice = cluster_.dice();
    const std::size_t node = dice.below(cluster_.size());
    if (!cluster_.up(node) || !dice.one_in(10)) return;
    client_ = &cluster_.world(node).client(name_);
    client_->drop();
    answers_ = client_->answers.size();
    received_ = client_->received.size();
    sent_.clear();
    client_->connect();
  }
  void send(const std::string& id) {
    sent_[client_->publish("chat/" + pending_[id] + "/msg", "text of " + id, {.id = id})] = id;
  }
  void look() {
    if (client_ == nullptr) return;
    client_->read();
    for (; answers_ < client_->answers.size(); ++answers_) take(client_->answers[answers_]);
    for (; received_ < client_->received.size(); ++received_) take(client_->received[received_]);
    // It led its slots no more, perhaps: elsewhere things may be better.
    if (client_->connected() && refusals_ > 5) {
      refusals_ = 0;
      client_->drop();
    }
  }
  void take(const Answer& answer) {
    last_answer_ = std::to_string(static_cast<int>(answer.type)) + " " + answer.user("error");
    if (answer.type != PacketType::Puback) return;
    const auto sent = sent_.find(answer.packet_id);
    if (sent == sent_.end()) return;
    const std::string id = sent->second;
    sent_.erase(sent);
    const auto pending = pending_.find(id);
    if (answer.reason() != ReasonCode::Success) {
      ++refusals_;
      return;
    }
    const std::uint64_t seq = std::stoull("0" + answer.user("seq"));
    const std::string where = pending != pending_.end() ? pending->second : told_.acknowledged[id].first;
    const Told::Place place{where, seq};
    told_.tell(place, id, "acknowledged as");
    const auto [known, added] = told_.acknowledged.try_emplace(id, place);
    if (!added && known->second != place) told_.complaints.push_back(id + " was acknowledged at two places");
    if (pending != pending_.end()) pending_.erase(pending);
  }
  void take(const Received& received) {
    if (received.seq() == 0) return;
    const std::string where = received.topic.substr(5, received.topic.size() - 9);  // chat/…/msg
    told_.tell({where, received.seq()}, received.user("id"), "delivered as");
  }

  Cluster& cluster_;
  Told& told_;
  std::string name_;
  Client* client_ = nullptr;
  int said_ = 0;
  int refusals_ = 0;
  std::string last_answer_;
  std::map<std::string, std::string> pending_;  ///< Conversation by id.
  std::map<mqtt::PacketId, std::string> sent_;
  std::size_t answers_ = 0;
  std::size_t received_ = 0;
};

/// Has a persistent session that reads a conversation from its beginning, on whichever node; or (`member`) joins it and
/// reads all that it is a member of, from then on.
class Sleeper {
 public:
  Sleeper(Cluster& cluster, Told& told, bool member) : cluster_(cluster), told_(told), member_(member) {}

  void act(bool leaves) {
    look();
    auto& dice = cluster_.dice();
    if (client_ == nullptr || !client_->connected()) return connect();
    // Also when the node says nothing.
    if (dice.one_in(leaves ? 150 : 2000)) client_->drop();
  }
  [[nodiscard]] std::string stands() const {
    return std::string(client_ != nullptr && client_->connected() ? "connected" : "away") + ", last answered " +
           last_answer_ + ", it has read up to " + std::to_string(seen_);
  }
  /// How far it has read; everything before came, too.
  [[nodiscard]] std::uint64_t seen() const { return seen_; }

 private:
  void connect() {
    auto& dice = cluster_.dice();
    const std::size_t node = dice.below(cluster_.size());
    if (!cluster_.up(node) || !dice.one_in(10)) return;
    client_ = &cluster_.world(node).client(member_ ? "member" : "sleeper");
    client_->drop();
    answers_from_ = client_->answers.size();
    received_ = client_->received.size();
    here_ = 0;
    if (member_ && !subscribed_) seen_ = 0;  // A subscription without SUBACK is none, whatever came of it.
    ConnectOptions options;
    options.clean_start = false;
    options.expiry = 0xFFFF'FFFF;
    client_->connect(options);
  }
  void look() {
    if (client_ == nullptr) return;
    client_->read();
    for (; answers_from_ < client_->answers.size(); ++answers_from_) take(client_->answers[answers_from_]);
    for (; received_ < client_->received.size(); ++received_) take(client_->received[received_].seq());
  }
  void take(const Answer& answer) {
    last_answer_ = std::to_string(static_cast<int>(answer.type)) + " " + std::to_string(int(answer.reason()));
    if (answer.type == PacketType::Suback && mqtt::is_failure(answer.reason())) client_->drop();
    if (answer.type == PacketType::Suback && !mqtt::is_failure(answer.reason())) subscribed_ = true;
    if (answer.type == PacketType::Puback) {
      if (answer.reason() != ReasonCode::Success) return client_->drop();
      client_->subscribe("chat/+/msg");
      return;
    }
    if (answer.type != PacketType::Connack || answer.reason() != ReasonCode::Success) return;
    if (subscribed_ && !answer.session_present) told_.complaints.emplace_back("the session is lost");
    if (!subscribed_ && member_) {
      client_->publish("chat/" + conversation(0) + "/ctl", R"({"op":"join"})");
      return;
    }
    if (!subscribed_) client_->subscribe("chat/" + conversation(0) + "/msg", {.users = {{"since", "0"}}});
  }
  void take(std::uint64_t seq) {
    if (member_ && seen_ == 0) seen_ = seq - 1;
    if (seq > seen_ + 1 || (here_ != 0 && seq != here_ + 1)) {
      told_.complaints.push_back("the session got " + std::to_string(seq) + " after " + std::to_string(here_) +
                                 " and " + std::to_string(seen_));
    }
    here_ = seq;
    seen_ = std::max(seen_, seq);
  }

  Cluster& cluster_;
  Told& told_;
  bool member_;
  Client* client_ = nullptr;
  bool subscribed_ = false;
  std::string last_answer_;
  std::uint64_t seen_ = 0;
  std::uint64_t here_ = 0;  ///< On this connection.
  std::size_t answers_from_ = 0;
  std::size_t received_ = 0;
};

/// Takes part in a shared subscription on a conversation from its beginning, on whichever node. What the workers have
/// got together is everything.
class Worker {
 public:
  Worker(Cluster& cluster, Told& told, std::string name, std::set<std::uint64_t>& done)
      : cluster_(cluster), told_(told), name_(std::move(name)), done_(done) {}

  void act(bool leaves) {
    look();
    auto& dice = cluster_.dice();
    if (client_ == nullptr || !client_->connected()) return connect();
    if (dice.one_in(leaves ? 150 : 2000)) client_->drop();
  }
  [[nodiscard]] bool subscribed() const { return subscribed_; }

 private:
  void connect() {
    auto& dice = cluster_.dice();
    const std::size_t node = dice.below(cluster_.size());
    if (!cluster_.up(node) || !dice.one_in(10)) return;
    client_ = &cluster_.world(node).client(name_);
    client_->drop();
    answers_ = client_->answers.size();
    received_ = client_->received.size();
    ConnectOptions options;
    options.clean_start = false;
    options.expiry = 0xFFFF'FFFF;
    client_->connect(options);
  }
  void look() {
    if (client_ == nullptr) return;
    client_->read();
    for (; answers_ < client_->answers.size(); ++answers_) take(client_->answers[answers_]);
    for (; received_ < client_->received.size(); ++received_) done_.insert(client_->received[received_].seq());
  }
  void take(const Answer& answer) {
    if (answer.type == PacketType::Suback && mqtt::is_failure(answer.reason())) client_->drop();
    if (answer.type == PacketType::Suback && !mqtt::is_failure(answer.reason())) subscribed_ = true;
    if (answer.type != PacketType::Connack || answer.reason() != ReasonCode::Success) return;
    if (subscribed_ && !answer.session_present) told_.complaints.emplace_back("a worker's session is lost");
    if (!subscribed_) client_->subscribe("$share/g/chat/" + conversation(0) + "/msg", {.users = {{"since", "0"}}});
  }

  Cluster& cluster_;
  Told& told_;
  std::string name_;
  std::set<std::uint64_t>& done_;
  Client* client_ = nullptr;
  bool subscribed_ = false;
  std::size_t answers_ = 0;
  std::size_t received_ = 0;
};

/// Lives one life after the other, each with a client id and a will of its own, on whichever node. Who doesn't say
/// goodbye has its will in the conversation once; also when its node dies with it, or instead.
class Mortal {
 public:
  static constexpr std::string_view kConversation = "wills";

  Mortal(Cluster& cluster, Told& told) : cluster_(cluster), told_(told) {}

  void act(bool begins_anew) {
    auto& dice = cluster_.dice();
    for (Life& life : lives_) {
      const bool lately =
          life.ended == End::Goodbye && cluster_.now() < life.ended_at + 10s;  // Its slot may have had no leader.
      life.node_died = life.node_died || (lately && !cluster_.up(life.node));
    }
    if (client_ == nullptr) return begins_anew && dice.one_in(20) ? begin() : void();
    client_->read();
    Life& life = lives_.back();
    const Answer* connack = client_->connack();
    life.connected = life.connected || (connack != nullptr && connack->reason() == ReasonCode::Success);
    if (!client_->connected()) return end(life.ended == End::Goodbye ? End::Goodbye : End::Broken);
    if (life.ended == End::Goodbye) return;
    if (cluster_.now() > gives_up_ && !life.connected) return end(End::Broken);
    if (!life.connected || !dice.one_in(begins_anew ? 100 : 10)) return;
    if (dice.one_in(3)) {
      life.ended = End::Goodbye;
      client_->disconnect();
    } else if (dice.one_in(2)) {
      end(End::Broken);
    }
  }
  /// All wills are there that should be.
  [[nodiscard]] bool content(bool deaf) const { return client_ == nullptr && (deaf || missing().empty()); }
  [[nodiscard]] std::string missing() const {
    const auto counts = wills();
    for (const Life& life : lives_) {
      if (life.connected && life.ended == End::Broken && !counts.contains(life.name)) return life.name;
    }
    return {};
  }
  /// `deaf`: nodes may have been cut off, so that others took them for dead while they were not, or back before anybody
  /// noticed their death.
  void judge(bool deaf) const {
    for (const auto& [name, count] : wills()) {
      const auto life = std::ranges::find(lives_, name, &Life::name);
      if (count > 1)
        told_.complaints.push_back("the will of " + name + " is there " + std::to_string(count) + " times");
      if (!deaf && life->ended == End::Goodbye && !life->node_died) {
        told_.complaints.push_back("the will of " + name + " is there, and it had said goodbye");
      }
    }
    if (const auto one = missing(); !deaf && !one.empty())
      told_.stuck.push_back("a minute after all trouble " + one + " has no will");
  }
  [[nodiscard]] std::size_t count() const { return wills().size(); }

 private:
  enum class End : std::uint8_t { Not, Goodbye, Broken };
  struct Life {
    std::string name;
    std::size_t node = 0;
    bool connected = false;  ///< CONNACK has come.
    bool node_died = false;  ///< At the goodbye or soon after: nothing may be durable of that.
    End ended = End::Not;
    Instant ended_at;
  };

  void begin() {
    auto& dice = cluster_.dice();
    const std::size_t node = dice.below(cluster_.size());
    if (!cluster_.up(node)) return;
    lives_.push_back({.name = "mortal" + std::to_string(lives_.size()), .node = node});
    const std::string& name = lives_.back().name;
    client_ = &cluster_.world(node).client(name);
    gives_up_ = cluster_.now() + 10s;
    ConnectOptions options;
    options.clean_start = false;
    options.expiry = dice.one_in(2) ? 0 : 10;
    options.will = {.topic = "chat/" + std::string(kConversation) + "/msg",
                    .payload = name,
                    .qos = mqtt::Qos::AtLeastOnce,
                    .delay = static_cast<std::uint32_t>(dice.below(3))};
    client_->connect(options);
  }
  void end(End how) {
    Life& life = lives_.back();
    life.ended = how;
    life.ended_at = cluster_.now();
    life.node_died = !cluster_.up(life.node) || client_->answer(PacketType::Disconnect) != nullptr;
    client_->drop();
    client_ = nullptr;
  }
  /// How often each stands in the longest history that any node has.
  [[nodiscard]] std::map<std::string, int> wills() const {
    std::vector<format::EntryPtr> longest;
    for (std::size_t node = 0; node < cluster_.size(); ++node) {
      auto history = cluster_.world(node).store().history(std::string(kConversation));
      if (history.size() > longest.size()) longest = std::move(history);
    }
    std::map<std::string, int> counts;
    for (const auto& entry : longest) ++counts[std::string((*entry)->payload)];
    return counts;
  }

  Cluster& cluster_;
  Told& told_;
  Client* client_ = nullptr;
  Instant gives_up_;
  std::vector<Life> lives_;
};

ClusterOptions options(std::uint64_t seed) {
  Dice dice(seed ^ 0xC1);
  const auto maybe = [&dice] { return dice.one_in(2); };
  ClusterOptions options;
  options.nodes = dice.one_in(4) ? 5 : 3;
  options.world.shard.auto_create = true;
  options.world.shard.slots = 3;
  options.world.shard.shards = static_cast<std::uint32_t>(1 + dice.below(3));
  options.world.shard.recent_records_bytes_max = maybe() ? 1'000 : 1'000'000;
  options.world.shard.replication.entries_per_append = maybe() ? 4 : 256;
  options.world.store_latency = 2ms;
  options.crashes = maybe();
  options.leaders_fall = maybe();
  options.pauses = maybe();
  options.partitions = maybe();
  options.broken_links = maybe();
  options.slow_disks = maybe();
  options.full_disks = maybe();
  options.skewed_clocks = maybe();
  options.transfers = maybe();
  options.slow_network = maybe();
  options.narrow_network = maybe();
  options.voters_fall = maybe();
  options.cuts_logs = maybe();
  options.loses_logs = dice.one_in(4);
  options.crashes = options.crashes || options.loses_logs;
  return options;
}

struct Play {
  explicit Play(std::uint64_t seed, ClusterOptions with, int with_workers = kWorkers)
      : cluster(seed, std::move(with)),
        sleeper(cluster, told, false),
        member(cluster, told, true),
        mortal(cluster, told) {
    for (int i = 0; i < kActors; ++i) actors.emplace_back(cluster, told, "actor" + std::to_string(i));
    for (int i = 0; i < with_workers; ++i) workers.emplace_back(cluster, told, "worker" + std::to_string(i), worked);
  }

  void run(Duration trouble) {
    cluster.run_for(trouble, [this] { act(true); });
    cluster.heal();
    for (int i = 0; i < 60 && complaints().empty(); ++i) {
      cluster.run_for(1s, [this] { act(false); });
      if (content() && read_everything() && left_over() == 0 && mortal.content(deaf) && cluster.unsettled().empty())
        break;
    }
    for (const Actor& actor : actors) {
      if (!actor.content()) told.stuck.push_back(actor.wants() + " wasn't acknowledged a minute after all trouble");
    }
    if (!read_everything()) {
      told.stuck.push_back("a minute after all trouble the session hasn't read everything: " + sleeper.stands() +
                           "; the member: " + member.stands());
    }
    if (const auto seq = left_over(); seq != 0) {
      told.stuck.push_back("a minute after all trouble no worker has got " + std::to_string(seq));
    }
    const std::string unsettled = cluster.unsettled();
    if (!unsettled.empty()) told.stuck.push_back("a minute after all trouble " + unsettled);
    mortal.judge(deaf);
    compare_histories();
  }
  std::vector<std::string> complaints() const {
    std::vector<std::string> all = broken();
    all.insert(all.end(), told.stuck.begin(), told.stuck.end());
    return all;
  }
  /// The worse ones.
  std::vector<std::string> broken() const {
    std::vector<std::string> all = cluster.violations();
    all.insert(all.end(), told.complaints.begin(), told.complaints.end());
    return all;
  }

 private:
  void act(bool says_more) {
    for (Actor& actor : actors) actor.act(says_more);
    sleeper.act(says_more);
    member.act(says_more);
    mortal.act(says_more);
    for (Worker& worker : workers) worker.act(says_more);
  }
  /// What no worker has got, of what somebody was told.
  [[nodiscard]] std::uint64_t left_over() const {
    if (std::ranges::none_of(workers, &Worker::subscribed)) return 0;
    for (auto told_of = told.ids.lower_bound({conversation(0), 0});
         told_of != told.ids.end() && told_of->first.first == conversation(0); ++told_of) {
      if (!worked.contains(told_of->first.second)) return told_of->first.second;
    }
    return 0;
  }
  [[nodiscard]] bool content() const {
    return std::ranges::all_of(actors, [](const Actor& actor) { return actor.content(); });
  }
  [[nodiscard]] bool read_everything() const {
    const auto last = told.ids.upper_bound({conversation(0), ~0ULL});
    return last == told.ids.begin() || std::prev(last)->first.first != conversation(0) ||
           (std::prev(last)->first.second <= sleeper.seen() &&
            (member.seen() == 0 || std::prev(last)->first.second <= member.seen()));
  }
  /// What any client was told is in the history of every node, at its place.
  void compare_histories() {
    for (std::size_t node = 0; node < cluster.size(); ++node) {
      std::map<Told::Place, std::string> there;
      for (int i = 0; i < kConversations; ++i) {
        const std::string name = conversation(static_cast<std::uint64_t>(i));
        for (const auto& entry : cluster.world(node).store().history(name)) {
          there[{name, (*entry)->seq.value}] = (*entry)->id;
        }
      }
      for (const auto& [place, id] : told.ids) {
        if (there[place] == id || (there[place].empty() && !told.stuck.empty())) continue;
        told.complaints.push_back(id + " isn't at its place on node " + std::to_string(node + 1));
      }
    }
  }

 public:
  Cluster cluster;
  Told told;
  std::vector<Actor> actors;
  std::set<std::uint64_t> worked;
  std::vector<Worker> workers;
  Sleeper sleeper;
  Sleeper member;
  Mortal mortal;
  bool deaf = true;  ///< See Mortal::judge.
};

TEST(ClusterPromises, HoldWhateverHappens) {
  log::configure(log::Level::Error, log::Format::Text);
  const auto began = std::chrono::steady_clock::now();
  std::size_t acknowledged = 0;
  std::size_t read = 0;
  std::size_t worked = 0;
  Cluster::Counts counts;
  const auto list = seeds(20);
  for (const std::uint64_t seed : list) {
    Play play(seed, options(seed));
    play.run(15s);
    const auto complaints = play.complaints();
    for (const std::string& one : complaints) ADD_FAILURE() << one;
    ASSERT_TRUE(complaints.empty()) << "replay: PARLEY_SEED=" << seed
                                    << " ctest -R ClusterPromises.HoldWhateverHappens";
    acknowledged += play.told.acknowledged.size();
    read += play.member.seen();
    worked += play.worked.size();
    counts.committed += play.cluster.counts().committed;
    counts.elections += play.cluster.counts().elections;
    counts.crashes += play.cluster.counts().crashes;
    counts.losses += play.cluster.counts().losses;
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  std::printf("%zu seeds, %.1f a second; %zu acknowledged, %zu records, %zu elections, %zu crashes, %zu logs lost\n",
              list.size(), static_cast<double>(list.size()) / took.count(), acknowledged, counts.committed,
              counts.elections, counts.crashes, counts.losses);
  EXPECT_GT(acknowledged, list.size() * 20) << "the clients were heard";
  EXPECT_GT(read, list.size() * 20) << "the inbox got something";
  EXPECT_GT(worked, list.size() * 20) << "and the workers";
  if (list.size() < 20) return;
  EXPECT_GT(counts.losses, list.size() / 20) << "nodes have begun anew";
}

/// Nodes die and are never cut off, so that it is clear who is dead.
TEST(ClusterPromises, HoldForWills) {
  log::configure(log::Level::Error, log::Format::Text);
  std::size_t wills = 0;
  const auto list = seeds(20);
  for (const std::uint64_t seed : list) {
    ClusterOptions with = options(seed);
    with.crashes = true;
    with.down_min = 500ms;
    with.pauses = with.partitions = with.broken_links = with.voters_fall = with.full_disks = with.slow_disks = false;
    with.slow_network = with.narrow_network = false;
    Play play(seed, with, 0);
    play.deaf = false;
    play.run(20s);
    const auto complaints = play.complaints();
    for (const std::string& one : complaints) ADD_FAILURE() << one;
    ASSERT_TRUE(complaints.empty()) << "replay: PARLEY_SEED=" << seed << " ctest -R ClusterPromises.HoldForWills";
    wills += play.mortal.count();
  }
  std::printf("%zu seeds, %zu wills\n", list.size(), wills);
  EXPECT_GT(wills, list.size() * 3) << "clients have died";
}

/// Replicas come back when the log doesn't have what they lack any more, or come for the first time.
TEST(ClusterPromises, HoldWhenLogsAreCut) {
  log::configure(log::Level::Error, log::Format::Text);
  std::size_t snapshots = 0;
  const auto list = seeds(20);
  for (const std::uint64_t seed : list) {
    ClusterOptions with = options(seed);
    with.cuts_logs = with.crashes = with.partitions = true;
    with.late_node = seed % 2 == 0;
    with.world.shard.recent_records_bytes_max = 500;
    Play play(seed, with);
    play.run(15s);
    const auto complaints = play.complaints();
    for (const std::string& one : complaints) ADD_FAILURE() << one;
    ASSERT_TRUE(complaints.empty()) << "replay: PARLEY_SEED=" << seed << " ctest -R ClusterPromises.HoldWhenLogsAreCut";
    snapshots += play.cluster.counts().snapshots;
  }
  std::printf("%zu seeds, %zu snapshots\n", list.size(), snapshots);
  EXPECT_GT(snapshots, list.size()) << "replicas were behind the log";
}

/// Nodes are unreachable for others for a moment, though nothing is wrong with their connections: whatever was asked or
/// told meanwhile is said anew, so that nobody waits for ever.
TEST(ClusterPromises, HoldWhenHeartbeatsAreLate) {
  log::configure(log::Level::Error, log::Format::Text);
  std::size_t committed = 0;
  const auto list = seeds(20);
  for (const std::uint64_t seed : list) {
    ClusterOptions with = options(seed);
    with.crashes = with.leaders_fall = with.voters_fall = with.pauses = with.partitions = with.broken_links = false;
    with.slow_disks = with.full_disks = with.loses_logs = false;
    with.late_heartbeats = true;
    Play play(seed, with);
    play.run(15s);
    const auto complaints = play.complaints();
    for (const std::string& one : complaints) ADD_FAILURE() << one;
    ASSERT_TRUE(complaints.empty()) << "replay: PARLEY_SEED=" << seed
                                    << " ctest -R ClusterPromises.HoldWhenHeartbeatsAreLate";
    committed += play.cluster.counts().committed;
  }
  std::printf("%zu seeds, %zu entries\n", list.size(), committed);
}

/// Nodes begin anew with what is materialised, while who leads dies, too.
TEST(ClusterPromises, HoldWhenLogsAreLost) {
  log::configure(log::Level::Error, log::Format::Text);
  std::size_t losses = 0;
  const auto list = seeds(20);
  for (const std::uint64_t seed : list) {
    ClusterOptions with = options(seed);
    with.loses_logs = with.crashes = with.leaders_fall = true;
    Play play(seed, with);
    play.run(15s);
    const auto complaints = play.complaints();
    for (const std::string& one : complaints) ADD_FAILURE() << one;
    ASSERT_TRUE(complaints.empty()) << "replay: PARLEY_SEED=" << seed
                                    << " ctest -R ClusterPromises.HoldWhenLogsAreLost";
    losses += play.cluster.counts().losses;
  }
  std::printf("%zu seeds, %zu logs lost\n", list.size(), losses);
  EXPECT_GT(losses, list.size()) << "nodes have begun anew";
}

TEST(ClusterPromises, AreCheckedInTheSameWayWithTheSameSeed) {
  log::configure(log::Level::Error, log::Format::Text);
  std::vector<std::uint64_t> traces;
  for (int i = 0; i < 2; ++i) {
    Play play(7, options(7));
    play.run(8s);
    traces.push_back(play.cluster.trace());
  }
  EXPECT_EQ(traces[0], traces[1]);
}

// -- The simulation's own test: nodes that break their promises are found out

/// The first seed with which something is found; 0: none of them.
std::uint64_t found_with(const std::function<void(ClusterOptions&)>& plant) {
  log::configure(log::Level::Error, log::Format::Text);
  for (std::uint64_t seed = 1; seed <= 2'000; ++seed) {
    ClusterOptions with = options(seed);
    with.crashes = with.leaders_fall = with.partitions = true;
    with.slow_disks = with.full_disks = with.loses_logs = false;
    plant(with);
    Play play(seed, with);
    play.run(15s);
    if (play.broken().empty()) continue;
    std::printf("found with seed %s\n", std::to_string(seed).c_str());
    return seed;
  }
  return 0;
}

TEST(ClusterPromises, AreBrokenByADiskThatAnswersTooEarly) {
  EXPECT_NE(found_with([](ClusterOptions& with) { with.faults.answers_before_sync = true; }), 0U);
}
TEST(ClusterPromises, AreBrokenByVotersThatForgetTheirVotes) {
  EXPECT_NE(found_with([](ClusterOptions& with) {
              with.faults.forgets_votes = with.voters_fall = true;
              with.nodes = 3;
              // Who has fallen is connected again at once, while it is still asked for its vote.
              with.partitions = with.pauses = false;
              // Rivals at the same time, of whom one asks late.
              with.world.store_latency = 60ms;
              with.world.shard.replication.election_spread = 50ms;
            }),
            0U);
}
TEST(ClusterPromises, AreBrokenByVotersThatDontCompareLogs) {
  EXPECT_NE(found_with([](ClusterOptions& with) { with.skips_log_check = true; }), 0U);
}
TEST(ClusterPromises, AreBrokenByReplicasThatForgetWhatTheyHaveLost) {
  EXPECT_NE(found_with([](ClusterOptions& with) { with.faults.forgets_losses = with.loses_logs = true; }), 0U);
}
TEST(ClusterPromises, AreBrokenByALeaderThatGivesASeqAgain) {
  EXPECT_NE(found_with([](ClusterOptions& with) { with.faults.hides_head = true; }), 0U);
}

}  // namespace
}  // namespace parley::simulation
