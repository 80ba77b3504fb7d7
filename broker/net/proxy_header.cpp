#include "broker/net/proxy_header.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <vector>

namespace parley::net {
namespace {

using Answer = Result<std::optional<ProxyHeader>>;

constexpr std::string_view kSignature1 = "PROXY ";
constexpr std::string_view kSignature2{"\r\n\r\n\0\r\nQUIT\n", 12};
constexpr std::size_t kLineMax = 107;  ///< §2.1, with CRLF.
constexpr std::size_t kFixedSize2 = 16;

Answer bad() { return boost::system::errc::make_error_code(boost::system::errc::bad_message); }
Answer incomplete() { return std::optional<ProxyHeader>(); }

bool is_beginning(std::string_view bytes, std::string_view of) {
  return bytes.substr(0, of.size()) == of.substr(0, bytes.size());
}

std::string with_port(const std::string& host, std::uint16_t port, bool v6) {
  return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

std::optional<std::uint16_t> read_port(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  const bool zeros = text.size() > 1 && text.front() == '0';
  if (error != std::errc{} || end != text.data() + text.size() || zeros) return std::nullopt;
  return port;
}

/// The address as the system writes it; nothing when it is none of that family.
std::optional<std::string> clean_address(std::string_view text, int family) {
  std::array<unsigned char, 16> bytes{};
  std::array<char, INET6_ADDRSTRLEN> written{};
  if (::inet_pton(family, std::string(text).c_str(), bytes.data()) != 1) return std::nullopt;
  return std::string(::inet_ntop(family, bytes.data(), written.data(), written.size()));
}

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  for (std::size_t at = 0; at <= line.size();) {
    const auto end = std::min(line.find(' ', at), line.size());
    words.push_back(line.substr(at, end - at));
    at = end + 1;
  }
  return words;
}

/// §2.1: PROXY TCP4 192.0.2.1 198.51.100.1 50312 1883
Answer read_version_1(std::string_view bytes) {
  const auto end = bytes.substr(0, kLineMax).find("\r\n");
  if (end == bytes.npos) return bytes.size() >= kLineMax ? bad() : incomplete();
  const std::string_view line = bytes.substr(0, end);
  if (line.find('\0') != line.npos) return bad();
  const auto words = words_of(line);
  ProxyHeader header{.size = end + 2, .client = {}};
  if (words[1] == "UNKNOWN") return std::optional(std::move(header));
  const bool v6 = words[1] == "TCP6";
  if (words.size() != 6 || (!v6 && words[1] != "TCP4")) return bad();
  const int family = v6 ? AF_INET6 : AF_INET;
  const auto source = clean_address(words[2], family);
  const auto port = read_port(words[4]);
  if (!source || !clean_address(words[3], family) || !port || !read_port(words[5])) return bad();
  header.client = with_port(*source, *port, v6);
  return std::optional(std::move(header));
}

std::uint8_t byte_at(std::string_view bytes, std::size_t at) { return static_cast<std::uint8_t>(bytes[at]); }
std::uint16_t number_at(std::string_view bytes, std::size_t at) {
  return static_cast<std::uint16_t>(byte_at(bytes, at) << 8 | byte_at(bytes, at + 1));
}

/// §2.2: signature, version and command, family and protocol, length; addresses; extensions, which are skipped.
Answer read_version_2(std::string_view bytes) {
  if (bytes.size() > 12) {
    const auto command = byte_at(bytes, 12);
    if (command != 0x20 && command != 0x21) return bad();
  }
  if (bytes.size() < kFixedSize2) return incomplete();
  ProxyHeader header{.size = kFixedSize2 + number_at(bytes, 14), .client = {}};
  if (header.size > kProxyHeaderMax) return bad();
  if (bytes.size() < header.size) return incomplete();
  const bool local = byte_at(bytes, 12) == 0x20;
  const auto family = byte_at(bytes, 13);
  if ((family >> 4) > 3 || (family & 0x0F) > 2) return bad();
  const bool v4 = family == 0x11;
  const bool v6 = family == 0x21;
  if (local || (!v4 && !v6)) return std::optional(std::move(header));
  const std::size_t size = v6 ? 16 : 4;
  if (header.size < kFixedSize2 + 2 * size + 4) return bad();
  std::array<char, INET6_ADDRSTRLEN> written{};
  ::inet_ntop(v6 ? AF_INET6 : AF_INET, bytes.data() + kFixedSize2, written.data(), written.size());
  header.client = with_port(written.data(), number_at(bytes, kFixedSize2 + 2 * size), v6);
  return std::optional(std::move(header));
}

}  // namespace

Result<std::optional<ProxyHeader>> read_proxy_header(std::string_view bytes) {
  if (is_beginning(bytes, kSignature1)) return bytes.size() < kSignature1.size() ? incomplete() : read_version_1(bytes);
  if (is_beginning(bytes, kSignature2)) return bytes.size() < kSignature2.size() ? incomplete() : read_version_2(bytes);
  return bad();
}

}  // namespace parley::net
