#include "broker/auth/users_file.hpp"

#include <algorithm>

#include "base/name.hpp"
#include "broker/auth/password_hash.hpp"

namespace parley::auth {
namespace {

/// Puts what the line says into `users`; the objection to it, or nothing.
std::string_view read_line(std::string_view line, Users& users) {
  // A name may have a colon, a hash has none.
  const auto colon = line.rfind(':');
  if (colon == line.npos) return "A line is NAME:HASH, and this one has no colon.";
  const std::string_view name = line.substr(0, colon);
  const std::string_view hash = line.substr(colon + 1);
  if (!is_name(name)) return "This is no valid user name.";
  if (!cost_of(hash)) return "After the last colon stands no argon2id hash, or one that costs too much.";
  if (!users.emplace(name, hash).second) return "This user has a line already.";
  return {};
}

}  // namespace

std::variant<Users, LineError> read_users(std::string_view text) {
  Users users;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const auto end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line.front() == '#') continue;
    if (const auto why = read_line(line, users); !why.empty()) return LineError{.line = number, .why = why};
  }
  return users;
}

std::string write_user(std::string_view name, std::string_view hash) {
  return std::string(name).append(":").append(hash).append("\n");
}

}  // namespace parley::auth
