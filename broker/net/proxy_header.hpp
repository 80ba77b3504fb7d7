#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"

/// What a load balancer says in front of a connection's bytes: who is really there. Versions 1 and 2 of the PROXY
/// protocol (haproxy.org/download/2.9/doc/proxy-protocol.txt). Pure; any thread.
namespace parley::net {

/// A longer header is refused; version 1 has at most 107 bytes, version 2 grows with its extensions.
constexpr std::size_t kProxyHeaderMax = 4'096;

struct ProxyHeader {
  std::size_t size = 0;  ///< Of the header in bytes.
  /// The client, as 192.0.2.1:50312 or [2001:db8::1]:50312. Empty when the balancer speaks for itself (LOCAL) or
  /// doesn't know (UNKNOWN, other families): the socket's own address counts.
  std::string client;
};

/// The header at the front of `bytes`; nothing when more bytes are needed. Fails with bad_message.
Result<std::optional<ProxyHeader>> read_proxy_header(std::string_view bytes);

}  // namespace parley::net
