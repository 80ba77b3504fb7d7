#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <memory>

/// Background coroutines with an owner that stops them and waits for them.
namespace parley::aio {

namespace asio = boost::asio;

/// Belongs to one thread, and so do its tasks. The owner calls stop() and awaits join() before it goes; a group that
/// dies with its io_context, when nothing runs any more, needs neither.
///
/// A task deals with its own errors: an exception that leaves one is logged and ends that task only. In a task a
/// cancelled wait comes back as asio::error::operation_aborted and nothing is thrown; loops look at stopping().
class TaskGroup {
 public:
  explicit TaskGroup(const asio::any_io_executor& executor);
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;
  ~TaskGroup();

  /// Starts `task` in a later turn of the loop. After stop() it is dropped, unstarted.
  void spawn(asio::awaitable<void> task);

  /// Cancels what every task waits for, once. Tasks that go on afterwards are waited for by join().
  void stop();
  /// Returns when no task is left.
  asio::awaitable<void> join();

  [[nodiscard]] bool stopping() const;
  [[nodiscard]] std::size_t size() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace parley::aio
