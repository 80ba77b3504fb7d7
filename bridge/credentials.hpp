#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace parley::bridge {

/// What an Authorization field says. RFC 7617.
struct BasicCredentials {
  std::string user;
  std::string password;
};

/// Nothing for another scheme, for what is no base64 or has no colon, and for bytes that are no UTF-8. Pure.
std::optional<BasicCredentials> read_basic_credentials(std::string_view authorization);

}  // namespace parley::bridge
