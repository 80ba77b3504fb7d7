#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/metrics.hpp"
#include "base/output.hpp"
#include "base/time.hpp"
#include "broker/net/crowd.hpp"
#include "broker/net/mailbox.hpp"
#include "broker/net/socket.hpp"
#include "broker/net/transport.hpp"
#include "broker/shard/ports.hpp"

namespace parley::net {

/// What a connection's socket is in.
enum class ConnectionState : std::uint8_t {
  Free,
  Open,
  Closing,    ///< Its output is to be written, then it lingers.
  Lingering,  ///< We have said our last; what still comes is thrown away until the other side closes, too.
};

/// A client's connection. 80 bytes; an idle one over plain TCP owns nothing else.
struct Connection {
  int socket = -1;
  std::uint32_t generation = 0;
  Output output;
  std::unique_ptr<std::string> unconsumed;  ///< The beginning of a packet that isn't whole yet.
  std::unique_ptr<Transport> transport;     ///< Null: MQTT's bytes are the socket's.
  const ListenerProfile* listener = nullptr;
  ConnectionState state = ConnectionState::Free;
  bool blocked = false;      ///< The socket takes no more; epoll tells when it does.
  bool lost = false;         ///< A write has failed; the shard hears of it before the next wait.
  bool greeted = false;      ///< The shard has consumed a packet.
  bool paused = false;       ///< The shard wants no more for now.
  bool again = false;        ///< In the list of those whose kept bytes are handed to the shard again.
  bool stalls = false;       ///< In the worker's list of those that are looked at from time to time; see Worker.
  bool counted : 1 = false;  ///< `place` has been asked for.
  shard::Admission admission : 2 = shard::Admission::Welcome;
  bool ended : 1 = false;  ///< The client sends no more, and the shard isn't done with what it had sent.
  bool away : 1 = false;   ///< The handshake pool has its TlsStream; it may not go before that is back.
  Instant partial_since;   ///< When the packet in `unconsumed` was begun.
  Instant taken_at;        ///< When the socket last took something, or was first blocked.
  CountedPlace place;      ///< Among the connections of its address.
};

/// The client connections of one worker, and its shard's ClientLinks. Belongs to the worker's thread.
class Connections final : public shard::ClientLinks {
 public:
  /// Where a connection goes that is handed over.
  class Exits {
   public:
    virtual ~Exits() = default;
    virtual void leave(shard::ShardId target, Arrival arrival) = 0;
  };
  /// `epoll` and `counters` (may be null) live longer. An event's data is the connection's id, see id_of.
  Connections(int epoll, Exits& exits, Counters* counters = nullptr);
  ~Connections() override;

  // -- ClientLinks, called by the shard --
  Output& output(shard::ConnectionId connection) override;
  void flush(shard::ConnectionId connection) override;
  void close(shard::ConnectionId connection) override;
  void hand_over(shard::ConnectionId connection, shard::ShardId target, std::string_view unread) override;
  void pause(shard::ConnectionId connection) override;
  void resume(shard::ConnectionId connection) override;
  std::shared_ptr<shard::UserAccount> account(std::string_view user) override;
  [[nodiscard]] std::string address(shard::ConnectionId connection) const override;
  [[nodiscard]] shard::ConnectionDescription description(shard::ConnectionId connection) const override;
  [[nodiscard]] shard::Admission admission(shard::ConnectionId connection) const override;

  // -- For the worker --
  /// `listener` lives longer.
  shard::ConnectionId add(Descriptor socket, const ListenerProfile* listener = nullptr,
                          std::unique_ptr<Transport> transport = nullptr);
  /// Null when it has gone.
  Connection* find(shard::ConnectionId connection);
  /// The socket takes bytes again. True when the output is empty now, so that the shard may be told.
  bool write_on(shard::ConnectionId connection);
  /// The client sends no more: there are no events until the shard closes the connection.
  void await_close(Connection& connection);
  /// No events until watch_again, but for what a caller already has.
  void unwatch(Connection& connection);
  enum class Wanted : std::uint8_t { Read, Write };
  void watch_again(shard::ConnectionId id, Connection& connection, Wanted wanted);
  /// Waits until the socket takes bytes, and reads none before: TLS has to write first.
  void await_writable(shard::ConnectionId id, Connection& connection);
  /// Closes the socket at once.
  void drop(shard::ConnectionId connection);
  /// Takes out the connections whose writes have failed since the last call.
  void take_lost(std::vector<shard::ConnectionId>& lost);
  [[nodiscard]] bool has_lost() const { return !lost_.empty(); }
  /// Connections that the shard has closed since the last call; those that are still there after a while are dropped.
  void take_closing(std::vector<shard::ConnectionId>& closing);

  /// Those whose kept bytes the shard wants to see again.
  void take_again(std::vector<shard::ConnectionId>& again);
  [[nodiscard]] bool has_again() const { return !again_.empty(); }
  /// Those whose socket takes no more, since the last call.
  void take_blocked(std::vector<shard::ConnectionId>& blocked);
  /// Before the first connection: where users are counted.
  void count_users(Crowd<shard::UserAccount>& users) { users_ = &users; }
  /// The worker's turn begins.
  void set_now(Instant now) { now_ = now; }

  [[nodiscard]] std::size_t size() const { return size_; }
  template <class Visit>
  void for_each(Visit visit) {
    for (std::uint32_t place = 0; place < connections_.size(); ++place) {
      if (connections_[place].state != ConnectionState::Free)
        visit(shard::ConnectionId{place, connections_[place].generation});
    }
  }

  static std::uint64_t id_of(shard::ConnectionId connection) {
    return static_cast<std::uint64_t>(connection.generation) << 32 | connection.place;
  }
  static shard::ConnectionId connection_of(std::uint64_t id) {
    return {static_cast<std::uint32_t>(id), static_cast<std::uint32_t>(id >> 32)};
  }

 private:
  void write(shard::ConnectionId id, Connection& connection);
  static void linger(Connection& connection);
  void watch(shard::ConnectionId id, Connection& connection, bool writable);
  void mark_lost(shard::ConnectionId id, Connection& connection);

  int epoll_;
  Exits& exits_;
  Counters* counters_;
  std::deque<Connection> connections_;  ///< References stay valid as it grows.
  std::vector<std::uint32_t> free_;
  std::vector<shard::ConnectionId> lost_;
  std::vector<shard::ConnectionId> closing_;
  std::vector<shard::ConnectionId> again_;
  std::vector<shard::ConnectionId> blocked_;
  Crowd<shard::UserAccount>* users_ = nullptr;
  Instant now_;
  std::size_t size_ = 0;
};

}  // namespace parley::net
