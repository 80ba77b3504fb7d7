#include "mqtt/reasons.hpp"

#include <algorithm>
#include <initializer_list>
#include <span>

namespace parley::mqtt {
namespace {

using enum ReasonCode;

constexpr ReasonCode kConnack[] = {Success,
                                   UnspecifiedError,
                                   MalformedPacket,
                                   ProtocolError,
                                   ImplementationSpecificError,
                                   UnsupportedProtocolVersion,
                                   ClientIdentifierNotValid,
                                   BadUserNameOrPassword,
                                   NotAuthorized,
                                   ServerUnavailable,
                                   ServerBusy,
                                   Banned,
                                   BadAuthenticationMethod,
                                   TopicNameInvalid,
                                   PacketTooLarge,
                                   QuotaExceeded,
                                   PayloadFormatInvalid,
                                   RetainNotSupported,
                                   QosNotSupported,
                                   UseAnotherServer,
                                   ServerMoved,
                                   ConnectionRateExceeded};
constexpr ReasonCode kPuback[] = {
    Success,          NoMatchingSubscribers, UnspecifiedError, ImplementationSpecificError, NotAuthorized,
    TopicNameInvalid, PacketIdentifierInUse, QuotaExceeded,    PayloadFormatInvalid};
constexpr ReasonCode kPubrel[] = {Success, PacketIdentifierNotFound};
constexpr ReasonCode kSuback[] = {Success,
                                  GrantedQos1,
                                  GrantedQos2,
                                  UnspecifiedError,
                                  ImplementationSpecificError,
                                  NotAuthorized,
                                  TopicFilterInvalid,
                                  PacketIdentifierInUse,
                                  QuotaExceeded,
                                  SharedSubscriptionsNotSupported,
                                  SubscriptionIdentifiersNotSupported,
                                  WildcardSubscriptionsNotSupported};
constexpr ReasonCode kUnsuback[] = {
    Success,       NoSubscriptionExisted, UnspecifiedError,     ImplementationSpecificError,
    NotAuthorized, TopicFilterInvalid,    PacketIdentifierInUse};
constexpr ReasonCode kDisconnect[] = {Success,
                                      DisconnectWithWill,
                                      UnspecifiedError,
                                      MalformedPacket,
                                      ProtocolError,
                                      ImplementationSpecificError,
                                      NotAuthorized,
                                      ServerBusy,
                                      ServerShuttingDown,
                                      KeepAliveTimeout,
                                      SessionTakenOver,
                                      TopicFilterInvalid,
                                      TopicNameInvalid,
                                      ReceiveMaximumExceeded,
                                      TopicAliasInvalid,
                                      PacketTooLarge,
                                      MessageRateTooHigh,
                                      QuotaExceeded,
                                      AdministrativeAction,
                                      PayloadFormatInvalid,
                                      RetainNotSupported,
                                      QosNotSupported,
                                      UseAnotherServer,
                                      ServerMoved,
                                      SharedSubscriptionsNotSupported,
                                      ConnectionRateExceeded,
                                      MaximumConnectTime,
                                      SubscriptionIdentifiersNotSupported,
                                      WildcardSubscriptionsNotSupported};
constexpr ReasonCode kAuth[] = {Success, ContinueAuthentication, Reauthenticate};

std::span<const ReasonCode> allowed(PacketType type) {
  switch (type) {
    case PacketType::Connack: return kConnack;
    case PacketType::Puback:
    case PacketType::Pubrec: return kPuback;
    case PacketType::Pubrel:
    case PacketType::Pubcomp: return kPubrel;
    case PacketType::Suback: return kSuback;
    case PacketType::Unsuback: return kUnsuback;
    case PacketType::Disconnect: return kDisconnect;
    case PacketType::Auth: return kAuth;
    default: return {};
  }
}

}  // namespace

bool reason_allowed(PacketType type, ReasonCode code) {
  const auto codes = allowed(type);
  return std::ranges::find(codes, code) != codes.end();
}

}  // namespace parley::mqtt
