#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "broker/auth/password_hash.hpp"
#include "broker/auth/scram.hpp"
#include "broker/auth/users_file.hpp"

/// A users file: it is taken or its wrong line is named, and what was taken reads back as it is written.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace parley::auth;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto read = read_users(text);
  if (const auto* error = std::get_if<LineError>(&read)) {
    if (error->line == 0 || error->line > size + 1 || error->why.empty()) __builtin_trap();
    return 0;
  }
  std::string written;
  for (const auto& [name, secrets] : std::get<Users>(read)) {
    written += write_user(name, secrets);
    if (secrets.hash.empty()) {
      if (!read_scram_verifier(secrets.scram)) __builtin_trap();
      continue;
    }
    const auto cost = cost_of(secrets.hash);
    if (!cost) __builtin_trap();
    // libargon2 reads the hash for itself; only where that is cheap.
    if (cost->memory_kib <= 64 && cost->passes == 1) (void)is_password("secret", secrets.hash);
  }
  if (read_users(written) != read) __builtin_trap();
  std::string changed(text);
  for (const auto& [name, secrets] : std::get<Users>(read)) changed = replace_user(changed, name, secrets);
  if (read_users(changed) != read) __builtin_trap();
  return 0;
}
