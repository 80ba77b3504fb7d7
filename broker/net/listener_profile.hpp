#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "broker/net/tls_context.hpp"
#include "config/listener.hpp"
#include "config/network.hpp"

namespace parley::net {

/// A listener as its connections need it. Doesn't change but for its certificates; any thread. Lives as long as the
/// server.
struct ListenerProfile {
  /// Throws ConfigError.
  ListenerProfile(std::uint16_t the_number, config::Listener the_settings);

  /// Whether the socket's other side may (and must) send a PROXY header.
  [[nodiscard]] bool trusts(int socket) const;
  [[nodiscard]] bool has_proxies() const { return !settings.proxy_protocol.empty(); }

  const std::uint16_t number;  ///< In the order of the configuration.
  const config::Listener settings;
  std::unique_ptr<TlsContexts> tls;             ///< Null without TLS.
  const std::atomic<bool>* is_ready = nullptr;  ///< The node takes clients. Null: it does.

 private:
  std::vector<config::Network> proxies_;
  bool trusts_unix_ = false;
};

}  // namespace parley::net
