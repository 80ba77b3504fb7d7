#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

/// The request that turns an HTTP connection into a WebSocket: RFC 6455 §4.2, MQTT 5 §6. Pure; any thread.
namespace parley::net {

/// A longer request is refused.
constexpr std::size_t kUpgradeRequestMax = 8 * 1024;

struct UpgradeRules {
  std::string_view path;                 ///< What requests must name; empty: any.
  std::span<const std::string> origins;  ///< Web pages that may connect; `*`: all.
  bool is_ready = true;                  ///< What a load balancer is told that asks for /readyz.
};

struct UpgradeAnswer {
  bool accepted = false;
  std::string response;  ///< For the client, in either case.
  std::string_view why;  ///< Of a refusal, for the log; empty when a load balancer has got its answer.
};

/// Where the request's header ends, with its empty line; npos: more bytes are needed.
std::size_t end_of_request(std::string_view bytes);
/// `request` is a whole header. Only the sub-protocol `mqtt` is spoken. A request without an Origin isn't from a
/// browser; an Origin that is the Host, and an address or `localhost`, is the broker's own.
UpgradeAnswer answer_upgrade(std::string_view request, const UpgradeRules& rules);
/// To a request that is longer than kUpgradeRequestMax.
UpgradeAnswer refuse_long_request();

/// Sec-WebSocket-Accept for a Sec-WebSocket-Key. RFC 6455 §4.2.2.
std::string accept_key(std::string_view key);

}  // namespace parley::net
