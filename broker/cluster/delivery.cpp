#include "broker/cluster/receive_window.hpp"

#include <utility>

namespace parley::cluster {

Delivery::Delivery(NodeId from, std::uint64_t connection_number, Channel at, std::string bytes,
                   std::vector<std::uint32_t> ends, std::shared_ptr<ReceiveWindow> window)
    : peer(from),
      connection(connection_number),
      channel(at),
      bytes_(std::move(bytes)),
      ends_(std::move(ends)),
      window_(std::move(window)) {}

Delivery::Delivery(Delivery&&) noexcept = default;

Delivery& Delivery::operator=(Delivery&& other) noexcept {
  if (this == &other) return *this;
  release();
  peer = other.peer;
  connection = other.connection;
  channel = other.channel;
  bytes_ = std::move(other.bytes_);
  ends_ = std::move(other.ends_);
  window_ = std::move(other.window_);
  return *this;
}

Delivery::~Delivery() { release(); }

std::string_view Delivery::message(std::size_t i) const {
  const std::size_t begin = i == 0 ? 0 : ends_[i - 1];
  return std::string_view(bytes_).substr(begin, ends_[i] - begin);
}

void Delivery::release() {
  if (!window_) return;
  window_->release(channel, bytes_.size() + ends_.size() * kFrameHeaderSize);
  window_.reset();
}

ReceiveWindow::ReceiveWindow(std::size_t threshold, std::function<void()> wake)
    : threshold_(threshold), wake_(std::move(wake)) {}

void ReceiveWindow::release(Channel channel, std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  released_.at(channel) += bytes;
  if (released_.at(channel) < threshold_ || !wake_ || std::exchange(woken_, true)) return;
  wake_();
}

ReceiveWindow::Released ReceiveWindow::take_released() {
  const std::lock_guard lock(mutex_);
  woken_ = false;
  return std::exchange(released_, {});
}

void ReceiveWindow::close() {
  const std::lock_guard lock(mutex_);
  wake_ = nullptr;
}

}  // namespace parley::cluster
