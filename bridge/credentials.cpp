#include "bridge/credentials.hpp"

#include <algorithm>

#include "base/base64.hpp"
#include "mqtt/utf8.hpp"

namespace parley::bridge {

std::optional<BasicCredentials> read_basic_credentials(std::string_view authorization) {
  constexpr std::string_view kScheme = "basic ";
  if (authorization.size() < kScheme.size()) return std::nullopt;
  const bool basic = std::ranges::equal(authorization.substr(0, kScheme.size()), kScheme,
                                        [](char given, char expected) { return (given | 0x20) == expected; });
  if (!basic) return std::nullopt;
  authorization.remove_prefix(kScheme.size());
  authorization.remove_prefix(std::min(authorization.find_first_not_of(' '), authorization.size()));
  const auto decoded = decode_base64(authorization);
  if (!decoded || !mqtt::is_mqtt_utf8(*decoded)) return std::nullopt;
  const auto colon = decoded->find(':');
  if (colon == std::string::npos) return std::nullopt;
  return BasicCredentials{.user = decoded->substr(0, colon), .password = decoded->substr(colon + 1)};
}

}  // namespace parley::bridge
