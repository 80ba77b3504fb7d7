#include <boost/asio/error.hpp>

#include "base/aio/within.hpp"
#include "clients/link/client.hpp"

// Opening a connection: CONNECT, CONNACK, and what a session takes over from its last connection.

namespace parley::link {

using mqtt::PropertyId;

asio::awaitable<Result<Answer>> Client::connect() {
  if (state_ != State::Idle) co_return asio::error::already_connected;
  state_ = State::Connecting;
  if (tasks_) co_await tasks_->join();
  input_.clear();
  input_begin_ = 0;
  output_.clear();
  auto opening = open();
  auto connack = co_await aio::within(options_.connect_timeout, std::move(opening));
  state_ = State::Idle;
  if (!connack || connack->refused()) {
    if (transport_) transport_->close();
    transport_.reset();
    error_ = connack ? connack->reason : connack.error();
    exchanges_.fail(error_, options_.session_expiry == 0);
    co_return connack;
  }
  start(*connack);
  co_return connack;
}

asio::awaitable<Result<Answer>> Client::open() {
  auto transport = co_await aio::connect_tcp(options_.host, options_.port);
  if (!transport) co_return transport.error();
  transport_ = *std::move(transport);

  mqtt::PropertyWriter writer;
  if (options_.session_expiry != 0) writer.integer(PropertyId::SessionExpiryInterval, options_.session_expiry);
  writer.integer(PropertyId::ReceiveMaximum, options_.receive_maximum);
  writer.integer(PropertyId::MaximumPacketSize, options_.packet_size_max);
  for (const auto& [name, value] : options_.user_properties) writer.user(name, value);
  const std::string properties = std::move(writer).take();
  send(connect_packet(properties));
  while (!output_.empty()) {
    std::array<iovec, 4> pieces;
    const std::size_t used = output_.gather(pieces);
    const std::span<const iovec> gathered(pieces.data(), used);
    const auto written = co_await transport_->write_some(gathered);
    if (!written) co_return written.error();
    output_.consume(*written);
  }

  auto frame = co_await read_frame();
  if (!frame) co_return frame.error();
  auto connack = read_connack(*frame);
  input_begin_ += frame->size;
  co_return connack;
}

mqtt::Connect Client::connect_packet(const std::string& properties) const {
  mqtt::Connect packet{.clean_start = options_.clean_start && !session_began_,
                       .keep_alive = options_.keep_alive,
                       .client_id = options_.client_id,
                       .properties = mqtt::Properties::trusted(properties)};
  if (options_.user_name) packet.user_name = *options_.user_name;
  if (options_.password) packet.password = *options_.password;
  return packet;
}

asio::awaitable<Result<mqtt::Frame>> Client::read_frame() {
  while (true) {
    auto frame = mqtt::next_frame(std::string_view(input_).substr(input_begin_), limits());
    if (!frame) co_return frame.error();
    if (*frame) co_return **frame;
    const auto filled = co_await fill_input();
    if (!filled) co_return filled.error();
  }
}

Result<Answer> Client::read_connack(const mqtt::Frame& frame) {
  PARLEY_TRY(const auto packet, mqtt::decode(frame, mqtt::ProtocolVersion::V5, limits()));
  const auto* connack = std::get_if<mqtt::Connack>(&packet);
  if (connack == nullptr) return mqtt::ReasonCode::ProtocolError;
  const auto& properties = connack->properties;
  send_maximum_ = properties.integer(PropertyId::ReceiveMaximum).value_or(65'535);
  send_size_max_ = properties.integer(PropertyId::MaximumPacketSize).value_or(UINT32_MAX);
  qos_max_ = static_cast<mqtt::Qos>(properties.integer(PropertyId::MaximumQos).value_or(2));
  interval_ = static_cast<std::uint16_t>(properties.integer(PropertyId::ServerKeepAlive).value_or(options_.keep_alive));
  if (const auto assigned = properties.text(PropertyId::AssignedClientIdentifier)) options_.client_id = *assigned;
  return Answer{.reason = connack->reason,
                .session_present = connack->session_present,
                .property_bytes = std::string(properties.bytes())};
}

void Client::start(const Answer& connack) {
  state_ = State::Connected;
  error_ = {};
  session_began_ = options_.session_expiry != 0;
  ++connection_;
  ping_unanswered_ = false;
  reading_paused_ = false;
  sent_last_ = std::chrono::steady_clock::now();
  if (connack.session_present) {
    continue_session();
  } else {
    exchanges_.fail(asio::error::connection_reset, true);
    exchanges_.forget_received();
  }
  tasks_ = std::make_unique<aio::TaskGroup>(executor_);
  tasks_->spawn(read());
  tasks_->spawn(write());
  if (interval_ != 0) tasks_->spawn(keep_alive());
}

/// What was under way is sent again, in its first order, under its old packet ids. MQTT 5 §4.4, §4.6.
void Client::continue_session() {
  // The broker sends again what receive() hasn't returned yet.
  std::erase_if(inbox_, [](const Waiting& waiting) { return waiting.message.qos != mqtt::Qos::AtMostOnce; });
  exchanges_.forget_untaken();
  for (const auto& [order, id] : exchanges_.in_order()) {
    const Exchange& exchange = exchanges_.at(id);
    if (exchange.publication) {
      send_publish(*exchange.publication, id, true);
    } else {
      send(mqtt::Ack{.type = mqtt::PacketType::Pubrel, .packet_id = id});
    }
  }
}

}  // namespace parley::link
