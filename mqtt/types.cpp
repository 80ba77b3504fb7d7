#include "mqtt/types.hpp"

#include <algorithm>
#include <array>
#include <concepts>
#include <string>

namespace parley::mqtt {
namespace {

/// The packets that can carry a Reason Code: bit n is packet type n.
constexpr std::uint16_t in(std::same_as<PacketType> auto... types) {
  return static_cast<std::uint16_t>(((1U << static_cast<unsigned>(types)) | ...));
}

struct ReasonRule {
  ReasonCode code;
  std::string_view name;
  std::uint16_t carriers;
};

using enum PacketType;
constexpr std::uint16_t kConnection = in(Connack, Disconnect);
constexpr std::uint16_t kRefusal = in(Connack, Puback, Pubrec, Suback, Unsuback, Disconnect);

/// MQTT 5 §2.4, table 2-6.
constexpr std::array kReasonRules{
    ReasonRule{ReasonCode::Success, "Success",
               in(Connack, Puback, Pubrec, Pubrel, Pubcomp, Suback, Unsuback, Disconnect, Auth)},
    ReasonRule{ReasonCode::GrantedQos1, "Granted QoS 1", in(Suback)},
    ReasonRule{ReasonCode::GrantedQos2, "Granted QoS 2", in(Suback)},
    ReasonRule{ReasonCode::DisconnectWithWill, "Disconnect with Will Message", in(Disconnect)},
    ReasonRule{ReasonCode::NoMatchingSubscribers, "No matching subscribers", in(Puback, Pubrec)},
    ReasonRule{ReasonCode::NoSubscriptionExisted, "No subscription existed", in(Unsuback)},
    ReasonRule{ReasonCode::ContinueAuthentication, "Continue authentication", in(Auth)},
    ReasonRule{ReasonCode::Reauthenticate, "Re-authenticate", in(Auth)},
    ReasonRule{ReasonCode::UnspecifiedError, "Unspecified error", kRefusal},
    ReasonRule{ReasonCode::MalformedPacket, "Malformed Packet", kConnection},
    ReasonRule{ReasonCode::ProtocolError, "Protocol Error", kConnection},
    ReasonRule{ReasonCode::ImplementationSpecificError, "Implementation specific error", kRefusal},
    ReasonRule{ReasonCode::UnsupportedProtocolVersion, "Unsupported Protocol Version", in(Connack)},
    ReasonRule{ReasonCode::ClientIdentifierNotValid, "Client Identifier not valid", in(Connack)},
    ReasonRule{ReasonCode::BadUserNameOrPassword, "Bad User Name or Password", in(Connack)},
    ReasonRule{ReasonCode::NotAuthorized, "Not authorized", kRefusal},
    ReasonRule{ReasonCode::ServerUnavailable, "Server unavailable", in(Connack)},
    ReasonRule{ReasonCode::ServerBusy, "Server busy", kConnection},
    ReasonRule{ReasonCode::Banned, "Banned", in(Connack)},
    ReasonRule{ReasonCode::ServerShuttingDown, "Server shutting down", in(Disconnect)},
    ReasonRule{ReasonCode::BadAuthenticationMethod, "Bad authentication method", kConnection},
    ReasonRule{ReasonCode::KeepAliveTimeout, "Keep Alive timeout", in(Disconnect)},
    ReasonRule{ReasonCode::SessionTakenOver, "Session taken over", in(Disconnect)},
    ReasonRule{ReasonCode::TopicFilterInvalid, "Topic Filter invalid", in(Suback, Unsuback, Disconnect)},
    ReasonRule{ReasonCode::TopicNameInvalid, "Topic Name invalid", in(Connack, Puback, Pubrec, Disconnect)},
    ReasonRule{ReasonCode::PacketIdentifierInUse, "Packet Identifier in use", in(Puback, Pubrec, Suback, Unsuback)},
    ReasonRule{ReasonCode::PacketIdentifierNotFound, "Packet Identifier not found", in(Pubrel, Pubcomp)},
    ReasonRule{ReasonCode::ReceiveMaximumExceeded, "Receive Maximum exceeded", in(Disconnect)},
    ReasonRule{ReasonCode::TopicAliasInvalid, "Topic Alias invalid", in(Disconnect)},
    ReasonRule{ReasonCode::PacketTooLarge, "Packet too large", kConnection},
    ReasonRule{ReasonCode::MessageRateTooHigh, "Message rate too high", in(Disconnect)},
    ReasonRule{ReasonCode::QuotaExceeded, "Quota exceeded", in(Connack, Puback, Pubrec, Suback, Disconnect)},
    ReasonRule{ReasonCode::AdministrativeAction, "Administrative action", in(Disconnect)},
    ReasonRule{ReasonCode::PayloadFormatInvalid, "Payload format invalid", in(Connack, Puback, Pubrec, Disconnect)},
    ReasonRule{ReasonCode::RetainNotSupported, "Retain not supported", kConnection},
    ReasonRule{ReasonCode::QosNotSupported, "QoS not supported", kConnection},
    ReasonRule{ReasonCode::UseAnotherServer, "Use another server", kConnection},
    ReasonRule{ReasonCode::ServerMoved, "Server moved", kConnection},
    ReasonRule{ReasonCode::SharedSubscriptionsNotSupported, "Shared Subscriptions not supported",
               in(Suback, Disconnect)},
    ReasonRule{ReasonCode::ConnectionRateExceeded, "Connection rate exceeded", kConnection},
    ReasonRule{ReasonCode::MaximumConnectTime, "Maximum connect time", in(Disconnect)},
    ReasonRule{ReasonCode::SubscriptionIdentifiersNotSupported, "Subscription Identifiers not supported",
               in(Suback, Disconnect)},
    ReasonRule{ReasonCode::WildcardSubscriptionsNotSupported, "Wildcard Subscriptions not supported",
               in(Suback, Disconnect)},
};
static_assert(std::ranges::is_sorted(kReasonRules, {}, &ReasonRule::code));

constexpr auto kCarriers = [] {
  std::array<std::uint16_t, 256> carriers{};
  for (const ReasonRule& rule : kReasonRules) carriers[static_cast<std::uint8_t>(rule.code)] = rule.carriers;
  return carriers;
}();

constexpr std::array<std::string_view, 16> kPacketNames{
    "reserved",  "CONNECT", "CONNACK",     "PUBLISH",  "PUBACK",  "PUBREC",   "PUBREL",     "PUBCOMP",
    "SUBSCRIBE", "SUBACK",  "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH"};

class Category final : public boost::system::error_category {
 public:
  [[nodiscard]] const char* name() const noexcept override { return "mqtt"; }
  [[nodiscard]] std::string message(int value) const override {
    return std::string(name_of(static_cast<ReasonCode>(value)));
  }
};

}  // namespace

std::string_view name_of(ReasonCode code) {
  const auto found = std::ranges::lower_bound(kReasonRules, code, {}, &ReasonRule::code);
  return found != kReasonRules.end() && found->code == code ? found->name : "unknown reason";
}

bool may_carry(PacketType type, ReasonCode code) {
  return (kCarriers[static_cast<std::uint8_t>(code)] >> static_cast<std::uint8_t>(type) & 1) != 0;
}

std::string_view name_of(PacketType type) { return kPacketNames[static_cast<std::uint8_t>(type) & 0x0F]; }

const boost::system::error_category& reason_category() {
  static const Category category;
  return category;
}

}  // namespace parley::mqtt
