#include "broker/net/handshake_pool.hpp"

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <utility>

#include "broker/net/mailbox.hpp"

namespace parley::net {
namespace {

constexpr int kNice = 5;

}  // namespace

HandshakePool::~HandshakePool() { stop(); }

void HandshakePool::start(unsigned threads) {
  for (unsigned i = 0; i < threads; ++i) {
    threads_.emplace_back([this] { run(); });
    ::pthread_setname_np(threads_.back().native_handle(), "handshakes");
  }
}

void HandshakePool::submit(HandshakeJob job) {
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(job);
  }
  there_is_work_.notify_one();
}

void HandshakePool::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  there_is_work_.notify_all();
  for (auto& thread : threads_) thread.join();
  threads_.clear();
}

void HandshakePool::run() {
  // In Linux this is the thread's own. Where it isn't allowed nothing is lost but the order.
  (void)::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), kNice);
  for (;;) {
    HandshakeJob job;
    {
      std::unique_lock lock(mutex_);
      there_is_work_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
      if (stopping_) return;
      job = jobs_.front();
      jobs_.pop_front();
    }
    HandshakeResult result{.connection = job.connection, .outcome = {}, .why = {}};
    result.outcome = job.stream->shake_hands(result.why);
    job.answer_to->send(std::move(result));
  }
}

}  // namespace parley::net
