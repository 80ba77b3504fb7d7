#include <algorithm>
#include <memory>

#include "clients/bench/failure.hpp"
#include "clients/bench/scenarios.hpp"

namespace parley::bench {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kConnectingMax = 64;
/// So long without a message, and what is still missing won't come.
constexpr Duration kComeBackPatience = 5s;

/// A member that comes back and wants what it missed.
class ReturningMember : public Client::Owner {
 public:
  void on_delivery(const Delivery& delivery) override {
    if (const auto stamp = read_stamp(delivery.payload)) tally_.accept(stamp->sequence);
  }
  [[nodiscard]] const Tally& tally() const { return tally_; }

 private:
  Tally tally_;
};

Client::Settings member_settings(const TrafficShape& shape, std::size_t number, bool clean_start) {
  Client::Settings settings = shape.client;
  settings.client_id = shape.name + "-member-" + std::to_string(number);
  settings.persistent = true;
  settings.clean_start = clean_start;
  return settings;
}

void subscribe_and_leave(Loop& loop, const Endpoint& endpoint, const TrafficShape& shape, std::size_t members) {
  Client::Owner nobody;
  const std::string topic = topic_of(shape, 0);
  for (std::size_t first = 0; first < members; first += kConnectingMax) {
    std::vector<std::unique_ptr<Client>> clients;
    std::vector<Client*> batch;
    for (std::size_t i = first; i < std::min(first + kConnectingMax, members); ++i) {
      clients.push_back(std::make_unique<Client>(loop, endpoint, member_settings(shape, i, true), nobody));
      batch.push_back(clients.back().get());
    }
    await_ready(loop, batch, Loop::now() + 30s);
    for (Client* client : batch) client->subscribe(topic, shape.qos);
    await_ready(loop, batch, Loop::now() + 30s);
    for (Client* client : batch) client->leave();
    loop.run_until([&batch] { return std::ranges::all_of(batch, &Client::closed); }, Loop::now() + 5s);
  }
}

/// Counts of what the last member gets when it comes back; `published` in order is right.
Counts come_back(Loop& loop, const Endpoint& endpoint, const TrafficShape& shape, std::size_t number,
                 std::uint64_t published) {
  ReturningMember member;
  Client client(loop, endpoint, member_settings(shape, number, false), member);
  Instant deadline = Loop::now() + kComeBackPatience;
  std::uint64_t received = 0;
  while (member.tally().received() < published && Loop::now() < deadline && !client.closed()) {
    loop.turn(Loop::now() + 100ms);
    if (member.tally().received() == received) continue;
    received = member.tally().received();
    deadline = Loop::now() + kComeBackPatience;
  }
  client.leave();
  loop.run_until([&client] { return client.closed(); }, Loop::now() + 1s);
  const std::uint64_t unseen = published - std::min(published, member.tally().next());
  return {.missing = member.tally().missing() + unseen,
          .duplicated = member.tally().duplicated(),
          .reordered = member.tally().reordered()};
}

/// One conversation, its absent members, and what publishing to it has cost.
struct Group {
  std::size_t members = 0;
  std::unique_ptr<Traffic> traffic;
  TrafficShape shape;
  Duration broker_cpu{};
  Duration elapsed{};
  std::uint64_t published = 0;

  [[nodiscard]] double cost() const { return microseconds_of(broker_cpu) / static_cast<double>(published); }
};

/// Publishes for `seconds`, or `messages` when that is less (0: no limit), until all are acknowledged.
void publish(Group& group, double seconds, std::uint64_t messages) {
  const std::uint64_t limit = messages > 0 ? group.traffic->counts().published + messages : 0;
  group.traffic->run_until(Loop::now() + duration_of(seconds), limit);
  group.traffic->drain(30s);
}

/// The groups in turn, several times, so that whatever else the machine does meanwhile meets them alike.
void measure(std::vector<Group>& groups, const RunOptions& options, Meter& meter) {
  constexpr unsigned kTurns = 5;
  for (unsigned turn = 0; turn < kTurns; ++turn) {
    for (Group& group : groups) {
      const std::uint64_t before = group.traffic->counts().acknowledged;
      meter.restart();
      publish(group, options.seconds / kTurns, (options.messages + kTurns - 1) / kTurns);
      group.broker_cpu += meter.broker_cpu();
      group.elapsed += meter.elapsed();
      group.published += group.traffic->counts().acknowledged - before;
    }
  }
}

std::vector<Group> make_groups(Loop& loop, const Endpoint& endpoint, const RunOptions& options) {
  std::vector<Group> groups;
  for (const std::size_t members : options.members) {
    Group& group = groups.emplace_back();
    group.members = members;
    group.shape = options.traffic;
    group.shape.name += "-absent" + std::to_string(members);
    subscribe_and_leave(loop, endpoint, group.shape, members);
    group.traffic = std::make_unique<Traffic>(loop, endpoint, group.shape);
    group.traffic->connect();
  }
  return groups;
}

}  // namespace

Report run_absent(const RunOptions& options) {
  Report report = begin_report(options);
  Loop loop;
  const Endpoint endpoint = Endpoint::resolve(options.target.host, options.target.port);
  const auto broker = broker_process(options.target, endpoint);
  if (!broker) throw Failure("absent needs the broker's process: --pid");
  if (options.traffic.qos == mqtt::Qos::AtMostOnce)
    throw Failure("absent needs --qos 1 or 2: at QoS 0 nothing is kept");
  std::vector<Group> groups = make_groups(loop, endpoint, options);
  Meter meter(broker);
  meter.settle(loop, 10s);
  for (Group& group : groups) publish(group, options.warmup, options.messages / 10);
  measure(groups, options, meter);

  Counts all;
  for (Group& group : groups) {
    const std::string suffix = "_" + std::to_string(group.members);
    report.add("broker_cpu_us_per_publish" + suffix, group.cost());
    report.add("publishes_per_second" + suffix, static_cast<double>(group.published) / seconds_of(group.elapsed));
    const Counts counts = group.traffic->counts();
    all.refused += counts.refused;
    if (group.members == 0) continue;
    const Counts back = come_back(loop, endpoint, group.shape, group.members - 1, counts.published);
    all.missing += back.missing;
    all.duplicated += back.duplicated;
    all.reordered += back.reordered;
  }
  if (groups.size() > 1) report.add("cpu_growth", groups.back().cost() / groups.front().cost());
  report.add("broker_rss_mb", static_cast<double>(meter.memory().resident) / 1e6);
  add_integrity(report, all);
  return report;
}

}  // namespace parley::bench
