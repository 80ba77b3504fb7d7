#include "broker/auth/password_hash.hpp"

#include <argon2.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace parley::auth {
namespace {

constexpr std::size_t kHashSize = 32;

/// Takes `prefix` off the front of `text`.
bool skip(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

/// Takes a decimal number without leading zeros off the front of `text`.
bool skip_number(std::string_view& text, std::uint32_t& number) {
  if (text.starts_with('0')) return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{}) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return true;
}

/// Whether `text` is base64 without padding of `least` to 64 bytes.
bool is_base64(std::string_view text, std::size_t least) {
  const std::size_t size = text.size() * 3 / 4;
  return size >= least && size <= 64 && text.size() % 4 != 1 && std::ranges::all_of(text, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' || c == '/';
         });
}

bool is_affordable(PasswordCost cost) {
  return cost.lanes >= 1 && cost.lanes <= kPasswordCostMax.lanes && cost.passes >= 1 &&
         cost.passes <= kPasswordCostMax.passes && cost.memory_kib >= 8 * cost.lanes &&  // RFC 9106 §3.1
         cost.memory_kib <= kPasswordCostMax.memory_kib;
}

}  // namespace

std::optional<PasswordCost> cost_of(std::string_view hash) {
  PasswordCost cost;
  const bool read = skip(hash, "$argon2id$v=19$m=") && skip_number(hash, cost.memory_kib) && skip(hash, ",t=") &&
                    skip_number(hash, cost.passes) && skip(hash, ",p=") && skip_number(hash, cost.lanes) &&
                    skip(hash, "$");
  if (!read || !is_affordable(cost)) return std::nullopt;
  const auto end = hash.find('$');
  if (end == hash.npos) return std::nullopt;
  if (!is_base64(hash.substr(0, end), 8) || !is_base64(hash.substr(end + 1), 16)) return std::nullopt;
  return cost;
}

std::optional<std::string> hash_password(std::string_view password, std::string_view salt, PasswordCost cost) {
  if (!is_affordable(cost) || salt.size() != kSaltSize) return std::nullopt;
  std::array<char, 256> text{};
  const int outcome = argon2id_hash_encoded(cost.passes, cost.memory_kib, cost.lanes, password.data(), password.size(),
                                            salt.data(), salt.size(), kHashSize, text.data(), text.size());
  if (outcome != ARGON2_OK) return std::nullopt;
  return std::string(text.data());
}

bool is_password(std::string_view password, const std::string& hash) {
  return cost_of(hash) && argon2id_verify(hash.c_str(), password.data(), password.size()) == ARGON2_OK;
}

}  // namespace parley::auth
