#pragma once

#include <sys/uio.h>

#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/result.hpp"

/// How bytes travel to a broker: the seam at which TLS and WebSocket come in.
namespace parley::link {

namespace asio = boost::asio;

/// One open connection. Belongs to one thread. At most one read and one write wait at a time.
class Transport {
 public:
  virtual ~Transport() = default;

  /// At least one byte; fails with asio::error::eof at the end. `to` must live until it returns.
  virtual asio::awaitable<Result<std::size_t>> read_some(std::span<char> to) = 0;
  /// Writes the first of the bytes; returns how many. At most 64 pieces are looked at.
  virtual asio::awaitable<Result<std::size_t>> write_some(std::span<const iovec> pieces) = 0;
  /// Waits of the other two end with an error.
  virtual void close() = 0;
};

/// Resolves `host` and tries its addresses in turn; TCP_NODELAY is set. No deadline of its own.
asio::awaitable<Result<std::unique_ptr<Transport>>> connect_tcp(std::string host, std::uint16_t port);

}  // namespace parley::link
