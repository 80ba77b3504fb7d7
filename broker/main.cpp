#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "base/log.hpp"
#include "base/log_thread.hpp"
#include "base/metrics.hpp"
#include "base/notify.hpp"
#include "base/version.hpp"
#include "broker/administration.hpp"
#include "broker/clustering.hpp"
#include "broker/disk/disk_store.hpp"
#include "broker/disk/log_check.hpp"
#include "broker/disk/log_guard.hpp"
#include "broker/logins.hpp"
#include "broker/net/server.hpp"
#include "broker/shard/lone_node.hpp"
#include "broker/shard/plain_recovery.hpp"
#include "config/cluster_settings.hpp"
#include "config/command_line.hpp"
#include "config/error.hpp"

/// parleyd: builds every part, hands them to each other, and waits for a signal.
namespace parley {
namespace {

const config::Program kProgram{.name = "parleyd",
                               .version = version(),
                               .description = "An MQTT 5 broker in which a conversation is a durable, sequenced log.",
                               .listen_setting = {}};

/// An answer of the store, on its way to the shard's thread.
class StoreLetter final : public net::Letter {
 public:
  explicit StoreLetter(disk::StoreEvent event) : event_(std::move(event)) {}
  void deliver(shard::Shard& shard) override { disk::deliver(event_, shard); }

 private:
  disk::StoreEvent event_;
};

/// Between the store, which is there first, and the server, which needs it.
class StoreAnswers final : public disk::StoreEventSink {
 public:
  void connect(net::Server& server) { server_ = &server; }
  void post(shard::ShardId shard, disk::StoreEvent event) override {
    // What the store says while the shards are still being restored is in what they are restored from.
    if (net::Server* server = server_.load()) server->send(shard, std::make_unique<StoreLetter>(std::move(event)));
  }

 private:
  std::atomic<net::Server*> server_ = nullptr;
};

std::uint32_t usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return static_cast<std::uint32_t>(CPU_COUNT(&set));
}

std::uint32_t seconds_or_unlimited(Duration duration) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(duration).count();
  return seconds == 0 ? 0xFFFF'FFFF : static_cast<std::uint32_t>(seconds);
}

/// Each thread's part of a rate.
std::uint64_t a_thread(std::uint64_t rate, std::uint32_t threads) { return (rate + threads - 1) / threads; }

shard::RateLimits rate_limits(const config::Config& config) {
  const auto& mqtt = config.mqtt;
  return {.messages = {.a_second = mqtt.max_message_rate},
          .bytes = {.a_second = mqtt.max_byte_rate},
          .user_messages = {.a_second = mqtt.max_user_message_rate},
          .user_bytes = {.a_second = mqtt.max_user_byte_rate},
          .control = {.a_second = mqtt.max_control_rate, .burst = std::chrono::seconds(5)},
          .patience = mqtt.max_throttle};
}

shard::ShardOptions shard_options(const config::Config& config) {
  const auto& mqtt = config.mqtt;
  shard::ShardOptions options;
  // A shard without a slot would have nothing to do.
  const auto threads = config.node.threads != 0 ? static_cast<std::uint32_t>(config.node.threads) : usable_cores();
  if (config.cluster.enabled) options.slots = static_cast<std::uint32_t>(config.cluster.slots);
  options.shards = std::min(threads, options.slots);
  options.limits.packet_size_max = static_cast<std::uint32_t>(mqtt.max_packet_size);
  options.limits.receive_max = static_cast<std::uint16_t>(mqtt.receive_maximum);
  options.limits.inflight_max = static_cast<std::uint16_t>(mqtt.max_inflight_messages);
  options.limits.topic_alias_max = static_cast<std::uint16_t>(mqtt.max_topic_alias);
  options.limits.keep_alive_max =
      static_cast<std::uint16_t>(std::chrono::duration_cast<std::chrono::seconds>(mqtt.max_keepalive).count());
  options.limits.session_expiry_max = seconds_or_unlimited(mqtt.max_session_expiry);
  options.limits.qos_max = static_cast<mqtt::Qos>(mqtt.max_qos);
  options.limits.retain_available = mqtt.retain_available;
  options.limits.wildcard_subscriptions = mqtt.wildcard_subscriptions;
  options.limits.shared_subscriptions = mqtt.shared_subscriptions;
  options.limits.subscription_identifiers = mqtt.subscription_identifiers;
  options.limits.check_payload_format = mqtt.check_payload_format;
  options.limits.queued_messages_max = mqtt.max_queued_messages;
  options.limits.queued_bytes_max = mqtt.max_queued_bytes;
  options.limits.output_max = mqtt.max_output;
  options.limits.filters_max = std::max(options.limits.filters_max, std::size_t{mqtt.max_subscriptions});
  options.root = config.chat.root;
  options.auto_create = config.chat.auto_create;
  options.message_size_max = config.chat.max_message_size;
  options.post_rate = {.a_second = config.chat.max_message_rate, .burst = std::chrono::seconds(5)};
  options.edit_window = config.chat.edit_window;
  options.retention = config.chat.retention;
  options.inbox_cursor_interval = config.chat.inbox_cursor_interval;
  options.marks_fanout = config.chat.marks_fanout;
  options.presence_grace = config.presence.grace;
  options.v3_refuse_closes = mqtt.v3_refuse == "close";
  options.pending_bytes_max = config.storage.max_pending;
  options.subscriptions_max = mqtt.max_subscriptions;
  options.inbox_conversations_max = std::max(options.inbox_conversations_max, std::size_t{mqtt.max_subscriptions});
  options.login_timeout = mqtt.connect_timeout;
  options.filter_levels_max = mqtt.max_topic_levels;
  options.packet_size_before_connect_max = mqtt.max_connect_packet_size;
  options.user_connections_max = static_cast<std::uint32_t>(mqtt.max_connections_per_user);
  options.sessions_max = mqtt.max_sessions;
  options.connects_a_second = a_thread(mqtt.max_connect_rate, options.shards);
  options.rates = rate_limits(config);
  options.system_interval = mqtt.sys_interval;
  options.snapshot_bytes_per_second = std::max<std::uint64_t>(config.cluster.snapshot_rate / options.shards, 1);
  options.node_timeout = config.cluster.node_timeout;
  options.dismissals_per_second = static_cast<double>(config.cluster.drain_rate);
  options.retained_max = mqtt.max_retained_messages;
  options.retained_bytes_max = mqtt.max_retained_bytes;
  return options;
}

disk::DiskOptions disk_options(const config::Config& config, std::uint32_t shards, Counters& counters) {
  disk::DiskOptions options;
  options.counters = &counters;
  options.data_dir = config.node.data_dir;
  options.shards = shards;
  options.readers = static_cast<unsigned>(config.storage.readers);
  options.log_map_size = config.storage.log_map_size;
  options.store_map_size = config.storage.map_size;
  options.plain_map_size = config.storage.plain_map_size;
  options.log_retention = config.storage.log_retention;
  options.log_size_max = config.storage.log_size;
  options.index_slots = config.cluster.enabled;
  if (config.cluster.enabled) options.self = node_id(config::node_name(config));
  options.stop = [] { ::kill(::getpid(), SIGTERM); };
  return options;
}

log::Format log_format(const std::string& word) {
  if (word == "json") return log::Format::Json;
  return word == "journal" ? log::Format::Journal : log::Format::Text;
}

void configure_log(const config::Config& config) {
  log::Level level = log::Level::Info;
  log::read_level(config.log.level, level);
  log::configure(level, log_format(config.log.format));
}

/// The signals that `main` waits for; blocked before there are threads, so that no thread is interrupted by one.
sigset_t awaited_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, signal);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  std::signal(SIGPIPE, SIG_IGN);  // OpenSSL writes to sockets without MSG_NOSIGNAL.
  return set;
}

Timestamp wall_now() {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  return {static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(since).count())};
}

void restore(net::Server& server, disk::DiskStore& store, const shard::ShardOptions& options) {
  for (const shard::StoredSlot& slot : store.slots()) {
    server.shard(shard::home_of_slot(slot.slot, options)).restore_slot(slot);
  }
  const Timestamp now = wall_now();
  std::size_t sessions = 0;
  store.for_each_session([&](const shard::StoredSession& session) {
    server.shard(shard::home_of_name(session.client_id, options))
        .restore(session, {std::chrono::steady_clock::now(), now});
    ++sessions;
  });
  std::vector<shard::Shard*> shards;
  for (shard::ShardId id = 0; id < options.shards; ++id) shards.push_back(&server.shard(id));
  const auto home = [&](std::string_view client_id) -> shard::Shard& {
    return server.shard(shard::home_of_name(client_id, options));
  };
  shard::PlainRecovery plain(std::move(shards), home, {std::chrono::steady_clock::now(), now});
  using shard::PlainTable;
  for (const auto table :
       {PlainTable::Queues, PlainTable::Outbound, PlainTable::Inbound, PlainTable::Messages, PlainTable::Retained}) {
    store.for_each_plain_row(table,
                             [&](std::string_view key, std::string_view value) { plain.row(table, key, value); });
  }
  plain.finish();
  if (plain.unreadable() != 0) {
    log::error("rows of plain.mdb can't be read, leaving them out", {{"rows", plain.unreadable()}});
  }
  log::info("data directory is open", {{"log_end", store.log_end()},
                                       {"sessions", sessions},
                                       {"queued", plain.messages()},
                                       {"retained", plain.retained()}});
}

void listen(net::Server& server, const config::Config& config) {
  for (const config::Listener& listener : config.listeners) {
    const auto port = server.listen(listener);
    if (!port) {
      throw config::ConfigError("listener " + config::url_of(listener) + " can't be opened: " + port.error().message());
    }
    config::Listener bound = listener;
    bound.address.port = *port;
    log::info("listening", {{"url", config::url_of(bound)}});
  }
}

void wait_for_the_end(net::Server& server, Logins& logins, const sigset_t& signals) {
  for (;;) {
    int signal = 0;
    if (::sigwait(&signals, &signal) != 0) continue;
    if (signal == SIGHUP) {
      log::info("SIGHUP, loading again what may be");
      server.reload();
      logins.reload();
      continue;
    }
    log::info("stopping", {{"signal", signal == SIGINT ? "SIGINT" : "SIGTERM"}});
    return;
  }
}

/// A signal to stop has come, or comes within `longest`, which is less than a second.
bool is_told_to_stop(const sigset_t& signals, Duration longest = {}) {
  const timespec wait{.tv_sec = 0, .tv_nsec = std::chrono::nanoseconds(longest).count()};
  for (;;) {
    const int signal = ::sigtimedwait(&signals, nullptr, &wait);
    if (signal == SIGTERM || signal == SIGINT) return true;
    if (signal != SIGHUP) return false;
  }
}

void run(const config::Config& config, const sigset_t& signals) {
  configure_log(config);
  std::optional<disk::LogCheck> log_check;
  if (config.cluster.enabled) log_check.emplace(config.node.data_dir);  // Before there are threads.
  const log::LogThread log_thread(STDERR_FILENO);
  auto options = shard_options(config);
  net::WorkerOptions worker_options;
  worker_options.connect_timeout = config.mqtt.connect_timeout;
  worker_options.connections_max = config.mqtt.max_connections;
  worker_options.address_connections_max = static_cast<std::uint32_t>(config.mqtt.max_connections_per_address);
  worker_options.accepts = {.a_second = a_thread(config.mqtt.max_accept_rate, options.shards)};
  worker_options.counts_users = config.mqtt.max_connections_per_user != 0 || config.mqtt.max_user_message_rate != 0 ||
                                config.mqtt.max_user_byte_rate != 0;
  worker_options.packet_timeout = config.mqtt.packet_timeout;
  worker_options.write_timeout = config.mqtt.write_timeout;
  Metrics metrics(options.shards + 1);  // One for each shard, and one for the disk.
  options.metrics = &metrics;
  StoreAnswers answers;
  auto disk_options = parley::disk_options(config, options.shards, metrics.of(options.shards));
  if (log_check) disk_options.damage = log_check->behind_store();
  const auto store = disk::DiskStore::open(std::move(disk_options), answers);
  if (log_check) log_check->watch([guard = store->guard()](const auto& damage) { guard->found(damage); });
  Logins logins(config, usable_cores(), options.shards);
  std::unique_ptr<Clustering> clustering;
  // Alone it leads as soon as the disk has taken its votes: nobody else could, and no other node is to be tried.
  if (!config.cluster.enabled) options.leader_wait = options.login_timeout;
  if (config.cluster.enabled) {
    auto file = enter_cluster(config, store->log_end() != Lsn{}, [&signals] { return is_told_to_stop(signals); });
    if (!file) return;
    options.founds_slots = file->standing == cluster::NodeFile::Standing::Founder;
    clustering = std::make_unique<Clustering>(config, *std::move(file), options);
  }
  shard::LoneNode lone;
  shard::PeerNodes& nodes = clustering ? clustering->peer_nodes() : lone;
  net::Server server(worker_options, options, *store, nodes, logins.authenticator());
  answers.connect(server);
  logins.connect(server);
  restore(server, *store, options);
  Administration administration(config, metrics, options, *store, server, clustering.get());
  listen(server, config);
  if (clustering) {
    clustering->connect(server);
    clustering->start();
  }
  server.start();
  administration.start();
  log::info("ready", {{"pid", ::getpid()}, {"version", version()}, {"threads", options.shards}});
  notify_supervisor("READY=1");
  wait_for_the_end(server, logins, signals);
  notify_supervisor("STOPPING=1");
  if (clustering) clustering->leave([&signals](Duration longest) { return is_told_to_stop(signals, longest); });
  administration.stop();
  server.stop();
  if (clustering) clustering->stop();
  logins.stop();
  if (log_check) log_check->stop();
  store->stop();
  log::info("stopped");
  if (store->guard() && store->guard()->stopped()) {
    throw std::runtime_error("stopped because log.mdb is damaged; to be started again");
  }
}

}  // namespace
}  // namespace parley

int main(int count, char** arguments) {
  const sigset_t signals = parley::awaited_signals();
  try {
    const auto command = parley::config::read_command_line(parley::kProgram, {arguments + 1, arguments + count},
                                                           parley::config::process_environment());
    if (!command.config) {
      std::fputs(command.output.c_str(), stdout);
      return 0;
    }
    parley::run(*command.config, signals);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "parleyd: %s\n", error.what());
    return 1;
  }
}
