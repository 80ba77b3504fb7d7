#include "broker/login/check_threads.hpp"

#include <gtest/gtest.h>

#include <future>

namespace parley::login {
namespace {

using namespace std::chrono_literals;

TEST(CheckThreads, BoundWhatWaits) {
  CheckThreads threads({.threads = 1, .memory = 100, .waiting = 2});
  std::promise<void> begun;
  std::promise<void> go;
  ASSERT_TRUE(threads.submit(
      [&] {
        begun.set_value();
        go.get_future().wait();
      },
      1));
  begun.get_future().wait();
  std::promise<void> last;
  EXPECT_TRUE(threads.submit([] {}, 1));
  EXPECT_TRUE(threads.submit([&] { last.set_value(); }, 1));
  EXPECT_FALSE(threads.submit([] {}, 1));
  go.set_value();
  EXPECT_EQ(last.get_future().wait_for(20s), std::future_status::ready);
}

TEST(CheckThreads, BoundTheirMemory) {
  CheckThreads threads({.threads = 3, .memory = 100, .waiting = 100});
  std::mutex mutex;
  int memory = 0;
  int most = 0;
  int left = 30;
  std::promise<void> done;
  for (int i = 0; i < 30; ++i) {
    ASSERT_TRUE(threads.submit(
        [&] {
          {
            const std::lock_guard lock(mutex);
            memory += 50;
            most = std::max(most, memory);
          }
          std::this_thread::yield();
          const std::lock_guard lock(mutex);
          memory -= 50;
          if (--left == 0) done.set_value();
        },
        50));
  }
  ASSERT_EQ(done.get_future().wait_for(20s), std::future_status::ready);
  EXPECT_LE(most, 100);
}

TEST(CheckThreads, DoWhatIsTooLargeAlone) {
  CheckThreads threads({.threads = 2, .memory = 100, .waiting = 100});
  std::promise<void> done;
  EXPECT_TRUE(threads.submit([] {}, 60));
  EXPECT_TRUE(threads.submit([&] { done.set_value(); }, 1000));
  EXPECT_EQ(done.get_future().wait_for(20s), std::future_status::ready);
}

TEST(CheckThreads, StopWithoutWhatHasNotBegun) {
  bool ran = false;
  {
    CheckThreads threads({.threads = 1, .memory = 1, .waiting = 1U << 30});
    std::promise<void> begun;
    std::promise<void> go;
    ASSERT_TRUE(threads.submit(
        [&] {
          begun.set_value();
          go.get_future().wait();
        },
        1));
    begun.get_future().wait();
    ASSERT_TRUE(threads.submit([&] { ran = true; }, 1));
    std::thread ends([&] { threads.stop(); });
    while (threads.submit([] {}, 1)) std::this_thread::yield();  // Until it is stopping.
    go.set_value();
    ends.join();
    EXPECT_FALSE(threads.submit([] {}, 1));
  }
  EXPECT_FALSE(ran);
}

}  // namespace
}  // namespace parley::login
