#include "broker/session/session.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include "broker/session/connection.hpp"
#include "broker/session/outbound_flow.hpp"
#include "mqtt/encode.hpp"
#include "mqtt/sinks.hpp"
#include "mqtt/topic.hpp"
#include "mqtt/utf8.hpp"

namespace parley::session {
namespace {

using mqtt::PropertyId;
using mqtt::ProtocolVersion;
using mqtt::ReasonCode;

WillPlan plan_of(const mqtt::Will& will) {
  std::string buffer;
  WillPlan plan;
  plan.message =
      mqtt::Message::make(mqtt::Message::Parts{.topic = will.topic,
                                               .properties = mqtt::forwarded_properties(will.properties, buffer),
                                               .payload = will.payload,
                                               .qos = will.qos,
                                               .retain = will.retain});
  plan.delay = std::chrono::seconds(will.properties.integer(PropertyId::WillDelayInterval).value_or(0));
  plan.expiry_interval = will.properties.integer(PropertyId::MessageExpiryInterval);
  return plan;
}

/// Whether this acknowledgement is due, or repeats an earlier one. MQTT 5 §4.3.2, §4.3.3.
bool answers(mqtt::PacketType type, InFlight::State state) {
  using State = InFlight::State;
  switch (type) {
    case mqtt::PacketType::Puback: return state == State::AwaitingPuback;
    case mqtt::PacketType::Pubrec: return state == State::AwaitingPubrec || state == State::AwaitingPubcomp;
    default: return state == State::AwaitingPubcomp;
  }
}

/// So few are looked through one by one.
constexpr std::size_t kSubscriptionsUnindexed = 64;

/// Says that it is UTF-8, and isn't.
bool has_other_format(const mqtt::Publish& publish) {
  return publish.properties.integer(PropertyId::PayloadFormatIndicator) == 1U && !mqtt::is_mqtt_utf8(publish.payload);
}

/// 3.x has no such options; a bridge would get back what it has brought, and couldn't keep what is retained.
void as_bridge(mqtt::Subscribe& packet) {
  for (auto& item : packet.items) {
    item.options.retain_as_published = true;
    item.options.no_local = !mqtt::shared_filter(item.filter);  // §3.8.3.1
  }
}

void note_window(Actions& actions) {
  if (actions.empty() || !std::holds_alternative<WindowAction>(actions.back())) actions.push_back(WindowAction{});
}

}  // namespace

Session::Session(std::string client_id, std::string user, std::uint64_t identity, const Limits& limits,
                 Counters* counters)
    : client_id_(std::move(client_id)),
      user_(std::move(user)),
      identity_(identity),
      limits_(limits),
      counters_(counters) {}

Session::~Session() {
  for (const Subscription& one : subscriptions_) count_subscription(one, false);
}

// -- Connection --

std::uint32_t Session::granted_expiry(const mqtt::Connect& connect, const Limits& limits) {
  // 3.x: Clean Session 1 ends with the connection, 0 never does.
  const std::uint32_t wanted = connect.version == ProtocolVersion::V5
                                   ? connect.properties.integer(PropertyId::SessionExpiryInterval).value_or(0)
                                   : (connect.clean_start ? 0 : 0xFFFF'FFFF);
  return std::min(wanted, limits.session_expiry_max);
}

std::optional<WillPlan> Session::will_of(const mqtt::Connect& connect, std::uint32_t expiry) {
  if (!connect.will) return std::nullopt;
  WillPlan will = plan_of(*connect.will);
  will.delay = std::min<Duration>(will.delay, std::chrono::seconds(expiry));
  return will;
}

const WillPlan* Session::will() const { return connection_ && connection_->will ? &*connection_->will : nullptr; }

void Session::set_will_id(std::uint64_t id) {
  if (connection_ && connection_->will) connection_->will->id = id;
}

void Session::attach(const mqtt::Connect& connect, Output& output, Instant now) {
  connection_ = std::make_unique<Connection>();
  Connection& link = *connection_;
  ++connections_;
  link.output = &output;
  link.version = connect.version;
  link.is_bridge = connect.is_bridge;
  link.last_received = now;
  link.authentication_method = connect.properties.text(PropertyId::AuthenticationMethod).value_or(std::string_view());
  link.keep_alive = connect.keep_alive;
  if (limits_.keep_alive_max != 0 && (connect.keep_alive == 0 || connect.keep_alive > limits_.keep_alive_max)) {
    // 3.x can't be told; the client's own value stays in force there.
    if (connect.version == ProtocolVersion::V5) {
      link.keep_alive = limits_.keep_alive_max;
      link.server_keep_alive = true;
    }
  }
  expiry_interval_ = granted_expiry(connect, limits_);
  link.expires_at_disconnect = expiry_interval_ == 0;
  const auto& properties = connect.properties;
  link.expiry_lowered = properties.integer(PropertyId::SessionExpiryInterval).value_or(0) > expiry_interval_;
  link.receive_max = static_cast<std::uint16_t>(properties.integer(PropertyId::ReceiveMaximum).value_or(65'535));
  link.packet_size_max = properties.integer(PropertyId::MaximumPacketSize).value_or(0xFFFF'FFFF);
  link.problem_information = properties.integer(PropertyId::RequestProblemInformation).value_or(1) == 1;
  const auto aliases = std::min<std::uint32_t>(properties.integer(PropertyId::TopicAliasMaximum).value_or(0),
                                               limits_.topic_alias_out_max);
  if (aliases != 0) link.aliases_out = std::make_unique<OutboundAliases>(static_cast<std::uint16_t>(aliases));
  link.will = will_of(connect, expiry_interval_);
  link.inherited = inbound_.size();
  if (outbound_) {
    outbound_->resend_at = 0;
    outbound_->outstanding = 0;
    for (std::size_t i = 0; i < outbound_->size(); ++i) {
      InFlight& slot = (*outbound_)[i];
      slot.sent_here = false;
      // Those before it are sent again before it.
      if (slot.state == InFlight::State::AwaitingPuback) let_go(slot);
      // It is to be sent again in any case, once it may.
      slot.pubrels = slot.held && slot.state == InFlight::State::AwaitingPubcomp ? 1 : 0;
    }
    link.resending = !outbound_->empty();
  }
}

bool Session::write_connack(bool session_present, bool assigned_client_id, std::string_view extra) {
  mqtt::PropertyWriter properties;
  const Connection& link = *connection_;
  if (link.expiry_lowered) properties.integer(PropertyId::SessionExpiryInterval, expiry_interval_);
  properties.integer(PropertyId::ReceiveMaximum, limits_.receive_max);
  if (limits_.qos_max != mqtt::Qos::ExactlyOnce) {
    properties.integer(PropertyId::MaximumQos, static_cast<std::uint32_t>(limits_.qos_max));
  }
  if (!limits_.retain_available) properties.integer(PropertyId::RetainAvailable, 0);
  properties.integer(PropertyId::MaximumPacketSize, limits_.packet_size_max);
  if (!limits_.wildcard_subscriptions) properties.integer(PropertyId::WildcardSubscriptionAvailable, 0);
  if (!limits_.subscription_identifiers) properties.integer(PropertyId::SubscriptionIdentifierAvailable, 0);
  if (!limits_.shared_subscriptions) properties.integer(PropertyId::SharedSubscriptionAvailable, 0);
  if (assigned_client_id) properties.text(PropertyId::AssignedClientIdentifier, client_id_);
  if (limits_.topic_alias_max != 0) properties.integer(PropertyId::TopicAliasMaximum, limits_.topic_alias_max);
  if (link.server_keep_alive) properties.integer(PropertyId::ServerKeepAlive, link.keep_alive);
  const std::size_t needed = properties.bytes().size();
  properties.raw(extra);
  mqtt::Connack packet{.session_present = session_present,
                       .reason = ReasonCode::Success,
                       .properties = mqtt::Properties::trusted(properties.bytes())};
  if (mqtt::encoded_size(packet, link.version) > link.packet_size_max) {  // [MQTT-3.2.2-19], [MQTT-3.2.2-20]
    packet.properties = mqtt::Properties::trusted(properties.bytes().substr(0, needed));
    if (mqtt::encoded_size(packet, link.version) > link.packet_size_max) return false;
  }
  write(packet);
  return true;
}

std::optional<WillPlan> Session::detach(Instant /*now*/) {
  if (!connection_) return std::nullopt;
  auto will = std::move(connection_->will);
  connection_.reset();
  drop_shared();
  if (outbound_ && outbound_->empty() && outbound_->queued() == 0) outbound_.reset();
  return will;
}

void Session::write_disconnect(ReasonCode reason, std::string_view properties) {
  if (!connection_ || connection_->version != ProtocolVersion::V5) return;
  mqtt::Disconnect packet{.reason = reason, .properties = mqtt::Properties::trusted(properties)};
  if (mqtt::encoded_size(packet, connection_->version) > connection_->packet_size_max) packet.properties = {};
  if (mqtt::encoded_size(packet, connection_->version) > connection_->packet_size_max) return;
  write(packet);
}

bool Session::write_auth(ReasonCode reason, std::string_view data) {
  if (!connection_) return true;
  Connection& link = *connection_;
  const bool ended = reason == ReasonCode::Success;
  link.authentication = ended ? Connection::Authentication::Idle : Connection::Authentication::Clients;
  mqtt::PropertyWriter properties;
  properties.text(PropertyId::AuthenticationMethod, link.authentication_method);
  if (!data.empty()) properties.text(PropertyId::AuthenticationData, data);
  const mqtt::Auth packet{.reason = reason, .properties = mqtt::Properties::trusted(properties.bytes())};
  if (mqtt::encoded_size(packet, link.version) > link.packet_size_max) return false;
  write(packet);
  return true;
}

void Session::write(const mqtt::Packet& packet) {
  if (counters_ != nullptr) counters_->add(Metric::PacketsSent);
  mqtt::encode(*connection_->output, packet, connection_->version);
}

void Session::heard(Instant now) {
  if (connection_) connection_->last_received = now;
}

std::optional<Instant> Session::keep_alive_deadline() const {
  if (!connection_ || connection_->keep_alive == 0) return std::nullopt;
  return connection_->last_received + std::chrono::milliseconds(1500) * connection_->keep_alive;
}

ProtocolVersion Session::version() const { return connection_ ? connection_->version : ProtocolVersion::V5; }

bool Session::problem_information() const { return connection_ && connection_->problem_information; }

// -- Receiving --

void Session::violation(ReasonCode reason, Actions& actions) {
  write_disconnect(reason);
  actions.push_back(CloseAction{reason});
}

void Session::receive(const mqtt::Frame& frame, Instant now, Actions& actions) {
  Connection& link = *connection_;
  link.last_received = now;
  switch (frame.type) {
    case mqtt::PacketType::Publish: receive_publish(frame, actions); return;
    case mqtt::PacketType::Puback:
    case mqtt::PacketType::Pubrec:
    case mqtt::PacketType::Pubrel:
    case mqtt::PacketType::Pubcomp: receive_ack(frame, now, actions); return;
    case mqtt::PacketType::Connect: violation(ReasonCode::ProtocolError, actions); return;  // [MQTT-3.1.0-2]
    default: break;
  }
  auto packet =
      mqtt::decode(frame, link.version, {.packet_size_max = limits_.packet_size_max, .items_max = limits_.filters_max});
  if (!packet) {
    violation(mqtt::reason_of(packet.error()), actions);
    return;
  }
  if (auto* subscribe = std::get_if<mqtt::Subscribe>(&*packet)) {
    const auto id = subscribe->properties.integer(PropertyId::SubscriptionIdentifier).value_or(0);
    if (id != 0 && !limits_.subscription_identifiers) {
      violation(ReasonCode::SubscriptionIdentifiersNotSupported, actions);  // §3.2.2.3.12
      return;
    }
    if (!takes_answer(subscribe->items.size())) return violation(ReasonCode::PacketTooLarge, actions);
    if (link.is_bridge) as_bridge(*subscribe);
    actions.push_back(SubscribeAction{std::move(*subscribe), id});
  } else if (auto* unsubscribe = std::get_if<mqtt::Unsubscribe>(&*packet)) {
    if (!takes_answer(unsubscribe->filters.size())) return violation(ReasonCode::PacketTooLarge, actions);
    actions.push_back(UnsubscribeAction{std::move(*unsubscribe)});
  } else if (std::holds_alternative<mqtt::Pingreq>(*packet)) {
    write(mqtt::Pingresp{});
  } else if (const auto* disconnect = std::get_if<mqtt::Disconnect>(&*packet)) {
    receive_disconnect(*disconnect, actions);
  } else if (const auto* auth = std::get_if<mqtt::Auth>(&*packet)) {
    receive_auth(*auth, actions);
  } else {
    // What only servers send.
    violation(ReasonCode::ProtocolError, actions);
  }
}

/// The client takes SUBACK and UNSUBACK with so many reasons: there is no shorter way to answer it. [MQTT-3.1.2-24]
bool Session::takes_answer(std::size_t reasons) const {
  constexpr std::size_t kHead = 3;  // Packet id, and that there are no properties.
  const std::size_t body = kHead + reasons;
  return 1 + mqtt::variable_byte_integer_size(body) + body <= connection_->packet_size_max;
}

/// A client begins a re-authentication by 0x19, with the method of its CONNECT ([MQTT-4.12.1-1]), and goes on by 0x18.
/// One that named no method sends no AUTH ([MQTT-4.12.0-7]).
void Session::receive_auth(const mqtt::Auth& packet, Actions& actions) {
  using Authentication = Connection::Authentication;
  Connection& link = *connection_;
  const auto method = packet.properties.text(PropertyId::AuthenticationMethod).value_or(std::string_view());
  const bool begins = packet.reason == ReasonCode::Reauthenticate;
  const bool in_turn =
      begins ? link.authentication == Authentication::Idle
             : packet.reason == ReasonCode::ContinueAuthentication && link.authentication == Authentication::Clients;
  if (method.empty() || method != link.authentication_method || !in_turn) {
    return violation(ReasonCode::ProtocolError, actions);
  }
  link.authentication = Authentication::Ours;
  const auto data = packet.properties.text(PropertyId::AuthenticationData).value_or(std::string_view());
  actions.push_back(AuthAction{.begins = begins, .method = method, .data = data});
}

void Session::receive_disconnect(const mqtt::Disconnect& packet, Actions& actions) {
  if (const auto expiry = packet.properties.integer(PropertyId::SessionExpiryInterval)) {
    if (connection_->expires_at_disconnect && *expiry != 0) {
      violation(ReasonCode::ProtocolError, actions);  // §3.14.2.2.2
      return;
    }
    expiry_interval_ = std::min(*expiry, limits_.session_expiry_max);
    if (connection_->will) {
      connection_->will->delay = std::min<Duration>(connection_->will->delay, std::chrono::seconds(expiry_interval_));
    }
  }
  if (packet.reason == ReasonCode::Success) connection_->will.reset();  // §3.14.4-3
  actions.push_back(CloseAction{ReasonCode::Success});
}

ReasonCode Session::resolve_alias(mqtt::Publish& publish) {
  const auto alias = publish.properties.integer(PropertyId::TopicAlias);
  if (!alias) return ReasonCode::Success;
  auto& aliases = connection_->aliases;
  if (*alias == 0 || *alias > limits_.topic_alias_max) return ReasonCode::TopicAliasInvalid;
  if (!publish.topic.empty()) {
    if (aliases.empty()) aliases.resize(limits_.topic_alias_max);
    aliases[*alias - 1] = publish.topic;
  } else {
    if (aliases.empty() || aliases[*alias - 1].empty()) return ReasonCode::ProtocolError;
    publish.topic = aliases[*alias - 1];
  }
  return ReasonCode::Success;
}

void Session::receive_publish(const mqtt::Frame& frame, Actions& actions) {
  Connection& link = *connection_;
  auto decoded = mqtt::decode_publish(frame, link.version);
  if (!decoded) {
    violation(mqtt::reason_of(decoded.error()), actions);
    return;
  }
  mqtt::Publish& publish = *decoded;
  if (!publish.properties.empty()) {
    const auto reason = resolve_alias(publish);
    if (reason != ReasonCode::Success) return violation(reason, actions);
    // §3.3.4-6: only servers send Subscription Identifiers.
    if (publish.properties.integer(PropertyId::SubscriptionIdentifier))
      return violation(ReasonCode::ProtocolError, actions);
  }
  if (publish.qos > limits_.qos_max) return violation(ReasonCode::QosNotSupported, actions);  // §3.2.2.3.4
  if (publish.retain && !limits_.retain_available) return violation(ReasonCode::RetainNotSupported, actions);
  const bool is_misformed = limits_.check_payload_format && has_other_format(publish);
  if (is_misformed && publish.qos == mqtt::Qos::AtMostOnce) return violation(ReasonCode::PayloadFormatInvalid, actions);
  PublishTicket ticket{connections_, 0, publish.packet_id, publish.qos};
  if (publish.qos != mqtt::Qos::AtMostOnce) {
    const auto state =
        publish.qos == mqtt::Qos::ExactlyOnce ? inbound_.state(publish.packet_id) : InboundIds::State::Unknown;
    const bool fresh = state == InboundIds::State::Unknown;
    if (link.version == ProtocolVersion::V5 && fresh &&
        link.acks_qos1 + inbound_.size() >= limits_.receive_max + link.inherited) {
      return violation(ReasonCode::ReceiveMaximumExceeded, actions);  // §3.3.4-9
    }
    ticket.position = link.acks_base + static_cast<std::uint32_t>(link.acks.size());
    link.acks.push_back({publish.packet_id, publish.qos});
    if (publish.qos == mqtt::Qos::AtLeastOnce) ++link.acks_qos1;
    if (state == InboundIds::State::Received) {
      link.acks.back().done = true;
      flush_acks();
      return;
    }
    if (state == InboundIds::State::Pending) {
      // Its first copy's outcome isn't known yet; once it is, this one is answered as well.
      link.acks.back().repeated = true;
      ++link.acks_repeated;
      return;
    }
    if (is_misformed) {
      link.acks.back().done = true;
      link.acks.back().reason = ReasonCode::PayloadFormatInvalid;
      flush_acks();
      return;
    }
    if (publish.qos == mqtt::Qos::ExactlyOnce) inbound_.set(publish.packet_id, InboundIds::State::Pending);
  }
  actions.push_back(PublishAction{publish, ticket});
}

void Session::complete_publish(PublishTicket ticket, ReasonCode reason, std::string_view properties) {
  if (ticket.qos == mqtt::Qos::AtMostOnce) return;
  if (ticket.qos == mqtt::Qos::ExactlyOnce) {
    // A PUBREC with a failure ends the exchange. §4.3.3.
    if (mqtt::is_failure(reason) && (!connection_ || version() == ProtocolVersion::V5)) {
      inbound_.erase(ticket.packet_id);
    } else {
      inbound_.set(ticket.packet_id, InboundIds::State::Received);
    }
  }
  if (!connection_) return;
  Connection& link = *connection_;
  const auto settle = [&](PendingAck& ack) {
    ack.done = true;
    ack.reason = reason;
    ack.properties = properties;
  };
  if (ticket.connection == connections_) {
    const std::size_t place = ticket.position - link.acks_base;
    if (place >= link.acks_first && place < link.acks.size()) settle(link.acks[place]);
  }
  const bool repeats = link.acks_repeated > 0 && ticket.qos == mqtt::Qos::ExactlyOnce;
  for (std::size_t i = link.acks_first; repeats && i < link.acks.size(); ++i) {
    PendingAck& ack = link.acks[i];
    if (!ack.repeated || ack.done || ack.packet_id != ticket.packet_id) continue;
    settle(ack);
    --link.acks_repeated;
  }
  flush_acks();
}

void Session::flush_acks() {
  Connection& link = *connection_;
  while (link.acks_first < link.acks.size() && link.acks[link.acks_first].done) {
    const PendingAck& ack = link.acks[link.acks_first++];
    const auto type = ack.qos == mqtt::Qos::AtLeastOnce ? mqtt::PacketType::Puback : mqtt::PacketType::Pubrec;
    if (ack.qos == mqtt::Qos::AtLeastOnce) --link.acks_qos1;
    write_ack(type, ack.packet_id, ack.reason, ack.properties);
  }
  if (link.acks_first == link.acks.size() || link.acks_first >= 1024) {
    link.acks_base += static_cast<std::uint32_t>(link.acks_first);
    if (link.acks_first == link.acks.size()) {
      link.acks.clear();
    } else {
      link.acks.erase(link.acks.begin(), link.acks.begin() + static_cast<std::ptrdiff_t>(link.acks_first));
    }
    link.acks_first = 0;
  }
}

void Session::write_ack(mqtt::PacketType type, mqtt::PacketId id, ReasonCode reason, std::string_view properties) {
  Connection& link = *connection_;
  mqtt::Ack ack{.type = type, .packet_id = id, .reason = reason};
  if (link.version == ProtocolVersion::V5 && link.problem_information && !properties.empty()) {
    ack.properties = mqtt::Properties::trusted(properties);
    if (mqtt::encoded_size(ack, link.version) > link.packet_size_max) ack.properties = {};
  }
  if (link.version != ProtocolVersion::V5 || (reason == ReasonCode::Success && ack.properties.empty())) {
    if (counters_ != nullptr) counters_->add(Metric::PacketsSent);
    char* to = link.output->extend(4);
    to[0] = static_cast<char>(static_cast<unsigned>(type) << 4 | (type == mqtt::PacketType::Pubrel ? 2U : 0U));
    to[1] = 2;
    store_big_endian(to + 2, id);
    return;
  }
  write(ack);
}

void Session::receive_pubrel(const mqtt::Ack& ack) {
  const bool known = inbound_.state(ack.packet_id) == InboundIds::State::Received;
  if (known && journal_ != nullptr && expiry_interval_ != 0) {
    journal_->released(*this, ack.packet_id, connections_);
    return;
  }
  if (known) {
    inbound_.erase(ack.packet_id);
  } else if (connection_->inherited < limits_.receive_max) {
    ++connection_->inherited;  // Its PUBCOMP was lost with an earlier connection.
  }
  write_ack(mqtt::PacketType::Pubcomp, ack.packet_id,
            known ? ReasonCode::Success : ReasonCode::PacketIdentifierNotFound, {});
}

void Session::receive_ack(const mqtt::Frame& frame, Instant now, Actions& actions) {
  const auto decoded = mqtt::decode_ack(frame, connection_->version);
  if (!decoded) return violation(mqtt::reason_of(decoded.error()), actions);
  const mqtt::Ack& ack = *decoded;
  if (ack.type == mqtt::PacketType::Pubrel) return receive_pubrel(ack);
  const auto position = outbound_ ? outbound_->find(ack.packet_id) : std::nullopt;
  InFlight* slot = position ? &(*outbound_)[*position] : nullptr;
  if (slot != nullptr && slot->state == InFlight::State::Done) slot = nullptr;
  if (slot != nullptr && !answers(ack.type, slot->state)) return violation(ReasonCode::ProtocolError, actions);
  if (ack.type == mqtt::PacketType::Pubrec && !mqtt::is_failure(ack.reason)) {
    receive_pubrec(ack.packet_id, slot, now, actions);
    return;
  }
  if (slot == nullptr) return;  // A repeated or late acknowledgement.
  const bool was_held = slot->held;
  let_go(*slot);
  if (CursorSlot* cursor = cursor_of(*slot); cursor != nullptr && cursor->shared) {
    cursor->shared_done.push_back(slot->seq);
  }
  slot->state = InFlight::State::Done;
  slot->outgoing = {};
  if (slot->sent_here) --outbound_->outstanding;
  if (was_held && !connection_->resending) send_waiting(0, now);  // Of what was never sent: nobody else lets them go.
  settle_front();
  go_on(now);
  note_window(actions);
}

/// It needn't wait any more: a PUBLISH for the journal, or for those before it.
void Session::let_go(InFlight& slot) {
  if (std::exchange(slot.held, false) && slot.state != InFlight::State::AwaitingPubcomp) --outbound_->held;
}

/// The receiver has the message; from here on only its packet id is needed. MQTT 5 §4.3.3.
void Session::receive_pubrec(mqtt::PacketId id, InFlight* slot, Instant now, Actions& actions) {
  const bool known = slot != nullptr;
  if (known) {
    const bool first = slot->state == InFlight::State::AwaitingPubrec;
    const bool was_held = first && slot->held;
    if (first) let_go(*slot);
    slot->state = InFlight::State::AwaitingPubcomp;
    slot->outgoing = {};
    if (was_held && !connection_->resending) send_waiting(0, now);
    if (first && slot->number != 0) {
      slot->held = true;
      journal_->received(*this, id, slot->number);
    }
  }
  if (known && slot->held) {
    // Each PUBREC has its PUBREL. [MQTT-4.3.3-4]
    if (slot->pubrels < std::numeric_limits<std::uint16_t>::max()) ++slot->pubrels;
  } else {
    write_ack(mqtt::PacketType::Pubrel, id, known ? ReasonCode::Success : ReasonCode::PacketIdentifierNotFound, {});
  }
  if (!known || !connection_->resending) return;
  // What is still to be sent again may have waited for this one.
  go_on(now);
  note_window(actions);
}

void Session::settle_front() {
  OutboundFlow& flow = *outbound_;
  std::uint64_t settled = 0;
  while (!flow.empty() && flow[0].state == InFlight::State::Done) {
    const InFlight& slot = flow[0];
    settled = std::max({settled, slot.number, slot.passes});
    if (CursorSlot* cursor = cursor_of(slot); cursor != nullptr && !cursor->shared) {
      cursor->acknowledged = std::max(cursor->acknowledged, slot.seq);
    }
    flow.pop();
    if (flow.resend_at > 0) --flow.resend_at;
  }
  if (settled != 0) journal_->settled(*this, settled);
}

void Session::write_suback(mqtt::PacketId packet_id, const std::vector<ReasonCode>& reasons,
                           std::string_view properties) {
  mqtt::Suback packet{.packet_id = packet_id, .properties = mqtt::Properties::trusted(properties), .reasons = reasons};
  if (connection_->version == ProtocolVersion::V5 &&
      mqtt::encoded_size(packet, connection_->version) > connection_->packet_size_max) {
    packet.properties = {};
  }
  write(packet);
}

void Session::write_unsuback(mqtt::PacketId packet_id, const std::vector<ReasonCode>& reasons) {
  write(mqtt::Unsuback{.packet_id = packet_id, .properties = {}, .reasons = reasons});
}

// -- Subscriptions --

const Subscription* Session::find_subscription(std::string_view filter) const {
  if (subscription_places_) {
    const auto found = subscription_places_->find(std::string(filter));
    return found == subscription_places_->end() ? nullptr : &subscriptions_[found->second];
  }
  const auto found = std::ranges::find(subscriptions_, filter, &Subscription::filter);
  return found == subscriptions_.end() ? nullptr : &*found;
}

bool Session::add_subscription(Subscription subscription) {
  if (const Subscription* known = find_subscription(subscription.filter)) {
    subscriptions_[static_cast<std::size_t>(known - subscriptions_.data())] = std::move(subscription);
    return false;
  }
  keep_subscription(std::move(subscription));
  return true;
}

/// A new one.
void Session::keep_subscription(Subscription subscription) {
  if (subscriptions_.empty()) subscriptions_.reserve(1);
  count_subscription(subscription, true);
  subscriptions_.push_back(std::move(subscription));
  if (subscription_places_) {
    subscription_places_->emplace(subscriptions_.back().filter, subscriptions_.size() - 1);
  } else if (subscriptions_.size() == kSubscriptionsUnindexed) {
    subscription_places_ = std::make_unique<std::unordered_map<std::string, std::size_t>>();
    for (std::size_t i = 0; i < subscriptions_.size(); ++i) subscription_places_->emplace(subscriptions_[i].filter, i);
  }
}

bool Session::remove_subscription(std::string_view filter) {
  const Subscription* known = find_subscription(filter);
  if (known == nullptr) return false;
  count_subscription(*known, false);
  const auto place = static_cast<std::size_t>(known - subscriptions_.data());
  if (subscription_places_) {
    // The last one takes its place.
    subscription_places_->erase(subscriptions_[place].filter);
    if (place + 1 != subscriptions_.size()) {
      subscriptions_[place] = std::move(subscriptions_.back());
      (*subscription_places_)[subscriptions_[place].filter] = place;
    }
    subscriptions_.pop_back();
    if (subscriptions_.empty()) subscription_places_.reset();
    return true;
  }
  subscriptions_.erase(subscriptions_.begin() + static_cast<std::ptrdiff_t>(place));
  return true;
}

void Session::count_subscription(const Subscription& subscription, bool added) {
  if (counters_ == nullptr) return;
  const std::uint64_t by = added ? 1 : std::uint64_t{0} - 1;
  counters_->add(Metric::Subscriptions, by);
  if (mqtt::shared_filter(subscription.filter)) counters_->add(Metric::SharedSubscriptions, by);
}

bool Session::settled() const { return !outbound_ || outbound_->empty(); }

std::uint32_t Session::packet_size_max() const { return connection_ ? connection_->packet_size_max : 0; }

std::size_t Session::under_way() const { return outbound_ ? outbound_->size() : 0; }

std::size_t Session::queued() const { return outbound_ ? outbound_->queued() : 0; }

}  // namespace parley::session
