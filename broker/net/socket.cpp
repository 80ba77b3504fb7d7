#include "broker/net/socket.hpp"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace parley::net {
namespace {

constexpr int kBacklog = 4'096;

/// An address of whatever family.
struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = sizeof(sockaddr_storage);

  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
  [[nodiscard]] std::uint16_t port() const {
    if (storage.ss_family == AF_INET) return ntohs(reinterpret_cast<const sockaddr_in&>(storage).sin_port);
    if (storage.ss_family == AF_INET6) return ntohs(reinterpret_cast<const sockaddr_in6&>(storage).sin6_port);
    return 0;
  }
};

Result<SocketAddress> resolve(const std::string& host, std::uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* list = nullptr;
  if (::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &list) != 0) {
    return boost::system::errc::make_error_code(boost::system::errc::address_not_available);
  }
  SocketAddress address;
  address.size = list->ai_addrlen;
  std::memcpy(&address.storage, list->ai_addr, list->ai_addrlen);
  ::freeaddrinfo(list);
  return address;
}

Result<Descriptor> bound_socket(const SocketAddress& address, bool shared) {
  Descriptor socket(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket.is_open()) return last_error();
  const int on = 1;
  ::setsockopt(socket.number(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (shared) ::setsockopt(socket.number(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  if (address.storage.ss_family == AF_INET6) ::setsockopt(socket.number(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  if (::bind(socket.number(), address.get(), address.size) != 0) return last_error();
  return socket;
}

Result<Descriptor> listen_at(const SocketAddress& address) {
  PARLEY_TRY(auto socket, bound_socket(address, true));
  if (::listen(socket.number(), kBacklog) != 0) return last_error();
  return Result<Descriptor>(std::move(socket));
}

SocketAddress local_address(int socket) {
  SocketAddress address;
  if (::getsockname(socket, address.get(), &address.size) != 0) address.storage.ss_family = AF_UNSPEC;
  return address;
}

}  // namespace

Descriptor::~Descriptor() {
  if (number_ >= 0) ::close(number_);
}

boost::system::error_code last_error() { return {errno, boost::system::system_category()}; }

Result<Descriptor> listen_on(const std::string& host, std::uint16_t port) {
  PARLEY_TRY(const auto address, resolve(host, port));
  // A socket that shares could join another process's unnoticed; one that doesn't share finds out.
  PARLEY_TRY(bound_socket(address, false));
  return listen_at(address);
}

Result<Descriptor> listen_beside(const Descriptor& socket) { return listen_at(local_address(socket.number())); }

IoResult receive_some(int socket, std::span<char> buffer, int flags) {
  const auto got = ::recv(socket, buffer.data(), buffer.size(), MSG_DONTWAIT | flags);
  if (got > 0) return {.size = static_cast<std::size_t>(got), .status = IoResult::Status::Done};
  const bool later = got < 0 && (errno == EAGAIN || errno == EINTR);
  return {.size = 0, .status = later ? IoResult::Status::Blocked : IoResult::Status::Ended};
}

IoResult send_some(int socket, std::span<iovec> pieces) {
  std::size_t offered = 0;
  for (const iovec& piece : pieces) offered += piece.iov_len;
  msghdr message{};
  message.msg_iov = pieces.data();
  message.msg_iovlen = pieces.size();
  for (;;) {
    const auto written = ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      return {.size = 0, .status = errno == EAGAIN ? IoResult::Status::Blocked : IoResult::Status::Ended};
    }
    const auto size = static_cast<std::size_t>(written);
    return {.size = size, .status = size < offered ? IoResult::Status::Blocked : IoResult::Status::Done};
  }
}

std::uint16_t local_port(int socket) { return local_address(socket).port(); }

namespace {

/// Empty when it is gone.
std::string numeric_host(const SocketAddress& address) {
  std::array<char, NI_MAXHOST> host{};
  const int failed = ::getnameinfo(address.get(), address.size, host.data(), host.size(), nullptr, 0, NI_NUMERICHOST);
  return failed == 0 ? std::string(host.data()) : std::string();
}

std::string unix_peer(int socket) {
  ucred who{};
  socklen_t size = sizeof who;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0) return "unix";
  return "unix:pid=" + std::to_string(who.pid) + ",uid=" + std::to_string(who.uid);
}

Result<sockaddr_un> unix_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return boost::system::errc::make_error_code(boost::system::errc::filename_too_long);
  }
  path.copy(address.sun_path, path.size());
  return address;
}

/// True when there is a socket's file that nobody listens at.
bool is_left_over(const sockaddr_un& address) {
  struct stat status {};
  if (::lstat(address.sun_path, &status) != 0 || !S_ISSOCK(status.st_mode)) return false;
  const Descriptor probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  return ::connect(probe.number(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 &&
         errno == ECONNREFUSED;
}

}  // namespace

std::string peer_host(int socket) {
  SocketAddress address;
  if (::getpeername(socket, address.get(), &address.size) != 0 || address.storage.ss_family == AF_UNIX) return {};
  return numeric_host(address);
}

std::string peer_address(int socket) {
  SocketAddress address;
  if (::getpeername(socket, address.get(), &address.size) != 0) return "unknown";
  if (address.storage.ss_family == AF_UNIX) return unix_peer(socket);
  const std::string host = numeric_host(address);
  if (host.empty()) return "unknown";
  const bool v6 = address.storage.ss_family == AF_INET6;
  return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(address.port());
}

Result<Descriptor> listen_on_unix(const std::string& path) {
  PARLEY_TRY(const sockaddr_un address, unix_address(path));
  if (is_left_over(address)) ::unlink(address.sun_path);
  Descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket.is_open()) return last_error();
  if (::bind(socket.number(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return last_error();
  // The directory decides who comes in, not the umask that the process was started with.
  if (::chmod(address.sun_path, 0666) != 0 || ::listen(socket.number(), kBacklog) != 0) return last_error();
  return Result<Descriptor>(std::move(socket));
}

}  // namespace parley::net
