#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <functional>
#include <string>

#include "base/time.hpp"

/// Where a broker or bridge listens.
namespace parley::bench {

enum class TlsVersion : std::uint8_t { V1_2, V1_3 };

struct Endpoint {
  sockaddr_storage address{};
  socklen_t size = 0;

  /// Takes the first address of `host`. Throws Failure.
  static Endpoint resolve(const std::string& host, std::uint16_t port);
  [[nodiscard]] std::uint16_t port() const;
};

/// A non-blocking socket without Nagle's delay whose connect has been started. With `source` n > 0 and a loopback
/// endpoint it comes from 127.0.0.(1 + n), so that more connections fit than one address has ports. Throws Failure.
int start_connect(const Endpoint& endpoint, unsigned source);

/// Waits until something accepts connections there; throws Failure at the deadline. `alive` is asked in between, and
/// false ends the waiting.
void wait_until_accepting(const Endpoint& endpoint, Instant deadline, const std::function<bool()>& alive);

/// A TCP port of 127.0.0.1 that was free a moment ago.
std::uint16_t free_port();

}  // namespace parley::bench
