#include "config/listener.hpp"

#include <boost/url/parse.hpp>

#include "config/error.hpp"

namespace parley::config {
namespace {

[[noreturn]] void refuse(std::string_view setting, std::string_view url, std::string_view why) {
  throw ConfigError(std::string(setting).append(" \"").append(url).append("\" ").append(why));
}

}  // namespace

std::string to_text(const Address& address) {
  const bool v6 = address.host.find(':') != std::string::npos;
  return (v6 ? "[" + address.host + "]" : address.host) + ":" + std::to_string(address.port);
}

bool is_loopback(std::string_view host) {
  return host == "localhost" || host == "::1" ||
         (host.starts_with("127.") && host.find_first_not_of("0123456789.") == host.npos);
}

Address read_url(std::string_view setting, std::string_view scheme, std::string_view url) {
  const std::string example = std::string(scheme).append("://127.0.0.1:PORT");
  const auto parsed = boost::urls::parse_uri(boost::core::string_view(url.data(), url.size()));
  if (!parsed) refuse(setting, url, "is no URL; it looks like " + example);
  const auto& parts = *parsed;
  if (std::string_view(parts.scheme().data(), parts.scheme().size()) != scheme) {
    refuse(setting, url, "has a scheme that this version doesn't serve here; it looks like " + example);
  }
  if (!parts.has_authority() || parts.host_address().empty())
    refuse(setting, url, "names no address; it looks like " + example);
  if (!parts.has_port() || (parts.port_number() == 0 && parts.port() != "0")) {
    refuse(setting, url, "names no port between 0 and 65535; it looks like " + example);
  }
  if (parts.has_userinfo() || parts.has_query() || parts.has_fragment() ||
      (!parts.path().empty() && parts.path() != "/")) {
    refuse(setting, url, "has more than scheme, address and port");
  }
  return {.host = parts.host_address(), .port = parts.port_number()};
}

}  // namespace parley::config
