#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <variant>

/// The users file: who may log in with which password. Format: docs/formats/users.md.
namespace parley::auth {

/// User name to hash, as hash_password() writes it.
using Users = std::map<std::string, std::string, std::less<>>;

/// Where a file of lines is wrong, and why; never with what stands there, which may be a secret.
struct LineError {
  std::size_t line = 0;  ///< From 1.
  std::string_view why;  ///< A whole sentence.
  friend bool operator==(const LineError&, const LineError&) = default;
};

/// Reads the whole file or says what is wrong with its first wrong line. Any bytes; any thread.
std::variant<Users, LineError> read_users(std::string_view text);

/// The line for one user, with its end.
std::string write_user(std::string_view name, std::string_view hash);

}  // namespace parley::auth
