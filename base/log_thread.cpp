#include "base/log_thread.hpp"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <climits>
#include <utility>

#include "base/check.hpp"

namespace parley::log {
namespace {

constexpr int kLookMilliseconds = 100;
constinit std::atomic<LogThread*> the_active = nullptr;

constexpr auto kPatience = std::chrono::seconds(1);

/// Whole lines that a pipe takes in one piece, so that lines of several processes don't mix; at least one.
std::string_view next_piece(std::string_view lines) {
  const std::string_view fitting = lines.substr(0, PIPE_BUF);
  const auto last = fitting.rfind('\n');
  if (last != std::string_view::npos) return fitting.substr(0, last + 1);
  return lines.substr(0, lines.find('\n') + 1);
}

}  // namespace

LogThread::LogThread(int descriptor, std::size_t bytes_max)
    : descriptor_(descriptor), bytes_max_(bytes_max), thread_([this] { run(); }) {
  PARLEY_CHECK(the_active.exchange(this) == nullptr, "there are two threads for the log");
}

LogThread::~LogThread() {
  the_active = nullptr;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

LogThread* LogThread::active() { return the_active.load(std::memory_order_acquire); }

void LogThread::flush() {
  std::unique_lock lock(mutex_);
  written_.wait_for(lock, kPatience, [this] { return bytes_ == 0; });
}

bool LogThread::add(std::string_view line) {
  bool was_idle = false;
  {
    const std::lock_guard lock(mutex_);
    if (bytes_ + line.size() > bytes_max_) return false;
    was_idle = bytes_ == 0;
    bytes_ += line.size();
    lines_.append(line);
  }
  if (was_idle) changed_.notify_one();
  return true;
}

void LogThread::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stopping_ || !lines_.empty(); });
    if (lines_.empty()) return;
    const std::string lines = std::exchange(lines_, {});
    lock.unlock();
    const bool written = write(lines);
    lock.lock();
    bytes_ = lines_.size();
    written_.notify_all();
    if (!written) return;  // Stopping, and nobody reads.
  }
}

bool LogThread::write(std::string_view lines) {
  while (!lines.empty()) {
    if (!may_write()) return false;
    const std::string_view piece = next_piece(lines);
    const auto written = ::write(descriptor_, piece.data(), piece.size());
    // Where nothing can be written at all, as into a closed pipe, lines are lost.
    if (written < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    lines.remove_prefix(written < 0 ? piece.size() : static_cast<std::size_t>(written));
  }
  return true;
}

/// Waits until somebody reads; false when the thread shall end first.
bool LogThread::may_write() {
  auto give_up = std::chrono::steady_clock::time_point::max();
  for (;;) {
    pollfd wanted{.fd = descriptor_, .events = POLLOUT, .revents = 0};
    if (::poll(&wanted, 1, kLookMilliseconds) != 0) return true;
    const std::lock_guard lock(mutex_);
    const auto now = std::chrono::steady_clock::now();
    if (stopping_) give_up = std::min(give_up, now + kPatience);
    if (now >= give_up) return false;
  }
}

}  // namespace parley::log
