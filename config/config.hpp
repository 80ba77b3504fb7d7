#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/time.hpp"
#include "config/listener.hpp"

namespace parley::config {

/// Every setting as a value, in the sections of the configuration file. What each means, its standard value and its
/// bounds stand in the table of settings.cpp, and so in docs/SETTINGS.md. Sizes are in bytes.
struct Config {
  struct Node {
    std::string id;
    std::string data_dir;
    std::uint64_t threads = 0;
  } node;
  struct Mqtt {
    std::uint64_t max_packet_size = 0;
    std::uint64_t receive_maximum = 0;
    std::uint64_t max_inflight_messages = 0;
    std::uint64_t max_topic_alias = 0;
    Duration max_keepalive{};
    Duration max_session_expiry{};
    std::uint64_t max_qos = 0;
    bool retain_available = false;
    bool wildcard_subscriptions = false;
    bool shared_subscriptions = false;
    bool subscription_identifiers = false;
    bool check_payload_format = false;
    std::uint64_t max_queued_messages = 0;
    std::uint64_t max_queued_bytes = 0;
    std::uint64_t max_retained_messages = 0;
    std::uint64_t max_retained_bytes = 0;
    std::uint64_t max_subscriptions = 0;
    std::uint64_t max_topic_levels = 0;
    std::uint64_t max_connections = 0;
    std::uint64_t max_sessions = 0;
    std::uint64_t max_connections_per_user = 0;
    std::uint64_t max_connections_per_address = 0;
    std::uint64_t max_accept_rate = 0;
    std::uint64_t max_connect_rate = 0;
    std::uint64_t max_connect_packet_size = 0;
    std::uint64_t max_message_rate = 0;
    std::uint64_t max_byte_rate = 0;
    std::uint64_t max_user_message_rate = 0;
    std::uint64_t max_user_byte_rate = 0;
    std::uint64_t max_control_rate = 0;
    Duration max_throttle{};
    Duration packet_timeout{};
    Duration write_timeout{};
    std::uint64_t max_output = 0;
    Duration sys_interval{};
    Duration connect_timeout{};
    std::string v3_refuse;
  } mqtt;
  struct Auth {
    std::string users_file;
    std::string access_file;
    std::string keys_file;
    std::string token_issuer;
    std::string token_audience;
    std::string token_user_claim;
    bool token_requires_expiry = false;
    Duration clock_skew{};
    std::uint64_t threads = 0;
    std::uint64_t hash_memory = 0;
    std::uint64_t max_waiting = 0;
    struct Http {
      std::string url;
      Duration timeout{};
      Duration cache{};
      std::uint64_t max_requests = 0;
    } http;
  } auth;
  struct Chat {
    std::string root;
    bool auto_create = false;
    std::uint64_t max_message_size = 0;
    std::uint64_t max_message_rate = 0;
    Duration edit_window{};
    Duration retention{};
    Duration inbox_cursor_interval{};
    std::uint64_t marks_fanout = 0;
  } chat;
  struct Presence {
    Duration grace{};
  } presence;
  struct Storage {
    std::uint64_t readers = 0;
    Duration log_retention{};
    std::uint64_t log_size = 0;
    std::uint64_t map_size = 0;
    std::uint64_t log_map_size = 0;
    std::uint64_t plain_map_size = 0;
    std::uint64_t max_pending = 0;
  } storage;
  struct Cluster {
    bool enabled = false;
    std::string name;
    std::string redis;
    std::string redis_user;
    std::string redis_password;
    std::string redis_password_file;
    std::string sentinel_user;
    std::string sentinel_password;
    std::string secret;
    std::string secret_file;
    std::string listen;
    std::string advertise;
    std::uint64_t replicas = 0;
    std::uint64_t slots = 0;
    Duration lease_time{};
    Duration node_timeout{};
    std::uint64_t protocol_max = 0;
    Duration replace_after{};
    std::uint64_t moves = 0;
    std::string client_address;
    Duration drain_timeout{};
    std::uint64_t drain_rate = 0;
    std::uint64_t snapshot_rate = 0;
  } cluster;
  struct Admin {
    std::string socket;
  } admin;
  struct Bridge {
    std::string listen;
    std::string broker;
    bool allow_anonymous = false;
    std::uint64_t threads = 0;
    std::uint64_t max_connections = 0;
  } bridge;
  struct Log {
    std::string level;
    std::string format;
  } log;
  std::vector<Listener> listeners;
};

/// What the table says where nobody says anything else; one listener on tcp://127.0.0.1:1883.
Config standard_config();

/// Refuses what no single setting shows: names that aren't names, listeners that nobody protects. Throws ConfigError.
void check(const Config& config);

}  // namespace parley::config
