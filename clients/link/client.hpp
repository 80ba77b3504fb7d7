#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "base/aio/event.hpp"
#include "base/aio/task_group.hpp"
#include "base/aio/transport.hpp"
#include "base/output.hpp"
#include "base/result.hpp"
#include "clients/link/exchanges.hpp"
#include "clients/link/messages.hpp"
#include "mqtt/decode.hpp"

/// The one MQTT 5 client of Parley's programs.
namespace parley::link {

namespace asio = boost::asio;

/// One session with a broker, over one connection at a time. Belongs to the thread that runs `executor`. Call close()
/// and await it before the object goes. Errors are those of the transport, or a Reason Code with which the broker ended
/// the connection (mqtt::reason_of); what the broker refuses without ending it is an Answer.
///
/// Reconnecting is the caller's: after an error connect() may be called again and continues the session. A publish at
/// QoS 1 or 2 outlives the connection when the session does (session_expiry): it is sent again by the next connect()
/// and returns then. In a session that ends with its connection it fails at once, and nobody knows whether it arrived.
///
/// Every queue is bounded. A publish waits for the broker's Receive Maximum; reading pauses while `queued_max` messages
/// wait for receive(): who subscribes must receive, in a coroutine that waits for nothing else.
class Client {
 public:
  Client(const asio::any_io_executor& executor, Options options);
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client();

  /// Opens the connection and the session. A refusal is the CONNACK's Answer, and leaves nothing open. Fails with
  /// timed_out after `connect_timeout`.
  asio::awaitable<Result<Answer>> connect();

  /// QoS 1 and 2: returns with the properties of PUBACK, respectively PUBREC, once the handshake is complete. QoS 0:
  /// once it is queued. Has no deadline (aio::within gives one; the exchange goes on then). Fails with not_connected,
  /// with the connection's error, or with PacketTooLarge or QosNotSupported for what the broker said it doesn't take.
  asio::awaitable<Result<Answer>> publish(Publication publication);

  asio::awaitable<Result<Answer>> subscribe(std::vector<Subscription> subscriptions, std::string properties = {});
  asio::awaitable<Result<Answer>> unsubscribe(std::vector<std::string> filters);

  /// The next message, acknowledged by being returned. Fails with the connection's error once none is left.
  asio::awaitable<Result<Message>> receive();

  /// Sends DISCONNECT if it can, ends everything that waits, and the session's publishes with it.
  asio::awaitable<void> close(mqtt::ReasonCode reason = mqtt::ReasonCode::Success);

  [[nodiscard]] const Options& options() const { return options_; }
  [[nodiscard]] bool connected() const { return state_ == State::Connected; }
  /// Why the last connection ended.
  [[nodiscard]] boost::system::error_code error() const { return error_; }

 private:
  enum class State : std::uint8_t { Idle, Connecting, Connected };

  struct Waiting {
    Message message;
    std::uint64_t connection;  ///< Which connection can still acknowledge it.
  };

  // handshake.cpp
  asio::awaitable<Result<Answer>> open();
  asio::awaitable<Result<mqtt::Frame>> read_frame();
  [[nodiscard]] mqtt::Connect connect_packet(const std::string& properties) const;
  Result<Answer> read_connack(const mqtt::Frame& frame);
  void start(const Answer& connack);
  void continue_session();

  // receiving.cpp
  asio::awaitable<void> read();
  asio::awaitable<Result<std::size_t>> fill_input();
  Result<void> handle_input();
  Result<void> handle(const mqtt::Frame& frame);
  void handle_publish(const mqtt::Publish& publish);
  Result<void> handle_ack(const mqtt::Ack& ack);
  void handle_pubrec(const mqtt::Ack& ack);
  template <class Packet>
  Result<void> handle_answer(const Packet& packet, mqtt::PacketType type);
  void acknowledge(const Waiting& waiting);

  // client.cpp
  asio::awaitable<void> write();
  asio::awaitable<void> keep_alive();
  asio::awaitable<Result<Answer>> answer_of(std::shared_ptr<Exchange> exchange);
  void send(const mqtt::Packet& packet);
  void send_publish(const Publication& publication, mqtt::PacketId id, bool dup);
  void lose(boost::system::error_code error);
  [[nodiscard]] mqtt::DecodeLimits limits() const { return {.packet_size_max = options_.packet_size_max}; }

  asio::any_io_executor executor_;
  Options options_;
  State state_ = State::Idle;
  boost::system::error_code error_;
  std::uint64_t connection_ = 0;
  bool session_began_ = false;

  // What the broker said in CONNACK.
  std::size_t send_maximum_ = 65'535;
  std::size_t send_size_max_ = SIZE_MAX;
  mqtt::Qos qos_max_ = mqtt::Qos::ExactlyOnce;
  std::uint16_t interval_ = 0;

  std::unique_ptr<aio::Transport> transport_;
  std::unique_ptr<aio::TaskGroup> tasks_;
  Exchanges exchanges_;

  std::string input_;  ///< Received bytes; those before input_begin_ are done with.
  std::size_t input_begin_ = 0;
  std::deque<Waiting> inbox_;
  aio::Event inbox_changed_;
  aio::Event inbox_taken_;
  bool reading_paused_ = false;
  bool ping_unanswered_ = false;

  Output output_;
  aio::Event output_changed_;
  aio::Event output_written_;
  aio::Event publish_ended_;
  Instant sent_last_{};
};

}  // namespace parley::link
