#include "clients/bench/endpoint.hpp"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <thread>

#include "clients/bench/failure.hpp"

namespace parley::bench {
namespace {

[[noreturn]] void fail_and_close(int socket, const std::string& what) {
  const int error = errno;
  ::close(socket);
  errno = error;
  fail_with_errno(what);
}

void bind_source(int socket, const Endpoint& endpoint, unsigned source) {
  if (source == 0 || endpoint.address.ss_family != AF_INET) return;
  const auto& to = reinterpret_cast<const sockaddr_in&>(endpoint.address);
  if (ntohl(to.sin_addr.s_addr) >> 24 != 127) return;
  sockaddr_in from{};
  from.sin_family = AF_INET;
  from.sin_addr.s_addr = htonl(0x7F000001U + source);
  // The port is chosen at connect, where only the pair of addresses must be unique.
  const int on = 1;
  ::setsockopt(socket, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
  if (::bind(socket, reinterpret_cast<const sockaddr*>(&from), sizeof from) != 0) {
    fail_and_close(socket, "can't use another loopback address");
  }
}

}  // namespace

Endpoint Endpoint::resolve(const std::string& host, std::uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found); error != 0) {
    throw Failure("can't resolve " + host + ": " + ::gai_strerror(error));
  }
  Endpoint endpoint;
  std::memcpy(&endpoint.address, found->ai_addr, found->ai_addrlen);
  endpoint.size = found->ai_addrlen;
  ::freeaddrinfo(found);
  return endpoint;
}

std::uint16_t Endpoint::port() const {
  if (address.ss_family == AF_INET6) return ntohs(reinterpret_cast<const sockaddr_in6&>(address).sin6_port);
  return ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

int start_connect(const Endpoint& endpoint, unsigned source) {
  const int socket = ::socket(endpoint.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (socket < 0) fail_with_errno("can't make a socket");
  const int on = 1;
  ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  bind_source(socket, endpoint, source);
  if (::connect(socket, reinterpret_cast<const sockaddr*>(&endpoint.address), endpoint.size) != 0 &&
      errno != EINPROGRESS) {
    fail_and_close(socket, "can't connect to port " + std::to_string(endpoint.port()));
  }
  return socket;
}

void wait_until_accepting(const Endpoint& endpoint, Instant deadline, const std::function<bool()>& alive) {
  while (alive()) {
    const int socket = ::socket(endpoint.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (socket < 0) fail_with_errno("can't make a socket");
    const bool accepted = ::connect(socket, reinterpret_cast<const sockaddr*>(&endpoint.address), endpoint.size) == 0;
    ::close(socket);
    if (accepted) return;
    if (std::chrono::steady_clock::now() >= deadline) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  throw Failure("nothing accepts connections on port " + std::to_string(endpoint.port()));
}

std::uint16_t free_port() {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (socket < 0) fail_with_errno("can't make a socket");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  const bool bound = ::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
                     ::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) == 0;
  ::close(socket);
  if (!bound) fail_with_errno("can't find a free port");
  return ntohs(address.sin_port);
}

}  // namespace parley::bench
