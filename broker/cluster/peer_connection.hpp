#pragma once

#include <array>
#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/aio/event.hpp"
#include "base/aio/task_group.hpp"
#include "base/aio/transport.hpp"
#include "base/time.hpp"
#include "broker/cluster/outbox.hpp"
#include "broker/cluster/receive_window.hpp"

namespace parley::cluster {

namespace asio = boost::asio;

/// Of one peer, over all its connections. Written by the links' thread, read by any.
struct LinkStatistics {
  std::atomic<std::uint64_t> bytes_in{0};
  std::atomic<std::uint64_t> bytes_out{0};
  std::atomic<std::uint64_t> frames_in{0};
  std::atomic<std::uint64_t> frames_out{0};
  std::atomic<std::uint64_t> connects{0};
  std::atomic<std::uint64_t> refusals{0};
  std::atomic<std::int64_t> round_trip_ns{0};
  std::atomic<bool> connected{false};
};

/// One open link: reads, writes and beats until one of the three has a reason to end. Belongs to the links' thread.
class PeerConnection {
 public:
  struct Context {
    const LocalNode& self;
    const PeerLinkOptions& options;
    PeerLinkEvents& events;
    Outbox& outbox;
    LinkStatistics& statistics;
    std::function<void()> wake;  ///< Any thread: has wake() called on the links' thread, if the connection still is.
  };
  /// `unread`: what came behind the handshake. What `context` refers to outlives the connection.
  PeerConnection(asio::any_io_executor executor, Context context, LinkUp up, std::unique_ptr<aio::Transport> transport,
                 std::string unread);

  /// Returns why it has ended, once nothing of it runs any more.
  asio::awaitable<std::string> run();

  /// Ends it after a Close frame with this sentence, which gets a moment to leave.
  void close(std::string sentence);
  /// The outbox has something, or deliveries have been released.
  void wake() { work_.notify(); }

  [[nodiscard]] const RemoteNode& peer() const { return up_.peer; }
  [[nodiscard]] std::uint64_t number() const { return up_.connection; }
  [[nodiscard]] bool heard_within(Duration span) const;

 private:
  asio::awaitable<void> read();
  asio::awaitable<void> write();
  asio::awaitable<void> beat();
  asio::awaitable<void> say_goodbye();

  Result<void> take_frames();
  Result<void> take_frame(const Frame& frame);
  Result<void> take_data(const Frame& frame);
  Result<void> take_heartbeat(std::string_view body);
  void deliver();
  void make_room();
  void collect_output();
  void account(std::size_t written);
  void end(std::string why);

  const Context context_;
  const LinkUp up_;
  std::unique_ptr<aio::Transport> transport_;
  asio::any_io_executor executor_;
  std::unique_ptr<aio::TaskGroup> tasks_;
  aio::Event work_;
  aio::Event ended_;
  std::string why_;      ///< Not empty: it ends, or has ended.
  std::string goodbye_;  ///< Not empty: write this and end.
  Instant goodbye_since_;

  // -- Reading --
  std::string input_;  ///< Its size is its capacity; [begin, end) is what is unread.
  std::size_t input_begin_ = 0;
  std::size_t input_end_ = 0;
  struct Arrived {
    std::string bytes;
    std::vector<std::uint32_t> ends;
  };
  std::array<Arrived, kChannels> arrived_;
  std::shared_ptr<ReceiveWindow> window_;
  std::array<std::size_t, kChannels> unreleased_{};  ///< What the peer has used of our window.
  std::array<std::size_t, kChannels> released_{};    ///< What it hasn't been told of yet.

  // -- Writing --
  SendQueue queue_;
  std::vector<Outbox::Item> items_;  ///< Reused.
  bool heartbeat_due_ = true;
  bool credit_due_ = false;

  // -- Heartbeats --
  Instant heard_;                    ///< Anything at all.
  std::uint64_t heartbeat_got_ = 0;  ///< `sent` of the peer's last one.
  Instant heartbeat_got_at_;
  Instant echoed_;  ///< When the last of ours came back.
};

}  // namespace parley::cluster
