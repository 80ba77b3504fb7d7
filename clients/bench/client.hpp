#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/output.hpp"
#include "clients/bench/endpoint.hpp"
#include "clients/bench/loop.hpp"
#include "clients/bench/wire.hpp"
#include "mqtt/packet.hpp"

/// One MQTT connection of the load generator.
namespace parley::bench {

/// Belongs to its loop's thread. Answers QoS 1 and 2 by itself. An idle one owns no buffers.
class Client : private Loop::Handler {
 public:
  /// Who gets a client's events; outlives it. Calls come from inside the loop's turn and must not destroy clients.
  class Owner {
   public:
    virtual ~Owner() = default;
    virtual void on_delivery(const Delivery& /*delivery*/) {}
    /// PUBACK or PUBCOMP, or a PUBREC that refuses.
    virtual void on_acknowledged(mqtt::PacketId /*packet_id*/, mqtt::ReasonCode /*reason*/) {}
  };

  struct Settings {
    mqtt::ProtocolVersion version = mqtt::ProtocolVersion::V5;
    std::string client_id;
    std::string user_name;
    std::string password;
    std::string meta;  ///< User property `meta` of CONNECT; empty: none is sent.
    bool clean_start = true;
    bool persistent = false;  ///< Keeps its session for an hour after it left; before MQTT 5 never a clean start.
    std::uint16_t topic_alias_max = 0;
    unsigned source = 0;  ///< See start_connect.
  };

  enum class State : std::uint8_t { Connecting, Handshake, Ready, Closed };

  /// Starts to connect. Throws Failure.
  Client(Loop& loop, const Endpoint& endpoint, Settings settings, Owner& owner);
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client() override;

  /// When ready; `filter` lives until the call returns. Granted or refused shows in `pending_subscriptions` and
  /// `error`.
  void subscribe(std::string_view filter, mqtt::Qos qos);
  void publish(PublishTemplate& shape, const Stamp& stamp);
  void ping();
  /// Sends DISCONNECT and closes as soon as it is written.
  void leave();
  /// Stops or resumes taking bytes from the socket.
  void read(bool on);

  [[nodiscard]] State state() const { return state_; }
  [[nodiscard]] bool ready() const { return state_ == State::Ready; }
  [[nodiscard]] bool closed() const { return state_ == State::Closed; }
  [[nodiscard]] unsigned pending_subscriptions() const { return pending_subscriptions_; }
  /// The broker's Receive Maximum. MQTT 5 §3.2.2.3.3.
  [[nodiscard]] std::uint16_t receive_max() const { return receive_max_; }
  /// Bytes that the socket has not taken yet.
  [[nodiscard]] std::size_t unwritten() const { return output_.size(); }
  /// Why it closed without our asking; empty otherwise.
  [[nodiscard]] const std::string& error() const { return error_; }
  [[nodiscard]] const std::string& client_id() const { return settings_.client_id; }

 private:
  void handle(std::uint32_t events) override;
  void flush() override;

  void send_connect();
  void finish_connect();
  void receive();
  void take_frame(const mqtt::Frame& frame, Instant now);
  void take_delivery(const mqtt::Frame& frame, Instant now);
  void take_ack(const mqtt::Frame& frame);
  void take_control(const mqtt::Frame& frame);
  void send(const mqtt::Packet& packet);
  void send_ack(mqtt::PacketType type, mqtt::PacketId packet_id);
  void mark();
  void watch();
  void close(std::string error);

  Loop& loop_;
  Settings settings_;
  Owner& owner_;
  int socket_ = -1;
  State state_ = State::Connecting;
  bool marked_ = false;
  bool blocked_ = false;  ///< The socket took no more bytes; epoll says when it does.
  bool reading_ = true;
  bool leaving_ = false;
  mqtt::PacketId packet_id_ = 0;
  std::uint16_t receive_max_ = 65'535;
  unsigned pending_subscriptions_ = 0;
  Output output_;
  std::string partial_;  ///< The beginning of a packet whose rest hasn't arrived.
  std::string error_;
};

}  // namespace parley::bench
