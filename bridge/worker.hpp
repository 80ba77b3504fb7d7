#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "bridge/metrics.hpp"
#include "bridge/options.hpp"
#include "bridge/store.hpp"

namespace parley::bridge {

/// One thread with its own loop, view of the history, MQTT connections and HTTP connections. Nothing of it is shared
/// but what the constructor is given, which must outlive it.
class Worker {
 public:
  /// `connection_closed` is called on the worker's thread.
  Worker(const BridgeOptions& options, const Store& store, Metrics& metrics, std::vector<const Metrics*> all_metrics,
         std::function<void()> connection_closed);
  ~Worker();  ///< stop() and join() come first.

  void start();
  /// Serves a connected socket, which the worker closes. Any thread.
  void adopt(int descriptor);
  /// Lets requests under way finish within BridgeOptions::stop_limit, then ends. Any thread.
  void stop();
  void join();

  /// Where other work of this thread may run.
  [[nodiscard]] boost::asio::any_io_executor executor();

 private:
  class Loop;
  std::unique_ptr<Loop> loop_;
};

}  // namespace parley::bridge
