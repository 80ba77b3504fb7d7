#include "base/aio/task_group.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <list>
#include <utility>

#include "base/log.hpp"

namespace parley::aio {
namespace {

asio::awaitable<void> run(asio::awaitable<void> task) {
  co_await asio::this_coro::throw_if_cancelled(false);
  co_await std::move(task);
}

void report(const std::exception_ptr& thrown) {
  if (!thrown) return;
  try {
    std::rethrow_exception(thrown);
  } catch (const std::exception& error) {
    log::error("a background task ended with an exception", {{"error", error.what()}});
  }
}

}  // namespace

/// Shared with the completion handlers, which may run after the group has gone.
struct TaskGroup::State {
  explicit State(const asio::any_io_executor& on) : executor(on), ended(on, asio::steady_timer::time_point::max()) {}

  asio::any_io_executor executor;
  std::list<asio::cancellation_signal> running;
  asio::steady_timer ended;  ///< Never comes due; cancelled whenever a task has ended.
  bool stopping = false;
};

TaskGroup::TaskGroup(const asio::any_io_executor& executor) : state_(std::make_shared<State>(executor)) {}

TaskGroup::~TaskGroup() = default;

void TaskGroup::spawn(asio::awaitable<void> task) {
  if (state_->stopping) return;
  const auto signal = state_->running.emplace(state_->running.end());
  auto completed = [state = state_, signal](const std::exception_ptr& thrown) {
    state->running.erase(signal);
    state->ended.cancel();
    report(thrown);
  };
  asio::co_spawn(state_->executor, run(std::move(task)),
                 asio::bind_cancellation_slot(signal->slot(), std::move(completed)));
}

void TaskGroup::stop() {
  if (std::exchange(state_->stopping, true)) return;
  // A cancelled task may end, and leave the list, inside emit().
  for (auto signal = state_->running.begin(); signal != state_->running.end();) {
    const auto current = signal++;
    current->emit(asio::cancellation_type::terminal);
  }
}

asio::awaitable<void> TaskGroup::join() {
  const auto state = state_;
  while (!state->running.empty()) {
    // Also when the joining coroutine is cancelled: what the tasks refer to must not go before them.
    [[maybe_unused]] const auto woken = co_await state->ended.async_wait(asio::as_tuple(asio::use_awaitable));
  }
}

bool TaskGroup::stopping() const { return state_->stopping; }
std::size_t TaskGroup::size() const { return state_->running.size(); }

}  // namespace parley::aio
