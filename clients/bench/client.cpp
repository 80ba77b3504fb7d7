#include "clients/bench/client.hpp"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "clients/bench/failure.hpp"
#include "mqtt/decode.hpp"
#include "mqtt/encode.hpp"

namespace parley::bench {
namespace {

constexpr std::uint32_t kSessionExpiry = 3'600;
/// Long enough for a client that doesn't read for a minute, short enough that a broker notices our death.
constexpr std::uint16_t kKeepAlive = 600;

std::string words_for(int error) { return std::generic_category().message(error); }

std::string words_for(mqtt::ReasonCode reason) { return std::string(mqtt::name_of(reason)); }

}  // namespace

Client::Client(Loop& loop, const Endpoint& endpoint, Settings settings, Owner& owner)
    : loop_(loop), settings_(std::move(settings)), owner_(owner), socket_(start_connect(endpoint, settings_.source)) {
  try {
    loop_.add(socket_, EPOLLOUT, *this);
  } catch (...) {
    ::close(socket_);
    throw;
  }
}

Client::~Client() {
  if (marked_) loop_.forget_flush(*this);
  if (socket_ >= 0) ::close(socket_);
}

void Client::close(std::string error) {
  if (state_ == State::Closed) return;
  state_ = State::Closed;
  if (!leaving_) error_ = settings_.client_id + ": " + std::move(error);
  loop_.remove(socket_);
  ::close(socket_);
  socket_ = -1;
  output_.clear();
  partial_ = {};
}

void Client::mark() {
  if (marked_ || blocked_ || state_ == State::Connecting) return;
  marked_ = true;
  loop_.flush_later(*this);
}

void Client::watch() { loop_.change(socket_, (reading_ ? EPOLLIN : 0U) | (blocked_ ? EPOLLOUT : 0U), *this); }

void Client::handle(std::uint32_t events) {
  if (state_ == State::Closed) return;
  if (state_ == State::Connecting) {
    finish_connect();
    return;
  }
  if ((events & EPOLLOUT) != 0) {
    blocked_ = false;
    watch();
    mark();
  }
  if ((events & EPOLLIN) != 0) {
    receive();
  } else if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
    close("the connection was reset");
  }
}

void Client::finish_connect() {
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(socket_, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) {
    close("can't connect: " + words_for(error));
    return;
  }
  state_ = State::Handshake;
  watch();
  send_connect();
}

void Client::send_connect() {
  mqtt::PropertyWriter properties;
  if (settings_.version == mqtt::ProtocolVersion::V5) {
    if (settings_.persistent) properties.integer(mqtt::PropertyId::SessionExpiryInterval, kSessionExpiry);
    if (settings_.topic_alias_max > 0) {
      properties.integer(mqtt::PropertyId::TopicAliasMaximum, settings_.topic_alias_max);
    }
    if (!settings_.meta.empty()) properties.user("meta", settings_.meta);
  }
  mqtt::Connect connect;
  connect.version = settings_.version;
  connect.clean_start =
      settings_.clean_start && (!settings_.persistent || settings_.version == mqtt::ProtocolVersion::V5);
  connect.keep_alive = kKeepAlive;
  connect.client_id = settings_.client_id;
  if (!settings_.user_name.empty()) connect.user_name = settings_.user_name;
  if (!settings_.password.empty()) connect.password = settings_.password;
  connect.properties = mqtt::Properties::trusted(properties.bytes());
  send(connect);
}

void Client::send(const mqtt::Packet& packet) {
  mqtt::encode(output_, packet, settings_.version);
  mark();
}

void Client::subscribe(std::string_view filter, mqtt::Qos qos) {
  mqtt::Subscribe packet;
  packet.packet_id = 1;
  packet.items.push_back({.filter = filter, .options = {.qos = qos}});
  ++pending_subscriptions_;
  send(packet);
}

void Client::publish(PublishTemplate& shape, const Stamp& stamp) {
  if (++packet_id_ == 0) packet_id_ = 1;
  shape.append(output_, packet_id_, stamp);
  mark();
}

void Client::ping() { send(mqtt::Pingreq{}); }

void Client::leave() {
  if (state_ == State::Closed) return;
  leaving_ = true;
  if (state_ == State::Connecting) {
    close({});
    return;
  }
  send(mqtt::Disconnect{});
}

void Client::read(bool on) {
  reading_ = on;
  if (state_ == State::Handshake || state_ == State::Ready) watch();
}

void Client::flush() {
  marked_ = false;
  while (state_ != State::Closed && !output_.empty()) {
    std::array<iovec, 64> pieces;
    const std::size_t count = output_.gather(pieces);
    const msghdr message{.msg_iov = pieces.data(), .msg_iovlen = count};
    const ssize_t written = ::sendmsg(socket_, &message, MSG_NOSIGNAL);
    if (written >= 0) {
      output_.consume(static_cast<std::size_t>(written));
    } else if (errno == EAGAIN) {
      blocked_ = true;
      watch();
      return;
    } else if (errno != EINTR) {
      close("can't write: " + words_for(errno));
    }
  }
  if (leaving_) close({});
}

void Client::receive() {
  const std::span<char> buffer = loop_.read_buffer();
  const std::size_t kept = partial_.size();
  if (kept == buffer.size()) {
    close("got a packet larger than the read buffer");
    return;
  }
  const ssize_t count = ::recv(socket_, buffer.data() + kept, buffer.size() - kept, 0);
  if (count == 0) {
    close("the broker closed the connection");
    return;
  }
  if (count < 0) {
    if (errno != EAGAIN && errno != EINTR) close("can't read: " + words_for(errno));
    return;
  }
  std::memcpy(buffer.data(), partial_.data(), kept);
  std::string_view bytes(buffer.data(), kept + static_cast<std::size_t>(count));
  static constexpr mqtt::DecodeLimits kLimits{};
  const Instant now = Loop::now();
  while (!bytes.empty() && state_ != State::Closed) {
    const auto frame = mqtt::next_frame(bytes, kLimits);
    if (!frame) {
      close("the broker sent a malformed packet");
      return;
    }
    if (!frame->has_value()) break;
    take_frame(**frame, now);
    bytes.remove_prefix((*frame)->size);
  }
  if (state_ == State::Closed) return;
  if (bytes.empty() && partial_.empty()) return;
  partial_.assign(bytes);
}

void Client::take_frame(const mqtt::Frame& frame, Instant now) {
  switch (frame.type) {
    case mqtt::PacketType::Publish: take_delivery(frame, now); break;
    case mqtt::PacketType::Puback:
    case mqtt::PacketType::Pubrec:
    case mqtt::PacketType::Pubrel:
    case mqtt::PacketType::Pubcomp: take_ack(frame); break;
    default: take_control(frame); break;
  }
}

void Client::take_delivery(const mqtt::Frame& frame, Instant now) {
  auto delivery = read_delivery(frame, settings_.version);
  if (!delivery) {
    close("the broker sent a malformed PUBLISH");
    return;
  }
  if (delivery->qos == mqtt::Qos::AtLeastOnce) send_ack(mqtt::PacketType::Puback, delivery->packet_id);
  if (delivery->qos == mqtt::Qos::ExactlyOnce) send_ack(mqtt::PacketType::Pubrec, delivery->packet_id);
  delivery->received = now;
  owner_.on_delivery(*delivery);
}

void Client::take_ack(const mqtt::Frame& frame) {
  if (frame.body.size() < 2) {
    close("the broker sent a malformed acknowledgement");
    return;
  }
  const auto packet_id = load_big_endian<std::uint16_t>(frame.body.data());
  const auto reason = frame.body.size() > 2 ? static_cast<mqtt::ReasonCode>(static_cast<unsigned char>(frame.body[2]))
                                            : mqtt::ReasonCode::Success;
  if (frame.type == mqtt::PacketType::Pubrel) {
    send_ack(mqtt::PacketType::Pubcomp, packet_id);
  } else if (frame.type == mqtt::PacketType::Pubrec && !mqtt::is_failure(reason)) {
    send_ack(mqtt::PacketType::Pubrel, packet_id);
  } else {
    owner_.on_acknowledged(packet_id, reason);
  }
}

void Client::send_ack(mqtt::PacketType type, mqtt::PacketId packet_id) {
  // Without reason code, hence Success, all versions write the same four bytes. MQTT 5 §3.4.2.1.
  const auto first = static_cast<unsigned>(type) << 4 | (type == mqtt::PacketType::Pubrel ? 2U : 0U);
  std::array<char, 4> bytes{static_cast<char>(first), 2};
  store_big_endian(bytes.data() + 2, packet_id);
  output_.append({bytes.data(), bytes.size()});
  mark();
}

void Client::take_control(const mqtt::Frame& frame) {
  const auto packet = mqtt::decode(frame, settings_.version, {});
  if (!packet) {
    close("the broker sent a packet that can't be read: " + packet.error().message());
  } else if (const auto* connack = std::get_if<mqtt::Connack>(&*packet)) {
    if (connack->reason != mqtt::ReasonCode::Success) {
      close("the broker refused the connection: " + words_for(connack->reason));
      return;
    }
    if (const auto receive_max = connack->properties.integer(mqtt::PropertyId::ReceiveMaximum)) {
      receive_max_ = static_cast<std::uint16_t>(*receive_max);
    }
    state_ = State::Ready;
  } else if (const auto* suback = std::get_if<mqtt::Suback>(&*packet)) {
    --pending_subscriptions_;
    for (const auto reason : suback->reasons) {
      if (mqtt::is_failure(reason)) close("the broker refused a subscription: " + words_for(reason));
    }
  } else if (const auto* disconnect = std::get_if<mqtt::Disconnect>(&*packet)) {
    close("the broker disconnected: " + words_for(disconnect->reason));
  }
}

}  // namespace parley::bench
