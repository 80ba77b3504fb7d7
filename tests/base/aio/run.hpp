#pragma once

#include <gtest/gtest.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <exception>
#include <utility>

#include "base/time.hpp"

/// Runs one coroutine to its end on a loop of its own; fails the test when that takes too long.
namespace parley::aio {

namespace asio = boost::asio;

namespace test {

using namespace std::chrono_literals;

inline void run(asio::awaitable<void> body, std::chrono::seconds limit = 30s) {
  asio::io_context loop;
  bool ended = false;
  asio::co_spawn(loop, std::move(body), [&ended](const std::exception_ptr& thrown) {
    ended = true;
    if (thrown) std::rethrow_exception(thrown);
  });
  loop.run_for(limit);
  ASSERT_TRUE(ended) << "the coroutine still waits after " << limit.count() << " s";
}

/// Waits `duration`; true when it was not cancelled.
inline asio::awaitable<bool> rest(Duration duration) {
  asio::steady_timer timer(co_await asio::this_coro::executor, duration);
  const auto [error] = co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
  co_return !error;
}

}  // namespace test

}  // namespace parley::aio
