#include "config/listener.hpp"

#include <boost/url/parse.hpp>

#include <algorithm>
#include <array>

#include "config/error.hpp"

namespace parley::config {
namespace {

[[noreturn]] void refuse(std::string_view setting, std::string_view url, std::string_view why) {
  throw ConfigError(std::string(setting).append(" \"").append(url).append("\" ").append(why));
}

struct SchemeRule {
  std::string_view word;
  Scheme scheme;
};

constexpr std::array kSchemes{
    SchemeRule{"tcp", Scheme::Tcp},      SchemeRule{"tls", Scheme::Tls},
    SchemeRule{"ws", Scheme::WebSocket}, SchemeRule{"wss", Scheme::SecureWebSocket},
    SchemeRule{"unix", Scheme::Unix},
};

/// A socket's file has room for 108 bytes with the NUL. unix(7).
constexpr std::size_t kUnixPathMax = 107;

struct Target {
  Address address;
  std::string path;
};

Target read_target(std::string_view setting, std::string_view scheme, std::string_view url, bool with_path) {
  const std::string example = std::string(scheme).append("://127.0.0.1:PORT");
  const auto parsed = boost::urls::parse_uri(boost::core::string_view(url.data(), url.size()));
  if (!parsed) refuse(setting, url, "is no URL; it looks like " + example);
  const auto& parts = *parsed;
  if (std::string_view(parts.scheme().data(), parts.scheme().size()) != scheme) {
    refuse(setting, url, "has a scheme that this version doesn't serve here; it looks like " + example);
  }
  if (!parts.has_authority() || parts.host_address().empty())
    refuse(setting, url, "names no address; it looks like " + example);
  if (!parts.has_port() || (parts.port_number() == 0 && parts.port() != "0")) {
    refuse(setting, url, "names no port between 0 and 65535; it looks like " + example);
  }
  std::string path = parts.path() == "/" ? std::string() : std::string(parts.path());
  if (parts.has_userinfo() || parts.has_query() || parts.has_fragment() || (!with_path && !path.empty())) {
    refuse(setting, url, "has more than scheme, address and port");
  }
  return {.address = {.host = parts.host_address(), .port = parts.port_number()}, .path = std::move(path)};
}

Listener read_unix_url(std::string_view setting, std::string_view url) {
  std::string path(url.substr(std::string_view("unix://").size()));
  if (!path.starts_with('/') || path.ends_with('/') || path.size() > kUnixPathMax || path.find('\0') != path.npos) {
    refuse(setting, url, "names no file of at most 107 bytes; it looks like unix:///run/parley/mqtt.sock");
  }
  return {.scheme = Scheme::Unix, .address = {}, .path = std::move(path), .allow_anonymous = true};
}

}  // namespace

std::string to_text(const Address& address) {
  const bool v6 = address.host.find(':') != std::string::npos;
  return (v6 ? "[" + address.host + "]" : address.host) + ":" + std::to_string(address.port);
}

bool is_loopback(std::string_view host) {
  return host == "localhost" || host == "::1" ||
         (host.starts_with("127.") && host.find_first_not_of("0123456789.") == host.npos);
}

Address read_url(std::string_view setting, std::string_view scheme, std::string_view url) {
  return read_target(setting, scheme, url, false).address;
}

Listener read_listener_url(std::string_view setting, std::string_view url) {
  const auto word = url.substr(0, url.find("://"));
  if (word == "unix" && url.size() > word.size()) return read_unix_url(setting, url);
  const auto rule = std::ranges::find(kSchemes, word, &SchemeRule::word);
  const auto scheme = rule == kSchemes.end() ? Scheme::Tcp : rule->scheme;
  const bool web = scheme == Scheme::WebSocket || scheme == Scheme::SecureWebSocket;
  Target target = read_target(setting, rule == kSchemes.end() ? "tcp" : word, url, web);
  const bool local = is_loopback(target.address.host);
  return {
      .scheme = scheme, .address = std::move(target.address), .path = std::move(target.path), .allow_anonymous = local};
}

std::string_view name_of(Scheme scheme) {
  const auto* rule = std::ranges::find(kSchemes, scheme, &SchemeRule::scheme);
  return rule == kSchemes.end() ? std::string_view() : rule->word;
}

std::string url_of(const Listener& listener) {
  std::string url = std::string(name_of(listener.scheme)).append("://");
  if (listener.scheme != Scheme::Unix) url.append(to_text(listener.address));
  return url.append(listener.path);
}

}  // namespace parley::config
