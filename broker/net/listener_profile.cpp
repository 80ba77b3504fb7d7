#include "broker/net/listener_profile.hpp"

#include <utility>

#include "broker/net/socket.hpp"

namespace parley::net {

ListenerProfile::ListenerProfile(std::uint16_t the_number, config::Listener the_settings)
    : number(the_number), settings(std::move(the_settings)) {
  if (settings.is_secure()) tls = std::make_unique<TlsContexts>(settings);
  for (const std::string& text : settings.proxy_protocol) {
    if (text == "unix") trusts_unix_ = true;
    if (const auto network = config::read_network(text)) proxies_.push_back(*network);
  }
}

bool ListenerProfile::trusts(int socket) const {
  if (settings.scheme == config::Scheme::Unix) return trusts_unix_;
  const auto address = config::read_address(peer_host(socket));
  if (!address) return false;
  for (const config::Network& network : proxies_) {
    if (network.contains(*address)) return true;
  }
  return false;
}

}  // namespace parley::net
