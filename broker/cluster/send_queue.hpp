#pragma once

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>

#include "broker/cluster/frame.hpp"

/// What one connection still has to write: control frames first, then the channels in turn, each as far as the other
/// side has given credit for it. Pure.
namespace parley::cluster {

/// Bytes of one Data frame, shared by all peers that get them.
using Payload = std::shared_ptr<const std::string>;

/// What a message costs in buffers and windows: its frame.
inline std::size_t frame_cost(const Payload& payload) { return kFrameHeaderSize + payload->size(); }

/// Belongs to one thread. Its owner bounds what is pushed; the queue itself only orders. Payloads aren't copied.
class SendQueue {
 public:
  /// `window`: what each channel may send at first.
  explicit SendQueue(std::uint32_t window);

  void push(Channel channel, Payload payload);
  /// Whole frames; they go before everything that isn't under way.
  void push_control(std::string frames);
  /// Fails with Malformed when the other side gives more than it can have got.
  Result<void> give_credit(Channel channel, std::uint32_t bytes);

  /// Up to `pieces.size()` pieces, in order; returns how many were filled. 0: there is nothing that may be sent. They
  /// stay until `consume`, also when more is pushed.
  std::size_t gather(std::span<iovec> pieces);
  /// Bytes of frames by channel that are now completely written.
  using Freed = std::array<std::size_t, kChannels>;
  /// The first `count` gathered bytes are written. Returns how many Data frames that completes.
  std::size_t consume(std::size_t count, Freed& freed);

  /// The last words: drops whatever hasn't begun to go out, and then sends `frames`.
  void finish(std::string frames);
  [[nodiscard]] bool empty() const { return staged_.empty() && control_.empty(); }

 private:
  struct ChannelState {
    std::deque<Payload> waiting;
    std::uint32_t credit = 0;
  };
  struct Staged {
    std::array<char, kFrameHeaderSize> header{};
    Payload payload;  ///< Null: `control` are whole frames.
    std::string control;
    Channel channel = 0;
    [[nodiscard]] std::size_t size() const { return payload ? kFrameHeaderSize + payload->size() : control.size(); }
  };

  void stage();
  bool stage_from(Channel channel);

  std::uint32_t window_;
  std::array<ChannelState, kChannels> channels_;
  std::string control_;
  std::deque<Staged> staged_;  ///< In the order of the wire; elements don't move while they are gathered.
  std::size_t staged_bytes_ = 0;
  std::size_t written_ = 0;  ///< Of the first staged one.
  Channel next_ = 0;         ///< Whose turn it is.
};

}  // namespace parley::cluster
