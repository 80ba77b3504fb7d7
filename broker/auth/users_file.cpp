#include "broker/auth/users_file.hpp"

#include <algorithm>

#include "base/name.hpp"
#include "broker/auth/password_hash.hpp"
#include "broker/auth/scram.hpp"

namespace parley::auth {
namespace {

/// Puts what the line says into `users`; the objection to it, or nothing.
std::string_view read_line(std::string_view line, Users& users) {
  // A name may have a colon, a hash has none.
  const auto colon = line.rfind(':');
  if (colon == line.npos) return "A line is NAME:HASH, and this one has no colon.";
  const std::string_view name = line.substr(0, colon);
  std::string_view rest = line.substr(colon + 1);
  if (!is_name(name)) return "This is no valid user name.";
  UserSecrets secrets;
  for (bool more = true; more;) {
    const auto end = std::min(rest.find(' '), rest.size());
    const auto part = rest.substr(0, end);
    more = end < rest.size();
    rest.remove_prefix(more ? end + 1 : end);
    if (secrets.hash.empty() && cost_of(part)) {
      secrets.hash = part;
    } else if (secrets.scram.empty() && read_scram_verifier(part)) {
      secrets.scram = part;
    } else {
      return "After the last colon stands no argon2id hash or SCRAM verifier, one that costs too much, or two of a "
             "kind.";
    }
  }
  if (!users.emplace(name, std::move(secrets)).second) return "This user has a line already.";
  return {};
}

}  // namespace

std::variant<Users, LineError> read_users(std::string_view text) {
  Users users;
  const auto error = read_lines(text, [&users](std::string_view line) { return read_line(line, users); });
  if (error.line != 0) return error;
  return users;
}

std::string write_user(std::string_view name, const UserSecrets& secrets) {
  std::string line = std::string(name).append(":").append(secrets.hash);
  if (!secrets.hash.empty() && !secrets.scram.empty()) line.push_back(' ');
  return line.append(secrets.scram).append("\n");
}

std::string replace_user(std::string_view text, std::string_view name, const UserSecrets& secrets) {
  const bool removes = secrets == UserSecrets{};
  std::string to;
  bool done = removes;
  while (!text.empty()) {
    const auto size = std::min(text.find('\n'), text.size() - 1) + 1;
    const auto line = text.substr(0, size);
    text.remove_prefix(size);
    const bool is_it = line.front() != '#' && line.substr(0, line.rfind(':')) == name && line.rfind(':') != line.npos;
    if (!is_it) {
      to.append(line);
    } else if (!done) {
      to.append(write_user(name, secrets));
      done = true;
    }
  }
  if (done) return to;
  if (!to.empty() && !to.ends_with('\n')) to.push_back('\n');
  return to.append(write_user(name, secrets));
}

}  // namespace parley::auth
