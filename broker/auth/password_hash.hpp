#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

/// Passwords as argon2id hashes (RFC 9106), written as `$argon2id$v=19$m=19456,t=2,p=1$SALT$HASH`.
namespace parley::auth {

/// What a hash costs. The standard is OWASP's advice for argon2id: some tens of milliseconds.
struct PasswordCost {
  std::uint32_t memory_kib = 19'456;
  std::uint32_t passes = 2;
  std::uint32_t lanes = 1;
  friend constexpr bool operator==(const PasswordCost&, const PasswordCost&) = default;
};

/// Dearer ones are refused, so that a line of a file can't stop a broker.
inline constexpr PasswordCost kPasswordCostMax{.memory_kib = 262'144, .passes = 16, .lanes = 8};
inline constexpr std::size_t kSaltSize = 16;

/// The cost of a hash as it is written; nothing when it is no argon2id hash of version 19 within kPasswordCostMax, with
/// a salt of 8 to 64 bytes and a hash of 16 to 64.
std::optional<PasswordCost> cost_of(std::string_view hash);

/// Takes `cost.memory_kib` of memory and tens of milliseconds: never on a shard's thread. `salt` is kSaltSize random
/// bytes. Nothing when `cost` is out of bounds or memory is out.
std::optional<std::string> hash_password(std::string_view password, std::string_view salt, PasswordCost cost = {});

/// Whether `password` is the one behind `hash`; compares in constant time. Costs what the hash says, see above. False
/// for what cost_of() doesn't take.
bool is_password(std::string_view password, const std::string& hash);

}  // namespace parley::auth
