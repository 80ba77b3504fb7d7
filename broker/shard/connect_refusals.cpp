#include "broker/shard/connect_refusals.hpp"

#include <algorithm>
#include <array>
#include <string>

#include "base/check.hpp"
#include "base/log.hpp"
#include "broker/shard/shard.hpp"
#include "mqtt/encode.hpp"

namespace parley::shard {
namespace {

using mqtt::PropertyId;
using mqtt::ProtocolVersion;
using mqtt::ReasonCode;

/// 3.x has an answer for a protocol level and a client id, and none for a packet that isn't one. 3.1.1 §3.2.2.3,
/// §4.8, [MQTT-3.1.4-1].
bool is_silent(ProtocolVersion version, ReasonCode reason) {
  constexpr std::array kFaults{ReasonCode::MalformedPacket, ReasonCode::ProtocolError, ReasonCode::PacketTooLarge,
                               ReasonCode::TopicNameInvalid};
  return version != ProtocolVersion::V5 && std::ranges::find(kFaults, reason) != kFaults.end();
}

/// What a CONNECT is refused with for a limit. docs/PROTOCOL.md "Too many".
struct QuotaRule {
  Metric limit;
  ReasonCode reason;
  std::string_view error;
  std::string_view retry_after;  ///< Seconds; empty: it won't pass by itself.
  std::string_view why;
};

constexpr std::array kQuotaRules{
    QuotaRule{Metric::LimitConnections, ReasonCode::QuotaExceeded, "too-many-connections", "10",
              "This server has too many connections."},
    QuotaRule{Metric::LimitConnectionsPerAddress, ReasonCode::QuotaExceeded, "too-many-of-address", "",
              "The address has too many connections."},
    QuotaRule{Metric::LimitConnectionsPerUser, ReasonCode::QuotaExceeded, "too-many-of-user", "",
              "The user has too many connections."},
    QuotaRule{Metric::LimitSessions, ReasonCode::QuotaExceeded, "too-many-sessions", "",
              "This server has too many sessions."},
    QuotaRule{Metric::LimitConnectRate, ReasonCode::ConnectionRateExceeded, "too-many-connects", "1",
              "More clients connect than this server takes at a time."},
};

const QuotaRule& quota_rule(Metric limit) {
  const auto* found = std::ranges::find(kQuotaRules, limit, &QuotaRule::limit);
  PARLEY_CHECK(found != kQuotaRules.end(), "a CONNECT is refused for a limit that has no rule");
  return *found;
}

}  // namespace

void ConnectRefusals::refuse(const Applicant& applicant, ReasonCode reason, std::string_view why,
                             std::string_view properties) {
  log::info("refusing a connection", {{"client_id", applicant.client_id},
                                      {"address", shard_.links().address(applicant.connection)},
                                      {"reason", mqtt::name_of(reason)},
                                      {"why", why}});
  turn_away(applicant, reason, why, properties);
}

void ConnectRefusals::refuse_quota(const Applicant& applicant, Metric limit) {
  const QuotaRule& rule = quota_rule(limit);
  mqtt::PropertyWriter properties;
  properties.user("error", rule.error);
  if (!rule.retry_after.empty()) properties.user("retry-after", rule.retry_after);
  turn_away(applicant, rule.reason, rule.why, properties.bytes());
}

void ConnectRefusals::refuse_will(const Applicant& applicant, chat::Refusal refusal) {
  const chat::RefusalRule& rule = chat::rule_of(refusal);
  mqtt::PropertyWriter properties;
  properties.user("error", rule.word);
  // 3.1.1 has no other return code for it.
  const bool is_five = applicant.version == ProtocolVersion::V5;
  refuse(applicant, is_five ? static_cast<ReasonCode>(rule.reason) : ReasonCode::NotAuthorized,
         "The will may not be published.", properties.bytes());
}

void ConnectRefusals::turn_away(const Applicant& applicant, ReasonCode reason, std::string_view why,
                                std::string_view properties) {
  const ProtocolVersion version = applicant.version;
  shard_.counters().refused(static_cast<std::uint8_t>(reason));
  if (!is_silent(version, reason) && mqtt::may_carry(mqtt::PacketType::Connack, reason)) {
    mqtt::PropertyWriter own;
    own.text(PropertyId::ReasonString, why);
    const std::string all = std::string(own.bytes()).append(properties);
    mqtt::Connack packet{.reason = reason, .properties = mqtt::Properties::trusted(all)};
    if (mqtt::encoded_size(packet, version) > applicant.packet_size_max) packet.properties = {};  // [MQTT-3.2.2-19]
    if (mqtt::encoded_size(packet, version) <= applicant.packet_size_max) {                       // [MQTT-3.1.2-24]
      mqtt::encode(shard_.links().output(applicant.connection), packet, version);
    }
  }
  shard_.links().close(applicant.connection);
}

}  // namespace parley::shard
