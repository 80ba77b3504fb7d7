#pragma once

#include <cstdint>
#include <vector>

#include "clients/bench/traffic.hpp"

/// The two ends of one topic. Only for traffic.cpp and stream.cpp.
namespace parley::bench {

/// One publisher: what it has sent, and how far it has come.
class Stream final : public Client::Owner {
 public:
  Stream(Traffic& traffic, const Endpoint& endpoint, std::uint32_t number);

  void on_acknowledged(mqtt::PacketId packet_id, mqtt::ReasonCode reason) override;
  /// One subscriber has come from `first` to `end`.
  void passed(std::uint64_t first, std::uint64_t end);
  /// Publishes what is due and fits.
  void refill(Instant now);

  [[nodiscard]] Client& client() { return client_; }
  [[nodiscard]] const Client& client() const { return client_; }
  [[nodiscard]] std::uint32_t number() const { return number_; }
  [[nodiscard]] std::uint64_t sent() const { return sent_; }
  [[nodiscard]] std::uint64_t acknowledged() const { return needs_acks_ ? acknowledged_ : sent_; }
  [[nodiscard]] std::uint64_t refused() const { return refused_; }
  [[nodiscard]] std::uint64_t under_way() const;
  void fix_window();
  [[nodiscard]] std::size_t window() const { return window_; }

 private:
  Traffic& traffic_;
  std::uint32_t number_;
  bool needs_acks_;
  PublishTemplate template_;
  Client client_;
  std::size_t window_ = 0;
  bool refillable_ = false;
  std::uint64_t sent_ = 0;
  std::uint64_t acknowledged_ = 0;
  std::uint64_t refused_ = 0;
  std::uint64_t everywhere_ = 0;        ///< All subscribers have got what is before.
  std::vector<std::uint32_t> arrived_;  ///< By sequence modulo its size: how many subscribers have got it.
};

/// One subscriber: checks what comes and tells its stream.
class Subscriber final : public Client::Owner {
 public:
  Subscriber(Traffic& traffic, const Endpoint& endpoint, Stream& stream, std::size_t number);

  void on_delivery(const Delivery& delivery) override;
  /// Gives up on what hasn't come.
  void skip();

  [[nodiscard]] Client& client() { return client_; }
  [[nodiscard]] const Client& client() const { return client_; }
  [[nodiscard]] Stream& stream() { return stream_; }
  [[nodiscard]] const Tally& tally() const { return tally_; }
  [[nodiscard]] bool paced() const { return paced_; }
  [[nodiscard]] std::uint64_t foreign() const { return foreign_; }

 private:
  Traffic& traffic_;
  Stream& stream_;
  bool paced_;
  Client client_;
  Tally tally_;
  std::uint64_t foreign_ = 0;
};

}  // namespace parley::bench
