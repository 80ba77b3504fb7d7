#include "broker/login/check_threads.hpp"

#include <gtest/gtest.h>

#include <future>

namespace parley::login {
namespace {

using namespace std::chrono_literals;

/// Keeps a thread until it is told to end.
class Job {
 public:
  void begin(CheckThreads& threads) {
    ASSERT_TRUE(threads.submit(
        [this] {
          begun_.set_value();
          go_.get_future().wait();
        },
        1));
    begun_.get_future().wait();
  }
  void end() { go_.set_value(); }

 private:
  std::promise<void> begun_;
  std::promise<void> go_;
};

TEST(CheckThreads, BoundWhatWaits) {
  Job first;
  CheckThreads threads({.threads = 1, .memory = 100, .waiting = 2});
  first.begin(threads);
  std::promise<void> last;
  EXPECT_TRUE(threads.submit([] {}, 1));
  EXPECT_TRUE(threads.submit([&] { last.set_value(); }, 1));
  EXPECT_FALSE(threads.submit([] {}, 1));
  first.end();
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
    Job first;
    CheckThreads threads({.threads = 1, .memory = 1, .waiting = 1U << 30});
    first.begin(threads);
    ASSERT_TRUE(threads.submit([&] { ran = true; }, 1));
    std::thread ends([&] { threads.stop(); });
    while (threads.submit([] {}, 1)) std::this_thread::yield();  // Until it is stopping.
    first.end();
    ends.join();
    EXPECT_FALSE(threads.submit([] {}, 1));
  }
  EXPECT_FALSE(ran);
}

}  // namespace
}  // namespace parley::login
