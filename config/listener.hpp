#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

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

/// What carries a client's bytes.
enum class Scheme : std::uint8_t { Tcp, Tls, WebSocket, SecureWebSocket, Unix };

/// Files in PEM: the server's certificate with those between it and the root, and its private key.
struct Certificate {
  std::string chain;
  std::string key;

  friend bool operator==(const Certificate&, const Certificate&) = default;
};

/// A [[listener]]. What each key means stands in the table of listener_settings.cpp.
struct Listener {
  Scheme scheme = Scheme::Tcp;
  Address address;   ///< Of all but Unix.
  std::string path;  ///< Unix: the socket's file. WebSocket: the path that requests must name; empty: any.
  bool allow_anonymous = false;
  std::vector<std::string> proxy_protocol;  ///< Networks, or `unix`; see network.hpp.
  std::vector<std::string> origins;
  std::vector<Certificate> certificates;
  std::string certificate_directory;
  std::string tls_min = "1.2";
  std::string client_certificate = "none";
  std::string client_ca;
  std::string client_crl;
  std::string certificate_user = "cn";

  [[nodiscard]] bool is_secure() const { return scheme == Scheme::Tls || scheme == Scheme::SecureWebSocket; }
  [[nodiscard]] bool is_web_socket() const { return scheme == Scheme::WebSocket || scheme == Scheme::SecureWebSocket; }
  /// True when only this machine reaches it.
  [[nodiscard]] bool is_local() const { return scheme == Scheme::Unix || is_loopback(address.host); }
};

/// As it stands in URLs. For ever.
std::string_view name_of(Scheme scheme);

/// As `read_listener_url` reads it.
std::string url_of(const Listener& listener);

/// `scheme://host:port`. Throws ConfigError, which names `setting`, when it is no such URL or has another scheme.
Address read_url(std::string_view setting, std::string_view scheme, std::string_view url);
/// `tcp://HOST:PORT`, `tls://…`, `ws://HOST:PORT[/PATH]`, `wss://…` or `unix:///PATH`: scheme, address and path, and
/// allow_anonymous where only this machine reaches it. Throws ConfigError, which names `setting`.
Listener read_listener_url(std::string_view setting, std::string_view url);

}  // namespace parley::config
