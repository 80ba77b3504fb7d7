#include "broker/login/check_threads.hpp"

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <utility>

namespace parley::login {
namespace {

constexpr int kNice = 5;

}  // namespace

CheckThreads::CheckThreads(Bounds bounds) : bounds_(bounds) {
  for (unsigned i = 0; i < bounds_.threads; ++i) {
    threads_.emplace_back([this] { run(); });
    ::pthread_setname_np(threads_.back().native_handle(), "logins");
  }
}

CheckThreads::~CheckThreads() { stop(); }

bool CheckThreads::submit(std::function<void()> work, std::size_t memory) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_ || jobs_.size() >= bounds_.waiting) return false;
    jobs_.push_back({std::move(work), memory});
  }
  changed_.notify_one();
  return true;
}

void CheckThreads::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    jobs_.clear();
  }
  changed_.notify_all();
  for (auto& thread : threads_) thread.join();
  threads_.clear();
}

void CheckThreads::run() {
  // In Linux this is the thread's own. Where it isn't allowed nothing is lost but the order.
  (void)::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), kNice);
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopping_ || may_begin(); });
    if (stopping_) return;
    Job job = std::move(jobs_.front());
    jobs_.pop_front();
    memory_ += job.memory;
    lock.unlock();
    job.work();
    job.work = nullptr;
    lock.lock();
    memory_ -= job.memory;
    changed_.notify_all();
  }
}

}  // namespace parley::login
