#include "base/metrics.hpp"

namespace parley {
namespace {

constexpr std::string_view kLimit = "parley_limit_reached_total";

constexpr std::array<MetricRule, kMetrics> kRules{{
    {Metric::PacketsReceived, "parley_packets_total", "direction=\"in\"", false, "MQTT packets."},
    {Metric::PacketsSent, "parley_packets_total", "direction=\"out\"", false, ""},
    {Metric::BytesReceived, "parley_bytes_total", "direction=\"in\"", false,
     "Bytes of MQTT, without what TLS and WebSocket add."},
    {Metric::BytesSent, "parley_bytes_total", "direction=\"out\"", false, ""},
    {Metric::PublishesReceived, "parley_publishes_total", "direction=\"in\"", false, "PUBLISH packets."},
    {Metric::PublishesSent, "parley_publishes_total", "direction=\"out\"", false, ""},
    {Metric::PublishesDropped, "parley_publishes_dropped_total", "", false,
     "Deliveries of ordinary messages that were dropped: a full queue or output, too large for the client."},
    {Metric::PublishBytesReceived, "parley_publish_bytes_total", "direction=\"in\"", false,
     "Payload bytes of PUBLISH packets."},
    {Metric::PublishBytesSent, "parley_publish_bytes_total", "direction=\"out\"", false, ""},
    {Metric::Sockets, "parley_sockets", "", true, "Connections of all listeners, with a CONNECT or without."},
    {Metric::ClientsConnected, "parley_clients_connected", "", true, "Clients with a connection."},
    {Metric::Sessions, "parley_sessions", "", true, "Sessions, with a connection or without."},
    {Metric::Subscriptions, "parley_subscriptions", "", true, "Subscriptions of all sessions."},
    {Metric::SharedSubscriptions, "parley_shared_subscriptions", "", true, "Shared ones among them."},
    {Metric::Retained, "parley_retained_messages", "", true, "Retained messages of ordinary topics."},
    {Metric::RetainedBytes, "parley_retained_bytes", "", true, "Their bytes."},
    {Metric::SocketsAccepted, "parley_sockets_accepted_total", "", false, "Connections accepted by listeners."},
    {Metric::ConnectionsOpened, "parley_connections_opened_total", "", false, "CONNECT packets answered with success."},
    {Metric::SessionsExpired, "parley_sessions_expired_total", "", false,
     "Sessions that ended because their client was away for too long."},
    {Metric::TlsHandshakes, "parley_tls_handshakes_total", "result=\"finished\"", false,
     "TLS handshakes; resumed ones are among the finished ones."},
    {Metric::TlsHandshakesResumed, "parley_tls_handshakes_total", "result=\"resumed\"", false, ""},
    {Metric::TlsHandshakesFailed, "parley_tls_handshakes_total", "result=\"failed\"", false, ""},
    {Metric::TransportsRefused, "parley_transports_refused_total", "", false,
     "Connections ended for a PROXY header, an HTTP request or a WebSocket frame."},
    {Metric::FirstPacketsRefused, "parley_first_packets_refused_total", "", false,
     "Connections ended because their first packet was none, or no CONNECT."},
    {Metric::LimitConnections, kLimit, "limit=\"mqtt.max_connections\"", false,
     "How often a limit was reached; docs/LIMITS.md says what happens then."},
    {Metric::LimitConnectionsPerAddress, kLimit, "limit=\"mqtt.max_connections_per_address\"", false, ""},
    {Metric::LimitConnectionsPerUser, kLimit, "limit=\"mqtt.max_connections_per_user\"", false, ""},
    {Metric::LimitSessions, kLimit, "limit=\"mqtt.max_sessions\"", false, ""},
    {Metric::LimitAcceptRate, kLimit, "limit=\"mqtt.max_accept_rate\"", false, ""},
    {Metric::LimitConnectRate, kLimit, "limit=\"mqtt.max_connect_rate\"", false, ""},
    {Metric::LimitConnectTime, kLimit, "limit=\"mqtt.connect_timeout\"", false, ""},
    {Metric::LimitConnectPacketSize, kLimit, "limit=\"mqtt.max_connect_packet_size\"", false, ""},
    {Metric::LimitPacketSize, kLimit, "limit=\"mqtt.max_packet_size\"", false, ""},
    {Metric::LimitReceiveMaximum, kLimit, "limit=\"mqtt.receive_maximum\"", false, ""},
    {Metric::LimitTopicAlias, kLimit, "limit=\"mqtt.max_topic_alias\"", false, ""},
    {Metric::LimitKeepAlive, kLimit, "limit=\"keep_alive\"", false, ""},
    {Metric::LimitThrottled, kLimit, "limit=\"mqtt.max_message_rate\"", false, ""},
    {Metric::LimitThrottledUser, kLimit, "limit=\"mqtt.max_user_message_rate\"", false, ""},
    {Metric::LimitThrottledControl, kLimit, "limit=\"mqtt.max_control_rate\"", false, ""},
    {Metric::LimitThrottleTime, kLimit, "limit=\"mqtt.max_throttle\"", false, ""},
    {Metric::LimitSubscriptions, kLimit, "limit=\"mqtt.max_subscriptions\"", false, ""},
    {Metric::LimitTopicLevels, kLimit, "limit=\"mqtt.max_topic_levels\"", false, ""},
    {Metric::LimitOutput, kLimit, "limit=\"mqtt.max_output\"", false, ""},
    {Metric::LimitWriteTime, kLimit, "limit=\"mqtt.write_timeout\"", false, ""},
    {Metric::LimitPacketTime, kLimit, "limit=\"mqtt.packet_timeout\"", false, ""},
    {Metric::LimitQueue, kLimit, "limit=\"mqtt.max_queued_messages\"", false, ""},
    {Metric::LimitRetained, kLimit, "limit=\"mqtt.max_retained_messages\"", false, ""},
    {Metric::LimitPosts, kLimit, "limit=\"chat.max_message_rate\"", false, ""},
    {Metric::PurgesOfRedactions, "parley_purges_pending", "kind=\"redaction\"", true,
     "What is gone for readers and not from the disk yet: redacted entries, and conversations with entries before "
     "their "
     "beginning."},
    {Metric::PurgesOfRetention, "parley_purges_pending", "kind=\"retention\"", true, ""},
    {Metric::PurgedByRedaction, "parley_purged_entries_total", "kind=\"redaction\"", false,
     "Entries whose content was taken out of the files, or that were deleted from them."},
    {Metric::PurgedByRetention, "parley_purged_entries_total", "kind=\"retention\"", false, ""},
}};

consteval bool in_order() {
  for (std::size_t i = 0; i < kRules.size(); ++i) {
    if (static_cast<std::size_t>(kRules[i].metric) != i) return false;
  }
  return true;
}
static_assert(in_order(), "metric_rules() has the order of Metric");

/// One for each Reason Code that has occurred.
struct ReasonFamily {
  std::string_view name;
  std::string_view meaning;
};
constexpr ReasonFamily kDisconnected{"parley_disconnects_total",
                                     "Connections of clients that the broker ended, by MQTT 5 Reason Code."};
constexpr ReasonFamily kRefused{"parley_connects_refused_total", "CONNECT packets refused, by MQTT 5 Reason Code."};

void append_head(std::string& text, std::string_view family, std::string_view meaning, bool is_gauge) {
  text.append("# HELP ").append(family).append(" ").append(meaning).append("\n# TYPE ").append(family);
  text.append(is_gauge ? " gauge\n" : " counter\n");
}

void append_reasons(std::string& text, const ReasonFamily& family, const std::array<std::uint64_t, 256>& values,
                    std::string_view (*reason_name)(std::uint8_t)) {
  append_head(text, family.name, family.meaning, false);
  for (std::size_t reason = 0; reason < values.size(); ++reason) {
    if (values[reason] == 0) continue;
    text.append(family.name).append("{reason=\"").append(reason_name(static_cast<std::uint8_t>(reason)));
    text.append("\"} ").append(std::to_string(values[reason])).append("\n");
  }
}

void append_row(std::string& page, std::string_view family, std::string_view label, std::string_view kind,
                std::string_view meaning) {
  page.append("| `").append(family).append("` | ").append(label.empty() ? "" : "`").append(label);
  page.append(label.empty() ? "| " : "` | ").append(kind).append(" | ").append(meaning).append(" |\n");
}

}  // namespace

std::span<const MetricRule> metric_rules() { return kRules; }

std::string_view value_of_label(const MetricRule& rule) {
  const auto begin = rule.label.find('"');
  if (begin == rule.label.npos) return {};
  return rule.label.substr(begin + 1, rule.label.size() - begin - 2);
}

Totals& Totals::operator+=(const Counters& counters) {
  const auto sum = [](auto& to, const auto& from) {
    for (std::size_t i = 0; i < to.size(); ++i) to[i] += from[i].load(std::memory_order_relaxed);
  };
  sum(values, counters.values_);
  sum(disconnected, counters.disconnected_);
  sum(refused, counters.refused_);
  return *this;
}

Metrics::Metrics(std::size_t threads) {
  for (std::size_t i = 0; i < threads; ++i) threads_.push_back(std::make_unique<Counters>());
}

Totals Metrics::sum() const {
  Totals totals;
  for (const auto& counters : threads_) totals += *counters;
  return totals;
}

std::string metrics_text(const Totals& totals, std::string_view (*reason_name)(std::uint8_t reason)) {
  std::string text;
  std::string_view family;
  for (const MetricRule& rule : kRules) {
    if (rule.family != family) append_head(text, rule.family, rule.meaning, rule.is_gauge);
    family = rule.family;
    text.append(rule.family);
    if (!rule.label.empty()) text.append("{").append(rule.label).append("}");
    text.append(" ").append(std::to_string(totals[rule.metric])).append("\n");
  }
  append_reasons(text, kDisconnected, totals.disconnected, reason_name);
  append_reasons(text, kRefused, totals.refused, reason_name);
  return text;
}

std::string metrics_page() {
  std::string page =
      "# Metrics\n\n"
      "Generated from base/metrics.cpp: `parleyd --metrics`.\n\n"
      "The admin socket has them in Prometheus' text format: `curl --unix-socket data/admin.sock\n"
      "http://node/metrics`. Most are in `$SYS/broker/…`, too (docs/LIMITS.md). All are of one node, and begin at 0 "
      "with its start.\n\n"
      "| name | label | kind | meaning |\n| --- | --- | --- | --- |\n";
  for (const MetricRule& rule : kRules) {
    append_row(page, rule.family, rule.label, rule.is_gauge ? "gauge" : "counter", rule.meaning);
  }
  for (const auto& family : {kDisconnected, kRefused}) {
    append_row(page, family.name, "reason=\"…\"", "counter", family.meaning);
  }
  return page;
}

}  // namespace parley
