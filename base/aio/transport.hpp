#pragma once

#include <sys/uio.h>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "base/result.hpp"

/// How bytes travel between programs: the seam at which TLS and WebSocket come in.
namespace parley::aio {

namespace asio = boost::asio;

/// One open connection. Belongs to one thread. At most one read and one write wait at a time.
class Transport {
 public:
  virtual ~Transport() = default;

  /// At least one byte; fails with asio::error::eof at the end. `to` lives until it returns.
  virtual asio::awaitable<Result<std::size_t>> read_some(std::span<char> to) = 0;
  /// Writes the first of the bytes in one system call; returns how many. At most 64 pieces are looked at.
  virtual asio::awaitable<Result<std::size_t>> write_some(std::span<const iovec> pieces) = 0;
  /// Waits of the other two end with an error. What was written is still sent.
  virtual void close() = 0;
  /// The other side, such as 127.0.0.1:50312.
  [[nodiscard]] virtual std::string address() const = 0;
};

/// TCP_NODELAY is always set.
struct TcpOptions {
  int unsent_max = 0;  ///< Bytes that the kernel takes beyond what it has sent (TCP_NOTSENT_LOWAT); 0: its own default.
};

/// Resolves `host` and tries its addresses in turn. No deadline of its own.
asio::awaitable<Result<std::unique_ptr<Transport>>> connect_tcp(std::string host, std::uint16_t port,
                                                                TcpOptions options = {});

/// A listening socket. Belongs to one thread.
class Listener {
 public:
  virtual ~Listener() = default;
  virtual asio::awaitable<Result<std::unique_ptr<Transport>>> accept() = 0;
  virtual void close() = 0;
  [[nodiscard]] virtual std::uint16_t port() const = 0;
};

/// `host` is an address; port 0 is any free port. `options` are those of the connections.
Result<std::unique_ptr<Listener>> listen_tcp(const asio::any_io_executor& executor, const std::string& host,
                                             std::uint16_t port, TcpOptions options = {});

}  // namespace parley::aio
