#pragma once

#include <map>
#include <string>
#include <string_view>
#include <variant>

#include "broker/auth/line_file.hpp"

/// The users file: who may log in with which password. Format: docs/formats/users.md.
namespace parley::auth {

/// What is kept of a user's password; at least one of them.
struct UserSecrets {
  std::string hash;   ///< As hash_password() writes it; empty: no login with the password itself.
  std::string scram;  ///< As write_scram_verifier() writes it; empty: no SCRAM.
  friend bool operator==(const UserSecrets&, const UserSecrets&) = default;
};

using Users = std::map<std::string, UserSecrets, std::less<>>;

/// Reads the whole file or says what is wrong with its first wrong line. Any bytes; any thread.
std::variant<Users, LineError> read_users(std::string_view text);

/// The line for one user, with its end.
std::string write_user(std::string_view name, const UserSecrets& secrets);

/// The file with the user's line put in place of the old one, or at the end; everything else, comments too, stays as it
/// is. With empty secrets the line is taken out.
std::string replace_user(std::string_view text, std::string_view name, const UserSecrets& secrets);

}  // namespace parley::auth
