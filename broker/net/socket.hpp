#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "base/result.hpp"
#include "broker/net/io_result.hpp"

/// Sockets and other descriptors of this process.
namespace parley::net {

/// Owns a descriptor and closes it.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~Descriptor();

  [[nodiscard]] int number() const { return number_; }
  [[nodiscard]] bool is_open() const { return number_ >= 0; }
  int release() { return std::exchange(number_, -1); }

 private:
  int number_ = -1;
};

/// The error of the system call that has just failed.
boost::system::error_code last_error();

/// Reads what has come, without waiting; `flags` as of recv(2). Done with at least one byte, Blocked or Ended.
IoResult receive_some(int socket, std::span<char> buffer, int flags = 0);
/// Writes the first of the bytes by one system call, without waiting. Blocked, perhaps with a size, when the socket
/// takes no more.
IoResult send_some(int socket, std::span<iovec> pieces);

/// A listening TCP socket, not blocking. `host` is an address or a name, port 0 any free port. Fails with
/// address_in_use, also when another process would share the port.
Result<Descriptor> listen_on(const std::string& host, std::uint16_t port);
/// Another one at the address of `socket`, which listen_on made: the kernel spreads connections over them
/// (SO_REUSEPORT).
Result<Descriptor> listen_beside(const Descriptor& socket);
/// The port a socket is bound to; 0 when it is not bound.
std::uint16_t local_port(int socket);
/// The other side, as 127.0.0.1:50312 or [::1]:50312, of a Unix socket as unix:pid=4711,uid=1000; "unknown" once it is
/// gone.
std::string peer_address(int socket);
/// The same without the port and brackets; empty where that is no IP address.
std::string peer_host(int socket);

/// A listening Unix socket, which everybody may connect to whom its directory lets in. A file that a dead process has
/// left there is removed; address_in_use when one listens there.
Result<Descriptor> listen_on_unix(const std::string& path);

}  // namespace parley::net
