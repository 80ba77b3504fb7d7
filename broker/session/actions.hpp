#pragma once

#include <cstdint>
#include <string_view>
#include <variant>
#include <vector>

#include "mqtt/packet.hpp"

namespace parley::session {

/// Names one inbound PUBLISH until Session::complete_publish.
struct PublishTicket {
  std::uint32_t connection = 0;  ///< The session's connection count when it came in.
  std::uint32_t position = 0;    ///< Place in that connection's order of acknowledgement.
  mqtt::PacketId packet_id = 0;
  mqtt::Qos qos = mqtt::Qos::AtMostOnce;
};

/// A PUBLISH to be routed; its topic is in full, aliases resolved. To be completed unless QoS 0.
struct PublishAction {
  mqtt::Publish publish;
  PublishTicket ticket;
};

/// To be answered by write_suback, respectively write_unsuback.
struct SubscribeAction {
  mqtt::Subscribe subscribe;
  std::uint32_t subscription_id = 0;
};
struct UnsubscribeAction {
  mqtt::Unsubscribe unsubscribe;
};

/// Entries were acknowledged or the window opened: cursors may move on.
struct WindowAction {};

/// A step of a re-authentication, to be answered by write_auth or write_disconnect. MQTT 5 §4.12.1.
struct AuthAction {
  bool begins = false;
  std::string_view method;
  std::string_view data;
};

/// Close once the output is flushed. Success and DisconnectWithWill: the client's DISCONNECT; else the violation, about
/// which the DISCONNECT is already written.
struct CloseAction {
  mqtt::ReasonCode reason = mqtt::ReasonCode::Success;
};

using Action = std::variant<PublishAction, SubscribeAction, UnsubscribeAction, WindowAction, AuthAction, CloseAction>;

/// What a received packet asks of the shard, in order. Cleared and reused by the caller, so that a packet allocates
/// nothing.
using Actions = std::vector<Action>;

}  // namespace parley::session
