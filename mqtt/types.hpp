#pragma once

#include <boost/system/error_code.hpp>
#include <cstdint>
#include <string_view>

/// The specification's small vocabularies. MQTT 5 §1, §2.
namespace parley::mqtt {

/// Protocol Level of CONNECT. MQTT 3.1, 3.1.1 §3.1.2.2, MQTT 5 §3.1.2.2.
enum class ProtocolVersion : std::uint8_t { V3_1 = 3, V3_1_1 = 4, V5 = 5 };

/// MQTT 5 §2.1.2.
enum class PacketType : std::uint8_t {
  Connect = 1,
  Connack,
  Publish,
  Puback,
  Pubrec,
  Pubrel,
  Pubcomp,
  Subscribe,
  Suback,
  Unsubscribe,
  Unsuback,
  Pingreq,
  Pingresp,
  Disconnect,
  Auth,
};

enum class Qos : std::uint8_t { AtMostOnce = 0, AtLeastOnce = 1, ExactlyOnce = 2 };

/// MQTT 5 §2.4. As this room's error enum, a value ≥ 0x80 says why the packet was refused. Zero is success, hence no
/// error_code.
enum class ReasonCode : std::uint8_t {
  Success = 0x00,  ///< Also Normal disconnection, Granted QoS 0.
  GrantedQos1 = 0x01,
  GrantedQos2 = 0x02,
  DisconnectWithWill = 0x04,
  NoMatchingSubscribers = 0x10,
  NoSubscriptionExisted = 0x11,
  ContinueAuthentication = 0x18,
  Reauthenticate = 0x19,
  UnspecifiedError = 0x80,
  MalformedPacket = 0x81,
  ProtocolError = 0x82,
  ImplementationSpecificError = 0x83,
  UnsupportedProtocolVersion = 0x84,
  ClientIdentifierNotValid = 0x85,
  BadUserNameOrPassword = 0x86,
  NotAuthorized = 0x87,
  ServerUnavailable = 0x88,
  ServerBusy = 0x89,
  Banned = 0x8A,
  ServerShuttingDown = 0x8B,
  BadAuthenticationMethod = 0x8C,
  KeepAliveTimeout = 0x8D,
  SessionTakenOver = 0x8E,
  TopicFilterInvalid = 0x8F,
  TopicNameInvalid = 0x90,
  PacketIdentifierInUse = 0x91,
  PacketIdentifierNotFound = 0x92,
  ReceiveMaximumExceeded = 0x93,
  TopicAliasInvalid = 0x94,
  PacketTooLarge = 0x95,
  MessageRateTooHigh = 0x96,
  QuotaExceeded = 0x97,
  AdministrativeAction = 0x98,
  PayloadFormatInvalid = 0x99,
  RetainNotSupported = 0x9A,
  QosNotSupported = 0x9B,
  UseAnotherServer = 0x9C,
  ServerMoved = 0x9D,
  SharedSubscriptionsNotSupported = 0x9E,
  ConnectionRateExceeded = 0x9F,
  MaximumConnectTime = 0xA0,
  SubscriptionIdentifiersNotSupported = 0xA1,
  WildcardSubscriptionsNotSupported = 0xA2,
};

constexpr bool is_failure(ReasonCode code) { return static_cast<std::uint8_t>(code) >= 0x80; }
/// The specification's name, as in "Topic Name invalid".
std::string_view name_of(ReasonCode code);
std::string_view name_of(PacketType type);
/// True when a packet of that type can have that reason. MQTT 5 §2.4, table 2-6.
bool may_carry(PacketType type, ReasonCode code);

const boost::system::error_category& reason_category();
inline boost::system::error_code make_error_code(ReasonCode code) {
  return {static_cast<int>(code), reason_category()};
}
/// The ReasonCode inside an error that this room returned.
inline ReasonCode reason_of(const boost::system::error_code& error) { return static_cast<ReasonCode>(error.value()); }

}  // namespace parley::mqtt

template <>
struct boost::system::is_error_code_enum<parley::mqtt::ReasonCode> : std::true_type {};
