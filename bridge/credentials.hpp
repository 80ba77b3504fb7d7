#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace parley::bridge {

/// What a request shows of its sender, as CONNECT will carry it.
struct Credentials {
  std::string user;                     ///< Empty with a token, which names it itself.
  std::optional<std::string> password;  ///< Or the token.

  /// Two are the same exactly when this is.
  [[nodiscard]] std::string key() const { return user + '\0' + (password ? "p" + *password : std::string()); }
};

/// The value of an Authorization field: Basic (RFC 7617), whose empty password counts as none, or Bearer (RFC 6750).
/// Nothing when it is neither, or its user name isn't UTF-8. Pure.
std::optional<Credentials> read_credentials(std::string_view authorization);

/// Whom they name: the user, or what a JSON web token says in `claim`. Empty when that can't be told. Nobody has
/// checked it: the broker does. Pure.
std::string claimed_user(const Credentials& credentials, std::string_view claim);

}  // namespace parley::bridge
