#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/aio/transport.hpp"

namespace parley::aio {
namespace {

using asio::ip::tcp;

constexpr auto kAsTuple = asio::as_tuple(asio::use_awaitable);

boost::system::error_code tune(tcp::socket& socket, const TcpOptions& options) {
  boost::system::error_code error;
  socket.set_option(tcp::no_delay(true), error);
  const int unsent = options.unsent_max;
  if (unsent > 0) ::setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
  return error;
}

std::string text_of(const tcp::socket& socket) {
  boost::system::error_code error;
  const auto endpoint = socket.remote_endpoint(error);
  if (error) return "unknown";
  const std::string host = endpoint.address().to_string();
  return (endpoint.address().is_v6() ? "[" + host + "]" : host) + ":" + std::to_string(endpoint.port());
}

class TcpTransport final : public Transport {
 public:
  explicit TcpTransport(tcp::socket socket) : socket_(std::move(socket)), address_(text_of(socket_)) {}

  asio::awaitable<Result<std::size_t>> read_some(std::span<char> to) override {
    const auto [error, count] = co_await socket_.async_read_some(asio::buffer(to.data(), to.size()), kAsTuple);
    if (error) co_return error;
    co_return count;
  }

  asio::awaitable<Result<std::size_t>> write_some(std::span<const iovec> pieces) override {
    std::array<asio::const_buffer, 64> buffers;
    const std::size_t used = std::min(pieces.size(), buffers.size());
    for (std::size_t i = 0; i < used; ++i) buffers[i] = asio::const_buffer(pieces[i].iov_base, pieces[i].iov_len);
    const std::span<const asio::const_buffer> sequence(buffers.data(), used);
    const auto [error, count] = co_await socket_.async_write_some(sequence, kAsTuple);
    if (error) co_return error;
    co_return count;
  }

  void close() override {
    boost::system::error_code ignored;
    socket_.shutdown(tcp::socket::shutdown_both, ignored);
    socket_.close(ignored);
  }

  std::string address() const override { return address_; }

 private:
  tcp::socket socket_;
  std::string address_;
};

class TcpListener final : public Listener {
 public:
  TcpListener(tcp::acceptor acceptor, TcpOptions options) : acceptor_(std::move(acceptor)), options_(options) {}

  asio::awaitable<Result<std::unique_ptr<Transport>>> accept() override {
    auto [error, socket] = co_await acceptor_.async_accept(kAsTuple);
    if (error) co_return error;
    const auto untuned = tune(socket, options_);
    if (untuned) co_return untuned;
    std::unique_ptr<Transport> transport = std::make_unique<TcpTransport>(std::move(socket));
    co_return transport;
  }

  void close() override {
    boost::system::error_code ignored;
    acceptor_.close(ignored);
  }

  std::uint16_t port() const override {
    boost::system::error_code error;
    const auto endpoint = acceptor_.local_endpoint(error);
    return error ? std::uint16_t{0} : endpoint.port();
  }

 private:
  tcp::acceptor acceptor_;
  TcpOptions options_;
};

}  // namespace

asio::awaitable<Result<std::unique_ptr<Transport>>> connect_tcp(std::string host, std::uint16_t port,
                                                                TcpOptions options) {
  const auto executor = co_await asio::this_coro::executor;
  tcp::resolver resolver(executor);
  const auto [resolve_error, addresses] = co_await resolver.async_resolve(host, std::to_string(port), kAsTuple);
  if (resolve_error) co_return resolve_error;
  tcp::socket socket(executor);
  const auto [connect_error, address] = co_await asio::async_connect(socket, addresses, kAsTuple);
  if (connect_error) co_return connect_error;
  const auto untuned = tune(socket, options);
  if (untuned) co_return untuned;
  std::unique_ptr<Transport> transport = std::make_unique<TcpTransport>(std::move(socket));
  co_return transport;
}

Result<std::unique_ptr<Listener>> listen_tcp(const asio::any_io_executor& executor, const std::string& host,
                                             std::uint16_t port, TcpOptions options) {
  boost::system::error_code error;
  const auto address = asio::ip::make_address(host, error);
  if (error) return error;
  const tcp::endpoint endpoint(address, port);
  tcp::acceptor acceptor(executor);
  acceptor.open(endpoint.protocol(), error);
  if (error) return error;
  acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (error) return error;
  acceptor.bind(endpoint, error);
  if (error) return error;
  acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) return error;
  std::unique_ptr<Listener> listener = std::make_unique<TcpListener>(std::move(acceptor), options);
  return listener;
}

}  // namespace parley::aio
