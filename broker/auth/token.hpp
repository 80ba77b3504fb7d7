#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/time.hpp"
#include "broker/auth/signature_key.hpp"

/// Signed tokens that name a user: JWT in compact form. RFC 7519, RFC 7515, RFC 8725. Pure; any thread.
namespace parley::auth {

inline constexpr std::size_t kTokenSizeMax = 16 * 1024;  ///< Bytes; longer ones are refused unread.

/// What a token must say beyond its signature; [auth] token_….
struct TokenRules {
  std::string issuer;    ///< `iss`; empty: any.
  std::string audience;  ///< One of `aud`; empty: a token with an `aud` is for somebody else. RFC 7519 §4.1.3.
  std::string user_claim = "sub";  ///< Which claim names the user.
  Duration clock_skew = std::chrono::seconds(30);
  bool requires_expiry = true;
};

struct Token {
  std::string user;
  std::optional<Timestamp> expires;  ///< From when on it is worth nothing, clock skew included.
};

/// Whether `text` looks like a token, so that it is checked as one wherever passwords stand.
bool looks_like_token(std::string_view text);

/// The token, or why it is refused: a sentence without anything of it. Costs what SignatureKey::verify does. The key
/// says which algorithm is used; a token that names another one, or `none`, is refused. `crit` is never understood.
std::variant<Token, std::string_view> check_token(std::string_view text, const KeySet& keys, const TokenRules& rules,
                                                  Timestamp now);

/// Signs `claims`, a JSON object. Nothing when the key can't sign.
std::optional<std::string> make_token(std::string_view claims, const SignatureKey& key);

}  // namespace parley::auth
