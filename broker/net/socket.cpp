#include "broker/net/socket.hpp"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
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

std::uint16_t local_port(int socket) { return local_address(socket).port(); }

std::string peer_address(int socket) {
  SocketAddress address;
  std::array<char, NI_MAXHOST> host{};
  if (::getpeername(socket, address.get(), &address.size) != 0 ||
      ::getnameinfo(address.get(), address.size, host.data(), host.size(), nullptr, 0, NI_NUMERICHOST) != 0) {
    return "unknown";
  }
  const bool v6 = address.storage.ss_family == AF_INET6;
  std::string text = v6 ? "[" + std::string(host.data()) + "]" : std::string(host.data());
  return text.append(":").append(std::to_string(address.port()));
}

}  // namespace parley::net
