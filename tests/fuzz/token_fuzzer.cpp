#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "broker/auth/token.hpp"

namespace {

/// A key that signs, so that what the fuzzer makes up as claims gets behind the signature.
constexpr std::string_view kKeys =
    R"({"keys":[{"kty":"oct","kid":"k","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgU"},)"
    R"({"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]})";

}  // namespace

/// By its first byte a JWKS file, a token, or the claims of one that is signed: what is taken names a user and hasn't
/// expired, and what was not signed by us is never taken.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace parley;
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  static const auto keys = std::get<auth::KeySet>(auth::KeySet::read(kKeys));
  constexpr Timestamp kNow{1'800'000'000'000};
  if (data[0] == 'j') {
    const auto read = auth::KeySet::read(text);
    if (const auto* set = std::get_if<auth::KeySet>(&read)) {
      for (const auto& key : set->keys()) (void)key.verify("input", "signature");
      (void)auth::public_key_set(text);
    }
    return 0;
  }
  if (data[0] == 'c') {
    const auto made = auth::make_token(text, keys.keys()[0]);
    if (!made) __builtin_trap();
    const auto checked = auth::check_token(*made, keys, {}, kNow);
    const auto* token = std::get_if<auth::Token>(&checked);
    if (token == nullptr) return 0;
    if (token->user.empty() || token->user.size() > 128) __builtin_trap();
    if (!token->expires || token->expires->milliseconds <= kNow.milliseconds) __builtin_trap();
    return 0;
  }
  // The corpus has no token that was signed with these keys.
  if (std::holds_alternative<auth::Token>(auth::check_token(text, keys, {}, kNow))) __builtin_trap();
  return 0;
}
