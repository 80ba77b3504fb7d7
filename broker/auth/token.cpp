#include "broker/auth/token.hpp"

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>

#include "base/base64.hpp"
#include "base/name.hpp"

namespace parley::auth {
namespace {

namespace json = boost::json;

std::optional<json::object> read_object(std::string_view base64) {
  const auto text = decode_base64url(base64);
  if (!text) return std::nullopt;
  boost::system::error_code error;
  json::parse_options options;
  options.max_depth = 16;
  auto value = json::parse(*text, error, {}, options);
  if (error || !value.is_object()) return std::nullopt;
  return std::move(value.as_object());
}

std::optional<std::string_view> text_of(const json::object& object, std::string_view name) {
  const auto* value = object.if_contains(name);
  const auto* text = value != nullptr ? value->if_string() : nullptr;
  if (text == nullptr) return std::nullopt;
  return std::string_view(text->data(), text->size());
}

/// NumericDate (RFC 7519 §2) in Unix milliseconds; nothing when it is there and no such number.
struct Date {
  bool there = false;
  std::optional<std::uint64_t> milliseconds;
};

Date date_of(const json::object& claims, std::string_view name) {
  const auto* value = claims.if_contains(name);
  if (value == nullptr) return {};
  boost::system::error_code error;
  const double seconds = value->is_number() ? value->to_number<double>(error) : -1;
  constexpr double kSecondsMax = 253'402'300'800;  // The year 10000.
  if (error || !std::isfinite(seconds) || seconds < 0 || seconds >= kSecondsMax)
    return {.there = true, .milliseconds = {}};
  return {.there = true, .milliseconds = static_cast<std::uint64_t>(seconds * 1000)};
}

std::uint64_t milliseconds_of(Duration duration) {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(duration).count());
}

/// RFC 7519 §4.1.3: a text, or an array of texts.
bool names_audience(const json::value& audience, std::string_view wanted) {
  const auto is_it = [&](const json::value& one) {
    const auto* text = one.if_string();
    return text != nullptr && std::string_view(text->data(), text->size()) == wanted;
  };
  if (const auto* list = audience.if_array()) return std::ranges::any_of(*list, is_it);
  return is_it(audience);
}

/// Checks times and parties; fills in when it expires.
std::string_view check_claims(const json::object& claims, const TokenRules& rules, Timestamp now, Token& token) {
  const std::uint64_t skew = milliseconds_of(rules.clock_skew);
  const Date expiry = date_of(claims, "exp");
  const Date not_before = date_of(claims, "nbf");
  if ((expiry.there && !expiry.milliseconds) || (not_before.there && !not_before.milliseconds)) {
    return "The token's exp or nbf is no time.";
  }
  if (!expiry.there && rules.requires_expiry) return "The token never expires, and this server wants one that does.";
  if (expiry.there) {
    token.expires = Timestamp{*expiry.milliseconds + skew};
    if (token.expires->milliseconds <= now.milliseconds) return "The token has expired.";
  }
  if (not_before.there && *not_before.milliseconds > now.milliseconds + skew) return "The token isn't valid yet.";
  if (!rules.issuer.empty() && text_of(claims, "iss") != rules.issuer) return "The token is from another issuer.";
  const auto* audience = claims.if_contains("aud");
  if (rules.audience.empty() ? audience != nullptr
                             : audience == nullptr || !names_audience(*audience, rules.audience)) {
    return "The token is for another audience.";
  }
  const auto user = text_of(claims, rules.user_claim);
  if (!user || !is_name(*user)) return "The token names no user.";
  token.user = *user;
  return {};
}

/// Checks the signature with the keys that may be meant. RFC 7515 §5.2, RFC 8725 §3.1.
std::string_view check_signature(const json::object& header, const KeySet& keys, std::string_view input,
                                 std::string_view signature) {
  if (header.contains("crit")) return "The token has a critical header that this server doesn't know.";
  const auto algorithm_name = text_of(header, "alg");
  const auto algorithm = algorithm_name ? read_algorithm(*algorithm_name) : std::nullopt;
  if (!algorithm) return "The token's algorithm is none that this server takes.";
  const auto id = text_of(header, "kid");
  if (header.contains("kid") && !id) return "The token's kid is no text.";
  bool known = false;
  for (const SignatureKey& key : keys.keys()) {
    if (id && key.id() != *id) continue;
    known = true;
    if (key.algorithm() != *algorithm) continue;
    if (key.verify(input, signature)) return {};
    if (id) return "The token's signature is wrong.";
  }
  if (!known) return "The token is signed with a key that this server doesn't know.";
  return id ? "The token's algorithm isn't its key's." : "No key of the token's algorithm made its signature.";
}

}  // namespace

bool looks_like_token(std::string_view text) {
  return text.starts_with("eyJ") && std::ranges::count(text, '.') == 2;  // `{"` in base64.
}

std::variant<Token, std::string_view> check_token(std::string_view text, const KeySet& keys, const TokenRules& rules,
                                                  Timestamp now) {
  if (text.size() > kTokenSizeMax) return "The token is too long.";
  const auto first = text.find('.');
  const auto second = first == text.npos ? text.npos : text.find('.', first + 1);
  if (second == text.npos || text.find('.', second + 1) != text.npos) return "The token isn't three parts.";
  const auto header = read_object(text.substr(0, first));
  const auto signature = decode_base64url(text.substr(second + 1));
  if (!header || !signature) return "The token's header or signature can't be read.";
  if (const auto why = check_signature(*header, keys, text.substr(0, second), *signature); !why.empty()) return why;
  const auto claims = read_object(text.substr(first + 1, second - first - 1));
  if (!claims) return "The token's claims can't be read.";
  Token token;
  if (const auto why = check_claims(*claims, rules, now, token); !why.empty()) return why;
  return token;
}

std::optional<std::string> make_token(std::string_view claims, const SignatureKey& key) {
  json::object header{{"alg", name_of(key.algorithm())}, {"typ", "JWT"}};
  if (!key.id().empty()) header["kid"] = key.id();
  std::string token;
  append_base64url(token, json::serialize(header));
  token.push_back('.');
  append_base64url(token, claims);
  const auto signature = key.sign(token);
  if (!signature) return std::nullopt;
  token.push_back('.');
  append_base64url(token, *signature);
  return token;
}

}  // namespace parley::auth
