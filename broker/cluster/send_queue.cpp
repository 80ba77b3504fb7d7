#include "broker/cluster/send_queue.hpp"

#include <algorithm>
#include <utility>

namespace parley::cluster {
namespace {

/// What is made ready for the wire at once. Control frames wait for no more than this, and neither does a channel for
/// another one that has much to say.
constexpr std::size_t kStageBytes = 256 * 1024;
constexpr std::size_t kStageFrames = 64;
constexpr std::size_t kTurnBytes = 64 * 1024;

}  // namespace

SendQueue::SendQueue(std::uint32_t window) : window_(window) {
  for (ChannelState& channel : channels_) channel.credit = window;
}

void SendQueue::push(Channel channel, Payload payload) { channels_.at(channel).waiting.push_back(std::move(payload)); }

void SendQueue::push_control(std::string frames) { control_.append(frames); }

Result<void> SendQueue::give_credit(Channel channel, std::uint32_t bytes) {
  ChannelState& state = channels_.at(channel);
  if (bytes > window_ - state.credit) return FrameError::Malformed;
  state.credit += bytes;
  return {};
}

std::size_t SendQueue::gather(std::span<iovec> pieces) {
  stage();
  std::size_t used = 0;
  std::size_t skipped = written_;
  const auto add = [&](const char* data, std::size_t size) {
    const std::size_t skip = std::min(skipped, size);
    skipped -= skip;
    if (size == skip || used == pieces.size()) return;
    pieces[used++] = iovec{const_cast<char*>(data) + skip, size - skip};
  };
  for (const Staged& staged : staged_) {
    if (used == pieces.size()) break;
    if (!staged.payload) {
      add(staged.control.data(), staged.control.size());
      continue;
    }
    add(staged.header.data(), staged.header.size());
    add(staged.payload->data(), staged.payload->size());
  }
  return used;
}

std::size_t SendQueue::consume(std::size_t count, Freed& freed) {
  std::size_t completed = 0;
  written_ += count;
  while (!staged_.empty() && written_ >= staged_.front().size()) {
    const Staged& first = staged_.front();
    written_ -= first.size();
    staged_bytes_ -= first.size();
    if (first.payload) {
      freed.at(first.channel) += first.size();
      ++completed;
    }
    staged_.pop_front();
  }
  return completed;
}

void SendQueue::finish(std::string frames) {
  for (ChannelState& channel : channels_) channel.waiting.clear();
  while (staged_.size() > (written_ == 0 ? 0U : 1U)) {
    staged_bytes_ -= staged_.back().size();
    staged_.pop_back();
  }
  control_ = std::move(frames);
}

void SendQueue::stage() {
  if (!control_.empty()) {
    staged_bytes_ += control_.size();
    staged_.push_back({.control = std::exchange(control_, {})});
  }
  // A round in which no channel has anything to send, or no credit for it, is the last.
  for (Channel idle = 0; idle < kChannels;) {
    if (staged_bytes_ >= kStageBytes || staged_.size() >= kStageFrames) return;
    const Channel channel = next_;
    next_ = static_cast<Channel>((next_ + 1) % kChannels);
    idle = stage_from(channel) ? Channel{0} : static_cast<Channel>(idle + 1);
  }
}

bool SendQueue::stage_from(Channel channel) {
  ChannelState& state = channels_.at(channel);
  std::size_t taken = 0;
  while (!state.waiting.empty() && taken < kTurnBytes && staged_bytes_ < kStageBytes && staged_.size() < kStageFrames) {
    Payload& payload = state.waiting.front();
    const std::size_t cost = frame_cost(payload);
    if (cost > state.credit) break;
    state.credit -= static_cast<std::uint32_t>(cost);
    taken += cost;
    staged_bytes_ += cost;
    staged_.push_back({.header = frame_header(FrameType::Data, channel, payload->size()),
                       .payload = std::move(payload),
                       .channel = channel});
    state.waiting.pop_front();
  }
  return taken != 0;
}

}  // namespace parley::cluster
