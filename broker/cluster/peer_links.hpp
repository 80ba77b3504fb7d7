#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "base/time.hpp"
#include "broker/cluster/handshake.hpp"
#include "broker/cluster/send_queue.hpp"

/// The connections of this node to the other nodes of its cluster. Protocol: docs/formats/peer.md.
namespace parley::cluster {

struct PeerLinkOptions {
  std::string listen_host = "127.0.0.1";
  std::uint16_t listen_port = 0;  ///< 0: any free one.
  Duration heartbeat_interval = std::chrono::milliseconds(100);
  Duration heartbeat_timeout = std::chrono::seconds(1);  ///< A peer that says nothing for so long is unreachable.
  Duration handshake_timeout = std::chrono::seconds(5);
  std::size_t handshakes_max = 32;  ///< Accepted and not yet proved; beyond, the oldest gives way.
  Duration backoff_min = std::chrono::milliseconds(50);
  Duration backoff_max = std::chrono::seconds(1);
  std::size_t channel_buffer_max = 8 * 1024 * 1024;  ///< Bytes that `send` keeps for one channel of one peer.
  std::size_t peer_buffer_max = 32 * 1024 * 1024;    ///< And for all channels of one peer.
  /// Asked by both sides of a handshake, on the links' thread; none: everybody who has the secret is welcome.
  Handshake::Admission admission;
};

struct PeerAddress {
  std::string host;
  std::uint16_t port = 0;
};

enum class SendResult : std::uint8_t {
  Queued,
  Full,          ///< Nothing was kept; `writable` says when there is room again.
  Disconnected,  ///< There is no link to this peer now.
  TooLarge,      ///< The peer accepts no frame of this size, ever.
};

class ReceiveWindow;

/// Messages of one channel as they came, in order. While it lives its bytes count against the channel's window: a
/// receiver that can't keep up keeps it, and the sender stops. May be moved to, and destroyed on, any thread.
class Delivery {
 public:
  Delivery(NodeId from, std::uint64_t connection, Channel at, std::string bytes, std::vector<std::uint32_t> ends,
           std::shared_ptr<ReceiveWindow> window);
  Delivery(Delivery&&) noexcept;
  Delivery& operator=(Delivery&&) noexcept;
  ~Delivery();

  NodeId peer;
  std::uint64_t connection = 0;  ///< Of LinkUp.
  Channel channel = 0;

  [[nodiscard]] std::size_t size() const { return ends_.size(); }
  /// As given to `send`; valid as long as the delivery.
  [[nodiscard]] std::string_view message(std::size_t i) const;

 private:
  void release();
  std::string bytes_;
  std::vector<std::uint32_t> ends_;
  std::shared_ptr<ReceiveWindow> window_;
};

struct LinkUp {
  RemoteNode peer;
  std::uint64_t connection = 0;  ///< Rises with every connection of this node.
};

/// What the links tell; on their thread, in order. Must not block.
class PeerLinkEvents {
 public:
  virtual ~PeerLinkEvents() = default;
  /// The peer is reachable. Nothing of an earlier connection comes any more.
  virtual void connected(const LinkUp& up) = 0;
  /// The peer is unreachable: what was queued for it and not received is lost. Followed by `connected` when it is back.
  virtual void disconnected(NodeId peer, std::string_view why) = 0;
  virtual void received(Delivery delivery) = 0;
  /// A channel that has answered Full is half empty now.
  virtual void writable(NodeId peer, Channel channel) = 0;
};

struct LinkCounters {
  std::uint64_t bytes_in = 0;
  std::uint64_t bytes_out = 0;
  std::uint64_t frames_in = 0;  ///< Data frames.
  std::uint64_t frames_out = 0;
  std::uint64_t connects = 0;  ///< Links that came up.
  std::uint64_t refusals = 0;  ///< Handshakes that failed, of either side.
  Duration round_trip{};       ///< Smoothed; 0: not known yet.
  std::size_t buffered = 0;    ///< Bytes that wait for being written now.
  bool connected = false;
};

/// One authenticated connection to each other node, dialed by the one with the lower id, kept up with heartbeats and
/// made anew with backoff. Its thread is its own; every member function may be called from any thread.
///
/// Within one connection a channel delivers everything in order, once. With a connection ends what was under way: who
/// needs more asks again, as replication and cursors do anyway.
///
/// Memory: at most peer_buffer_max a peer for sending, and kChannels windows a peer for what is received and not
/// released.
class PeerLinks {
 public:
  /// `events` lives longer than this.
  PeerLinks(LocalNode self, PeerLinkOptions options, PeerLinkEvents& events);
  ~PeerLinks();  ///< Stops.

  /// Listens, and starts the thread. Fails when the address can't be had.
  Result<void> start();
  /// Says goodbye to every peer, and ends the thread. No event comes afterwards.
  void stop();
  [[nodiscard]] std::uint16_t port() const;  ///< Where it listens, after start().

  /// Who belongs to the cluster, and where; not who is alive. A node that is no longer among them loses its link and is
  /// refused until it is again. An authenticated node that was never among them is welcome, but isn't dialed.
  void set_peers(std::map<NodeId, PeerAddress> peers);

  /// Ends a connection, if it is the one that there is: the peer is told why, both sides hear `disconnected`, and it is
  /// made anew.
  void drop(NodeId peer, std::uint64_t connection, std::string why);
  /// `task` is called on the links' thread, between two events; not any more after stop().
  void post(std::function<void()> task);

  /// Queues one message; a gathered write sends what is waiting. Costs a lock, and a wake-up of the thread when it
  /// sleeps.
  SendResult send(NodeId peer, Channel channel, Payload payload);
  SendResult send(NodeId peer, Channel channel, std::string bytes);

  /// By peer; also of those that aren't connected now. A snapshot.
  [[nodiscard]] std::map<NodeId, LinkCounters> counters() const;

 private:
  class Thread;
  std::unique_ptr<Thread> thread_;
};

}  // namespace parley::cluster
