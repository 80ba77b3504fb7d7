#include "broker/admin/admin_server.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <optional>
#include <string_view>
#include <thread>
#include <utility>

#include "base/aio/task_group.hpp"
#include "base/aio/within.hpp"
#include "base/log.hpp"
#include "broker/admin/pages.hpp"

namespace parley::admin {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using Socket = asio::local::stream_protocol::socket;

constexpr std::size_t kRequestMax = 64 * 1024;
constexpr std::size_t kPathMax = 107;  ///< unix(7).
constexpr Duration kDeadline = std::chrono::seconds(10);
constexpr auto kValue = asio::as_tuple(asio::use_awaitable);

std::string_view view(boost::beast::string_view text) { return {text.data(), text.size()}; }

/// Empty when nothing whole came.
asio::awaitable<std::string> read_and_answer(Socket* socket, NodeAdmin* node) {
  http::request_parser<http::string_body> parser;
  parser.eager(true);
  parser.body_limit(kRequestMax);
  std::string unread;
  std::array<char, 4096> buffer{};
  while (!parser.is_done()) {
    const auto [error, count] = co_await socket->async_read_some(asio::buffer(buffer), kValue);
    if (error || unread.size() + count > kRequestMax) co_return std::string();
    unread.append(buffer.data(), count);
    boost::system::error_code wrong;
    const std::size_t used = parser.put(asio::buffer(unread), wrong);
    unread.erase(0, used);
    if (wrong && wrong != http::error::need_more) {
      co_return http_response({.status = 400, .body = "{\"error\":\"malformed-request\",\"message\":\"No HTTP.\"}"});
    }
  }
  const auto& request = parser.get();
  const Request asked{.method = view(request.method_string()), .target = view(request.target())};
  co_return http_response(answer(asked, *node));
}

/// A file that a process has left which isn't there any more.
bool is_left_over(const std::string& path) {
  asio::io_context loop;
  Socket socket(loop);
  boost::system::error_code error;
  socket.connect(asio::local::stream_protocol::endpoint(path), error);
  return error == boost::system::errc::connection_refused;
}

}  // namespace

class AdminServer::Core {
 public:
  explicit Core(NodeAdmin& node) : node_(node) {}
  ~Core() { stop(); }

  Result<void> start(const std::string& path) {
    if (path.size() > kPathMax) return boost::system::errc::make_error_code(boost::system::errc::filename_too_long);
    if (is_left_over(path)) ::unlink(path.c_str());
    boost::system::error_code error;
    acceptor_.open(asio::local::stream_protocol(), error);
    if (!error) acceptor_.bind(asio::local::stream_protocol::endpoint(path), error);
    if (error) return error;
    path_ = path;
    if (::chmod(path.c_str(), 0660) != 0) return boost::system::error_code(errno, boost::system::system_category());
    acceptor_.listen(16, error);
    if (error) return error;
    tasks_.spawn(accept());
    thread_ = std::thread([this] { loop_.run(); });
    return {};
  }
  void stop() {
    if (thread_.joinable()) {
      asio::post(loop_, [this] {
        boost::system::error_code ignored;
        acceptor_.close(ignored);
        tasks_.stop();
      });
      thread_.join();
    }
    if (!path_.empty()) ::unlink(std::exchange(path_, {}).c_str());
  }

 private:
  asio::awaitable<void> accept() {
    while (!tasks_.stopping()) {
      Socket socket(loop_);
      const auto [error] = co_await acceptor_.async_accept(socket, kValue);
      if (!error) tasks_.spawn(serve(std::move(socket)));
      if (error && !tasks_.stopping()) {
        log::error("the admin socket accepts nobody any more", {{"error", error.message()}});
        co_return;
      }
    }
  }
  asio::awaitable<void> serve(Socket socket) {
    auto answering = read_and_answer(&socket, &node_);
    const auto response = co_await aio::within(kDeadline, std::move(answering));
    if (!response || response->empty()) co_return;
    const auto bytes = asio::buffer(*response);
    [[maybe_unused]] const auto written = co_await asio::async_write(socket, bytes, kValue);
  }

  NodeAdmin& node_;
  asio::io_context loop_{1};
  asio::local::stream_protocol::acceptor acceptor_{loop_};
  aio::TaskGroup tasks_{loop_.get_executor()};
  std::string path_;
  std::thread thread_;
};

AdminServer::AdminServer(NodeAdmin& node) : core_(std::make_unique<Core>(node)) {}
AdminServer::~AdminServer() = default;
Result<void> AdminServer::start(const std::string& path) { return core_->start(path); }
void AdminServer::stop() { core_->stop(); }

}  // namespace parley::admin
