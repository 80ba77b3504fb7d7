#include <algorithm>
#include <memory>

#include "clients/bench/failure.hpp"
#include "clients/bench/scenarios.hpp"

namespace parley::bench {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kConnectingMax = 64;
constexpr std::size_t kClientsPerSource = 5'000;

class IdleClients : public Client::Owner {
 public:
  IdleClients(Loop& loop, const Endpoint& endpoint, TrafficShape shape)
      : loop_(loop), endpoint_(endpoint), shape_(std::move(shape)) {}

  void grow_to(std::size_t count) {
    while (clients_.size() < count) add_batch(std::min(kConnectingMax, count - clients_.size()));
  }
  [[nodiscard]] std::size_t closed() const {
    return static_cast<std::size_t>(
        std::ranges::count_if(clients_, [](const auto& client) { return client->closed(); }));
  }

 private:
  void add_batch(std::size_t count) {
    std::vector<Client*> batch;
    const std::size_t first = clients_.size();
    for (std::size_t i = first; i < first + count; ++i) {
      Client::Settings settings = shape_.client;
      settings.client_id = shape_.name + "-idle-" + std::to_string(i);
      settings.source = static_cast<unsigned>(1 + i / kClientsPerSource);
      clients_.push_back(std::make_unique<Client>(loop_, endpoint_, std::move(settings), *this));
      batch.push_back(clients_.back().get());
    }
    await_ready(loop_, batch, Loop::now() + 30s);
    for (std::size_t i = 0; i < count; ++i) batch[i]->subscribe(topic_of(shape_, first + i), shape_.qos);
    await_ready(loop_, batch, Loop::now() + 30s);
  }

  Loop& loop_;
  Endpoint endpoint_;
  TrafficShape shape_;
  std::vector<std::unique_ptr<Client>> clients_;
};

}  // namespace

Report run_idle(const RunOptions& options) {
  Report report = begin_report(options);
  report.settings.emplace_back("connections", std::to_string(options.connections));
  Loop loop;
  const Endpoint endpoint = Endpoint::resolve(options.target.host, options.target.port);
  const auto broker = broker_process(options.target, endpoint);
  if (!broker) throw Failure("idle needs the broker's process: --pid");
  IdleClients clients(loop, endpoint, options.traffic);
  // The first connection pays for what the broker sets up once.
  clients.grow_to(1);
  Meter meter(broker);
  meter.settle(loop, 5s);
  const Memory before = meter.memory();

  meter.restart();
  clients.grow_to(1 + options.connections);
  const auto count = static_cast<double>(options.connections);
  report.add("connects_per_second", count / seconds_of(meter.elapsed()));
  report.add("broker_cpu_us_per_connect", microseconds_of(meter.broker_cpu()) / count);
  meter.settle(loop, 5s);

  meter.restart();
  loop.run_until([] { return false; }, Loop::now() + duration_of(options.seconds));
  report.add("broker_cpu_percent_idle", seconds_of(meter.broker_cpu()) / seconds_of(meter.elapsed()) * 100);
  const Memory after = meter.memory();
  const auto grown = [count](std::uint64_t from, std::uint64_t to) {
    return (static_cast<double>(to) - static_cast<double>(from)) / count;
  };
  report.add("rss_bytes_per_connection", grown(before.resident, after.resident));
  report.add("anonymous_bytes_per_connection", grown(before.anonymous, after.anonymous));
  report.add("broker_rss_mb", static_cast<double>(after.resident) / 1e6);
  if (const auto closed = clients.closed(); closed > 0) {
    report.problems.push_back(std::to_string(closed) + " connections were closed by the broker");
  }
  return report;
}

}  // namespace parley::bench
