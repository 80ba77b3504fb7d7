#include "tests/mqtt/samples.hpp"

#include "tests/mqtt/notation.hpp"

namespace parley::mqtt {
namespace {

using enum ProtocolVersion;
using enum ReasonCode;

constexpr Qos Q0 = Qos::AtMostOnce;
constexpr Qos Q1 = Qos::AtLeastOnce;
constexpr Qos Q2 = Qos::ExactlyOnce;

/// MQTT 5 §3.1; 3.1.1 §3.1; 3.1 "CONNECT".
void add_connects(std::vector<Sample>& list) {
  list.push_back({"CONNECT, the least", V5, "10 0D 00 04 'MQTT' 05 02 00 00 00 00 00", Connect{.version = V5}});
  list.push_back({"CONNECT, the least", V3_1_1, "10 0C 00 04 'MQTT' 04 02 00 00 00 00", Connect{.version = V3_1_1}});
  list.push_back({"CONNECT of a bridge", V3_1_1, "10 0C 00 04 'MQTT' 84 02 00 00 00 00",
                  Connect{.version = V3_1_1, .is_bridge = true}});
  list.push_back({"CONNECT of a bridge", V3_1, "10 0F 00 06 'MQIsdp' 83 02 00 00 00 01 'a'",
                  Connect{.version = V3_1, .is_bridge = true, .client_id = "a"}});
  list.push_back({"CONNECT, the least", V3_1, "10 0F 00 06 'MQIsdp' 03 02 00 00 00 01 'a'",
                  Connect{.version = V3_1, .client_id = "a"}});
  list.push_back({"CONNECT with a kept session", V5, "10 0E 00 04 'MQTT' 05 00 00 3C 00 00 01 'a'",
                  Connect{.version = V5, .clean_start = false, .keep_alive = 60, .client_id = "a"}});
  list.push_back({"CONNECT with a kept session", V3_1_1, "10 0D 00 04 'MQTT' 04 00 FF FF 00 01 'a'",
                  Connect{.version = V3_1_1, .clean_start = false, .keep_alive = 65'535, .client_id = "a"}});
  list.push_back({"CONNECT with everything", V5,
                  "10 33 00 04 'MQTT' 05 F6 00 0A 0D 11 00 00 00 0A 21 00 14 26 00 00 00 00 00 02 'me'"
                  "05 18 00 00 00 05 00 03 'w/t' 00 03 'bye' 00 01 'u' 00 02 'pw'",
                  Connect{.version = V5,
                          .keep_alive = 10,
                          .client_id = "me",
                          .will = Will{.qos = Q2,
                                       .retain = true,
                                       .topic = "w/t",
                                       .payload = "bye",
                                       .properties = properties("18 00 00 00 05")},
                          .user_name = "u",
                          .password = "pw",
                          .properties = properties("11 00 00 00 0A 21 00 14 26 00 00 00 00")}});
  list.push_back({"CONNECT with everything", V3_1_1,
                  "10 1F 00 04 'MQTT' 04 CE 00 0A 00 02 'me' 00 03 'w/t' 00 03 'bye' 00 01 'u' 00 02 'pw'",
                  Connect{.version = V3_1_1,
                          .keep_alive = 10,
                          .client_id = "me",
                          .will = Will{.qos = Q1, .topic = "w/t", .payload = "bye"},
                          .user_name = "u",
                          .password = "pw"}});
  list.push_back({"CONNECT with everything", V3_1,
                  "10 21 00 06 'MQIsdp' 03 E6 00 0A 00 02 'me' 00 03 'w/t' 00 03 'bye' 00 01 'u' 00 02 'pw'",
                  Connect{.version = V3_1,
                          .keep_alive = 10,
                          .client_id = "me",
                          .will = Will{.qos = Q0, .retain = true, .topic = "w/t", .payload = "bye"},
                          .user_name = "u",
                          .password = "pw"}});
  list.push_back({"CONNECT with a password alone", V5, "10 11 00 04 'MQTT' 05 42 00 00 00 00 00 00 02 'pw'",
                  Connect{.version = V5, .password = "pw"}});
  list.push_back({"CONNECT with an empty will payload and user name", V5,
                  "10 15 00 04 'MQTT' 05 86 00 00 00 00 00 00 00 01 'w' 00 00 00 00",
                  Connect{.version = V5, .will = Will{.topic = "w"}, .user_name = ""}});
}

/// MQTT 5 §3.2; 3.1.1 §3.2.
void add_connacks(std::vector<Sample>& list) {
  list.push_back({"CONNACK", V5, "20 03 00 00 00", Connack{}});
  list.push_back({"CONNACK", V3_1_1, "20 02 00 00", Connack{}});
  list.push_back({"CONNACK", V3_1, "20 02 00 00", Connack{}});
  list.push_back({"CONNACK, session present", V5, "20 03 01 00 00", Connack{.session_present = true}});
  list.push_back({"CONNACK, session present", V3_1_1, "20 02 01 00", Connack{.session_present = true}});
  list.push_back({"CONNACK, refused", V5, "20 07 00 87 04 1F 00 01 'x'",
                  Connack{.reason = NotAuthorized, .properties = properties("1F 00 01 'x'")}});
  list.push_back({"CONNACK, version", V3_1_1, "20 02 00 01", Connack{.reason = UnsupportedProtocolVersion}});
  list.push_back({"CONNACK, identifier", V3_1_1, "20 02 00 02", Connack{.reason = ClientIdentifierNotValid}});
  list.push_back({"CONNACK, unavailable", V3_1_1, "20 02 00 03", Connack{.reason = ServerUnavailable}});
  list.push_back({"CONNACK, password", V3_1, "20 02 00 04", Connack{.reason = BadUserNameOrPassword}});
  list.push_back({"CONNACK, not authorized", V3_1, "20 02 00 05", Connack{.reason = NotAuthorized}});
}

/// MQTT 5 §3.3.
void add_publishes(std::vector<Sample>& list) {
  list.push_back({"PUBLISH", V5, "30 07 00 01 'a' 00 'hey'", Publish{.topic = "a", .payload = "hey"}});
  for (const ProtocolVersion old : {V3_1_1, V3_1}) {
    list.push_back({"PUBLISH", old, "30 06 00 01 'a' 'hey'", Publish{.topic = "a", .payload = "hey"}});
    list.push_back({"PUBLISH, QoS 1, again and retained", old, "3B 08 00 01 'a' 00 0A 'hey'",
                    Publish{.dup = true, .qos = Q1, .retain = true, .topic = "a", .packet_id = 10, .payload = "hey"}});
    list.push_back(
        {"PUBLISH, QoS 2", old, "34 05 00 01 'a' FF FF", Publish{.qos = Q2, .topic = "a", .packet_id = 65'535}});
  }
  list.push_back({"PUBLISH, QoS 1, again and retained", V5, "3B 09 00 01 'a' 00 0A 00 'hey'",
                  Publish{.dup = true, .qos = Q1, .retain = true, .topic = "a", .packet_id = 10, .payload = "hey"}});
  list.push_back({"PUBLISH, QoS 2, no payload", V5, "34 06 00 01 'a' FF FF 00",
                  Publish{.qos = Q2, .topic = "a", .packet_id = 65'535}});
  list.push_back({"PUBLISH with an alias alone", V5, "30 07 00 00 03 23 00 05 'x'",
                  Publish{.topic = "", .properties = properties("23 00 05"), .payload = "x"}});
  list.push_back({"PUBLISH with every property", V5,
                  "32 36 00 03 'a/b' 00 01 2B 01 01 02 00 00 00 3C 03 00 01 't' 08 00 03 'r/t' 09 00 02 00 FF 23 00 01"
                  "0B 80 01 0B 05 26 00 01 'k' 00 01 'v' 26 00 01 'k' 00 00 'hey'",
                  Publish{.qos = Q1,
                          .topic = "a/b",
                          .packet_id = 1,
                          .properties = properties("01 01 02 00 00 00 3C 03 00 01 't' 08 00 03 'r/t' 09 00 02 00 FF"
                                                   "23 00 01 0B 80 01 0B 05 26 00 01 'k' 00 01 'v' 26 00 01 'k' 00 00"),
                          .payload = "hey"}});
}

/// MQTT 5 §3.4 to §3.7.
void add_acks(std::vector<Sample>& list) {
  using enum PacketType;
  for (const ProtocolVersion version : kVersions) {
    list.push_back({"PUBACK", version, "40 02 00 01", Ack{.type = Puback, .packet_id = 1}});
    list.push_back({"PUBREC", version, "50 02 00 02", Ack{.type = Pubrec, .packet_id = 2}});
    list.push_back({"PUBREL", version, "62 02 00 03", Ack{.type = Pubrel, .packet_id = 3}});
    list.push_back({"PUBCOMP", version, "70 02 FF FF", Ack{.type = Pubcomp, .packet_id = 65'535}});
  }
  list.push_back({"PUBACK with a reason", V5, "40 03 00 01 10",
                  Ack{.type = Puback, .packet_id = 1, .reason = NoMatchingSubscribers}});
  list.push_back({"PUBACK with a receipt", V5, "40 0C 00 01 00 08 26 00 03 'seq' 00 00",
                  Ack{.type = Puback, .packet_id = 1, .properties = properties("26 00 03 'seq' 00 00")}});
  list.push_back(
      {"PUBREC refused", V5, "50 08 00 02 97 04 1F 00 01 'x'",
       Ack{.type = Pubrec, .packet_id = 2, .reason = QuotaExceeded, .properties = properties("1F 00 01 'x'")}});
  list.push_back({"PUBREL, not found", V5, "62 03 00 03 92",
                  Ack{.type = Pubrel, .packet_id = 3, .reason = PacketIdentifierNotFound}});
  list.push_back({"PUBCOMP, not found", V5, "70 03 00 04 92",
                  Ack{.type = Pubcomp, .packet_id = 4, .reason = PacketIdentifierNotFound}});
}

/// MQTT 5 §3.8 to §3.11.
void add_subscriptions(std::vector<Sample>& list) {
  list.push_back(
      {"SUBSCRIBE", V5, "82 0B 00 0A 00 00 01 'a' 2E 00 01 'b' 00",
       Subscribe{.packet_id = 10,
                 .items = {{"a", {.qos = Q2, .no_local = true, .retain_as_published = true, .retain_handling = 2}},
                           {"b", {}}}}});
  list.push_back({"SUBSCRIBE with an identifier", V5, "82 0A 00 0A 03 0B 80 01 00 01 '#' 11",
                  Subscribe{.packet_id = 10,
                            .properties = properties("0B 80 01"),
                            .items = {{"#", {.qos = Q1, .retain_handling = 1}}}}});
  for (const ProtocolVersion old : {V3_1_1, V3_1}) {
    list.push_back({"SUBSCRIBE", old, "82 0A 00 0A 00 01 'a' 02 00 01 '+' 01",
                    Subscribe{.packet_id = 10, .items = {{"a", {.qos = Q2}}, {"+", {.qos = Q1}}}}});
    list.push_back({"SUBACK", old, "90 05 00 0A 01 02 80",
                    Suback{.packet_id = 10, .reasons = {GrantedQos1, GrantedQos2, UnspecifiedError}}});
    list.push_back(
        {"UNSUBSCRIBE", old, "A2 08 00 0B 00 01 'a' 00 01 'b'", Unsubscribe{.packet_id = 11, .filters = {"a", "b"}}});
    list.push_back({"UNSUBACK", old, "B0 02 00 0B", Unsuback{.packet_id = 11}});
  }
  list.push_back({"SUBACK", V5, "90 06 00 0A 00 00 01 8F",
                  Suback{.packet_id = 10, .reasons = {Success, GrantedQos1, TopicFilterInvalid}}});
  list.push_back({"SUBACK with properties", V5, "90 0C 00 0A 08 26 00 03 'seq' 00 00 02",
                  Suback{.packet_id = 10, .properties = properties("26 00 03 'seq' 00 00"), .reasons = {GrantedQos2}}});
  list.push_back(
      {"UNSUBSCRIBE", V5, "A2 09 00 0B 00 00 01 'a' 00 01 'b'", Unsubscribe{.packet_id = 11, .filters = {"a", "b"}}});
  list.push_back({"UNSUBSCRIBE with a property", V5, "A2 0B 00 0B 05 26 00 00 00 00 00 01 'a'",
                  Unsubscribe{.packet_id = 11, .properties = properties("26 00 00 00 00"), .filters = {"a"}}});
  list.push_back(
      {"UNSUBACK", V5, "B0 05 00 0B 00 00 11", Unsuback{.packet_id = 11, .reasons = {Success, NoSubscriptionExisted}}});
}

/// MQTT 5 §3.12 to §3.15.
void add_others(std::vector<Sample>& list) {
  for (const ProtocolVersion version : kVersions) {
    list.push_back({"PINGREQ", version, "C0 00", Pingreq{}});
    list.push_back({"PINGRESP", version, "D0 00", Pingresp{}});
    list.push_back({"DISCONNECT", version, "E0 00", Disconnect{}});
  }
  list.push_back({"DISCONNECT with will", V5, "E0 01 04", Disconnect{.reason = DisconnectWithWill}});
  list.push_back({"DISCONNECT with an expiry", V5, "E0 07 00 05 11 00 00 00 09",
                  Disconnect{.properties = properties("11 00 00 00 09")}});
  list.push_back({"DISCONNECT of the server", V5, "E0 06 8E 04 1F 00 01 'x'",
                  Disconnect{.reason = SessionTakenOver, .properties = properties("1F 00 01 'x'")}});
  list.push_back({"AUTH, the least", V5, "F0 00", Auth{}});
  list.push_back({"AUTH", V5, "F0 06 18 04 15 00 01 'm'",
                  Auth{.reason = ContinueAuthentication, .properties = properties("15 00 01 'm'")}});
}

std::vector<Sample> all() {
  std::vector<Sample> list;
  add_connects(list);
  add_connacks(list);
  add_publishes(list);
  add_acks(list);
  add_subscriptions(list);
  add_others(list);
  return list;
}

}  // namespace

const std::vector<Sample>& samples() {
  static const std::vector<Sample> list = all();
  return list;
}

}  // namespace parley::mqtt
