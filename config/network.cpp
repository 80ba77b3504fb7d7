#include "config/network.hpp"

#include <arpa/inet.h>

#include <charconv>
#include <cstring>
#include <string>

namespace parley::config {
namespace {

constexpr unsigned kIpv4Bits = 96;  ///< Of the prefix ::ffff:0:0.

bool bit(const AddressBytes& address, unsigned at) { return (address[at / 8] >> (7 - at % 8) & 1U) != 0; }

}  // namespace

std::optional<AddressBytes> read_address(std::string_view text) {
  const std::string copy(text);
  AddressBytes bytes{};
  if (::inet_pton(AF_INET6, copy.c_str(), bytes.data()) == 1) return bytes;
  std::array<std::uint8_t, 4> v4{};
  if (::inet_pton(AF_INET, copy.c_str(), v4.data()) != 1) return std::nullopt;
  bytes[10] = bytes[11] = 0xFF;
  std::memcpy(bytes.data() + 12, v4.data(), v4.size());
  return bytes;
}

bool Network::contains(const AddressBytes& address) const {
  for (unsigned at = 0; at < bits; ++at) {
    if (bit(address, at) != bit(prefix, at)) return false;
  }
  return true;
}

std::optional<Network> read_network(std::string_view text) {
  const auto slash = text.find('/');
  const auto host = text.substr(0, slash);
  const auto prefix = read_address(host);
  if (!prefix || host.find('\0') != host.npos) return std::nullopt;
  const unsigned before = host.find(':') == host.npos ? kIpv4Bits : 0;
  Network network{.prefix = *prefix, .bits = 128};
  if (slash != text.npos) {
    const auto digits = text.substr(slash + 1);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), network.bits);
    if (error != std::errc{} || end != digits.data() + digits.size() || network.bits > 128 - before)
      return std::nullopt;
    network.bits += before;
  }
  for (unsigned at = network.bits; at < 128; ++at) {
    if (bit(network.prefix, at)) return std::nullopt;
  }
  return network;
}

}  // namespace parley::config
