#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

/// Ranges of IP addresses.
namespace parley::config {

/// An IPv6 address, or an IPv4 address as ::ffff:a.b.c.d (RFC 4291 §2.5.5.2).
using AddressBytes = std::array<std::uint8_t, 16>;

/// A numeric address, IPv6 without brackets. Nothing when it is none.
std::optional<AddressBytes> read_address(std::string_view text);

struct Network {
  AddressBytes prefix{};
  unsigned bits = 0;  ///< Of the prefix, as for IPv6.

  [[nodiscard]] bool contains(const AddressBytes& address) const;
};

/// `10.0.0.0/8`, `fd00::/8`, or one address. Nothing when it is none of them, or has bits set behind its prefix.
std::optional<Network> read_network(std::string_view text);

}  // namespace parley::config
