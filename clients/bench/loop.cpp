#include "clients/bench/loop.hpp"

#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "clients/bench/failure.hpp"

namespace parley::bench {

Loop::Loop() : epoll_(::epoll_create1(EPOLL_CLOEXEC)), read_buffer_(std::make_unique<char[]>(kReadBufferSize)) {
  if (epoll_ < 0) fail_with_errno("can't make an epoll descriptor");
}

Loop::~Loop() { ::close(epoll_); }

void Loop::add(int descriptor, std::uint32_t events, Handler& handler) {
  epoll_event event{.events = events, .data = {.ptr = &handler}};
  if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, descriptor, &event) != 0) fail_with_errno("can't watch a socket");
}

void Loop::change(int descriptor, std::uint32_t events, Handler& handler) {
  epoll_event event{.events = events, .data = {.ptr = &handler}};
  if (::epoll_ctl(epoll_, EPOLL_CTL_MOD, descriptor, &event) != 0) fail_with_errno("can't watch a socket");
}

void Loop::remove(int descriptor) { ::epoll_ctl(epoll_, EPOLL_CTL_DEL, descriptor, nullptr); }

void Loop::flush() {
  flushing_.swap(unflushed_);
  for (Handler* handler : flushing_) handler->flush();
  flushing_.clear();
}

void Loop::turn(Instant wake) {
  flush();
  const Duration left = std::max(wake - now(), Duration::zero());
  const auto seconds = std::chrono::floor<std::chrono::seconds>(left);
  const timespec wait{.tv_sec = seconds.count(), .tv_nsec = (left - seconds).count()};
  std::array<epoll_event, 1024> events;
  const int count = ::epoll_pwait2(epoll_, events.data(), events.size(), &wait, nullptr);
  if (count < 0 && errno != EINTR) fail_with_errno("can't wait for sockets");
  for (int i = 0; i < count; ++i) {
    const auto& event = events[static_cast<std::size_t>(i)];
    static_cast<Handler*>(event.data.ptr)->handle(event.events);
  }
}

bool Loop::run_until(const std::function<bool()>& done, Instant deadline) {
  for (;;) {
    flush();  // What it does may be what is waited for.
    if (done()) return true;
    if (now() >= deadline) return false;
    turn(deadline);
  }
}

}  // namespace parley::bench
