#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// What a node counts: each thread for itself, summed by whoever asks. docs/METRICS.md is printed from the table.
namespace parley {

/// In the order of metric_rules().
enum class Metric : std::uint8_t {
  // -- Traffic --
  PacketsReceived,
  PacketsSent,
  BytesReceived,
  BytesSent,
  PublishesReceived,
  PublishesSent,
  PublishesDropped,
  PublishBytesReceived,
  PublishBytesSent,
  // -- How it stands --
  Sockets,
  ClientsConnected,
  Sessions,
  Subscriptions,
  SharedSubscriptions,
  Retained,
  RetainedBytes,
  // -- Connections --
  SocketsAccepted,
  ConnectionsOpened,
  SessionsExpired,
  TlsHandshakes,
  TlsHandshakesResumed,
  TlsHandshakesFailed,
  TransportsRefused,
  FirstPacketsRefused,
  // -- Limits: how often each was reached --
  LimitConnections,
  LimitConnectionsPerAddress,
  LimitConnectionsPerUser,
  LimitSessions,
  LimitAcceptRate,
  LimitConnectRate,
  LimitConnectTime,
  LimitConnectPacketSize,
  LimitPacketSize,
  LimitReceiveMaximum,
  LimitTopicAlias,
  LimitKeepAlive,
  LimitThrottled,
  LimitThrottledUser,
  LimitThrottledControl,
  LimitThrottleTime,
  LimitSubscriptions,
  LimitTopicLevels,
  LimitOutput,
  LimitWriteTime,
  LimitPacketTime,
  LimitQueue,
  LimitRetained,
  LimitPosts,
  // -- What is to go from the disk --
  PurgesOfRedactions,
  PurgesOfRetention,
  PurgedByRedaction,
  PurgedByRetention,
  End,
};
inline constexpr std::size_t kMetrics = static_cast<std::size_t>(Metric::End);

struct MetricRule {
  Metric metric;
  std::string_view family;  ///< Its name for Prometheus.
  std::string_view label;   ///< Which of the family it is: `name="value"`; empty: the only one.
  bool is_gauge = false;
  std::string_view meaning;  ///< Of the first of its family: the family's.
};
std::span<const MetricRule> metric_rules();
/// What stands in quotes in its label; empty without one.
std::string_view value_of_label(const MetricRule& rule);

/// What one thread counts. That thread alone writes, any may read; a count costs a load and a store.
class alignas(64) Counters {
 public:
  void add(Metric metric, std::uint64_t by = 1) { add(values_[static_cast<std::size_t>(metric)], by); }
  void subtract(Metric gauge, std::uint64_t by = 1) { add(gauge, 0 - by); }
  void set(Metric gauge, std::uint64_t value) {
    values_[static_cast<std::size_t>(gauge)].store(value, std::memory_order_relaxed);
  }
  /// A connection was ended by the broker, for this MQTT 5 Reason Code, whether the client could be told or not.
  void disconnected(std::uint8_t reason) { add(disconnected_[reason], 1); }
  /// A CONNECT was refused.
  void refused(std::uint8_t reason) { add(refused_[reason], 1); }

 private:
  friend struct Totals;
  using Cell = std::atomic<std::uint64_t>;

  static void add(Cell& cell, std::uint64_t by) {
    cell.store(cell.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
  }

  std::array<Cell, kMetrics> values_{};
  std::array<Cell, 256> disconnected_{};
  std::array<Cell, 256> refused_{};
};

/// A sum of several threads' counters. Any thread.
struct Totals {
  std::array<std::uint64_t, kMetrics> values{};
  std::array<std::uint64_t, 256> disconnected{};  ///< By Reason Code.
  std::array<std::uint64_t, 256> refused{};

  [[nodiscard]] std::uint64_t operator[](Metric metric) const { return values[static_cast<std::size_t>(metric)]; }
  Totals& operator+=(const Counters& counters);
};

/// The counters of all threads of a node.
class Metrics {
 public:
  explicit Metrics(std::size_t threads);
  Counters& of(std::size_t thread) { return *threads_.at(thread); }
  [[nodiscard]] Totals sum() const;

 private:
  std::vector<std::unique_ptr<Counters>> threads_;
};

/// In Prometheus' text format (version 0.0.4). `reason_name` gives a Reason Code's word.
std::string metrics_text(const Totals& totals, std::string_view (*reason_name)(std::uint8_t reason));
/// docs/METRICS.md.
std::string metrics_page();

}  // namespace parley
