#include "bridge/head_watch.hpp"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/aio/within.hpp"

namespace parley::bridge {
namespace {

constexpr Duration kPeriod = std::chrono::milliseconds(5);

}  // namespace

HeadWatch::HeadWatch(const asio::any_io_executor& executor, PageReader& pages, Metrics& metrics)
    : executor_(executor), pages_(pages), metrics_(metrics), tasks_(executor) {}

asio::awaitable<bool> HeadWatch::grown(ConversationNumber conversation, Seq head, Instant deadline) {
  if (stopping_) co_return false;
  const auto place = watched_.try_emplace(conversation, executor_).first;
  Watched& watched = place->second;
  watched.head = std::max(watched.head, head);
  watched.looked_at = false;
  ++watched.waiters;
  metrics_.waiters.store(++waiters_, std::memory_order_relaxed);
  if (!looking_) {
    looking_ = true;
    tasks_.spawn(look());
  }
  while (!stopping_ && watched.head <= head) {
    const auto now = std::chrono::steady_clock::now();
    if (now >= deadline) break;
    auto waiting = watched.changed.wait();
    const auto woken = co_await aio::within(deadline - now, std::move(waiting));
    if (!woken || !*woken) break;
  }
  const bool has_grown = !stopping_ && watched.head > head;
  if (--watched.waiters == 0) watched_.erase(place);
  metrics_.waiters.store(--waiters_, std::memory_order_relaxed);
  co_return has_grown;
}

asio::awaitable<void> HeadWatch::look() {
  asio::steady_timer timer(executor_);
  while (!stopping_ && waiters_ != 0) {
    look_once();
    timer.expires_after(kPeriod);
    const auto [cancelled] = co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
    if (cancelled) break;
  }
  looking_ = false;
}

void HeadWatch::look_once() {
  const auto changes = pages_.follow();
  if (!changes) return;
  // A conversation that came under watch since then may have grown before: its first look doesn't ask the log.
  const bool moved = *changes != changes_;
  changes_ = *changes;
  for (auto& [conversation, watched] : watched_) {
    if (!moved && watched.looked_at) continue;
    watched.looked_at = true;
    const auto head = pages_.head_of(conversation);
    if (!head || *head <= watched.head) continue;
    watched.head = *head;
    watched.changed.notify();
  }
}

void HeadWatch::stop() {
  stopping_ = true;
  for (auto& [conversation, watched] : watched_) watched.changed.notify();
  tasks_.stop();
}

asio::awaitable<void> HeadWatch::join() {
  auto joining = tasks_.join();
  co_await std::move(joining);
}

}  // namespace parley::bridge
