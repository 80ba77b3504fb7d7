#include "broker/cluster/redis_connection.hpp"

#include <hiredis/async.h>
#include <hiredis/hiredis.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

#include "base/aio/within.hpp"

namespace parley::cluster {
namespace {

constexpr auto kAsTuple = asio::as_tuple(asio::use_awaitable);

/// hiredis' event hooks over Asio: one wait for each time that hiredis asks. The context owns the descriptor and may go
/// while a wait is under way; `context` is null from then on.
struct Adapter : std::enable_shared_from_this<Adapter> {
  Adapter(const asio::any_io_executor& executor, redisAsyncContext* of) : context(of), descriptor(executor, of->c.fd) {}

  void wait_readable() {
    if (context == nullptr || std::exchange(reading, true)) return;
    descriptor.async_wait(asio::posix::stream_descriptor::wait_read, [self = shared_from_this()](auto error) {
      self->reading = false;
      if (!error && self->context != nullptr) redisAsyncHandleRead(self->context);
    });
  }
  void wait_writable() {
    if (context == nullptr || std::exchange(writing, true)) return;
    descriptor.async_wait(asio::posix::stream_descriptor::wait_write, [self = shared_from_this()](auto error) {
      self->writing = false;
      if (!error && self->context != nullptr) redisAsyncHandleWrite(self->context);
    });
  }
  void clean_up() {
    context = nullptr;
    descriptor.release();  // hiredis closes it.
  }

  redisAsyncContext* context;
  asio::posix::stream_descriptor descriptor;
  bool reading = false;
  bool writing = false;
};

using AdapterPtr = std::shared_ptr<Adapter>;
AdapterPtr& adapter_of(void* data) { return *static_cast<AdapterPtr*>(data); }

void attach(const asio::any_io_executor& executor, redisAsyncContext* context) {
  context->ev.data = new AdapterPtr(std::make_shared<Adapter>(executor, context));
  context->ev.addRead = [](void* data) { adapter_of(data)->wait_readable(); };
  context->ev.addWrite = [](void* data) { adapter_of(data)->wait_writable(); };
  context->ev.delRead = [](void*) {};  // Each wait was for once.
  context->ev.delWrite = [](void*) {};
  context->ev.cleanup = [](void* data) {
    adapter_of(data)->clean_up();
    delete static_cast<AdapterPtr*>(data);
  };
}

/// hiredis 0.14 reserves what an array's head announces. No reply to this room's commands has so many elements.
constexpr int kElementsMax = 4'000'000;

/// Has the reader give up on larger arrays, by its own way of making objects with one function replaced.
void bound_arrays(redisReader* reader) {
  static const redisReplyObjectFunctions* const plain = reader->fn;
  static redisReplyObjectFunctions bounded = [] {
    redisReplyObjectFunctions functions = *plain;
    functions.createArray = [](const redisReadTask* task, int elements) -> void* {
      return elements > kElementsMax ? nullptr : plain->createArray(task, elements);
    };
    return functions;
  }();
  reader->fn = &bounded;
}

/// Deeper than any reply to this room's commands; hiredis itself gives up at nine.
constexpr int kDepthMax = 9;

RedisReply copy(const redisReply& from, int depth = 0) {
  RedisReply to;
  switch (from.type) {
    case REDIS_REPLY_STRING: to.kind = RedisReply::Kind::Text; break;
    case REDIS_REPLY_STATUS: to.kind = RedisReply::Kind::Status; break;
    case REDIS_REPLY_ERROR: to.kind = RedisReply::Kind::Error; break;
    case REDIS_REPLY_INTEGER: to.kind = RedisReply::Kind::Integer; break;
    case REDIS_REPLY_ARRAY: to.kind = RedisReply::Kind::Array; break;
    default: return to;
  }
  to.integer = from.type == REDIS_REPLY_INTEGER ? from.integer : 0;
  if (from.str != nullptr) to.text.assign(from.str, from.len);
  if (from.type != REDIS_REPLY_ARRAY || depth == kDepthMax) return to;
  to.elements.reserve(from.elements);
  for (std::size_t i = 0; i < from.elements; ++i) to.elements.push_back(copy(*from.element[i], depth + 1));
  return to;
}

/// A call under way. Replies and the waiting coroutine share it: either may go first.
struct Call {
  explicit Call(const asio::any_io_executor& executor) : timer(executor) {}
  asio::steady_timer timer;  ///< The deadline; cancelled when the call is over.
  std::size_t awaited = 0;
  std::vector<RedisReply> replies;
  bool lost = false;
};

void take_reply(redisAsyncContext*, void* reply, void* data) {
  const std::unique_ptr<std::shared_ptr<Call>> held(static_cast<std::shared_ptr<Call>*>(data));
  Call& call = **held;
  if (reply == nullptr) {
    call.lost = true;
  } else {
    call.replies.push_back(copy(*static_cast<const redisReply*>(reply)));
  }
  if (--call.awaited == 0 || call.lost) call.timer.cancel();
}

struct Arguments {
  explicit Arguments(const RedisCommand& command) {
    for (const std::string& argument : command) {
      pointers.push_back(argument.data());
      sizes.push_back(argument.size());
    }
  }
  std::vector<const char*> pointers;
  std::vector<std::size_t> sizes;
};

}  // namespace

std::string text_of(const RedisAddress& address) { return address.host + ":" + std::to_string(address.port); }

/// Outlives the context's callbacks: they hold it by pointer until hiredis has called the last one.
struct RedisConnection::State : std::enable_shared_from_this<State> {
  State(const asio::any_io_executor& on, RedisLimits limits_given)
      : executor(on), limits(limits_given), connected(on), lost(on) {}

  asio::any_io_executor executor;
  RedisLimits limits;
  redisAsyncContext* context = nullptr;
  RedisError why = RedisError::Unavailable;
  bool is_connected = false;
  aio::Event connected;  ///< Or it has failed.
  aio::Event lost;
  std::function<void(std::string_view)> receive;
  bool subscribed = false;
  aio::Event confirmed{executor};

  void forget() {
    context = nullptr;
    is_connected = false;
    connected.notify();
    lost.notify();
    confirmed.notify();
  }

  /// Null once the connection has been dropped.
  static State* of(const redisAsyncContext* context) { return static_cast<State*>(context->data); }

  static void on_connect(const redisAsyncContext* context, int status) {
    State* state = of(context);
    if (state == nullptr) return;
    state->is_connected = status == REDIS_OK;
    if (status != REDIS_OK) state->forget();  // hiredis frees it now.
    state->connected.notify();
  }
  static void on_disconnect(const redisAsyncContext* context, int) {
    State* state = of(context);
    if (state != nullptr) state->forget();
  }
  static void on_message(redisAsyncContext* context, void* reply, void*) {
    State* state = of(context);
    if (reply == nullptr || state == nullptr) return;
    const RedisReply message = copy(*static_cast<const redisReply*>(reply));
    if (message.elements.size() != 3) return;
    if (message.elements[0].text == "subscribe") {
      state->subscribed = true;
      state->confirmed.notify();
    } else if (message.elements[0].text == "message" && state->receive) {
      const auto alive = state->shared_from_this();  // The receiver may let the connection go.
      alive->receive(message.elements[2].text);
    }
  }
};

RedisConnection::RedisConnection(asio::any_io_executor executor, RedisLimits limits)
    : state_(std::make_shared<State>(executor, limits)) {}

RedisConnection::~RedisConnection() { drop(RedisError::ConnectionLost); }

bool RedisConnection::is_open() const { return state_->context != nullptr && state_->is_connected; }

void RedisConnection::drop(RedisError why) {
  if (state_->context == nullptr) return;
  state_->why = why;
  // Calls back with null for whatever is awaited, so `context` goes first.
  redisAsyncContext* context = std::exchange(state_->context, nullptr);
  context->data = nullptr;
  redisAsyncFree(context);
  state_->forget();
}

asio::awaitable<Result<void>> RedisConnection::open(RedisAddress address, RedisLogin login) {
  const auto state = state_;
  auto logging_in = log_in(std::move(address), std::move(login));
  const auto opened = co_await aio::within(state->limits.connect_timeout, std::move(logging_in));
  if (!opened) {
    const bool late = opened.error() == boost::system::errc::timed_out;
    drop(RedisError::ConnectionLost);
    if (late) co_return RedisError::TimedOut;
  }
  co_return opened;
}

asio::awaitable<Result<void>> RedisConnection::log_in(RedisAddress address, RedisLogin login) {
  auto connecting = connect(std::move(address));
  const auto connected = co_await std::move(connecting);
  if (!connected) co_return connected;
  std::vector<RedisCommand> commands;
  if (!login.password.empty() && login.user.empty()) commands.push_back({"AUTH", login.password});
  if (!login.user.empty()) commands.push_back({"AUTH", login.user, login.password});
  if (login.database != 0) commands.push_back({"SELECT", std::to_string(login.database)});
  if (commands.empty()) commands.push_back({"PING"});
  auto calling = call(std::move(commands));
  const auto replies = co_await std::move(calling);
  if (!replies) co_return replies.error();
  for (const RedisReply& reply : *replies) {
    if (reply.is_error()) co_return RedisError::Refused;
  }
  co_return Result<void>();
}

asio::awaitable<Result<void>> RedisConnection::connect(RedisAddress address) {
  const auto state = state_;
  // hiredis would resolve names by blocking the thread; and it takes addresses, too.
  asio::ip::tcp::resolver resolver(state->executor);
  const auto [error, found] = co_await resolver.async_resolve(address.host, std::to_string(address.port), kAsTuple);
  if (error) co_return error;
  const std::string host = found.begin()->endpoint().address().to_string();

  redisAsyncContext* context = redisAsyncConnect(host.c_str(), address.port);
  if (context == nullptr) co_return RedisError::Unavailable;
  if (context->err != 0) {
    redisAsyncFree(context);
    co_return RedisError::Unavailable;
  }
  context->data = state.get();
  state->context = context;
  attach(state->executor, context);
  bound_arrays(context->c.reader);
  redisEnableKeepAlive(&context->c);  // A subscribed connection may be silent for long.
  redisAsyncSetConnectCallback(context, State::on_connect);
  redisAsyncSetDisconnectCallback(context, State::on_disconnect);
  while (state->context != nullptr && !state->is_connected) {
    const bool woken = co_await state->connected.wait();
    if (!woken) co_return boost::system::errc::make_error_code(boost::system::errc::operation_canceled);
  }
  if (state->context == nullptr) co_return RedisError::Unavailable;
  co_return Result<void>();
}

asio::awaitable<Result<std::vector<RedisReply>>> RedisConnection::call(std::vector<RedisCommand> commands) {
  const auto state = state_;
  if (!is_open()) co_return RedisError::Unavailable;
  const auto call = std::make_shared<Call>(state->executor);
  if (commands.empty()) co_return std::move(call->replies);
  for (const RedisCommand& command : commands) {
    Arguments arguments(command);
    auto held = std::make_unique<std::shared_ptr<Call>>(call);
    const int given = redisAsyncCommandArgv(state->context, take_reply, held.get(), static_cast<int>(command.size()),
                                            arguments.pointers.data(), arguments.sizes.data());
    if (given != REDIS_OK) {
      drop(RedisError::ConnectionLost);
      co_return RedisError::ConnectionLost;
    }
    held.release();
    ++call->awaited;
  }
  const Duration limit = state->limits.call_timeout;
  call->timer.expires_after(limit);
  const auto [error] = co_await call->timer.async_wait(kAsTuple);
  if (call->lost) co_return state->why == RedisError::TimedOut ? RedisError::TimedOut : RedisError::ConnectionLost;
  if (call->awaited == 0) co_return std::move(call->replies);
  // Late, or the coroutine was cancelled. A caller's own deadline of the same length may come a moment before this one,
  // and must not keep a connection that is dead.
  const bool late = !error || call->timer.expiry() - std::chrono::steady_clock::now() < limit / 10;
  if (late && state->context != nullptr) drop(RedisError::TimedOut);
  if (late) co_return RedisError::TimedOut;
  co_return boost::system::errc::make_error_code(boost::system::errc::operation_canceled);
}

asio::awaitable<Result<RedisReply>> RedisConnection::call(RedisCommand command) {
  std::vector<RedisCommand> commands;
  commands.push_back(std::move(command));
  auto calling = call(std::move(commands));
  auto replies = co_await std::move(calling);
  if (!replies) co_return replies.error();
  co_return std::move(replies->front());
}

asio::awaitable<Result<void>> RedisConnection::subscribe(std::string channel,
                                                         std::function<void(std::string_view)> receive) {
  const auto state = state_;
  if (!is_open()) co_return RedisError::Unavailable;
  state->receive = std::move(receive);
  const RedisCommand command{"SUBSCRIBE", channel};
  Arguments arguments(command);
  if (redisAsyncCommandArgv(state->context, State::on_message, nullptr, 2, arguments.pointers.data(),
                            arguments.sizes.data()) != REDIS_OK) {
    co_return RedisError::ConnectionLost;
  }
  auto confirming = state->confirmed.wait();
  [[maybe_unused]] const auto woken = co_await aio::within(state->limits.call_timeout, std::move(confirming));
  if (state->subscribed) co_return Result<void>();
  if (state->context == nullptr) co_return RedisError::Refused;
  drop(RedisError::TimedOut);
  co_return RedisError::TimedOut;
}

asio::awaitable<bool> RedisConnection::wait_lost() {
  const auto state = state_;
  while (state->context != nullptr) {
    const bool woken = co_await state->lost.wait();
    if (!woken) co_return false;
  }
  co_return true;
}

}  // namespace parley::cluster
