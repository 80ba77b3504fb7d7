#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mqtt/decode.hpp"
#include "tests/simulation/links.hpp"

namespace parley::simulation {

class World;

using UserProperties = std::vector<std::pair<std::string, std::string>>;

/// The value of the first user property of that name; empty when there is none.
std::string user(const UserProperties& properties, std::string_view name);

/// A PUBLISH as it came.
struct Received {
  std::string topic;
  std::string payload;
  mqtt::Qos qos{};
  bool retain = false;
  bool dup = false;
  mqtt::PacketId packet_id = 0;
  std::vector<std::uint32_t> subscription_ids;
  std::string correlation;
  std::optional<std::uint32_t> expiry;
  UserProperties users;
  std::size_t place = 0;  ///< In all that the client got, answers included.

  [[nodiscard]] std::string user(std::string_view name) const { return simulation::user(users, name); }
  [[nodiscard]] std::uint64_t seq() const;  ///< 0: it has none.
};

/// Any other answer.
struct Answer {
  mqtt::PacketType type{};
  mqtt::PacketId packet_id = 0;
  std::vector<mqtt::ReasonCode> reasons;
  bool session_present = false;
  std::string text;    ///< Assigned Client Identifier or Reason String.
  std::string method;  ///< Authentication Method and Data.
  std::string data;
  UserProperties users;
  std::size_t place = 0;

  [[nodiscard]] mqtt::ReasonCode reason() const { return reasons.at(0); }
  [[nodiscard]] std::string user(std::string_view name) const { return simulation::user(users, name); }
};

struct WillOptions {
  std::string topic;
  std::string payload;
  mqtt::Qos qos = mqtt::Qos::AtMostOnce;
  bool retain = false;
  std::uint32_t delay = 0;
  std::optional<std::uint32_t> message_expiry;
};

struct ConnectOptions {
  mqtt::ProtocolVersion version = mqtt::ProtocolVersion::V5;
  bool clean_start = true;
  std::uint32_t expiry = 0;
  std::uint16_t keep_alive = 0;
  std::uint16_t receive_maximum = 0;
  std::uint32_t packet_size_max = 0;
  std::uint16_t topic_aliases = 0;
  bool problem_information = true;
  std::optional<std::string> user_name;
  std::optional<std::string> password;
  std::optional<WillOptions> will;
  std::string authentication_method;
  std::string authentication_data;
  UserProperties users;
  std::optional<shard::ShardId> shard;  ///< Which one accepts it; else chance decides.
  shard::Admission admission = shard::Admission::Welcome;
};

struct PublishOptions {
  mqtt::Qos qos = mqtt::Qos::AtLeastOnce;
  bool retain = false;
  bool dup = false;
  std::optional<mqtt::PacketId> packet_id;
  std::string id;
  std::string response_topic;
  std::string correlation;
  std::optional<std::uint32_t> expiry;
  UserProperties users;
};

struct SubscribeOptions {
  mqtt::Qos qos = mqtt::Qos::AtLeastOnce;
  bool no_local = false;
  bool retain_as_published = false;
  std::uint8_t retain_handling = 0;
  std::uint32_t subscription_id = 0;
  UserProperties users;
};

/// An MQTT client that does what it is told, acknowledges by itself, and notes what it gets. Decodes with mqtt/: what
/// the broker sends must be well formed.
class Client {
 public:
  Client(World& world, std::string id) : world_(world), id_(std::move(id)) {}

  // -- To the broker --
  void connect(const ConnectOptions& options = {});
  mqtt::PacketId publish(std::string_view topic, std::string_view payload, const PublishOptions& options = {});
  mqtt::PacketId subscribe(std::string_view filter, const SubscribeOptions& options = {});
  mqtt::PacketId subscribe(const std::vector<std::string>& filters, const SubscribeOptions& options = {});
  mqtt::PacketId unsubscribe(std::string_view filter);
  void disconnect(mqtt::ReasonCode reason = mqtt::ReasonCode::Success, std::optional<std::uint32_t> expiry = {});
  void authenticate(mqtt::ReasonCode reason, std::string_view method, std::string_view data);  ///< AUTH.
  void send(const mqtt::Packet& packet);
  void send_bytes(std::string_view bytes);
  void acknowledge(const Received& received);
  void release(mqtt::PacketId id);  ///< PUBREL.
  void drop();                      ///< The connection breaks; what the broker sent and wasn't read is lost.

  /// Takes what has come; true when that was something. Called by World::settle, too.
  bool read();

  // -- How it behaves --
  bool reads = true;
  bool acknowledges = true;
  std::size_t room = 1024 * 1024;  ///< Of its socket buffer.

  // -- What it got on all connections, in order --
  std::vector<Received> received;
  std::vector<Answer> answers;

  // -- Where it stands --
  [[nodiscard]] const std::string& id() const { return id_; }
  [[nodiscard]] bool connected() const { return wire_ != nullptr; }
  /// The last answer of that type (for that packet id, if any); null when there is none.
  [[nodiscard]] const Answer* answer(mqtt::PacketType type, mqtt::PacketId packet_id = 0) const;
  [[nodiscard]] const Answer* connack() const { return answer(mqtt::PacketType::Connack); }
  [[nodiscard]] std::vector<std::uint64_t> seqs(std::string_view topic) const;
  [[nodiscard]] std::vector<std::string> payloads() const;

 private:
  void take(const mqtt::Frame& frame);
  void take_publish(const mqtt::Publish& publish);
  void take_ack(const mqtt::Ack& ack);
  void note(Answer answer);
  mqtt::PacketId next_packet_id();

  World& world_;
  std::string id_;
  WirePtr wire_;
  std::string unread_;
  mqtt::ProtocolVersion version_ = mqtt::ProtocolVersion::V5;
  mqtt::PacketId packet_id_ = 0;
  std::map<std::uint16_t, std::string> aliases_;
};

}  // namespace parley::simulation
