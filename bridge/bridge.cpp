#include "bridge/bridge.hpp"

#include <atomic>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <future>
#include <stdexcept>
#include <utility>
#include <vector>

#include "base/aio/event.hpp"
#include "base/aio/task_group.hpp"
#include "base/log.hpp"
#include "bridge/store.hpp"
#include "bridge/worker.hpp"

namespace parley::bridge {
namespace {

using boost::asio::ip::tcp;

constexpr auto kAsTuple = asio::as_tuple(asio::use_awaitable);
/// How often a history that isn't there yet is looked for.
constexpr Duration kOpenPeriod = std::chrono::milliseconds(250);
/// After an accept that failed for want of descriptors.
constexpr Duration kAcceptPause = std::chrono::milliseconds(100);
constexpr int kBacklog = 1'024;

asio::awaitable<void> pause(Duration duration) {
  asio::steady_timer timer(co_await asio::this_coro::executor, duration);
  [[maybe_unused]] const auto woken = co_await timer.async_wait(kAsTuple);
}

}  // namespace

class Bridge::Impl {
 public:
  explicit Impl(BridgeOptions options)
      : options_(std::move(options)), store_(options_.data_dir, options_.readers_max), metrics_(options_.threads) {
    std::vector<const Metrics*> all;
    for (const auto& metrics : metrics_) all.push_back(&metrics);
    for (auto& metrics : metrics_) {
      workers_.push_back(std::make_unique<Worker>(options_, store_, metrics, all, [this] { connection_closed(); }));
    }
    executor_ = workers_.front()->executor();
    acceptor_.emplace(executor_);
    slot_free_.emplace(executor_);
    tasks_ = std::make_unique<aio::TaskGroup>(executor_);
    open_store();
    listen();
  }

  ~Impl() { stop(); }

  void start() {
    started_ = true;
    for (const auto& worker : workers_) worker->start();
    // Tasks belong to the first worker's thread.
    asio::post(executor_, [this] {
      tasks_->spawn(accept());
      if (!store_.files()) tasks_->spawn(wait_for_store());
    });
  }

  void stop() {
    if (!std::exchange(started_, false)) return;
    std::promise<void> stopped;
    asio::post(executor_, [this, &stopped] {
      boost::system::error_code ignored;
      acceptor_->close(ignored);
      tasks_->stop();
      stopped.set_value();
    });
    stopped.get_future().wait();
    for (const auto& worker : workers_) worker->stop();
    for (const auto& worker : workers_) worker->join();
  }

  [[nodiscard]] std::uint16_t port() const { return port_; }

 private:
  void open_store() {
    const auto opened = store_.open();
    if (opened || opened.error() == StorageError::NotFound) return;
    throw std::runtime_error("node.data_dir: the history in " + options_.data_dir +
                             " can't be read: " + opened.error().message());
  }

  void listen() {
    const std::string where = options_.listen_host + ":" + std::to_string(options_.listen_port);
    boost::system::error_code error;
    tcp::resolver resolver(executor_);
    const auto found =
        resolver.resolve(options_.listen_host, std::to_string(options_.listen_port), tcp::resolver::passive, error);
    if (!error) {
      const tcp::endpoint endpoint = *found.begin();
      acceptor_->open(endpoint.protocol(), error);
      if (!error) acceptor_->set_option(tcp::acceptor::reuse_address(true), error);
      if (!error) acceptor_->bind(endpoint, error);
      if (!error) acceptor_->listen(kBacklog, error);
      if (!error) port_ = acceptor_->local_endpoint(error).port();
    }
    if (error) throw std::runtime_error("bridge.listen: can't listen on " + where + ": " + error.message());
  }

  asio::awaitable<void> accept() {
    std::size_t next = 0;
    while (!tasks_->stopping()) {
      if (open_.load(std::memory_order_acquire) >= options_.connections_max) {
        const bool freed = co_await slot_free_->wait();
        if (!freed) co_return;
        continue;
      }
      auto [error, socket] = co_await acceptor_->async_accept(kAsTuple);
      if (tasks_->stopping()) co_return;
      if (error) {
        log::warn("a connection could not be accepted, waiting a little", {{"error", error.message()}});
        co_await pause(kAcceptPause);
        continue;
      }
      boost::system::error_code failed;
      const int descriptor = socket.release(failed);
      if (failed) continue;
      open_.fetch_add(1, std::memory_order_acq_rel);
      workers_[next]->adopt(descriptor);
      next = (next + 1) % workers_.size();
    }
  }

  /// On any worker's thread.
  void connection_closed() {
    if (open_.fetch_sub(1, std::memory_order_acq_rel) != options_.connections_max) return;
    asio::post(executor_, [this] { slot_free_->notify(); });
  }

  asio::awaitable<void> wait_for_store() {
    log::info("waiting for a broker to make its data directory", {{"data_dir", options_.data_dir}});
    boost::system::error_code said = StorageError::NotFound;
    while (!tasks_->stopping()) {
      const auto opened = store_.open();
      if (opened) {
        log::info("history is there", {{"data_dir", options_.data_dir}});
        co_return;
      }
      if (opened.error() != said) {
        said = opened.error();
        log::warn("the history can't be read, trying again", {{"error", said.message()}});
      }
      co_await pause(kOpenPeriod);
    }
  }

  BridgeOptions options_;
  Store store_;
  std::vector<Metrics> metrics_;
  std::vector<std::unique_ptr<Worker>> workers_;
  asio::any_io_executor executor_;  ///< The first worker's.
  std::optional<tcp::acceptor> acceptor_;
  std::optional<aio::Event> slot_free_;
  std::unique_ptr<aio::TaskGroup> tasks_;
  std::atomic<std::size_t> open_{0};
  std::uint16_t port_ = 0;
  bool started_ = false;
};

Bridge::Bridge(BridgeOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}
Bridge::~Bridge() = default;

void Bridge::start() { impl_->start(); }
void Bridge::stop() { impl_->stop(); }
std::uint16_t Bridge::port() const { return impl_->port(); }

}  // namespace parley::bridge
