#include "bridge/credentials.hpp"

#include <algorithm>
#include <boost/json.hpp>

#include "base/base64.hpp"
#include "mqtt/utf8.hpp"

namespace parley::bridge {

namespace {

/// What stands behind `scheme` (in lower case) and blanks; nothing when another scheme is used. RFC 9110 §11.6.2.
std::optional<std::string_view> behind(std::string_view authorization, std::string_view scheme) {
  if (authorization.size() <= scheme.size() || authorization[scheme.size()] != ' ') return std::nullopt;
  const bool is_it = std::ranges::equal(authorization.substr(0, scheme.size()), scheme,
                                        [](char given, char expected) { return (given | 0x20) == expected; });
  if (!is_it) return std::nullopt;
  authorization.remove_prefix(scheme.size());
  authorization.remove_prefix(std::min(authorization.find_first_not_of(' '), authorization.size()));
  return authorization;
}

/// RFC 6750 §2.1, `b64token`.
bool is_token(std::string_view text) {
  const auto is_token_character = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("-._~+/=").find(c) != std::string_view::npos;
  };
  return !text.empty() && std::ranges::all_of(text, is_token_character);
}

}  // namespace

std::optional<Credentials> read_credentials(std::string_view authorization) {
  if (const auto token = behind(authorization, "bearer")) {
    if (!is_token(*token)) return std::nullopt;
    return Credentials{.user = {}, .password = std::string(*token)};
  }
  const auto basic = behind(authorization, "basic");
  const auto decoded = basic ? decode_base64(*basic) : std::nullopt;
  if (!decoded || !mqtt::is_mqtt_utf8(*decoded)) return std::nullopt;
  const auto colon = decoded->find(':');
  if (colon == std::string::npos) return std::nullopt;
  Credentials credentials{.user = decoded->substr(0, colon), .password = {}};
  if (colon + 1 < decoded->size()) credentials.password = decoded->substr(colon + 1);
  return credentials;
}

/// RFC 7519 §3, RFC 7515 §3.1: header, claims and signature, each in base64url.
std::string claimed_user(const Credentials& credentials, std::string_view claim) {
  if (!credentials.user.empty() || !credentials.password) return credentials.user;
  const std::string_view token = *credentials.password;
  const auto first = token.find('.');
  const auto second = first == std::string_view::npos ? first : token.find('.', first + 1);
  if (second == std::string_view::npos) return {};
  const auto text = decode_base64url(token.substr(first + 1, second - first - 1));
  if (!text) return {};
  boost::json::error_code error;
  boost::json::parse_options options;
  options.max_depth = 16;
  const auto claims = boost::json::parse(boost::json::string_view(text->data(), text->size()), error, {}, options);
  if (error || !claims.is_object()) return {};
  const auto* user = claims.get_object().if_contains(boost::json::string_view(claim.data(), claim.size()));
  if (user == nullptr || !user->is_string()) return {};
  return {user->get_string().data(), user->get_string().size()};
}

}  // namespace parley::bridge
