#include "broker/net/websocket_upgrade.hpp"

#include <openssl/evp.h>
#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/rfc7230.hpp>

#include "config/network.hpp"

namespace parley::net {
namespace {

namespace http = boost::beast::http;
using Request = http::request<http::empty_body>;

std::string_view view(boost::beast::string_view text) { return {text.data(), text.size()}; }

UpgradeAnswer refuse(std::string_view status, std::string_view why, std::string_view header = {}) {
  std::string response = "HTTP/1.1 ";
  response.append(status).append("\r\nConnection: close\r\nContent-Length: 0\r\n").append(header).append("\r\n");
  return {.accepted = false, .response = std::move(response), .why = why};
}

bool is_key(std::string_view key) {
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  return key.size() == 24 && key.ends_with("==") && key.substr(0, 22).find_first_not_of(kAlphabet) == key.npos;
}

bool is_allowed(std::string_view origin, std::span<const std::string> origins) {
  return std::ranges::any_of(origins, [&](const std::string& allowed) { return allowed == "*" || allowed == origin; });
}

/// A page that came from where it connects to. Only under an address: a name could have been made to point here by
/// whoever served the page (DNS rebinding).
bool is_own(std::string_view origin, std::string_view host) {
  const auto scheme = origin.find("://");
  if (scheme == origin.npos || origin.substr(scheme + 3) != host) return false;
  const auto end = host.ends_with(']') ? host.size() : std::min(host.rfind(':'), host.size());
  const auto name = host.substr(0, end);
  const bool bracketed = name.size() > 2 && name.front() == '[' && name.back() == ']';
  return name == "localhost" || config::read_address(bracketed ? name.substr(1, name.size() - 2) : name).has_value();
}

/// Where a request goes: a path, or a whole URL as proxies get it. RFC 9112 §3.2.
struct Target {
  std::string_view path;
  std::string_view host;
};

/// A URL's host counts instead of Host.
Target target_of(const Request& request) {
  const auto target = view(request.target());
  const auto host = view(request[http::field::host]);
  const auto scheme = target.find("://");
  if (target.starts_with('/') || scheme == target.npos) return {.path = target, .host = host};
  const auto rest = target.substr(scheme + 3);
  const auto end = std::min(rest.find_first_of("/?"), rest.size());
  const auto path = rest.substr(end);
  return {.path = path.starts_with('/') ? path : std::string_view("/"), .host = rest.substr(0, end)};
}

/// The sub-protocol as the client wrote it; it takes back nothing else. Empty: it offers another one. RFC 6455 §4.1.
/// Clients of MQTT 3.1 (MQTT.js and Paho's among them) offer `mqttv3.1` alone.
std::string offered_protocol(const Request& request) {
  for (const char* name : {"mqtt", "mqttv3.1"}) {
    const auto [first, last] = request.equal_range(http::field::sec_websocket_protocol);
    for (auto line = first; line != last; ++line) {
      for (const auto token : http::token_list(line->value())) {
        if (boost::beast::iequals(token, name)) return std::string(view(token));
      }
    }
  }
  return {};
}

bool has_token(const Request& request, http::field field, const char* token) {
  const auto [first, last] = request.equal_range(field);
  return std::any_of(first, last, [&](const auto& line) { return http::token_list(line.value()).exists(token); });
}

}  // namespace

std::size_t end_of_request(std::string_view bytes) {
  const auto end = bytes.find("\r\n\r\n");
  return end == bytes.npos ? end : end + 4;
}

std::string accept_key(std::string_view key) {
  const std::string text = std::string(key).append("258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
  std::array<unsigned char, SHA_DIGEST_LENGTH> digest{};
  unsigned size = 0;
  ::EVP_Digest(text.data(), text.size(), digest.data(), &size, ::EVP_sha1(), nullptr);
  std::array<unsigned char, 32> encoded{};
  const int length = ::EVP_EncodeBlock(encoded.data(), digest.data(), static_cast<int>(digest.size()));
  return {reinterpret_cast<const char*>(encoded.data()), static_cast<std::size_t>(length)};
}

UpgradeAnswer answer_upgrade(std::string_view bytes, const UpgradeRules& rules) {
  http::request_parser<http::empty_body> parser;
  parser.header_limit(kUpgradeRequestMax);
  parser.eager(false);
  boost::system::error_code error;
  parser.put(boost::asio::const_buffer(bytes.data(), bytes.size()), error);
  if (error || !parser.is_header_done()) return refuse("400 Bad Request", "the request is no HTTP");
  const Request& request = parser.get();
  if (request.method() != http::verb::get || request.version() != 11 || request.count(http::field::host) != 1 ||
      parser.content_length().value_or(0) != 0 || request.chunked()) {
    return refuse("400 Bad Request", "the request is no GET of HTTP/1.1 with one Host, and nothing behind it");
  }
  const auto [path, host] = target_of(request);
  if (path == "/readyz") return refuse(rules.is_ready ? "200 OK" : "503 Service Unavailable", {});
  if (!rules.path.empty() && path.substr(0, path.find('?')) != rules.path) {
    return refuse("404 Not Found", "the path is another one");
  }
  if (!has_token(request, http::field::upgrade, "websocket") ||
      !has_token(request, http::field::connection, "upgrade")) {
    return refuse("426 Upgrade Required", "the request asks for no WebSocket",
                  "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n");
  }
  if (request[http::field::sec_websocket_version] != "13") {
    return refuse("426 Upgrade Required", "the WebSocket version isn't 13", "Sec-WebSocket-Version: 13\r\n");
  }
  const auto key = view(request[http::field::sec_websocket_key]);
  if (request.count(http::field::sec_websocket_key) != 1 || !is_key(key)) {
    return refuse("400 Bad Request", "Sec-WebSocket-Key is malformed");
  }
  if (request.count(http::field::origin) != 0 &&
      (request.count(http::field::origin) != 1 || (!is_own(view(request[http::field::origin]), host) &&
                                                   !is_allowed(view(request[http::field::origin]), rules.origins)))) {
    return refuse("403 Forbidden", "the origin isn't allowed");
  }
  const auto protocol = offered_protocol(request);
  if (protocol.empty()) {
    return refuse("400 Bad Request", "the sub-protocol mqtt isn't offered");  // MQTT 5 [MQTT-6.0.0-3]
  }
  std::string response =
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ";
  response.append(accept_key(key)).append("\r\nSec-WebSocket-Protocol: ").append(protocol).append("\r\n\r\n");
  return {.accepted = true, .response = std::move(response), .why = {}};
}

UpgradeAnswer refuse_long_request() {
  return refuse("431 Request Header Fields Too Large", "the request is longer than 8192 bytes");
}

}  // namespace parley::net
