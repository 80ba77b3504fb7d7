#include "tests/simulation/client.hpp"

#include <array>
#include <variant>

#include "base/check.hpp"
#include "broker/chat/topic.hpp"
#include "mqtt/encode.hpp"
#include "tests/simulation/world.hpp"

namespace parley::simulation {
namespace {

using mqtt::PacketType;
using mqtt::PropertyId;

UserProperties users_of(const mqtt::Properties& properties) {
  UserProperties users;
  for (const auto& item : properties) {
    if (item.id == PropertyId::UserProperty) users.emplace_back(item.name, item.text);
  }
  return users;
}

void write(mqtt::PropertyWriter& to, const UserProperties& users) {
  for (const auto& [name, value] : users) to.user(name, value);
}

mqtt::Properties trusted(const mqtt::PropertyWriter& writer) { return mqtt::Properties::trusted(writer.bytes()); }

}  // namespace

std::string user(const UserProperties& properties, std::string_view name) {
  for (const auto& [key, value] : properties) {
    if (key == name) return value;
  }
  return {};
}

std::uint64_t Received::seq() const { return chat::read_decimal(user("seq")).value_or(0); }

// -- To the broker --

void Client::connect(const ConnectOptions& options) {
  drop();
  version_ = options.version;
  aliases_.clear();
  wire_ = std::make_shared<Wire>();
  wire_->room = room;
  wire_->admission = options.admission;
  world_.accept(wire_, options.shard);
  mqtt::PropertyWriter properties;
  if (options.expiry != 0) properties.integer(PropertyId::SessionExpiryInterval, options.expiry);
  if (options.receive_maximum != 0) properties.integer(PropertyId::ReceiveMaximum, options.receive_maximum);
  if (options.packet_size_max != 0) properties.integer(PropertyId::MaximumPacketSize, options.packet_size_max);
  if (options.topic_aliases != 0) properties.integer(PropertyId::TopicAliasMaximum, options.topic_aliases);
  if (!options.problem_information) properties.integer(PropertyId::RequestProblemInformation, 0);
  if (!options.authentication_method.empty()) {
    properties.text(PropertyId::AuthenticationMethod, options.authentication_method);
    if (!options.authentication_data.empty()) {
      properties.text(PropertyId::AuthenticationData, options.authentication_data);
    }
  }
  write(properties, options.users);
  mqtt::Connect packet{.version = options.version,
                       .clean_start = options.clean_start,
                       .keep_alive = options.keep_alive,
                       .client_id = id_,
                       .properties = trusted(properties)};
  if (options.user_name) packet.user_name = *options.user_name;
  if (options.password) packet.password = *options.password;
  mqtt::PropertyWriter will_properties;
  if (options.will) {
    const WillOptions& will = *options.will;
    if (will.delay != 0) will_properties.integer(PropertyId::WillDelayInterval, will.delay);
    if (will.message_expiry) will_properties.integer(PropertyId::MessageExpiryInterval, *will.message_expiry);
    packet.will = mqtt::Will{.qos = will.qos,
                             .retain = will.retain,
                             .topic = will.topic,
                             .payload = will.payload,
                             .properties = trusted(will_properties)};
  }
  send(packet);
}

mqtt::PacketId Client::publish(std::string_view topic, std::string_view payload, const PublishOptions& options) {
  mqtt::PropertyWriter properties;
  if (options.expiry) properties.integer(PropertyId::MessageExpiryInterval, *options.expiry);
  if (!options.response_topic.empty()) properties.text(PropertyId::ResponseTopic, options.response_topic);
  if (!options.correlation.empty()) properties.text(PropertyId::CorrelationData, options.correlation);
  if (!options.id.empty()) properties.user("id", options.id);
  write(properties, options.users);
  mqtt::PacketId packet_id = 0;
  if (options.qos != mqtt::Qos::AtMostOnce) packet_id = options.packet_id ? *options.packet_id : next_packet_id();
  send(mqtt::Publish{.dup = options.dup,
                     .qos = options.qos,
                     .retain = options.retain,
                     .topic = topic,
                     .packet_id = packet_id,
                     .properties = trusted(properties),
                     .payload = payload});
  return packet_id;
}

mqtt::PacketId Client::subscribe(std::string_view filter, const SubscribeOptions& options) {
  return subscribe(std::vector{std::string(filter)}, options);
}

mqtt::PacketId Client::subscribe(const std::vector<std::string>& filters, const SubscribeOptions& options) {
  mqtt::PropertyWriter properties;
  if (options.subscription_id != 0) properties.integer(PropertyId::SubscriptionIdentifier, options.subscription_id);
  write(properties, options.users);
  mqtt::Subscribe packet{.packet_id = next_packet_id(), .properties = trusted(properties), .items = {}};
  for (const auto& filter : filters) {
    packet.items.push_back({filter,
                            {.qos = options.qos,
                             .no_local = options.no_local,
                             .retain_as_published = options.retain_as_published,
                             .retain_handling = options.retain_handling}});
  }
  const auto id = packet.packet_id;
  send(packet);
  return id;
}

mqtt::PacketId Client::unsubscribe(std::string_view filter) {
  const auto id = next_packet_id();
  send(mqtt::Unsubscribe{.packet_id = id, .properties = {}, .filters = {filter}});
  return id;
}

void Client::disconnect(mqtt::ReasonCode reason, std::optional<std::uint32_t> expiry) {
  mqtt::PropertyWriter properties;
  if (expiry) properties.integer(PropertyId::SessionExpiryInterval, *expiry);
  send(mqtt::Disconnect{.reason = reason, .properties = trusted(properties)});
  drop();
}

void Client::authenticate(mqtt::ReasonCode reason, std::string_view method, std::string_view data) {
  mqtt::PropertyWriter properties;
  properties.text(PropertyId::AuthenticationMethod, method);
  properties.text(PropertyId::AuthenticationData, data);
  send(mqtt::Auth{.reason = reason, .properties = trusted(properties)});
}

void Client::send(const mqtt::Packet& packet) {
  if (!wire_) return;
  Output output;
  mqtt::encode(output, packet, version_);
  std::array<iovec, 1> piece{};
  while (output.gather(piece) != 0) {
    wire_->to_broker.append(static_cast<const char*>(piece[0].iov_base), piece[0].iov_len);
    output.consume(piece[0].iov_len);
  }
}

void Client::send_bytes(std::string_view bytes) {
  if (wire_) wire_->to_broker.append(bytes);
}

void Client::acknowledge(const Received& one) {
  if (one.qos == mqtt::Qos::AtLeastOnce) send(mqtt::Ack{.type = PacketType::Puback, .packet_id = one.packet_id});
  if (one.qos == mqtt::Qos::ExactlyOnce) send(mqtt::Ack{.type = PacketType::Pubrec, .packet_id = one.packet_id});
}

void Client::release(mqtt::PacketId id) { send(mqtt::Ack{.type = PacketType::Pubrel, .packet_id = id}); }

void Client::drop() {
  if (wire_) wire_->client_gone = true;
  wire_.reset();
  unread_.clear();
}

mqtt::PacketId Client::next_packet_id() {
  if (++packet_id_ == 0) ++packet_id_;
  return packet_id_;
}

// -- From the broker --

bool Client::read() {
  if (!wire_ || !reads) return false;
  if (wire_->to_client.empty()) {
    if (!wire_->broker_gone) return false;
    drop();
    return true;
  }
  unread_.append(wire_->to_client);
  wire_->to_client.clear();
  std::size_t taken = 0;
  while (wire_) {
    const auto frame = mqtt::next_frame(std::string_view(unread_).substr(taken), {});
    PARLEY_CHECK(frame.has_value(), "the broker sent no MQTT");
    if (!*frame) break;
    taken += (**frame).size;
    take(**frame);
  }
  if (wire_) unread_.erase(0, taken);
  return true;
}

void Client::take(const mqtt::Frame& frame) {
  const auto packet = mqtt::decode(frame, version_, {});
  PARLEY_CHECK(packet.has_value(), "the broker sent a packet that can't be read");
  if (const auto* publish = std::get_if<mqtt::Publish>(&*packet)) {
    take_publish(*publish);
  } else if (const auto* ack = std::get_if<mqtt::Ack>(&*packet)) {
    take_ack(*ack);
  } else if (const auto* connack = std::get_if<mqtt::Connack>(&*packet)) {
    const auto text = connack->properties.text(PropertyId::AssignedClientIdentifier);
    note({.type = frame.type,
          .reasons = {connack->reason},
          .session_present = connack->session_present,
          .text = std::string(text.value_or("")),
          .method = std::string(connack->properties.text(PropertyId::AuthenticationMethod).value_or("")),
          .data = std::string(connack->properties.text(PropertyId::AuthenticationData).value_or("")),
          .users = users_of(connack->properties)});
  } else if (const auto* suback = std::get_if<mqtt::Suback>(&*packet)) {
    note({.type = frame.type,
          .packet_id = suback->packet_id,
          .reasons = suback->reasons,
          .users = users_of(suback->properties)});
  } else if (const auto* unsuback = std::get_if<mqtt::Unsuback>(&*packet)) {
    note({.type = frame.type, .packet_id = unsuback->packet_id, .reasons = unsuback->reasons});
  } else if (const auto* auth = std::get_if<mqtt::Auth>(&*packet)) {
    note({.type = frame.type,
          .reasons = {auth->reason},
          .method = std::string(auth->properties.text(PropertyId::AuthenticationMethod).value_or("")),
          .data = std::string(auth->properties.text(PropertyId::AuthenticationData).value_or(""))});
  } else if (const auto* disconnect = std::get_if<mqtt::Disconnect>(&*packet)) {
    note({.type = frame.type,
          .reasons = {disconnect->reason},
          .text = std::string(disconnect->properties.text(PropertyId::ReasonString).value_or(""))});
  } else {
    note({.type = frame.type});
  }
}

void Client::note(Answer answer) {
  answer.place = received.size() + answers.size();
  answers.push_back(std::move(answer));
}

void Client::take_publish(const mqtt::Publish& publish) {
  Received one{.topic = std::string(publish.topic),
               .payload = std::string(publish.payload),
               .qos = publish.qos,
               .retain = publish.retain,
               .dup = publish.dup,
               .packet_id = publish.packet_id,
               .correlation = std::string(publish.properties.text(PropertyId::CorrelationData).value_or("")),
               .expiry = publish.properties.integer(PropertyId::MessageExpiryInterval),
               .users = users_of(publish.properties)};
  for (const auto& item : publish.properties) {
    if (item.id == PropertyId::SubscriptionIdentifier) one.subscription_ids.push_back(item.integer);
  }
  if (const auto alias = publish.properties.integer(PropertyId::TopicAlias)) {
    if (!one.topic.empty()) aliases_[static_cast<std::uint16_t>(*alias)] = one.topic;
    one.topic = aliases_.at(static_cast<std::uint16_t>(*alias));
  }
  one.place = received.size() + answers.size();
  received.push_back(one);
  if (acknowledges) acknowledge(one);
}

void Client::take_ack(const mqtt::Ack& ack) {
  note({.type = ack.type,
        .packet_id = ack.packet_id,
        .reasons = {ack.reason},
        .text = std::string(ack.properties.text(PropertyId::ReasonString).value_or("")),
        .users = users_of(ack.properties)});
  if (!acknowledges) return;
  if (ack.type == PacketType::Pubrec && !mqtt::is_failure(ack.reason)) release(ack.packet_id);
  if (ack.type == PacketType::Pubrel) send(mqtt::Ack{.type = PacketType::Pubcomp, .packet_id = ack.packet_id});
}

const Answer* Client::answer(PacketType type, mqtt::PacketId packet_id) const {
  for (auto one = answers.rbegin(); one != answers.rend(); ++one) {
    if (one->type == type && (packet_id == 0 || one->packet_id == packet_id)) return &*one;
  }
  return nullptr;
}

std::vector<std::uint64_t> Client::seqs(std::string_view topic) const {
  std::vector<std::uint64_t> list;
  for (const Received& one : received) {
    if (one.topic == topic && one.seq() != 0) list.push_back(one.seq());
  }
  return list;
}

std::vector<std::string> Client::payloads() const {
  std::vector<std::string> list;
  for (const Received& one : received) list.push_back(one.payload);
  return list;
}

}  // namespace parley::simulation
