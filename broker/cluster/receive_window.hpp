#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <mutex>

#include "broker/cluster/peer_links.hpp"

namespace parley::cluster {

/// What one connection has received and its receivers have released, by channel. Deliveries release on any thread, also
/// when the connection is gone. The mutex guards everything here; `wake` is called while it is held and takes none of
/// this room's.
class ReceiveWindow {
 public:
  /// `wake` gets the links' thread to call `take_released`, once `threshold` bytes of a channel are released.
  ReceiveWindow(std::size_t threshold, std::function<void()> wake);

  void release(Channel channel, std::size_t bytes);

  // -- The links' thread --
  using Released = std::array<std::size_t, kChannels>;
  Released take_released();
  /// `wake` isn't called any more.
  void close();

 private:
  std::mutex mutex_;
  const std::size_t threshold_;
  std::function<void()> wake_;
  Released released_{};
  bool woken_ = false;
};

}  // namespace parley::cluster
