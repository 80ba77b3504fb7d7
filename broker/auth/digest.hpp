#pragma once

#include <string>
#include <string_view>

/// SHA-256 and what is made of it, by OpenSSL. Pure; any thread.
namespace parley::auth {

/// 32 bytes. FIPS 180-4.
std::string sha256(std::string_view bytes);
/// 32 bytes. RFC 2104.
std::string hmac_sha256(std::string_view key, std::string_view bytes);
/// PBKDF2 with HMAC-SHA-256, 32 bytes: `Hi` of RFC 5802. Costs a microsecond or two for each iteration.
std::string stretch(std::string_view password, std::string_view salt, unsigned iterations);
/// In a time that depends on the sizes only.
bool equal_in_constant_time(std::string_view a, std::string_view b);

}  // namespace parley::auth
