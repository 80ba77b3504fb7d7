#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "clients/link/transport.hpp"

namespace parley::link {
namespace {

using asio::ip::tcp;

constexpr auto kAsTuple = asio::as_tuple(asio::use_awaitable);

class TcpTransport final : public Transport {
 public:
  explicit TcpTransport(tcp::socket socket) : socket_(std::move(socket)) {}

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

 private:
  tcp::socket socket_;
};

}  // namespace

asio::awaitable<Result<std::unique_ptr<Transport>>> connect_tcp(std::string host, std::uint16_t port) {
  const auto executor = co_await asio::this_coro::executor;
  tcp::resolver resolver(executor);
  const auto [resolve_error, addresses] = co_await resolver.async_resolve(host, std::to_string(port), kAsTuple);
  if (resolve_error) co_return resolve_error;
  tcp::socket socket(executor);
  const auto [connect_error, address] = co_await asio::async_connect(socket, addresses, kAsTuple);
  if (connect_error) co_return connect_error;
  boost::system::error_code error;
  socket.set_option(tcp::no_delay(true), error);
  if (error) co_return error;
  std::unique_ptr<Transport> transport = std::make_unique<TcpTransport>(std::move(socket));
  co_return transport;
}

}  // namespace parley::link
