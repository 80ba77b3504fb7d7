#include "broker/cluster/peer_connection.hpp"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstring>
#include <utility>

#include "base/aio/within.hpp"

namespace parley::cluster {
namespace {

/// Read at once beyond a whole frame: many small frames for one system call.
constexpr std::size_t kReadAhead = 64 * 1024;
constexpr Duration kGoodbyeTimeout = std::chrono::milliseconds(200);
/// A peer that is heard but whose echoes don't come back can't hear us, or doesn't read.
constexpr int kEchoTimeouts = 3;

Instant steady_now() { return std::chrono::steady_clock::now(); }

std::uint64_t nanoseconds(Instant at) { return static_cast<std::uint64_t>(at.time_since_epoch().count()); }

void add(std::atomic<std::uint64_t>& counter, std::size_t count) {
  counter.fetch_add(count, std::memory_order_relaxed);
}

}  // namespace

PeerConnection::PeerConnection(asio::any_io_executor executor, Context context, LinkUp up,
                               std::unique_ptr<aio::Transport> transport, std::string unread)
    : context_(context),
      up_(std::move(up)),
      transport_(std::move(transport)),
      executor_(executor),
      tasks_(std::make_unique<aio::TaskGroup>(executor)),
      work_(executor),
      ended_(executor),
      input_(std::move(unread)),
      input_end_(input_.size()),
      queue_(up_.peer.window),
      heard_(steady_now()),
      echoed_(heard_) {
  window_ = std::make_shared<ReceiveWindow>(context_.self.window / 8, context_.wake);
}

bool PeerConnection::heard_within(Duration span) const { return steady_now() - heard_ <= span; }

asio::awaitable<std::string> PeerConnection::run() {
  tasks_->spawn(read());
  tasks_->spawn(write());
  tasks_->spawn(beat());
  while (why_.empty()) {
    const bool woken = co_await ended_.wait();
    if (!woken) end("this node stops");
  }
  tasks_->stop();
  transport_->close();
  co_await tasks_->join();
  window_->close();
  co_return why_;
}

void PeerConnection::close(std::string sentence) {
  if (!why_.empty() || !goodbye_.empty()) return;
  goodbye_ = std::move(sentence);
  goodbye_since_ = steady_now();
  work_.notify();
}

void PeerConnection::end(std::string why) {
  if (why_.empty()) why_ = std::move(why);
  ended_.notify();
}

asio::awaitable<void> PeerConnection::read() {
  while (why_.empty()) {
    const auto taken = take_frames();
    if (!taken) {
      if (why_.empty()) close("a frame can't be accepted: " + taken.error().message());
      co_return;
    }
    deliver();
    make_room();
    const std::span<char> room(input_.data() + input_end_, input_.size() - input_end_);
    const auto count = co_await transport_->read_some(room);
    if (!count) {
      // While the last words are on their way, the writer says when it is over.
      if (goodbye_.empty()) end("connection lost: " + count.error().message());
      co_return;
    }
    heard_ = steady_now();
    input_end_ += *count;
    add(context_.statistics.bytes_in, *count);
  }
}

Result<void> PeerConnection::take_frames() {
  while (why_.empty()) {
    const std::string_view unread(input_.data() + input_begin_, input_end_ - input_begin_);
    PARLEY_TRY(const auto frame, next_frame(unread, context_.self.frame_max));
    if (!frame) return {};
    input_begin_ += frame->size;
    PARLEY_TRY(take_frame(*frame));
  }
  return {};
}

Result<void> PeerConnection::take_frame(const Frame& frame) {
  if (frame.type == FrameType::Data) return take_data(frame);
  if (frame.type == FrameType::Heartbeat) return take_heartbeat(frame.body);
  if (frame.type == FrameType::Credit) {
    PARLEY_TRY(const auto bytes, decode_credit(frame.body));
    work_.notify();
    return queue_.give_credit(frame.channel, bytes);
  }
  if (frame.type == FrameType::Close) {
    PARLEY_TRY(const auto sentence, decode_close(frame.body));
    deliver();
    end("the peer has closed the link: " + std::string(sentence));
    return {};
  }
  return FrameError::Malformed;  // The handshake is over.
}

Result<void> PeerConnection::take_data(const Frame& frame) {
  std::size_t& unreleased = unreleased_.at(frame.channel);
  unreleased += frame.size;
  if (unreleased > context_.self.window) return FrameError::TooLarge;
  Arrived& arrived = arrived_.at(frame.channel);
  arrived.bytes.append(frame.body);
  arrived.ends.push_back(static_cast<std::uint32_t>(arrived.bytes.size()));
  add(context_.statistics.frames_in, 1);
  return {};
}

Result<void> PeerConnection::take_heartbeat(std::string_view body) {
  PARLEY_TRY(const auto heartbeat, decode_heartbeat(body));
  const Instant now = steady_now();
  heartbeat_got_ = heartbeat.sent;
  heartbeat_got_at_ = now;
  if (heartbeat.echo == 0) return {};
  echoed_ = now;
  if (heartbeat.echo > nanoseconds(now)) return FrameError::Malformed;
  const std::uint64_t since = nanoseconds(now) - heartbeat.echo;
  // Two steady clocks need not run equally fast: `held` may seem to be longer than the whole round.
  const auto measured = static_cast<std::int64_t>(since - std::min(since, heartbeat.held));
  const std::int64_t before = context_.statistics.round_trip_ns.load(std::memory_order_relaxed);
  const std::int64_t smoothed = before == 0 ? measured : before + (measured - before) / 8;
  context_.statistics.round_trip_ns.store(std::max<std::int64_t>(smoothed, 1), std::memory_order_relaxed);
  return {};
}

void PeerConnection::deliver() {
  for (Channel channel = 0; channel < kChannels; ++channel) {
    Arrived& arrived = arrived_.at(channel);
    if (arrived.ends.empty()) continue;
    Delivery delivery(up_.peer.id, up_.connection, channel, std::exchange(arrived.bytes, {}),
                      std::exchange(arrived.ends, {}), window_);
    context_.events.received(std::move(delivery));
  }
}

void PeerConnection::make_room() {
  const std::size_t unread = input_end_ - input_begin_;
  const std::size_t wanted = kFrameHeaderSize + context_.self.frame_max + kReadAhead;
  if (input_begin_ != 0) std::memmove(input_.data(), input_.data() + input_begin_, unread);
  input_begin_ = 0;
  input_end_ = unread;
  if (input_.size() < wanted) input_.resize(wanted);
}

asio::awaitable<void> PeerConnection::write() {
  std::array<iovec, 64> pieces{};
  while (why_.empty() && goodbye_.empty()) {
    collect_output();
    const std::size_t used = queue_.gather(pieces);
    if (used == 0) {
      const bool woken = co_await work_.wait();
      if (!woken) co_return;
      continue;
    }
    const std::span<const iovec> gathered(pieces.data(), used);
    const auto written = co_await transport_->write_some(gathered);
    if (!written) {
      end("connection lost: " + written.error().message());
      co_return;
    }
    account(*written);
  }
  if (!why_.empty()) co_return;
  auto goodbye = say_goodbye();
  [[maybe_unused]] const auto said = co_await aio::within(kGoodbyeTimeout, std::move(goodbye));
  end(goodbye_);
}

asio::awaitable<void> PeerConnection::say_goodbye() {
  std::string frame;
  append_close(frame, goodbye_);
  queue_.finish(std::move(frame));
  std::array<iovec, 64> pieces{};
  while (!queue_.empty()) {
    const std::size_t used = queue_.gather(pieces);
    const std::span<const iovec> gathered(pieces.data(), used);
    const auto written = co_await transport_->write_some(gathered);
    if (!written) co_return;
    SendQueue::Freed freed{};
    queue_.consume(*written, freed);
  }
}

/// Everything that may be written now, made ready: what other threads have put, credit, a heartbeat.
void PeerConnection::collect_output() {
  context_.outbox.take(items_);
  for (Outbox::Item& item : items_) queue_.push(item.channel, std::move(item.payload));
  items_.clear();

  std::string control;
  const auto newly = window_->take_released();
  const std::size_t threshold = credit_due_ ? 1 : context_.self.window / 8;
  for (Channel channel = 0; channel < kChannels; ++channel) {
    std::size_t& released = released_.at(channel);
    released += newly.at(channel);
    if (released < threshold) continue;
    append_credit(control, channel, static_cast<std::uint32_t>(released));
    unreleased_.at(channel) -= released;
    released = 0;
  }
  credit_due_ = false;
  if (std::exchange(heartbeat_due_, false)) {
    const Instant now = steady_now();
    append_heartbeat(control, {.sent = nanoseconds(now),
                               .echo = heartbeat_got_,
                               .held = heartbeat_got_ == 0 ? 0 : nanoseconds(now) - nanoseconds(heartbeat_got_at_)});
  }
  if (!control.empty()) queue_.push_control(std::move(control));
}

void PeerConnection::account(std::size_t written) {
  SendQueue::Freed freed{};
  const std::size_t frames = queue_.consume(written, freed);
  add(context_.statistics.bytes_out, written);
  add(context_.statistics.frames_out, frames);
  if (frames == 0) return;
  for (const Channel channel : context_.outbox.free(freed)) context_.events.writable(up_.peer.id, channel);
}

asio::awaitable<void> PeerConnection::beat() {
  asio::steady_timer timer(executor_);
  const Duration interval = context_.options.heartbeat_interval;
  Instant due = steady_now();
  while (why_.empty()) {
    due += interval;
    timer.expires_at(due);
    const auto [error] = co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
    if (error) co_return;
    const Instant now = steady_now();
    heartbeat_due_ = true;
    credit_due_ = true;
    work_.notify();
    if (!goodbye_.empty() && now - goodbye_since_ > kGoodbyeTimeout) end(goodbye_);  // The peer doesn't read.
    // A node that was itself asleep first reads what has come meanwhile, and judges then.
    const bool late = now - due > context_.options.heartbeat_timeout / 2;
    due = std::max(due, now - interval);
    if (late) {
      heard_ = now;
      echoed_ = now;
      continue;
    }
    if (now - heard_ > context_.options.heartbeat_timeout) {
      end("nothing was heard within the heartbeat timeout");
    } else if (now - echoed_ > kEchoTimeouts * context_.options.heartbeat_timeout) {
      end("heard, but no heartbeat of this node was answered in time");
    }
  }
}

}  // namespace parley::cluster
