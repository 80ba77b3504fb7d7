#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "base/output.hpp"
#include "base/time.hpp"
#include "broker/session/session.hpp"

namespace parley::session {

/// Topic aliases toward the client, given in the order of the topics' first messages: 1, 2, 3, … When all are taken, a
/// further topic takes the place that its hash names. They are few (Limits::topic_alias_out_max), so that looking
/// through all of them costs little. MQTT 5 §3.3.2.3.4.
class OutboundAliases {
 public:
  explicit OutboundAliases(std::uint16_t count) : places_(count) {}

  struct Alias {
    std::uint16_t number = 0;
    bool known = false;  ///< The client has it already.
  };
  [[nodiscard]] Alias find(std::string_view topic) const {
    const std::uint64_t hash = stable_hash(topic);
    for (std::size_t i = 0; i < used_; ++i) {
      if (places_[i].hash == hash && places_[i].topic == topic) return {static_cast<std::uint16_t>(i + 1), true};
    }
    const std::size_t place = used_ < places_.size() ? used_ : hash % places_.size();
    return {static_cast<std::uint16_t>(place + 1), false};
  }
  /// The client is being told.
  void set(Alias alias, std::string_view topic) {
    places_[alias.number - 1U] = {stable_hash(topic), std::string(topic)};
    used_ = std::max<std::size_t>(used_, alias.number);
  }

 private:
  struct Place {
    std::uint64_t hash = 0;
    std::string topic;
  };
  std::vector<Place> places_;
  std::size_t used_ = 0;
};

/// An inbound publish whose acknowledgement is due, in the order of arrival. MQTT 5 §4.6.
struct PendingAck {
  mqtt::PacketId packet_id = 0;
  mqtt::Qos qos = mqtt::Qos::AtLeastOnce;
  bool done = false;
  bool repeated = false;  ///< Has no ticket of its own.
  mqtt::ReasonCode reason = mqtt::ReasonCode::Success;
  std::string properties;
};

/// What belongs to one network connection of a session.
struct Session::Connection {
  Output* output = nullptr;
  mqtt::ProtocolVersion version = mqtt::ProtocolVersion::V5;
  bool is_bridge = false;  ///< CONNECT said so; see mqtt::kBridgeBit.
  bool problem_information = true;
  bool server_keep_alive = false;
  bool expiry_lowered = false;
  bool expires_at_disconnect = false;  ///< Session Expiry Interval was 0 in CONNECT. §3.14.2.2.2.
  bool resending = false;
  /// Of an extended authentication: whose turn it is. MQTT 5 §4.12.1.
  enum class Authentication : std::uint8_t { Idle, Ours, Clients };
  Authentication authentication = Authentication::Idle;
  std::string authentication_method;  ///< CONNECT's; empty: none.
  std::uint16_t keep_alive = 0;
  std::uint16_t receive_max = 65'535;
  std::uint32_t packet_size_max = 0xFFFF'FFFF;
  Instant last_received;
  std::optional<WillPlan> will;
  std::vector<std::string> aliases;  ///< Inbound, by alias - 1; empty until the first is set.
  std::unique_ptr<OutboundAliases> aliases_out;

  std::vector<PendingAck> acks;
  std::size_t acks_first = 0;
  std::size_t acks_qos1 = 0;      ///< Of those that wait, QoS 1; the QoS 2 ones are counted by their ids.
  std::size_t acks_repeated = 0;  ///< Of those that wait, QoS 2 ones that an earlier copy's outcome settles, too.
  /// Exchanges of earlier connections that may end on this one: a client counts each as a place of Receive Maximum
  /// given back, though it took none here. §4.9.
  std::size_t inherited = 0;
  std::uint32_t acks_base = 0;  ///< PublishTicket::position of acks[0].
};

/// A cursor of the session; free for reuse when its generation is 0.
struct Session::CursorSlot {
  std::string topic;
  Epoch epoch;
  Seq next;
  Seq acknowledged;
  std::uint32_t generation = 0;
  std::array<std::uint32_t, 2> subscription_ids{};  ///< 0: none.
  mqtt::Qos qos = mqtt::Qos::AtMostOnce;
  OwnEntries own = OwnEntries::All;
  mqtt::Qos own_qos = mqtt::Qos::AtMostOnce;
  bool shared = false;             ///< Of a shared subscription; see Session::send_shared.
  std::vector<Seq> shared_done{};  ///< Of such a one: acknowledged, and not taken yet.
};

}  // namespace parley::session
