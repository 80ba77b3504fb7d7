#include "broker/cluster/outbox.hpp"

#include <iterator>
#include <utility>

namespace parley::cluster {

Outbox::Outbox(std::size_t channel_max, std::size_t total_max, std::function<void()> wake)
    : channel_max_(channel_max), total_max_(total_max), wake_(std::move(wake)) {}

SendResult Outbox::put(Channel channel, Payload payload) {
  const std::size_t cost = frame_cost(payload);
  {
    const std::lock_guard lock(mutex_);
    if (!open_) return SendResult::Disconnected;
    if (payload->size() > frame_max_) return SendResult::TooLarge;
    std::size_t& buffered = buffered_.at(channel);
    // One message always fits an empty channel, whatever the limit is.
    if (buffered != 0 && (buffered + cost > channel_max_ || total_ + cost > total_max_)) {
      refused_.at(channel) = true;
      return SendResult::Full;
    }
    buffered += cost;
    total_ += cost;
    items_.push_back({.channel = channel, .payload = std::move(payload)});
    if (std::exchange(woken_, true)) return SendResult::Queued;
  }
  wake_();
  return SendResult::Queued;
}

std::size_t Outbox::buffered() const {
  const std::lock_guard lock(mutex_);
  return total_;
}

void Outbox::open(std::uint32_t frame_max) {
  const std::lock_guard lock(mutex_);
  open_ = true;
  frame_max_ = frame_max;
}

void Outbox::close() {
  std::vector<Item> dropped;
  const std::lock_guard lock(mutex_);
  open_ = false;
  woken_ = false;
  dropped.swap(items_);
  total_ = 0;
  buffered_.fill(0);
  refused_.fill(false);
}

void Outbox::take(std::vector<Item>& items) {
  const std::lock_guard lock(mutex_);
  woken_ = false;
  items.insert(items.end(), std::make_move_iterator(items_.begin()), std::make_move_iterator(items_.end()));
  items_.clear();
}

std::vector<Channel> Outbox::free(const SendQueue::Freed& freed) {
  std::vector<Channel> writable;
  const std::lock_guard lock(mutex_);
  for (Channel channel = 0; channel < kChannels; ++channel) {
    buffered_.at(channel) -= freed.at(channel);
    total_ -= freed.at(channel);
  }
  for (Channel channel = 0; channel < kChannels; ++channel) {
    if (!refused_.at(channel) || buffered_.at(channel) > channel_max_ / 2 || total_ > total_max_ / 2) continue;
    refused_.at(channel) = false;
    writable.push_back(channel);
  }
  return writable;
}

}  // namespace parley::cluster
