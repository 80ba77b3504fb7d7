#include "clients/link/client.hpp"

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

#include "base/aio/within.hpp"
#include "base/check.hpp"
#include "mqtt/encode.hpp"

namespace parley::link {
namespace {

/// QoS 0 publishes wait while so many bytes are unwritten.
constexpr std::size_t kOutputMax = 1U << 20;
constexpr std::size_t kGatherMax = 64;
/// How long close() waits for the DISCONNECT to be written.
constexpr Duration kCloseLimit = std::chrono::seconds(1);

mqtt::Publish publish_packet(const Publication& publication, mqtt::PacketId id, bool dup) {
  return {.dup = dup,
          .qos = publication.qos,
          .retain = publication.retain,
          .topic = publication.topic,
          .packet_id = id,
          .properties = mqtt::Properties::trusted(publication.properties),
          .payload = publication.payload};
}

}  // namespace

Client::Client(const asio::any_io_executor& executor, Options options)
    : executor_(executor),
      options_(std::move(options)),
      exchanges_(executor),
      inbox_changed_(executor),
      inbox_taken_(executor),
      output_changed_(executor),
      output_written_(executor),
      publish_ended_(executor) {}

Client::~Client() = default;

// -- Sending --

asio::awaitable<Result<Answer>> Client::publish(Publication publication) {
  if (!connected()) co_return asio::error::not_connected;
  const auto sample = publish_packet(publication, 1, false);
  if (mqtt::encoded_size(sample, mqtt::ProtocolVersion::V5) > send_size_max_) {
    co_return mqtt::ReasonCode::PacketTooLarge;
  }
  if (publication.qos > qos_max_) co_return mqtt::ReasonCode::QosNotSupported;

  if (publication.qos == mqtt::Qos::AtMostOnce) {
    while (connected() && output_.size() > kOutputMax) {
      const bool written = co_await output_written_.wait();
      if (!written) co_return asio::error::operation_aborted;
    }
    if (!connected()) co_return error_;
    send_publish(publication, 0, false);
    co_return Answer{};
  }

  while (connected() && exchanges_.publishes() >= send_maximum_) {
    const bool ended = co_await publish_ended_.wait();
    if (!ended) co_return asio::error::operation_aborted;
  }
  if (!connected()) co_return error_;
  const bool once = publication.qos == mqtt::Qos::ExactlyOnce;
  auto [id, exchange] = exchanges_.open(once ? mqtt::PacketType::Pubrec : mqtt::PacketType::Puback);
  send_publish(publication, id, false);
  exchange->publication = std::move(publication);
  auto answer = co_await answer_of(std::move(exchange));
  co_return answer;
}

asio::awaitable<Result<Answer>> Client::subscribe(std::vector<Subscription> subscriptions, std::string properties) {
  if (!connected()) co_return asio::error::not_connected;
  auto [id, exchange] = exchanges_.open(mqtt::PacketType::Suback);
  mqtt::Subscribe packet{.packet_id = id, .properties = mqtt::Properties::trusted(properties)};
  for (const auto& subscription : subscriptions) {
    packet.items.push_back({.filter = subscription.filter, .options = subscription.options});
  }
  send(packet);
  auto answer = co_await answer_of(std::move(exchange));
  co_return answer;
}

asio::awaitable<Result<Answer>> Client::unsubscribe(std::vector<std::string> filters) {
  if (!connected()) co_return asio::error::not_connected;
  auto [id, exchange] = exchanges_.open(mqtt::PacketType::Unsuback);
  mqtt::Unsubscribe packet{.packet_id = id, .filters = {filters.begin(), filters.end()}};
  send(packet);
  auto answer = co_await answer_of(std::move(exchange));
  co_return answer;
}

asio::awaitable<Result<Answer>> Client::answer_of(std::shared_ptr<Exchange> exchange) {
  while (!exchange->done) {
    const bool changed = co_await exchange->changed.wait();
    if (!changed) co_return asio::error::operation_aborted;
  }
  if (exchange->error) co_return exchange->error;
  co_return std::move(exchange->answer);
}

asio::awaitable<Result<Message>> Client::receive() {
  while (inbox_.empty()) {
    if (!connected()) co_return error_ ? error_ : asio::error::not_connected;
    const bool changed = co_await inbox_changed_.wait();
    if (!changed) co_return asio::error::operation_aborted;
  }
  Waiting waiting = std::move(inbox_.front());
  inbox_.pop_front();
  if (reading_paused_) inbox_taken_.notify();
  acknowledge(waiting);
  co_return std::move(waiting.message);
}

void Client::send(const mqtt::Packet& packet) {
  mqtt::encode(output_, packet, mqtt::ProtocolVersion::V5);
  output_changed_.notify();
}

void Client::send_publish(const Publication& publication, mqtt::PacketId id, bool dup) {
  send(publish_packet(publication, id, dup));
}

// -- The connection's background --

asio::awaitable<void> Client::write() {
  std::array<iovec, kGatherMax> pieces;
  while (connected()) {
    if (output_.empty()) {
      output_written_.notify();
      const bool more = co_await output_changed_.wait();
      if (!more) co_return;
      continue;
    }
    const std::size_t used = output_.gather(pieces);
    const std::span<const iovec> gathered(pieces.data(), used);
    const auto written = co_await transport_->write_some(gathered);
    // The connection may have been lost meanwhile, and what was written is in no output any more.
    if (!connected()) co_return;
    if (!written) {
      lose(written.error());
      co_return;
    }
    output_.consume(*written);
    sent_last_ = std::chrono::steady_clock::now();
    output_written_.notify();
  }
}

/// PINGREQ in time, and no patience with a broker that doesn't answer it. MQTT 5 §3.1.2.10, §3.12.4.
asio::awaitable<void> Client::keep_alive() {
  const Duration period = std::chrono::milliseconds(std::uint64_t{interval_} * 750);
  asio::steady_timer timer(executor_);
  while (connected()) {
    timer.expires_at(ping_unanswered_ ? std::chrono::steady_clock::now() + options_.ping_timeout : sent_last_ + period);
    const auto [cancelled] = co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
    if (cancelled || !connected()) co_return;
    if (ping_unanswered_ && !reading_paused_) {
      lose(asio::error::timed_out);
      co_return;
    }
    if (!ping_unanswered_ && std::chrono::steady_clock::now() >= sent_last_ + period) {
      ping_unanswered_ = true;
      send(mqtt::Pingreq{});
    }
  }
}

/// The connection is over; who waits for it is told. Its tasks end by themselves.
void Client::lose(boost::system::error_code error) {
  if (state_ != State::Connected) return;
  state_ = State::Idle;
  error_ = error;
  transport_->close();
  tasks_->stop();
  exchanges_.fail(error, options_.session_expiry == 0);
  output_.clear();
  for (aio::Event* event : {&inbox_changed_, &inbox_taken_, &output_changed_, &output_written_, &publish_ended_}) {
    event->notify();
  }
}

asio::awaitable<void> Client::close(mqtt::ReasonCode reason) {
  if (connected()) {
    send(mqtt::Disconnect{.reason = reason});
    const Instant deadline = std::chrono::steady_clock::now() + kCloseLimit;
    while (connected() && !output_.empty() && std::chrono::steady_clock::now() < deadline) {
      auto written = output_written_.wait();
      const auto in_time = co_await aio::within(kCloseLimit, std::move(written));
      if (!in_time || !*in_time) break;
    }
    lose(asio::error::operation_aborted);
  }
  exchanges_.fail(asio::error::operation_aborted, true);
  if (tasks_) co_await tasks_->join();
  transport_.reset();
}

}  // namespace parley::link
