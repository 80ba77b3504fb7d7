#pragma once

#include <cstdint>
#include <string>
#include <string_view>

/// Where a program listens or connects to.
namespace parley::config {

struct Address {
  std::string host;  ///< A numeric address (IPv6 without brackets) or a name.
  std::uint16_t port = 0;

  friend bool operator==(const Address&, const Address&) = default;
};

/// `host:port`, with brackets around an IPv6 address.
std::string to_text(const Address& address);
/// 127.0.0.0/8, ::1 and `localhost`.
bool is_loopback(std::string_view host);

struct Listener {
  Address address;
  bool allow_anonymous = false;
};

/// `scheme://host:port`. Throws ConfigError, which names `setting`, when it is no such URL or has another scheme.
Address read_url(std::string_view setting, std::string_view scheme, std::string_view url);

}  // namespace parley::config
