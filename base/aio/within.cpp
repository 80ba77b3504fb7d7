#include "base/aio/within.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>

namespace parley::aio {
namespace {

asio::awaitable<void> run(asio::awaitable<void> operation) {
  co_await asio::this_coro::throw_if_cancelled(false);
  co_await std::move(operation);
}

}  // namespace

asio::awaitable<bool> finished_within(Duration limit, asio::awaitable<void> operation) {
  const auto executor = co_await asio::this_coro::executor;
  asio::steady_timer timer(executor, limit);
  auto work = asio::co_spawn(executor, run(std::move(operation)), asio::deferred);
  auto alarm = timer.async_wait(asio::deferred);
  auto group = asio::experimental::make_parallel_group(std::move(work), std::move(alarm));
  const auto [order, thrown, alarm_error] =
      co_await std::move(group).async_wait(asio::experimental::wait_for_one(), asio::use_awaitable);
  if (thrown) std::rethrow_exception(thrown);
  co_return order[0] == 0;
}

}  // namespace parley::aio
