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
#include "broker/net/crowd.hpp"
#include "broker/net/handshake_pool.hpp"
#include "broker/net/mailbox.hpp"
#include "broker/net/socket.hpp"
#include "broker/net/system_random.hpp"
#include "broker/shard/shard.hpp"

namespace parley::net {

/// What every worker is told at its start; lives longer than the workers.
struct WorkerOptions {
  Duration connect_timeout = std::chrono::seconds(10);
  std::size_t connections_max = 1'000'000;            ///< Of all workers together.
  std::uint32_t address_connections_max = 0;          ///< From one address; 0: no limit.
  shard::Rate accepts;                                ///< Connections that a worker accepts.
  bool counts_users = false;                          ///< Something of a user is limited.
  Duration packet_timeout = std::chrono::minutes(1);  ///< For the rest of a packet that was begun.
  Duration write_timeout = std::chrono::minutes(2);   ///< How long a client may take nothing of what waits for it.
  Duration close_timeout = std::chrono::seconds(2);   ///< For the last output and the other side's closing.
  Duration stop_timeout = std::chrono::seconds(5);
};

/// What the workers of a node share.
struct Crowds {
  std::atomic<std::size_t> connections = 0;
  std::atomic<std::size_t> surplus = 0;  ///< Connections above a limit, here to be told so.
  Crowd<CountedPlace::Count> addresses;
  Crowd<shard::UserAccount> users;
};

/// One thread: its listeners, its connections, its shard. Everything here belongs to that thread, but for `mailbox`,
/// and for what is called before the thread is there.
class Worker final : private Connections::Exits, private shard::PeerShards {
 public:
  struct Context {
    const WorkerOptions& options;
    const shard::ShardOptions& shard_options;
    shard::LogStore& store;
    shard::PeerNodes& nodes;
    shard::Authenticator& authenticator;
    Crowds& crowds;  ///< Of all workers.
    HandshakePool& handshakes;
  };
  Worker(shard::ShardId id, const Context& context);
  ~Worker() override;

  // -- Before run() --
  shard::Shard& shard() { return shard_; }
  /// `profile` lives longer.
  void add_listener(Descriptor listener, const ListenerProfile& profile);
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
  struct Listening {
    Descriptor socket;
    const ListenerProfile* profile = nullptr;
    bool is_watched = false;
  };
  struct Deadline {
    shard::ConnectionId connection;
    Instant due;
  };

  void turn();
  /// `ready`: how many connections have a part in it.
  void begin_turn(std::size_t ready);
  void end_turn();
  int wait_timeout() const;
  void handle(std::uint64_t id, std::uint32_t events);
  /// `is_broken`: epoll says that the connection is.
  void read(shard::ConnectionId id, bool is_broken);
  void take_backlog();
  void read_backlog();
  void process(shard::ConnectionId id, Connection& connection, std::string_view bytes);
  [[nodiscard]] bool finds_place(shard::ConnectionId id, Connection& connection);
  [[nodiscard]] bool finds_surplus_place(Connection& connection, const std::string& host);
  void read_through(shard::ConnectionId id, Connection& connection);
  void refuse(shard::ConnectionId id, std::string_view why);
  void receive(shard::ConnectionId id, Connection& connection, std::string_view bytes);
  void receive_mail();
  void welcome(Arrival& arrival);
  void hear_of_lost();
  void check_deadlines();
  void check_stalls();
  void watch_stall(shard::ConnectionId id, Connection& connection);
  void cut(shard::ConnectionId id, Metric limit, std::string_view why);
  void send_peer_events();
  void begin_stop();
  [[nodiscard]] bool has_stopped() const;

  // -- TLS handshakes --
  void park_for_handshake(shard::ConnectionId id, Connection& connection);
  void submit_handshakes();
  void go_on(const HandshakeResult& result);

  // -- Accepting --
  void accept(std::size_t listener);
  void admit(Descriptor socket, const ListenerProfile& profile);
  [[nodiscard]] bool takes_surplus(const ListenerProfile& profile);
  void pause_accepting(int error);
  bool may_accept();
  void watch_listeners();

  void leave(shard::ShardId target, Arrival arrival) override;
  void post(shard::ShardId target, shard::PeerEvent event) override;
  void drop(shard::ConnectionId id);

  const WorkerOptions& options_;
  Crowds& crowds_;
  Descriptor epoll_;
  Mailbox mailbox_;
  Connections connections_;
  SystemRandom random_;
  shard::Shard shard_;
  std::vector<Worker*> workers_;
  std::vector<std::vector<shard::PeerEvent>> outgoing_;  ///< By shard: this turn's events.
  std::vector<Listening> listeners_;
  HandshakePool& handshake_pool_;
  Counters& counters_;

  Instant now_;
  Mail mail_;
  std::vector<Arrival> arrivals_;             ///< To be welcomed in the next turn.
  std::vector<shard::ConnectionId> changed_;  ///< Reused.
  std::deque<Deadline> connect_deadlines_;
  std::deque<Deadline> close_deadlines_;
  std::deque<Deadline> stalls_;  ///< Connections with half a packet, or whose socket takes no more.
  shard::RateBucket accepts_bucket_;
  std::size_t read_size_ = 0;                ///< In this turn.
  std::deque<shard::ConnectionId> backlog_;  ///< Those that wait for more than their share, by their turn.
  std::deque<shard::ConnectionId> handshakes_waiting_;
  std::size_t handshakes_under_way_ = 0;
  bool handshakes_full_ = false;  ///< Too many wait; TLS listeners accept none.
  Instant accept_again_;          ///< Zero: accepting.
  bool stopping_ = false;
  Instant stop_due_;
  std::unique_ptr<char[]> buffer_;
};

}  // namespace parley::net
