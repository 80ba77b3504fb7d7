#include "base/aio/task_group.hpp"

#include <stdexcept>

#include "tests/base/aio/run.hpp"

namespace parley::aio {
namespace {

using namespace std::chrono_literals;

struct Counts {
  int completed = 0;
  int cancelled = 0;
};

asio::awaitable<void> task(Duration duration, Counts& counts) {
  const bool completed = co_await test::rest(duration);
  ++(completed ? counts.completed : counts.cancelled);
}

TEST(TaskGroup, JoinsWhatEndsByItself) {
  Counts counts;
  auto body = [](Counts* seen) -> asio::awaitable<void> {
    TaskGroup group(co_await asio::this_coro::executor);
    for (int i = 0; i < 10; ++i) group.spawn(task(1ms * i, *seen));
    EXPECT_EQ(group.size(), 10U);
    co_await group.join();
    EXPECT_EQ(group.size(), 0U);
  };
  test::run(body(&counts));
  EXPECT_EQ(counts.completed, 10);
}

TEST(TaskGroup, StopCancelsEveryTaskWithoutThrowing) {
  Counts counts;
  auto body = [](Counts* seen) -> asio::awaitable<void> {
    TaskGroup group(co_await asio::this_coro::executor);
    for (int i = 0; i < 10; ++i) group.spawn(task(1h, *seen));
    co_await test::rest(1ms);
    group.stop();
    EXPECT_TRUE(group.stopping());
    co_await group.join();
  };
  test::run(body(&counts));
  EXPECT_EQ(counts.cancelled, 10);
}

TEST(TaskGroup, DropsTasksAfterStop) {
  Counts counts;
  auto body = [](Counts* seen) -> asio::awaitable<void> {
    TaskGroup group(co_await asio::this_coro::executor);
    group.stop();
    group.spawn(task(0ms, *seen));
    co_await group.join();
  };
  test::run(body(&counts));
  EXPECT_EQ(counts.completed + counts.cancelled, 0);
}

TEST(TaskGroup, SurvivesATaskThatThrows) {
  test::run([]() -> asio::awaitable<void> {
    TaskGroup group(co_await asio::this_coro::executor);
    auto throwing = []() -> asio::awaitable<void> {
      co_await test::rest(0ms);
      throw std::runtime_error("broken");
    };
    group.spawn(throwing());
    co_await group.join();
  }());
}

TEST(TaskGroup, WaitsForATaskThatGoesOnAfterItsCancellation) {
  test::run([]() -> asio::awaitable<void> {
    bool cleaned_up = false;
    auto cleaning = [](bool* done) -> asio::awaitable<void> {
      co_await test::rest(1h);
      co_await test::rest(5ms);
      *done = true;
    };
    TaskGroup group(co_await asio::this_coro::executor);
    group.spawn(cleaning(&cleaned_up));
    co_await test::rest(1ms);
    group.stop();
    co_await group.join();
    EXPECT_TRUE(cleaned_up);
  }());
}

}  // namespace
}  // namespace parley::aio
