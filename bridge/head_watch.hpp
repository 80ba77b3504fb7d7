#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <cstdint>
#include <map>

#include "base/aio/event.hpp"
#include "base/aio/task_group.hpp"
#include "base/number.hpp"
#include "base/time.hpp"
#include "bridge/metrics.hpp"
#include "bridge/page_reader.hpp"

/// Waiting for conversations to grow: long polls and event streams.
namespace parley::bridge {

namespace asio = boost::asio;

/// Belongs to its worker's thread. While somebody waits it looks at the log's end every 5 ms (half a microsecond when
/// nothing is new) and, when that has moved, at the heads of the conversations that are waited for.
class HeadWatch {
 public:
  /// Further ones are refused, so that waiters can't use up the server.
  static constexpr std::size_t kWaitersMax = 2'000;

  HeadWatch(const asio::any_io_executor& executor, PageReader& pages, Metrics& metrics);

  [[nodiscard]] bool full() const { return waiters_ >= kWaitersMax; }

  /// True as soon as the conversation's head is above `head`; false at the deadline, when cancelled, or after stop().
  asio::awaitable<bool> grown(ConversationNumber conversation, Seq head, Instant deadline);

  /// Everybody who waits is told to stop, now and later.
  void stop();
  asio::awaitable<void> join();

 private:
  struct Watched {
    explicit Watched(const asio::any_io_executor& executor) : changed(executor) {}
    Seq head;
    bool looked_at = false;  ///< Since the last waiter came.
    std::size_t waiters = 0;
    aio::Event changed;
  };

  asio::awaitable<void> look();
  void look_once();

  asio::any_io_executor executor_;
  PageReader& pages_;
  Metrics& metrics_;
  aio::TaskGroup tasks_;
  std::map<ConversationNumber, Watched> watched_;
  std::size_t waiters_ = 0;
  bool looking_ = false;
  bool stopping_ = false;
  std::uint64_t changes_ = 0;
};

}  // namespace parley::bridge
