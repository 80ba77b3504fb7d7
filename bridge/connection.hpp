#pragma once

#include <boost/asio/awaitable.hpp>
#include <memory>
#include <string>

#include "base/time.hpp"
#include "bridge/api.hpp"
#include "bridge/compression.hpp"
#include "bridge/request_parser.hpp"

namespace parley::bridge {

/// What a worker's connections share. Belongs to the worker's thread.
struct ConnectionContext {
  ConnectionContext(const BridgeOptions& with, Api& on_api, PageReader& on_pages, HeadWatch& on_watch,
                    Metrics& on_metrics)
      : options(with), api(on_api), pages(on_pages), watch(on_watch), metrics(on_metrics) {}

  const BridgeOptions& options;
  Api& api;
  PageReader& pages;
  HeadWatch& watch;
  Metrics& metrics;
  Gzip gzip;
  bool stopping = false;

  /// The Date field's value; made once a second.
  std::string_view date();

 private:
  std::time_t date_made_ = 0;
  std::string date_;
};

/// One HTTP connection: requests in, responses out, one after the other, so pipelining keeps its order. Its worker
/// calls look() now and then for its deadlines. Belongs to the worker's thread.
class Connection {
 public:
  virtual ~Connection() = default;

  /// Until the connection is closed by one side.
  virtual asio::awaitable<void> run() = 0;
  /// Ends what takes longer than it may, and idle connections of a worker that stops.
  virtual void look(Instant now) = 0;
  /// Ends it whatever it does.
  virtual void abort() = 0;
};

/// Takes over a connected TCP socket, given by its descriptor.
std::unique_ptr<Connection> make_connection(const asio::any_io_executor& executor, ConnectionContext& context,
                                            int descriptor);

}  // namespace parley::bridge
