#pragma once

#include <cstdint>
#include <string_view>

#include "base/metrics.hpp"
#include "broker/chat/refusal.hpp"
#include "broker/shard/ports.hpp"
#include "mqtt/packet.hpp"

namespace parley::shard {

class Shard;

/// CONNACK for those who aren't let in, and the end of their connections. MQTT 5 §3.1.4, §3.2.2.2. Belongs to its
/// shard's thread.
class ConnectRefusals {
 public:
  explicit ConnectRefusals(Shard& shard) : shard_(shard) {}

  /// Who is refused.
  struct Applicant {
    ConnectionId connection;
    mqtt::ProtocolVersion version{};
    std::string_view client_id;                   ///< Empty where it isn't known.
    std::uint32_t packet_size_max = 0xFFFF'FFFF;  ///< What the client takes, where that is known.
  };
  /// `why`: a sentence for the client and the log. `properties`: further ones of CONNACK, encoded.
  void refuse(const Applicant& applicant, mqtt::ReasonCode reason, std::string_view why,
              std::string_view properties = {});
  /// For a limit. Without a line of its own in the log, since limits are summed up there.
  void refuse_quota(const Applicant& applicant, Metric limit);
  /// For a will that would be refused so when it is due.
  void refuse_will(const Applicant& applicant, chat::Refusal refusal);

 private:
  void turn_away(const Applicant& applicant, mqtt::ReasonCode reason, std::string_view why,
                 std::string_view properties);

  Shard& shard_;
};

}  // namespace parley::shard
