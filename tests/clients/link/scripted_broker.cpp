#include "tests/clients/link/scripted_broker.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <stdexcept>

#include "mqtt/decode.hpp"
#include "mqtt/encode.hpp"

namespace parley::link::test {
namespace {

constexpr auto kVersion = mqtt::ProtocolVersion::V5;

/// False when `stop` was closed first.
bool readable(int socket, int stop) {
  std::array<pollfd, 2> waited{pollfd{.fd = socket, .events = POLLIN}, pollfd{.fd = stop, .events = POLLIN}};
  ::poll(waited.data(), waited.size(), -1);
  return waited[1].revents == 0;
}

bool write_all(int socket, Output& output) {
  std::array<iovec, 16> pieces;
  while (!output.empty()) {
    const auto used = output.gather(pieces);
    const msghdr message{.msg_iov = pieces.data(), .msg_iovlen = used};
    const auto written = ::sendmsg(socket, &message, MSG_NOSIGNAL);
    if (written <= 0) return false;
    output.consume(static_cast<std::size_t>(written));
  }
  return true;
}

}  // namespace

ScriptedBroker::ScriptedBroker(Script script) : script_(std::move(script)) {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (::bind(listener_, generic, size) != 0 || ::listen(listener_, 16) != 0 ||
      ::getsockname(listener_, generic, &size) != 0 || ::pipe2(stop_, O_CLOEXEC) != 0) {
    throw std::runtime_error("the scripted broker cannot listen");
  }
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { serve(); });
}

ScriptedBroker::~ScriptedBroker() {
  ::close(stop_[1]);
  thread_.join();
  ::close(stop_[0]);
  ::close(listener_);
}

void ScriptedBroker::serve() {
  while (readable(listener_, stop_[0])) {
    const int socket = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (socket < 0) continue;
    ++connections_;
    serve_connection(socket);
    ::close(socket);
  }
}

void ScriptedBroker::serve_connection(int socket) {
  std::string input;
  while (readable(socket, stop_[0])) {
    std::array<char, 65'536> bytes;
    const auto count = ::recv(socket, bytes.data(), bytes.size(), 0);
    if (count <= 0) return;
    input.append(bytes.data(), static_cast<std::size_t>(count));
    while (true) {
      const auto frame = mqtt::next_frame(input, {});
      if (!frame) return;
      if (!*frame) break;
      const auto packet = mqtt::decode(**frame, kVersion, {});
      if (!packet) return;
      Output answer;
      const bool goes_on = script_(*packet, answer);
      if (!write_all(socket, answer) || !goes_on) return;
      input.erase(0, (*frame)->size);
    }
  }
}

bool polite(const mqtt::Packet& received, Output& answer) {
  if (std::holds_alternative<mqtt::Connect>(received)) mqtt::encode(answer, mqtt::Connack{}, kVersion);
  if (std::holds_alternative<mqtt::Pingreq>(received)) mqtt::encode(answer, mqtt::Pingresp{}, kVersion);
  if (const auto* publish = std::get_if<mqtt::Publish>(&received); publish != nullptr && publish->packet_id != 0) {
    const auto type = publish->qos == mqtt::Qos::ExactlyOnce ? mqtt::PacketType::Pubrec : mqtt::PacketType::Puback;
    mqtt::encode(answer, mqtt::Ack{.type = type, .packet_id = publish->packet_id}, kVersion);
  }
  if (const auto* ack = std::get_if<mqtt::Ack>(&received); ack != nullptr && ack->type == mqtt::PacketType::Pubrel) {
    mqtt::encode(answer, mqtt::Ack{.type = mqtt::PacketType::Pubcomp, .packet_id = ack->packet_id}, kVersion);
  }
  if (const auto* subscribe = std::get_if<mqtt::Subscribe>(&received)) {
    mqtt::Suback suback{.packet_id = subscribe->packet_id};
    suback.reasons.assign(subscribe->items.size(), mqtt::ReasonCode::GrantedQos1);
    mqtt::encode(answer, suback, kVersion);
  }
  return !std::holds_alternative<mqtt::Disconnect>(received);
}

}  // namespace parley::link::test
