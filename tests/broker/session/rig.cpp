#include "tests/broker/session/rig.hpp"

#include <gtest/gtest.h>

namespace parley::session {
namespace {

std::string code(ReasonCode reason) { return " 0x" + hex(std::string(1, static_cast<char>(reason))); }

std::string line_of_publish(const mqtt::Publish& packet) {
  std::string line = "PUBLISH";
  if (packet.packet_id != 0) line += " " + std::to_string(packet.packet_id);
  line += packet.topic.empty() ? " -" : " " + std::string(packet.topic);
  if (packet.dup) line += " dup";
  line += " q" + std::to_string(static_cast<int>(packet.qos));
  if (packet.retain) line += " retain";
  for (const auto& item : packet.properties) {
    if (item.id == mqtt::PropertyId::TopicAlias) line += " alias=" + std::to_string(item.integer);
    if (item.id == mqtt::PropertyId::MessageExpiryInterval) line += " expiry=" + std::to_string(item.integer);
    if (item.id == mqtt::PropertyId::SubscriptionIdentifier) line += " sub=" + std::to_string(item.integer);
    if (item.id == mqtt::PropertyId::UserProperty) line += " " + std::string(item.name) + "=" + std::string(item.text);
  }
  return line + " '" + std::string(packet.payload.substr(0, 20)) + "'";
}

}  // namespace

std::string line_of(const mqtt::Packet& packet) {
  if (const auto* publish = std::get_if<mqtt::Publish>(&packet)) return line_of_publish(*publish);
  if (const auto* ack = std::get_if<mqtt::Ack>(&packet)) {
    std::string line = std::string(mqtt::name_of(ack->type)) + " " + std::to_string(ack->packet_id);
    if (ack->reason != ReasonCode::Success) line += code(ack->reason);
    if (!ack->properties.empty()) line += " +" + std::to_string(ack->properties.bytes().size());
    return line;
  }
  if (const auto* connack = std::get_if<mqtt::Connack>(&packet)) {
    return std::string("CONNACK") + (connack->session_present ? " present" : "");
  }
  if (const auto* disconnect = std::get_if<mqtt::Disconnect>(&packet)) return "DISCONNECT" + code(disconnect->reason);
  if (std::holds_alternative<mqtt::Pingresp>(packet)) return "PINGRESP";
  if (const auto* suback = std::get_if<mqtt::Suback>(&packet)) {
    std::string line = "SUBACK " + std::to_string(suback->packet_id);
    for (const auto reason : suback->reasons) line += code(reason);
    if (!suback->properties.empty()) line += " +" + std::to_string(suback->properties.bytes().size());
    return line;
  }
  if (const auto* unsuback = std::get_if<mqtt::Unsuback>(&packet)) {
    std::string line = "UNSUBACK " + std::to_string(unsuback->packet_id);
    for (const auto reason : unsuback->reasons) line += code(reason);
    return line;
  }
  return "?";
}

Rig::Rig(Limits limits_wanted)
    : limits(limits_wanted),
      session(std::make_unique<Session>("client", "user", 42, limits)),
      output(std::make_unique<Output>()) {}

void Rig::connect(const mqtt::Connect& connect) {
  version = connect.version;
  output->clear();
  session->attach(connect, *output, now);
  static_cast<void>(session->write_connack(false, false, {}));  // A client may be too small for it.
  output->clear();
  session->resume(now);
}

std::optional<WillPlan> Rig::disconnect() {
  auto will = session->detach(now);
  output->clear();
  tickets.clear();
  return will;
}

void Rig::send(const mqtt::Packet& packet) {
  const std::string wire = mqtt::encoded(packet, version);
  const auto frame = mqtt::next_frame(wire, {});
  ASSERT_TRUE(frame && *frame);
  Actions actions;
  session->receive(**frame, now, actions);
  take_actions(actions);
}

void Rig::send(std::string_view notation) {
  const std::string wire = bytes(notation);
  const auto frame = mqtt::next_frame(wire, {});
  ASSERT_TRUE(frame && *frame) << notation;
  Actions actions;
  session->receive(**frame, now, actions);
  take_actions(actions);
}

void Rig::take_actions(Actions& actions) {
  for (const Action& action : actions) {
    if (const auto* publish = std::get_if<PublishAction>(&action)) {
      tickets.push_back(publish->ticket);
      actions_.push_back("publish " + std::string(publish->publish.topic) + " q" +
                         std::to_string(static_cast<int>(publish->publish.qos)));
    } else if (const auto* subscribe = std::get_if<SubscribeAction>(&action)) {
      std::string line = "subscribe " + std::to_string(subscribe->subscribe.packet_id);
      for (const auto& item : subscribe->subscribe.items) line += " " + std::string(item.filter);
      if (subscribe->subscription_id != 0) line += " id=" + std::to_string(subscribe->subscription_id);
      actions_.push_back(line);
    } else if (const auto* unsubscribe = std::get_if<UnsubscribeAction>(&action)) {
      std::string line = "unsubscribe " + std::to_string(unsubscribe->unsubscribe.packet_id);
      for (const auto filter : unsubscribe->unsubscribe.filters) line += " " + std::string(filter);
      actions_.push_back(line);
    } else if (std::holds_alternative<WindowAction>(action)) {
      actions_.push_back("window");
    } else if (const auto* close = std::get_if<CloseAction>(&action)) {
      actions_.push_back("close" + code(close->reason));
    }
  }
}

void Rig::publish(std::string_view topic, Qos qos, mqtt::PacketId id, bool dup) {
  send(mqtt::Publish{.dup = dup, .qos = qos, .topic = topic, .packet_id = id, .payload = "p"});
}
void Rig::puback(mqtt::PacketId id, ReasonCode reason) {
  send(mqtt::Ack{.type = mqtt::PacketType::Puback, .packet_id = id, .reason = reason});
}
void Rig::pubrec(mqtt::PacketId id, ReasonCode reason) {
  send(mqtt::Ack{.type = mqtt::PacketType::Pubrec, .packet_id = id, .reason = reason});
}
void Rig::pubrel(mqtt::PacketId id) { send(mqtt::Ack{.type = mqtt::PacketType::Pubrel, .packet_id = id}); }
void Rig::pubcomp(mqtt::PacketId id) { send(mqtt::Ack{.type = mqtt::PacketType::Pubcomp, .packet_id = id}); }

std::string Rig::received_bytes() {
  std::string all = mqtt::content(*output);
  output->clear();
  return all;
}

std::vector<std::string> Rig::received() {
  const std::string all = received_bytes();
  std::vector<std::string> lines;
  for (std::string_view rest = all; !rest.empty();) {
    const auto frame = mqtt::next_frame(rest, {});
    if (!frame || !*frame) return {"not a packet: " + hex(rest)};
    const auto packet = mqtt::decode(**frame, version, {});
    lines.push_back(packet ? line_of(*packet) : "not a packet: " + hex(rest));
    rest.remove_prefix((*frame)->size);
  }
  return lines;
}

std::vector<std::string> Rig::actions() { return std::exchange(actions_, {}); }

mqtt::MessagePtr Rig::message(std::string_view topic, std::string_view payload, Qos qos) {
  return mqtt::Message::make({.topic = topic, .payload = payload, .qos = qos});
}

Delivered Rig::deliver(std::string_view topic, std::string_view payload, Qos qos, std::vector<std::uint32_t> ids) {
  return session->deliver(message(topic, payload), qos, false, ids, now);
}

void Rig::entry(CursorId cursor, std::uint64_t seq, std::size_t size) {
  const std::string topic(session->cursor(cursor).topic);
  std::string payload = std::to_string(seq);
  if (payload.size() < size) payload.append(size - payload.size(), '.');
  session->send_entry(cursor, {seq}, message(topic, payload), false, now);
}

}  // namespace parley::session
