#pragma once

#include <chrono>
#include <deque>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "broker/session/session.hpp"
#include "tests/mqtt/notation.hpp"

namespace parley::session {

using namespace std::chrono_literals;
using mqtt::bytes;
using mqtt::hex;
using mqtt::ProtocolVersion;
using mqtt::Qos;
using mqtt::ReasonCode;

/// A session with a client that the test plays: what it sends goes in as packets, what it gets comes out as packets.
class Rig {
 public:
  explicit Rig(Limits limits = {});

  /// Attaches, writes CONNACK and resumes; what was written so far is thrown away with CONNACK.
  void connect(const mqtt::Connect& connect = {});
  std::optional<WillPlan> disconnect();

  /// Hands a packet of the client to the session.
  void send(const mqtt::Packet& packet);
  void send(std::string_view notation);
  void publish(std::string_view topic, Qos qos, mqtt::PacketId id = 0, bool dup = false);
  void puback(mqtt::PacketId id, ReasonCode reason = ReasonCode::Success);
  void pubrec(mqtt::PacketId id, ReasonCode reason = ReasonCode::Success);
  void pubrel(mqtt::PacketId id);
  void pubcomp(mqtt::PacketId id);

  /// What the session has written since the last call, one line a packet: "PUBLISH 1 a/b dup q1 retain 'payload'",
  /// "PUBACK 3", "PUBREL 4 0x92", "DISCONNECT 0x82", …
  std::vector<std::string> received();
  /// The same as bytes.
  std::string received_bytes();
  /// Actions since the last call, one line each: "publish a/b q1", "close 0x81", "window", …
  std::vector<std::string> actions();

  /// Delivers a message that was published with QoS 2.
  Delivered deliver(std::string_view topic, std::string_view payload, Qos qos, std::vector<std::uint32_t> ids = {});
  static mqtt::MessagePtr message(std::string_view topic, std::string_view payload, Qos qos = Qos::ExactlyOnce);
  /// Sends the cursor's next entry, or the wanted one.
  void entry(CursorId cursor, std::uint64_t seq, std::size_t size = 1);

  Limits limits;
  std::unique_ptr<Session> session;
  std::unique_ptr<Output> output;
  Instant now{1000s};
  std::vector<PublishTicket> tickets;  ///< Of the publishes that came in.
  ProtocolVersion version = ProtocolVersion::V5;

 private:
  void take_actions(Actions& actions);
  std::vector<std::string> actions_;
};

/// One line for a packet, as in Rig::received.
std::string line_of(const mqtt::Packet& packet);

using Lines = std::vector<std::string>;

}  // namespace parley::session
