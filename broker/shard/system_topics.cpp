#include "broker/shard/system_topics.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>

#include "base/version.hpp"
#include "broker/shard/shard.hpp"

namespace parley::shard {
namespace {

constexpr std::string_view kRoot = "$SYS/broker/";

struct Rule {
  std::string_view topic;
  Metric metric;
};

/// mosquitto's names (mosquitto.8, "Broker status").
constexpr std::array kTopics{
    Rule{"clients/total", Metric::Sessions},
    Rule{"clients/connected", Metric::ClientsConnected},
    Rule{"clients/active", Metric::ClientsConnected},
    Rule{"clients/expired", Metric::SessionsExpired},
    Rule{"messages/received", Metric::PacketsReceived},
    Rule{"messages/sent", Metric::PacketsSent},
    Rule{"bytes/received", Metric::BytesReceived},
    Rule{"bytes/sent", Metric::BytesSent},
    Rule{"publish/messages/received", Metric::PublishesReceived},
    Rule{"publish/messages/sent", Metric::PublishesSent},
    Rule{"publish/messages/dropped", Metric::PublishesDropped},
    Rule{"publish/bytes/received", Metric::PublishBytesReceived},
    Rule{"publish/bytes/sent", Metric::PublishBytesSent},
    Rule{"subscriptions/count", Metric::Subscriptions},
    Rule{"shared_subscriptions/count", Metric::SharedSubscriptions},
    Rule{"retained messages/count", Metric::Retained},
    Rule{"store/messages/count", Metric::Retained},
    Rule{"store/messages/bytes", Metric::RetainedBytes},
};

/// With 1min, 5min and 15min below each.
constexpr std::array kLoads{
    Rule{"load/messages/received", Metric::PacketsReceived},  Rule{"load/messages/sent", Metric::PacketsSent},
    Rule{"load/bytes/received", Metric::BytesReceived},       Rule{"load/bytes/sent", Metric::BytesSent},
    Rule{"load/publish/received", Metric::PublishesReceived}, Rule{"load/publish/sent", Metric::PublishesSent},
    Rule{"load/publish/dropped", Metric::PublishesDropped},   Rule{"load/sockets", Metric::SocketsAccepted},
    Rule{"load/connections", Metric::ConnectionsOpened},
};

/// What mosquitto has no name for, by the name of the setting: parley/limits/max_subscriptions.
std::string limit_topic(const MetricRule& rule) {
  auto setting = value_of_label(rule);
  if (const auto dot = setting.find('.'); dot != setting.npos) setting.remove_prefix(dot + 1);
  return std::string("parley/limits/").append(setting);
}

std::string two_decimals(double value) {
  std::array<char, 64> text{};
  const int size = std::snprintf(text.data(), text.size(), "%.2f", value);
  return {text.data(), static_cast<std::size_t>(std::max(size, 0))};
}

}  // namespace

void LoadAverages::add(std::uint64_t count, Duration passed) {
  const double seconds = std::chrono::duration<double>(passed).count();
  if (seconds <= 0) return;
  const double a_minute = static_cast<double>(count) * 60.0 / seconds;
  for (std::size_t i = 0; i < values_.size(); ++i) {
    const double kept = std::exp(-seconds / (60.0 * kMinutes[i]));
    values_[i] = a_minute + kept * (values_[i] - a_minute);
  }
}

void SystemTopics::start() {
  if (shard_.id() != 0 || shard_.options().system_interval <= Duration::zero()) return;
  began_ = published_ = shard_.now();
  loads_.resize(kLoads.size());
  before_ = shard_.totals();
  run_timer();
}

void SystemTopics::run_timer() {
  publish();
  shard_.timers().add({.due = shard_.now() + shard_.options().system_interval, .kind = TimerKind::SystemTopics});
}

void SystemTopics::publish() {
  const Totals totals = shard_.totals();
  clients_most_ = std::max(clients_most_, totals[Metric::ClientsConnected]);
  const std::uint64_t absent =
      totals[Metric::Sessions] - std::min(totals[Metric::Sessions], totals[Metric::ClientsConnected]);
  const auto uptime = std::chrono::duration_cast<std::chrono::seconds>(shard_.now() - began_).count();
  add("version", std::string("parley version ").append(version()));
  add("uptime", std::to_string(uptime).append(" seconds"));
  add("clients/disconnected", std::to_string(absent));
  add("clients/inactive", std::to_string(absent));
  add("clients/maximum", std::to_string(clients_most_));
  for (const Rule& rule : kTopics) add(rule.topic, std::to_string(totals[rule.metric]));
  add_loads(totals, shard_.now() - std::exchange(published_, shard_.now()));
  for (const MetricRule& rule : metric_rules()) {
    if (rule.label.starts_with("limit=")) add(limit_topic(rule), std::to_string(totals[rule.metric]));
  }
  before_ = totals;
  const auto messages = std::make_shared<const std::vector<mqtt::MessagePtr>>(std::exchange(messages_, {}));
  for (ShardId shard = 0; shard < shard_.options().shards; ++shard) {
    shard_.send(shard, PeerEvent{SystemTopicsEvent{messages}});
  }
}

void SystemTopics::add_loads(const Totals& totals, Duration passed) {
  for (std::size_t i = 0; i < kLoads.size(); ++i) {
    const Rule& rule = kLoads[i];
    loads_[i].add(totals[rule.metric] - before_[rule.metric], passed);
    for (std::size_t j = 0; j < LoadAverages::kMinutes.size(); ++j) {
      const std::string minutes = std::to_string(LoadAverages::kMinutes[j]);
      add(std::string(rule.topic).append("/").append(minutes).append("min"), two_decimals(loads_[i].values()[j]));
    }
  }
}

void SystemTopics::add(std::string_view name, const std::string& value) {
  const std::string topic = std::string(kRoot).append(name);
  messages_.push_back(mqtt::Message::make({.topic = topic, .properties = {}, .payload = value, .retain = true}));
}

void SystemTopics::receive(const Messages& messages) {
  for (const auto& message : *messages) {
    (void)kept_.set(message);
    shard_.plain_topics().deliver_on_shard(message);
  }
}

void SystemTopics::match(std::string_view filter, const std::function<void(const mqtt::MessagePtr&)>& visit) const {
  if (filter.starts_with("$SYS")) kept_.match(filter, shard_.now(), visit);
}

}  // namespace parley::shard
