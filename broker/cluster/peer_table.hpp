#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include "base/aio/event.hpp"
#include "broker/cluster/line_limiter.hpp"
#include "broker/cluster/peer_connection.hpp"

namespace parley::cluster {

/// What other threads touch of one peer.
struct PeerPort {
  PeerPort(const PeerLinkOptions& options, std::function<void()> wake_peer)
      : wake(std::move(wake_peer)), outbox(options.channel_buffer_max, options.peer_buffer_max, wake) {}
  const std::function<void()> wake;
  Outbox outbox;
  LinkStatistics statistics;
};

/// What the links' thread knows of one peer.
struct Peer {
  Peer(NodeId node, const asio::any_io_executor& executor, std::shared_ptr<PeerPort> shared_port)
      : id(node), changed(executor), port(std::move(shared_port)) {}

  const NodeId id;
  std::optional<PeerAddress> address;    ///< None: not a member of the cluster, as far as is known.
  bool removed = false;                  ///< It was one.
  bool dialing = false;                  ///< A task keeps it dialed.
  PeerConnection* connection = nullptr;  ///< In the frame of the task that runs it.
  aio::Event changed;                    ///< Of the three above.
  LineLimiter lines;
  std::shared_ptr<PeerPort> port;
};

/// All peers that were ever heard of. A peer stays, so references to it last as long as the table.
class PeerTable {
 public:
  static constexpr std::size_t kPeersMax = 1024;

  PeerTable(const PeerLinkOptions& options, std::function<void(NodeId)> wake)
      : options_(options), wake_(std::move(wake)) {}

  // -- The links' thread --
  Peer* find(NodeId id);
  /// Null when there are too many.
  Peer* find_or_add(NodeId id, const asio::any_io_executor& executor);
  std::map<NodeId, std::unique_ptr<Peer>>& all() { return peers_; }

  // -- Any thread --
  [[nodiscard]] std::shared_ptr<PeerPort> port(NodeId id) const;
  [[nodiscard]] std::map<NodeId, LinkCounters> counters() const;

 private:
  const PeerLinkOptions& options_;
  const std::function<void(NodeId)> wake_;
  std::map<NodeId, std::unique_ptr<Peer>> peers_;
  mutable std::mutex mutex_;  ///< Guards `ports_`; an Outbox's may be taken after it.
  std::map<NodeId, std::shared_ptr<PeerPort>> ports_;
};

}  // namespace parley::cluster
