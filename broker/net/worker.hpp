#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/time.hpp"
#include "broker/net/connections.hpp"
#include "broker/net/mailbox.hpp"
#include "broker/net/socket.hpp"
#include "broker/net/system_random.hpp"
#include "broker/shard/shard.hpp"

namespace parley::net {

/// What every worker is told at its start; lives longer than the workers.
struct WorkerOptions {
  Duration connect_timeout = std::chrono::seconds(10);
  std::size_t connections_max = 1'000'000;           ///< Of all workers together.
  Duration close_timeout = std::chrono::seconds(2);  ///< For the last output and the other side's closing.
  Duration stop_timeout = std::chrono::seconds(5);
};

/// One thread: its listeners, its connections, its shard. Everything here belongs to that thread, but for `mailbox`,
/// and for what is called before the thread is there.
class Worker final : private Connections::Exits, private shard::PeerShards {
 public:
  struct Context {
    const WorkerOptions& options;
    const shard::ShardOptions& shard_options;
    shard::LogStore& store;
    std::atomic<std::size_t>& connections;  ///< Of all workers.
  };
  Worker(shard::ShardId id, const Context& context);
  ~Worker() override;

  // -- Before run() --
  shard::Shard& shard() { return shard_; }
  void add_listener(Descriptor listener);
  /// All workers of the node, by shard.
  void meet(std::vector<Worker*> workers) { workers_ = std::move(workers); }
  /// What the shard has to tell others of what was restored is in their mailboxes, so that they know it before their
  /// first client.
  void tell_peers() { send_peer_events(); }

  /// Any thread.
  Mailbox& mailbox() { return mailbox_; }

  /// Turns until it is told to stop and everything is settled.
  void run();

 private:
  struct Deadline {
    shard::ConnectionId connection;
    Instant due;
  };

  void turn();
  int wait_timeout() const;
  void handle(std::uint64_t id, std::uint32_t events);
  void read(shard::ConnectionId id);
  void receive(shard::ConnectionId id, Connection& connection, std::string_view bytes);
  void receive_mail();
  void hear_of_lost();
  void check_deadlines();
  void send_peer_events();
  void begin_stop();
  [[nodiscard]] bool has_stopped() const;

  // -- Accepting --
  void accept(std::size_t listener);
  void admit(Descriptor socket);
  void pause_accepting(int error);
  void watch_listeners(bool on);

  void leave(shard::ShardId target, Arrival arrival) override;
  void post(shard::ShardId target, shard::PeerEvent event) override;
  void drop(shard::ConnectionId id);

  const WorkerOptions& options_;
  std::atomic<std::size_t>& node_connections_;
  Descriptor epoll_;
  Mailbox mailbox_;
  Connections connections_;
  SystemRandom random_;
  shard::Shard shard_;
  std::vector<Worker*> workers_;
  std::vector<std::vector<shard::PeerEvent>> outgoing_;  ///< By shard: this turn's events.
  std::vector<Descriptor> listeners_;

  Instant now_;
  Mail mail_;
  std::vector<shard::ConnectionId> changed_;  ///< Reused.
  std::deque<Deadline> connect_deadlines_;
  std::deque<Deadline> close_deadlines_;
  Instant accept_again_;       ///< Zero: accepting.
  std::uint64_t refused_ = 0;  ///< Connections above the limit since the last line about it.
  Instant refused_told_;
  bool stopping_ = false;
  Instant stop_due_;
  std::unique_ptr<char[]> buffer_;
};

}  // namespace parley::net
