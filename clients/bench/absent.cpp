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

}  // namespace

Report run_absent(const RunOptions& options) {
  Report report = begin_report(options);
  Loop loop;
  const Endpoint endpoint = Endpoint::resolve(options.target.host, options.target.port);
  const auto broker = broker_process(options.target, endpoint);
  if (!broker) throw Failure("absent needs the broker's process: --pid");
  if (options.traffic.qos == mqtt::Qos::AtMostOnce)
    throw Failure("absent needs --qos 1 or 2: at QoS 0 nothing is kept");
  Counts all;
  std::vector<double> costs;
  for (const std::size_t members : options.members) {
    TrafficShape shape = options.traffic;
    shape.name += "-absent" + std::to_string(members);
    subscribe_and_leave(loop, endpoint, shape, members);
    Meter meter(broker);
    meter.settle(loop, 10s);

    Traffic traffic(loop, endpoint, shape);
    traffic.connect();
    const std::uint64_t warm = options.messages / 10;
    traffic.run_until(Loop::now() + duration_of(options.warmup), warm);
    traffic.drain(5s);
    const Counts before = traffic.counts();
    const std::uint64_t limit = options.messages > 0 ? before.published + options.messages : 0;
    meter.restart();
    traffic.run_until(Loop::now() + duration_of(options.seconds), limit);
    traffic.drain(30s);
    const Counts after = traffic.counts();
    const auto published = static_cast<double>(after.acknowledged - before.acknowledged);
    const std::string suffix = "_" + std::to_string(members);
    costs.push_back(microseconds_of(meter.broker_cpu()) / published);
    report.add("broker_cpu_us_per_publish" + suffix, costs.back());
    report.add("publishes_per_second" + suffix, published / seconds_of(meter.elapsed()));
    report.add("broker_rss_mb" + suffix, static_cast<double>(meter.memory().resident) / 1e6);

    const Counts back = members == 0 ? Counts{} : come_back(loop, endpoint, shape, members - 1, after.published);
    all.missing += back.missing;
    all.duplicated += back.duplicated;
    all.reordered += back.reordered;
    all.refused += after.refused;
  }
  if (costs.size() > 1) report.add("cpu_growth", costs.back() / costs.front());
  add_integrity(report, all);
  return report;
}

}  // namespace parley::bench
