#include "mqtt/types.hpp"

#include <algorithm>
#include <array>
#include <string>

namespace parley::mqtt {
namespace {

struct ReasonName {
  ReasonCode code;
  std::string_view name;
};

/// MQTT 5 §2.4, table 2-6.
constexpr std::array kReasonNames{
    ReasonName{ReasonCode::Success, "Success"},
    ReasonName{ReasonCode::GrantedQos1, "Granted QoS 1"},
    ReasonName{ReasonCode::GrantedQos2, "Granted QoS 2"},
    ReasonName{ReasonCode::DisconnectWithWill, "Disconnect with Will Message"},
    ReasonName{ReasonCode::NoMatchingSubscribers, "No matching subscribers"},
    ReasonName{ReasonCode::NoSubscriptionExisted, "No subscription existed"},
    ReasonName{ReasonCode::ContinueAuthentication, "Continue authentication"},
    ReasonName{ReasonCode::Reauthenticate, "Re-authenticate"},
    ReasonName{ReasonCode::UnspecifiedError, "Unspecified error"},
    ReasonName{ReasonCode::MalformedPacket, "Malformed Packet"},
    ReasonName{ReasonCode::ProtocolError, "Protocol Error"},
    ReasonName{ReasonCode::ImplementationSpecificError, "Implementation specific error"},
    ReasonName{ReasonCode::UnsupportedProtocolVersion, "Unsupported Protocol Version"},
    ReasonName{ReasonCode::ClientIdentifierNotValid, "Client Identifier not valid"},
    ReasonName{ReasonCode::BadUserNameOrPassword, "Bad User Name or Password"},
    ReasonName{ReasonCode::NotAuthorized, "Not authorized"},
    ReasonName{ReasonCode::ServerUnavailable, "Server unavailable"},
    ReasonName{ReasonCode::ServerBusy, "Server busy"},
    ReasonName{ReasonCode::Banned, "Banned"},
    ReasonName{ReasonCode::ServerShuttingDown, "Server shutting down"},
    ReasonName{ReasonCode::BadAuthenticationMethod, "Bad authentication method"},
    ReasonName{ReasonCode::KeepAliveTimeout, "Keep Alive timeout"},
    ReasonName{ReasonCode::SessionTakenOver, "Session taken over"},
    ReasonName{ReasonCode::TopicFilterInvalid, "Topic Filter invalid"},
    ReasonName{ReasonCode::TopicNameInvalid, "Topic Name invalid"},
    ReasonName{ReasonCode::PacketIdentifierInUse, "Packet Identifier in use"},
    ReasonName{ReasonCode::PacketIdentifierNotFound, "Packet Identifier not found"},
    ReasonName{ReasonCode::ReceiveMaximumExceeded, "Receive Maximum exceeded"},
    ReasonName{ReasonCode::TopicAliasInvalid, "Topic Alias invalid"},
    ReasonName{ReasonCode::PacketTooLarge, "Packet too large"},
    ReasonName{ReasonCode::MessageRateTooHigh, "Message rate too high"},
    ReasonName{ReasonCode::QuotaExceeded, "Quota exceeded"},
    ReasonName{ReasonCode::AdministrativeAction, "Administrative action"},
    ReasonName{ReasonCode::PayloadFormatInvalid, "Payload format invalid"},
    ReasonName{ReasonCode::RetainNotSupported, "Retain not supported"},
    ReasonName{ReasonCode::QosNotSupported, "QoS not supported"},
    ReasonName{ReasonCode::UseAnotherServer, "Use another server"},
    ReasonName{ReasonCode::ServerMoved, "Server moved"},
    ReasonName{ReasonCode::SharedSubscriptionsNotSupported, "Shared Subscriptions not supported"},
    ReasonName{ReasonCode::ConnectionRateExceeded, "Connection rate exceeded"},
    ReasonName{ReasonCode::MaximumConnectTime, "Maximum connect time"},
    ReasonName{ReasonCode::SubscriptionIdentifiersNotSupported, "Subscription Identifiers not supported"},
    ReasonName{ReasonCode::WildcardSubscriptionsNotSupported, "Wildcard Subscriptions not supported"},
};
static_assert(std::ranges::is_sorted(kReasonNames, {}, &ReasonName::code));

constexpr std::array<std::string_view, 16> kPacketNames{
    "reserved",    "CONNECT", "CONNACK",  "PUBLISH",     "PUBACK",   "PUBREC",  "PUBREL",   "PUBCOMP",
    "SUBSCRIBE",   "SUBACK",  "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH"};

class Category final : public boost::system::error_category {
 public:
  [[nodiscard]] const char* name() const noexcept override { return "mqtt"; }
  [[nodiscard]] std::string message(int value) const override {
    return std::string(name_of(static_cast<ReasonCode>(value)));
  }
};

}  // namespace

std::string_view name_of(ReasonCode code) {
  const auto found = std::ranges::lower_bound(kReasonNames, code, {}, &ReasonName::code);
  return found != kReasonNames.end() && found->code == code ? found->name : "unknown reason";
}

std::string_view name_of(PacketType type) { return kPacketNames[static_cast<std::uint8_t>(type) & 0x0F]; }

const boost::system::error_category& reason_category() {
  static const Category category;
  return category;
}

}  // namespace parley::mqtt
