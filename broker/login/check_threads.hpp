#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace parley::login {

/// Threads for what a login costs: a password's hash takes tens of milliseconds and of megabytes. Bounded in both, and
/// in what waits. They run at a lower priority than the threads that serve clients. Any thread may submit; the mutex
/// guards the queue and the sum.
class CheckThreads {
 public:
  struct Bounds {
    unsigned threads = 1;
    std::size_t memory = 0;  ///< Bytes of jobs under way; one that needs more runs alone.
    std::size_t waiting = 0;
  };
  explicit CheckThreads(Bounds bounds);
  ~CheckThreads();

  /// False when too many wait: the job is not taken.
  [[nodiscard]] bool submit(std::function<void()> work, std::size_t memory);
  /// Waits for the jobs under way; what hasn't begun never will.
  void stop();

 private:
  struct Job {
    std::function<void()> work;
    std::size_t memory = 0;
  };

  void run();
  [[nodiscard]] bool may_begin() const {
    return !jobs_.empty() && (memory_ == 0 || memory_ + jobs_.front().memory <= bounds_.memory);
  }

  const Bounds bounds_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> jobs_;
  std::size_t memory_ = 0;  ///< Of the jobs under way.
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace parley::login
