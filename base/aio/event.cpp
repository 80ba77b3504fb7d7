#include "base/aio/event.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace parley::aio {

/// A timer that never comes due; cancelling its waits is the notification.
struct Event::Impl {
  explicit Impl(const asio::any_io_executor& executor) : timer(executor, asio::steady_timer::time_point::max()) {}
  asio::steady_timer timer;
};

Event::Event(const asio::any_io_executor& executor) : impl_(std::make_unique<Impl>(executor)) {}
Event::Event(Event&&) noexcept = default;
Event& Event::operator=(Event&&) noexcept = default;
Event::~Event() = default;

asio::awaitable<bool> Event::wait() {
  const auto before = co_await asio::this_coro::cancellation_state;
  if (before.cancelled() != asio::cancellation_type::none) co_return false;
  [[maybe_unused]] const auto woken = co_await impl_->timer.async_wait(asio::as_tuple(asio::use_awaitable));
  const auto after = co_await asio::this_coro::cancellation_state;
  co_return after.cancelled() == asio::cancellation_type::none;
}

void Event::notify() { impl_->timer.cancel(); }

}  // namespace parley::aio
