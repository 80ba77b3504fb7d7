#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <mutex>
#include <vector>

#include "broker/cluster/peer_links.hpp"

namespace parley::cluster {

/// What other threads want sent to one peer, and how much of it may wait. A message counts from `put` until it is
/// written. The mutex guards everything here; nothing else is taken while it is held.
class Outbox {
 public:
  struct Item {
    Channel channel = 0;
    Payload payload;
  };

  /// `wake` gets the links' thread to call `take`; it is called from any thread, once until then.
  Outbox(std::size_t channel_max, std::size_t total_max, std::function<void()> wake);

  /// Any thread.
  SendResult put(Channel channel, Payload payload);
  [[nodiscard]] std::size_t buffered() const;

  // -- The links' thread --
  void open(std::uint32_t frame_max);
  /// Forgets everything.
  void close();
  /// Appends what has come to `items`.
  void take(std::vector<Item>& items);
  /// So much has been written; returns the channels that had answered Full and are half empty now.
  std::vector<Channel> free(const SendQueue::Freed& freed);

 private:
  mutable std::mutex mutex_;
  const std::size_t channel_max_;
  const std::size_t total_max_;
  const std::function<void()> wake_;
  bool open_ = false;
  bool woken_ = false;
  std::uint32_t frame_max_ = 0;
  std::vector<Item> items_;
  std::size_t total_ = 0;
  std::array<std::size_t, kChannels> buffered_{};
  std::array<bool, kChannels> refused_{};
};

}  // namespace parley::cluster
