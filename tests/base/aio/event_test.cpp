#include "base/aio/event.hpp"

#include "base/aio/task_group.hpp"
#include "base/aio/within.hpp"
#include "tests/base/aio/run.hpp"

namespace parley::aio {
namespace {

using namespace std::chrono_literals;

TEST(Event, WakesEverybodyWhoWaits) {
  int woken = 0;
  auto body = [](int* count) -> asio::awaitable<void> {
    const auto executor = co_await asio::this_coro::executor;
    Event event(executor);
    TaskGroup group(executor);
    auto waiter = [](Event* on, int* counted) -> asio::awaitable<void> {
      const bool notified = co_await on->wait();
      if (notified) ++*counted;
    };
    for (int i = 0; i < 5; ++i) group.spawn(waiter(&event, count));
    co_await test::rest(1ms);
    event.notify();
    co_await group.join();
  };
  test::run(body(&woken));
  EXPECT_EQ(woken, 5);
}

TEST(Event, RemembersNothing) {
  test::run([]() -> asio::awaitable<void> {
    Event event(co_await asio::this_coro::executor);
    event.notify();
    auto waiting = event.wait();
    const auto result = co_await within(5ms, std::move(waiting));
    EXPECT_EQ(result.error(), boost::system::errc::timed_out);
  }());
}

TEST(Event, TellsThatTheWaitWasCancelled) {
  int cancelled = 0;
  auto body = [](int* count) -> asio::awaitable<void> {
    const auto executor = co_await asio::this_coro::executor;
    Event event(executor);
    TaskGroup group(executor);
    auto waiter = [](Event* on, int* counted) -> asio::awaitable<void> {
      for (int i = 0; i < 3; ++i) {
        const bool notified = co_await on->wait();
        if (!notified) ++*counted;
      }
    };
    group.spawn(waiter(&event, count));
    co_await test::rest(1ms);
    group.stop();
    co_await group.join();
  };
  test::run(body(&cancelled));
  EXPECT_EQ(cancelled, 3) << "a cancelled coroutine must not wait again";
}

}  // namespace
}  // namespace parley::aio
