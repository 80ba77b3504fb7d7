#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "base/aio/event.hpp"
#include "base/aio/task_group.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "bridge/credentials.hpp"
#include "bridge/metrics.hpp"
#include "bridge/right.hpp"
#include "clients/link/client.hpp"

/// Sends and asks on behalf of users: one MQTT connection for each who has been here lately.
namespace parley::bridge {

namespace asio = boost::asio;

struct SenderOptions {
  std::string host = "127.0.0.1";
  std::uint16_t port = 1883;
  std::size_t connections_max = 256;
  Duration idle_max = std::chrono::seconds(60);  ///< Then a connection is closed.
  Duration send_limit = std::chrono::seconds(10);
  Duration asked_again = std::chrono::seconds(5);  ///< How long a right counts if no entry takes it back before.
  Duration connect_limit = std::chrono::seconds(5);
};

/// Belongs to its worker's thread. Call stop() and await join() before it goes.
class Senders {
 public:
  Senders(const asio::any_io_executor& executor, SenderOptions options, Metrics& metrics);
  ~Senders();

  /// The broker's answer to the PUBLISH, a refusal of the CONNECT included. Fails with errc::device_or_resource_busy
  /// when all connections are in use, errc::timed_out when the broker took too long, else with the connection's error.
  /// A publication with an `id` is sent a second time when its connection breaks: the broker knows it by its id.
  asio::awaitable<Result<link::Answer>> publish(Credentials credentials, link::Publication publication,
                                                bool repeatable);

  /// Whether these credentials let somebody in, and (unless `topic` is empty) whether that user may subscribe to it: an
  /// answer without a failure is a yes, with what SUBACK says. It is kept with `place`, where the conversation was when
  /// this was called, as known_right(). Errors as in publish().
  asio::awaitable<Result<link::Answer>> may_read(Credentials credentials, std::string topic, Place place);

  /// The last yes to these credentials' reading `topic`, for `asked_again`; null without one. Who knows that nothing
  /// has taken it back since may move its place. Valid until the next await.
  Right* known_right(const Credentials& credentials, const std::string& topic);

  /// True when the broker accepts TCP connections.
  asio::awaitable<bool> reachable();

  void stop();
  asio::awaitable<void> join();

 private:
  struct Sender {
    Sender(const asio::any_io_executor& executor, link::Options options)
        : client(executor, std::move(options)), connected(executor) {}
    link::Client client;
    aio::Event connected;
    bool connecting = false;
    std::size_t users = 0;
    Instant used_last{};
    struct Readable {
      Instant until;
      Right right;
    };
    std::map<std::string, Readable> readable;  ///< Topics that it may subscribe to.
  };
  using Table = std::map<std::string, std::shared_ptr<Sender>>;  ///< By Credentials::key().

  std::shared_ptr<Sender> take(const Credentials& credentials);
  asio::awaitable<Result<link::Answer>> connect(std::shared_ptr<Sender> sender);
  asio::awaitable<Result<link::Answer>> send(std::shared_ptr<Sender> sender, link::Publication publication);
  asio::awaitable<Result<link::Answer>> ask(std::shared_ptr<Sender> sender, std::string topic, Place place);
  asio::awaitable<void> drain(std::shared_ptr<Sender> sender);
  asio::awaitable<void> close_idle();
  void retire(Table::iterator place);

  asio::any_io_executor executor_;
  SenderOptions options_;
  Metrics& metrics_;
  std::string name_;  ///< Begins the client ids; no other process or worker has it.
  std::uint64_t next_ = 0;
  Table senders_;
  bool closing_idle_ = false;
  aio::TaskGroup tasks_;    ///< Stopped: closes idle connections.
  aio::TaskGroup closing_;  ///< Not stopped, only joined: each has a deadline.
};

}  // namespace parley::bridge
