#include "bridge/connection.hpp"

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstdio>
#include <ctime>

namespace parley::bridge {
namespace {

using asio::ip::tcp;

constexpr auto kAsTuple = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t kReadSize = 16 * 1024;
/// Buffers above this go back when a request is done: one large page must not stay for the connection's life.
constexpr std::size_t kKeptMax = 64 * 1024;
/// What is read and thrown away after a refusal, so that the refusal arrives before the reset. RFC 9112 §9.6.
constexpr std::size_t kLingerMax = 1U << 20;
constexpr Duration kLingerLimit = std::chrono::seconds(2);

Instant now() { return std::chrono::steady_clock::now(); }

void shrink(std::string& buffer) {
  buffer.clear();
  if (buffer.capacity() > kKeptMax) buffer.shrink_to_fit();
}

class TcpConnection final : public Connection {
 public:
  TcpConnection(const asio::any_io_executor& executor, ConnectionContext& context, int descriptor)
      : context_(context), socket_(executor), parser_(context.options.request) {
    boost::system::error_code error;
    socket_.assign(tcp::v4(), descriptor, error);
    socket_.non_blocking(true, error);
    socket_.set_option(tcp::no_delay(true), error);
    deadline_ = now() + context_.options.idle_limit;
  }

  asio::awaitable<void> run() override;
  void look(Instant at) override;
  void abort() override {
    aborted_ = true;
    cancel();
  }

 private:
  enum class Phase : std::uint8_t { Idle, Header, Body, Answering, Writing };

  asio::awaitable<bool> read_request();
  asio::awaitable<bool> read_more();
  asio::awaitable<bool> write(std::string_view head, std::string_view body);
  asio::awaitable<bool> answer();
  asio::awaitable<bool> respond(Instant began);
  asio::awaitable<void> refuse(Problem problem);
  asio::awaitable<void> stream();
  asio::awaitable<bool> write_events(const std::string& events);
  asio::awaitable<void> linger();

  void enter(Phase phase, Duration limit) {
    phase_ = phase;
    deadline_ = limit == Duration::max() ? Instant::max() : now() + limit;
  }
  void cancel() {
    boost::system::error_code ignored;
    socket_.cancel(ignored);
  }

  ConnectionContext& context_;
  tcp::socket socket_;
  RequestParser parser_;
  Call call_;
  std::string input_;
  std::size_t input_size_ = 0;  ///< Received bytes in `input_` that aren't used yet.
  std::string head_;
  Phase phase_ = Phase::Idle;
  Instant deadline_;
  bool expired_ = false;
  bool aborted_ = false;
};

// -- Reading --

/// Appends what has arrived. False when the connection is over or a deadline has passed.
asio::awaitable<bool> TcpConnection::read_more() {
  if (input_.size() - input_size_ < kReadSize / 2) input_.resize(input_size_ + kReadSize);
  const auto room = asio::buffer(input_.data() + input_size_, input_.size() - input_size_);
  const auto [error, count] = co_await socket_.async_read_some(room, kAsTuple);
  input_size_ += count;
  co_return !error && !expired_ && !aborted_;
}

/// True when a whole request is in `call_`. Else the connection ends, after a refusal where one is due.
asio::awaitable<bool> TcpConnection::read_request() {
  parser_.start(call_.request);
  enter(Phase::Idle, context_.options.idle_limit);
  bool told_to_continue = false;
  while (true) {
    std::size_t used = 0;
    const auto state = parser_.put(std::string_view(input_.data(), input_size_), used);
    input_.erase(0, used);
    input_size_ -= used;
    if (state == RequestParser::State::Complete) co_return true;
    if (state == RequestParser::State::Failed) {
      co_await refuse(parser_.problem());
      co_return false;
    }
    if (state == RequestParser::State::HeaderComplete && phase_ != Phase::Body) {
      enter(Phase::Body, context_.options.body_limit);
      if (call_.request.expects_continue && !told_to_continue && !call_.request.http_1_0) {
        told_to_continue = true;
        const bool written = co_await write("HTTP/1.1 100 Continue\r\n\r\n", {});
        if (!written) co_return false;
        enter(Phase::Body, context_.options.body_limit);
      }
    }
    if (phase_ == Phase::Idle && input_size_ != 0) enter(Phase::Header, context_.options.header_limit);
    if (phase_ == Phase::Idle && context_.stopping) co_return false;
    const bool more = co_await read_more();
    if (more) continue;
    if (expired_ && phase_ != Phase::Idle && !aborted_) {
      expired_ = false;
      co_await refuse(Problem::RequestTimeout);
    }
    co_return false;
  }
}

// -- Answering --

asio::awaitable<void> TcpConnection::run() {
  while (true) {
    const bool complete = co_await read_request();
    if (!complete) break;
    const bool goes_on = co_await answer();
    if (!goes_on) break;
  }
  boost::system::error_code ignored;
  socket_.shutdown(tcp::socket::shutdown_both, ignored);
  socket_.close(ignored);
}

asio::awaitable<bool> TcpConnection::answer() {
  enter(Phase::Answering, Duration::max());
  const Instant began = now();
  auto next = context_.api.begin(call_);
  if (next == Api::Next::Later) {
    auto finishing = context_.api.finish(call_);
    next = co_await std::move(finishing);
  }
  if (aborted_) co_return false;
  if (next == Api::Next::Stream) {
    co_await stream();
    co_return false;
  }
  const bool goes_on = co_await respond(began);
  co_return goes_on;
}

/// Writes `call_.response`; true when another request may follow.
asio::awaitable<bool> TcpConnection::respond(Instant began) {
  Response& response = call_.response;
  const bool compressible = response.body.size() >= Gzip::kWorthwhile;
  if (compressible) response.add_header("Vary", "Accept-Encoding");
  if (compressible && accepts_gzip(call_.request.accept_encoding) && context_.gzip.compress(response.body)) {
    response.add_header("Content-Encoding", "gzip");
  }
  const bool keep_alive = call_.request.keep_alive && !response.close && !context_.stopping;
  head_.clear();
  append_head(head_, response, {.http_1_0 = call_.request.http_1_0, .keep_alive = keep_alive, .date = context_.date()});
  context_.metrics.count_request(response.status, now() - began);
  const bool bodyless = call_.request.method == Method::Head || response.status == 204 || response.status == 304;
  const std::string_view body = bodyless ? std::string_view() : std::string_view(response.body);
  const bool written = co_await write(head_, body);
  if (response.body.capacity() > kKeptMax) shrink(response.body);
  if (call_.request.body.capacity() > kKeptMax) shrink(call_.request.body);
  if (input_size_ == 0 && input_.capacity() > kKeptMax) shrink(input_);
  if (written && !keep_alive) co_await linger();
  co_return written&& keep_alive;
}

/// A request that can't be understood: what follows it can't be either.
asio::awaitable<void> TcpConnection::refuse(Problem problem) {
  call_.response.set_problem({.problem = problem, .detail = {}, .members = {}});
  call_.response.close = true;
  co_await respond(now());
}

asio::awaitable<bool> TcpConnection::write(std::string_view head, std::string_view body) {
  enter(Phase::Writing, context_.options.write_limit);
  const std::array<asio::const_buffer, 2> pieces{asio::buffer(head.data(), head.size()),
                                                 asio::buffer(body.data(), body.size())};
  // Mostly the socket takes it at once.
  boost::system::error_code error;
  std::size_t written = socket_.write_some(pieces, error);
  const std::size_t size = head.size() + body.size();
  if (!error && written == size) co_return true;
  if (error && error != asio::error::would_block) co_return false;
  while (written < size) {
    const bool in_head = written < head.size();
    const std::string_view rest = in_head ? head.substr(written) : body.substr(written - head.size());
    const auto piece = asio::buffer(rest.data(), rest.size());
    const auto [write_error, count] = co_await socket_.async_write_some(piece, kAsTuple);
    if (write_error || expired_ || aborted_) co_return false;
    written += count;
    deadline_ = now() + context_.options.write_limit;
  }
  co_return true;
}

/// Says that nothing more comes, and lets the peer read what was said before its unread bytes reset the connection.
asio::awaitable<void> TcpConnection::linger() {
  boost::system::error_code ignored;
  socket_.shutdown(tcp::socket::shutdown_send, ignored);
  enter(Phase::Writing, kLingerLimit);
  for (std::size_t count = 0; count < kLingerMax; count += input_size_) {
    input_size_ = 0;
    const bool more = co_await read_more();
    if (!more) break;
  }
}

// -- Event streams --

/// Server-Sent Events until either side ends it. A client that comes back with its Last-Event-ID misses nothing.
asio::awaitable<void> TcpConnection::stream() {
  head_.clear();
  append_stream_head(head_, call_.response,
                     {.http_1_0 = call_.request.http_1_0, .keep_alive = false, .date = context_.date()});
  context_.metrics.count_request(200, Duration::zero());
  bool open = co_await write(head_, {});
  std::string events(": connected\n\n");
  if (open) open = co_await write_events(events);
  Instant asked = now();
  while (open && !aborted_ && !context_.stopping) {
    const bool changed = std::exchange(call_.stream.rights_changed, false);
    if (call_.asks && (changed || now() - asked >= context_.options.heartbeat)) {
      // Whose right has ended meanwhile hears why when it comes back.
      enter(Phase::Answering, Duration::max());
      const Visible before = call_.visible;
      auto asking = context_.api.authorize(call_);
      const bool may = co_await std::move(asking);
      if (!may || aborted_) break;
      // Who was removed here and added again later begins again there, as over MQTT.
      if (call_.visible.from > before.from && call_.visible.from > call_.stream.after) break;
      asked = now();
    }
    events.clear();
    const bool readable = context_.pages.append_events(events, call_.stream);
    if (!events.empty()) open = co_await write_events(events);
    if (!readable) break;
    if (!events.empty()) continue;
    enter(Phase::Answering, Duration::max());
    const Instant deadline = now() + context_.options.heartbeat;
    const ConversationNumber conversation = call_.stream.conversation;
    const Seq after = call_.stream.after;
    const bool grown = co_await context_.watch.grown(conversation, after, deadline);
    if (!grown && !context_.stopping && !aborted_) {
      const std::string heartbeat(": alive\n\n");
      open = co_await write_events(heartbeat);
    }
  }
  if (open && !aborted_ && !call_.request.http_1_0) co_await write("0\r\n\r\n", {});
}

asio::awaitable<bool> TcpConnection::write_events(const std::string& events) {
  if (call_.request.http_1_0) {
    const bool written = co_await write(events, {});
    co_return written;
  }
  std::array<char, 24> size{};
  const int digits = std::snprintf(size.data(), size.size(), "%zx\r\n", events.size());
  head_.assign(size.data(), static_cast<std::size_t>(digits));
  head_.append(events).append("\r\n");
  const bool written = co_await write(head_, {});
  co_return written;
}

void TcpConnection::look(Instant at) {
  if (phase_ == Phase::Idle && context_.stopping) {
    aborted_ = true;
    cancel();
    return;
  }
  if (at < deadline_) return;
  deadline_ = Instant::max();
  expired_ = true;
  cancel();
}

}  // namespace

std::string_view ConnectionContext::date() {
  const std::time_t seconds = std::time(nullptr);
  if (seconds != date_made_) {
    date_made_ = seconds;
    date_ = http_date(seconds);
  }
  return date_;
}

std::unique_ptr<Connection> make_connection(const asio::any_io_executor& executor, ConnectionContext& context,
                                            int descriptor) {
  return std::make_unique<TcpConnection>(executor, context, descriptor);
}

}  // namespace parley::bridge
