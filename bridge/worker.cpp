#include "bridge/worker.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <list>
#include <optional>
#include <thread>

#include "base/aio/task_group.hpp"
#include "bridge/api.hpp"
#include "bridge/connection.hpp"
#include "bridge/head_watch.hpp"
#include "bridge/page_reader.hpp"
#include "bridge/senders.hpp"

namespace parley::bridge {
namespace {

constexpr Duration kLookPeriod = std::chrono::seconds(1);
/// While the worker stops it looks more often: connections become idle at any time.
constexpr Duration kStopLookPeriod = std::chrono::milliseconds(20);

}  // namespace

class Worker::Loop {
 public:
  Loop(const BridgeOptions& options, const Store& store, Metrics& metrics, std::vector<const Metrics*> all_metrics,
       std::function<void()> connection_closed)
      : options_(options),
        metrics_(metrics),
        connection_closed_(std::move(connection_closed)),
        work_(boost::asio::make_work_guard(io_)),
        reader_(store),
        pages_(reader_, metrics),
        watch_(io_.get_executor(), pages_, metrics),
        senders_(io_.get_executor(), options.broker, metrics),
        api_(options, reader_, pages_, watch_, senders_, std::move(all_metrics)),
        context_(options, api_, pages_, watch_, metrics),
        timer_(io_),
        tasks_(io_.get_executor()),
        serving_(io_.get_executor()),
        stopping_(io_.get_executor()) {}

  void start() {
    tasks_.spawn(look());
    thread_ = std::thread([this] { io_.run(); });
  }

  void adopt(int descriptor) {
    boost::asio::post(io_, [this, descriptor] {
      connections_.push_front(make_connection(io_.get_executor(), context_, descriptor));
      metrics_.connections.fetch_add(1, std::memory_order_relaxed);
      metrics_.connections_total.fetch_add(1, std::memory_order_relaxed);
      serving_.spawn(serve(connections_.begin()));
    });
  }

  void stop() {
    boost::asio::post(io_, [this] {
      if (context_.stopping) return;
      context_.stopping = true;
      stopping_.spawn(shut_down());
    });
  }

  void join() {
    if (thread_.joinable()) thread_.join();
  }

  boost::asio::any_io_executor executor() { return io_.get_executor(); }

 private:
  using Connections = std::list<std::unique_ptr<Connection>>;

  asio::awaitable<void> serve(Connections::iterator place) {
    co_await (*place)->run();
    connections_.erase(place);
    metrics_.connections.fetch_sub(1, std::memory_order_relaxed);
    connection_closed_();
  }

  void look_at_all() {
    const Instant now = std::chrono::steady_clock::now();
    for (const auto& connection : connections_) connection->look(now);
  }

  asio::awaitable<void> look() {
    while (!tasks_.stopping()) {
      timer_.expires_after(kLookPeriod);
      const auto [cancelled] = co_await timer_.async_wait(asio::as_tuple(asio::use_awaitable));
      if (!cancelled) look_at_all();
    }
  }

  /// First what waits is told, then what is under way gets its time, then everything ends.
  asio::awaitable<void> shut_down() {
    tasks_.stop();
    co_await tasks_.join();
    watch_.stop();
    const Instant deadline = std::chrono::steady_clock::now() + options_.stop_limit;
    while (!connections_.empty() && std::chrono::steady_clock::now() < deadline) {
      look_at_all();
      timer_.expires_after(kStopLookPeriod);
      const auto [cancelled] = co_await timer_.async_wait(asio::as_tuple(asio::use_awaitable));
      if (cancelled) break;
    }
    for (const auto& connection : connections_) connection->abort();
    senders_.stop();
    co_await serving_.join();
    co_await watch_.join();
    co_await senders_.join();
    work_.reset();
  }

  const BridgeOptions& options_;
  Metrics& metrics_;
  std::function<void()> connection_closed_;
  boost::asio::io_context io_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  Reader reader_;
  PageReader pages_;
  HeadWatch watch_;
  Senders senders_;
  Api api_;
  ConnectionContext context_;
  Connections connections_;
  asio::steady_timer timer_;
  aio::TaskGroup tasks_;     ///< Stopped first.
  aio::TaskGroup serving_;   ///< Connections; they end by themselves.
  aio::TaskGroup stopping_;  ///< Only shut_down().
  std::thread thread_;
};

Worker::Worker(const BridgeOptions& options, const Store& store, Metrics& metrics,
               std::vector<const Metrics*> all_metrics, std::function<void()> connection_closed)
    : loop_(std::make_unique<Loop>(options, store, metrics, std::move(all_metrics), std::move(connection_closed))) {}
Worker::~Worker() = default;

void Worker::start() { loop_->start(); }
void Worker::adopt(int descriptor) { loop_->adopt(descriptor); }
void Worker::stop() { loop_->stop(); }
void Worker::join() { loop_->join(); }
boost::asio::any_io_executor Worker::executor() { return loop_->executor(); }

}  // namespace parley::bridge
