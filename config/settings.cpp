#include "config/settings.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "config/error.hpp"
#include "config/listener_settings.hpp"
#include "config/nearest.hpp"
#include "config/units.hpp"

namespace parley::config {
namespace {

// A place is a function, so that the table is made at compile time.
#define PARLEY_PLACE(field) Place(+[](Config & config) -> auto& { return config.field; })

/// Two settings of one section stand together; docs/SETTINGS.md keeps this order.
const std::array kSettings{
    Setting{"node.id", Kind::OptionalText, PARLEY_PLACE(node.id), "", "", "",
            "The node's name in its cluster, unlike every other node's; it stays with the data directory. Empty: the "
            "host's name."},
    Setting{"node.data_dir", Kind::Text, PARLEY_PLACE(node.data_dir), "data", "", "",
            "Directory of all that must not be lost. One broker at a time; made when it is missing."},
    Setting{"node.threads", Kind::Integer, PARLEY_PLACE(node.threads), "0", "0", "256",
            "Threads that serve clients, each with its own part of the conversations; 0: one for each usable core."},

    Setting{
        "mqtt.max_packet_size", Kind::Size, PARLEY_PLACE(mqtt.max_packet_size), "2MB", "1KB", "256MB",
        "Largest packet a client may send; announced as Maximum Packet Size. A larger one ends the connection (0x95)."},
    Setting{"mqtt.receive_maximum", Kind::Integer, PARLEY_PLACE(mqtt.receive_maximum), "256", "1", "65535",
            "QoS 1 and 2 publishes that a client may have under way; announced as Receive Maximum."},
    Setting{"mqtt.max_inflight_messages", Kind::Integer, PARLEY_PLACE(mqtt.max_inflight_messages), "256", "1", "16000",
            "QoS 1 and 2 deliveries under way to a client; its own Receive Maximum may lower it."},
    Setting{"mqtt.max_topic_alias", Kind::Integer, PARLEY_PLACE(mqtt.max_topic_alias), "32", "0", "65535",
            "Topic aliases that a client may use; announced as Topic Alias Maximum."},
    Setting{"mqtt.max_keepalive", Kind::Duration, PARLEY_PLACE(mqtt.max_keepalive), "0", "0", "65535s",
            "Longest keep alive; an MQTT 5 client with a longer one (or none) is told this one. 0: no limit."},
    Setting{"mqtt.max_session_expiry", Kind::Duration, PARLEY_PLACE(mqtt.max_session_expiry), "0", "0", "49000d",
            "How long a session may be kept for an absent client. 0: as long as the client wants."},
    Setting{"mqtt.max_qos", Kind::Integer, PARLEY_PLACE(mqtt.max_qos), "2", "0", "2",
            "Highest QoS of a client's publishes; announced as Maximum QoS."},
    Setting{"mqtt.retain_available", Kind::Truth, PARLEY_PLACE(mqtt.retain_available), "true", "", "",
            "Whether ordinary topics have retained messages; announced as Retain Available."},
    Setting{"mqtt.wildcard_subscriptions", Kind::Truth, PARLEY_PLACE(mqtt.wildcard_subscriptions), "true", "", "",
            "Whether clients may subscribe with + and # to ordinary topics; announced as Wildcard Subscription "
            "Available. Without: refused (0xA2)."},
    Setting{"mqtt.shared_subscriptions", Kind::Truth, PARLEY_PLACE(mqtt.shared_subscriptions), "true", "", "",
            "Whether clients may subscribe to $share/…; announced as Shared Subscription Available. Without: refused "
            "(0x9E)."},
    Setting{"mqtt.subscription_identifiers", Kind::Truth, PARLEY_PLACE(mqtt.subscription_identifiers), "true", "", "",
            "Whether subscriptions may have identifiers; announced as Subscription Identifier Available. Without: "
            "refused (0xA1)."},
    Setting{"mqtt.check_payload_format", Kind::Truth, PARLEY_PLACE(mqtt.check_payload_format), "false", "", "",
            "Whether payloads that say they are UTF-8 are checked; one that isn't is refused (0x99)."},
    Setting{
        "mqtt.max_queued_messages", Kind::Integer, PARLEY_PLACE(mqtt.max_queued_messages), "1000", "0", "10000000",
        "Messages of ordinary topics that wait for one client; further ones are dropped. Conversations have no queue."},
    Setting{"mqtt.max_queued_bytes", Kind::Size, PARLEY_PLACE(mqtt.max_queued_bytes), "8MB", "0", "64GB",
            "The same in bytes."},
    Setting{"mqtt.max_retained_messages", Kind::Integer, PARLEY_PLACE(mqtt.max_retained_messages), "1000000", "0",
            "1000000000", "Retained messages of ordinary topics; further topics are not retained."},
    Setting{"mqtt.max_retained_bytes", Kind::Size, PARLEY_PLACE(mqtt.max_retained_bytes), "1GB", "0", "1TB",
            "The same in bytes."},
    Setting{"mqtt.max_subscriptions", Kind::Integer, PARLEY_PLACE(mqtt.max_subscriptions), "10000", "1", "10000000",
            "Subscriptions of one client; a further one is refused (0x97)."},
    Setting{"mqtt.max_connections", Kind::Integer, PARLEY_PLACE(mqtt.max_connections), "1000000", "1", "100000000",
            "Connections of all listeners together; a further one is refused (0x97), or closed at once where too many "
            "come. "
            "The limit of open files counts, too."},
    Setting{
        "mqtt.max_sessions", Kind::Integer, PARLEY_PLACE(mqtt.max_sessions), "0", "0", "100000000",
        "Sessions that this node has, of clients that are here or away; a further one is refused (0x97). 0: no limit."},
    Setting{"mqtt.max_topic_levels", Kind::Integer, PARLEY_PLACE(mqtt.max_topic_levels), "201", "1", "256",
            "Levels of a topic or filter; a deeper filter is refused (0x97), a publish, too (0x90)."},
    Setting{"mqtt.max_connections_per_user", Kind::Integer, PARLEY_PLACE(mqtt.max_connections_per_user), "0", "0",
            "1000000", "Connections of one user to this node; a further CONNECT is refused (0x97). 0: no limit."},
    Setting{
        "mqtt.max_connections_per_address", Kind::Integer, PARLEY_PLACE(mqtt.max_connections_per_address), "0", "0",
        "1000000",
        "Connections from one address; a further one is refused (0x97), or closed at once where too many come. 0: no "
        "limit."},
    Setting{"mqtt.max_accept_rate", Kind::Integer, PARLEY_PLACE(mqtt.max_accept_rate), "10000", "0", "1000000",
            "Connections accepted a second, by all threads together; more wait in the kernel. 0: no limit."},
    Setting{"mqtt.max_connect_rate", Kind::Integer, PARLEY_PLACE(mqtt.max_connect_rate), "0", "0", "1000000",
            "CONNECT packets taken a second, by all threads together; more are refused (0x9F, with retry-after). 0: no "
            "limit."},
    Setting{"mqtt.max_connect_packet_size", Kind::Size, PARLEY_PLACE(mqtt.max_connect_packet_size), "64KB", "1KB",
            "256MB", "Largest first packet; a larger one closes the connection."},
    Setting{"mqtt.max_message_rate", Kind::Integer, PARLEY_PLACE(mqtt.max_message_rate), "0", "0", "100000000",
            "PUBLISH packets a second from one client. Beyond it the client isn't read from until it is within; one "
            "that goes on is disconnected (0x96). 0: no limit."},
    Setting{"mqtt.max_byte_rate", Kind::Size, PARLEY_PLACE(mqtt.max_byte_rate), "0", "0", "1TB",
            "The same for the bytes of all its packets."},
    Setting{"mqtt.max_user_message_rate", Kind::Integer, PARLEY_PLACE(mqtt.max_user_message_rate), "0", "0",
            "100000000",
            "PUBLISH packets a second from all connections of a user to this node, as above, but 0x97. 0: no limit."},
    Setting{"mqtt.max_user_byte_rate", Kind::Size, PARLEY_PLACE(mqtt.max_user_byte_rate), "0", "0", "1TB",
            "The same for bytes."},
    Setting{"mqtt.max_control_rate", Kind::Integer, PARLEY_PLACE(mqtt.max_control_rate), "1000", "0", "100000000",
            "SUBSCRIBE, UNSUBSCRIBE (64 bytes each), PINGREQ and AUTH packets a second from one client, as "
            "max_message_rate, but five seconds' worth at once. 0: no limit."},
    Setting{"mqtt.max_throttle", Kind::Duration, PARLEY_PLACE(mqtt.max_throttle), "10s", "0", "24h",
            "How long a client may go on sending more than its rates; then it is disconnected. 0: for ever."},
    Setting{"mqtt.packet_timeout", Kind::Duration, PARLEY_PLACE(mqtt.packet_timeout), "1m", "100ms", "24h",
            "How long the rest of a packet may take; then the connection is cut."},
    Setting{"mqtt.write_timeout", Kind::Duration, PARLEY_PLACE(mqtt.write_timeout), "2m", "100ms", "24h",
            "How long a client may take nothing of what waits for its socket; then the connection is cut."},
    Setting{"mqtt.max_output", Kind::Size, PARLEY_PLACE(mqtt.max_output), "256KB", "4KB", "64MB",
            "Bytes that wait for one client's socket. Beyond it QoS 0 messages of ordinary topics are dropped, and "
            "conversations are delivered from the log once there is room."},
    Setting{"mqtt.connect_timeout", Kind::Duration, PARLEY_PLACE(mqtt.connect_timeout), "10s", "100ms", "1h",
            "How long a connection may take to send its CONNECT."},
    Setting{"mqtt.sys_interval", Kind::Duration, PARLEY_PLACE(mqtt.sys_interval), "10s", "0", "1h",
            "Between two publications of what the node counts below `$SYS/broker`; 0: none."},
    Setting{
        "mqtt.v3_refuse", Kind::Choice, PARLEY_PLACE(mqtt.v3_refuse), "notice", "", "notice|close",
        "How a 3.1.1 client's publish is refused for good: acknowledged and told on client/{id}/reply, or by closing "
        "the connection."},

    Setting{"auth.users_file", Kind::OptionalText, PARLEY_PLACE(auth.users_file), "", "", "",
            "Users and what is kept of their passwords; docs/formats/users.md. Read again on SIGHUP, as the next two."},
    Setting{"auth.access_file", Kind::OptionalText, PARLEY_PLACE(auth.access_file), "", "", "",
            "Who may read and write which ordinary topics; docs/formats/access.md. Empty: everybody all of them."},
    Setting{"auth.keys_file", Kind::OptionalText, PARLEY_PLACE(auth.keys_file), "", "", "",
            "Keys that sign tokens: a JWKS file (RFC 7517) for HS256, RS256, ES256 and EdDSA. Empty: no tokens."},
    Setting{"auth.token_issuer", Kind::OptionalText, PARLEY_PLACE(auth.token_issuer), "", "", "",
            "Which `iss` a token must have; empty: any."},
    Setting{"auth.token_audience", Kind::OptionalText, PARLEY_PLACE(auth.token_audience), "", "", "",
            "Which `aud` a token must have. Empty: tokens with an `aud` are meant for somebody else, and refused."},
    Setting{"auth.token_user_claim", Kind::Text, PARLEY_PLACE(auth.token_user_claim), "sub", "", "",
            "Which claim of a token names the user."},
    Setting{"auth.token_requires_expiry", Kind::Truth, PARLEY_PLACE(auth.token_requires_expiry), "true", "", "",
            "Whether tokens without `exp` are refused."},
    Setting{"auth.clock_skew", Kind::Duration, PARLEY_PLACE(auth.clock_skew), "30s", "0", "1h",
            "By how much the issuer's clock may differ: for `exp` and `nbf` of tokens."},
    Setting{"auth.threads", Kind::Integer, PARLEY_PLACE(auth.threads), "0", "0", "64",
            "Threads that check passwords and tokens; 0: half as many as there are usable cores."},
    Setting{"auth.hash_memory", Kind::Size, PARLEY_PLACE(auth.hash_memory), "64MB", "1MB", "16GB",
            "Memory that password checks under way take together; one that needs more runs alone."},
    Setting{"auth.max_waiting", Kind::Integer, PARLEY_PLACE(auth.max_waiting), "1024", "1", "1000000",
            "Logins that wait to be checked; further ones are refused as busy (0x89)."},

    Setting{"auth.http.url", Kind::OptionalText, PARLEY_PLACE(auth.http.url), "", "", "",
            "A service that is asked about users who aren't in the users file; docs/SECURITY.md. Empty: none."},
    Setting{"auth.http.timeout", Kind::Duration, PARLEY_PLACE(auth.http.timeout), "2s", "10ms", "9s",
            "How long it may take; then the login is refused (0x88)."},
    Setting{"auth.http.cache", Kind::Duration, PARLEY_PLACE(auth.http.cache), "10s", "0", "1h",
            "How long its answer counts for the same client id, user name and password; 0: it is always asked."},
    Setting{"auth.http.max_requests", Kind::Integer, PARLEY_PLACE(auth.http.max_requests), "16", "1", "1000",
            "Requests under way at a time."},

    Setting{"chat.root", Kind::Text, PARLEY_PLACE(chat.root), "chat", "", "",
            "First level of the topics with chat meaning."},
    Setting{"chat.auto_create", Kind::Truth, PARLEY_PLACE(chat.auto_create), "false", "", "",
            "Conversations appear on first use, public for every user. For development."},
    Setting{"chat.max_message_size", Kind::Size, PARLEY_PLACE(chat.max_message_size), "256KB", "1", "64MB",
            "Largest content of a chat message, and the same for its user properties; a larger one is refused (0x97)."},
    Setting{"chat.max_message_rate", Kind::Integer, PARLEY_PLACE(chat.max_message_rate), "0", "0", "1000000",
            "Messages and edits a second of one user in one conversation, from all devices; five seconds' worth may "
            "come at "
            "once. More are refused (0x97, with retry-after). 0: no limit."},
    Setting{"chat.edit_window", Kind::Duration, PARLEY_PLACE(chat.edit_window), "15m", "0", "36500d",
            "How long after it was sent a message can be edited by its sender; 0: not at all."},
    Setting{"chat.retention", Kind::Duration, PARLEY_PLACE(chat.retention), "365d", "0", "36500d",
            "How long entries are kept at least, up to a sixteenth more; 0: forever. A conversation may keep less."},
    Setting{"chat.inbox_cursor_interval", Kind::Duration, PARLEY_PLACE(chat.inbox_cursor_interval), "10s", "0", "1h",
            "How often a client with an inbox is told its cursor at the most; 0: only when it has caught up."},
    Setting{"chat.marks_fanout", Kind::Integer, PARLEY_PLACE(chat.marks_fanout), "100", "0", "1000",
            "In groups with more members than that nobody is told when others' marks move, and presence/+ doesn't "
            "follow them."},

    Setting{"presence.grace", Kind::Duration, PARLEY_PLACE(presence.grace), "10s", "0", "1h",
            "How long a user counts as online after its last connection has ended."},

    Setting{"storage.readers", Kind::Integer, PARLEY_PLACE(storage.readers), "1", "1", "64",
            "Threads that read history from disk for clients that catch up."},
    Setting{"storage.log_retention", Kind::Duration, PARLEY_PLACE(storage.log_retention), "24h", "0", "365d",
            "How long records stay in log.mdb after they are in store.mdb."},
    Setting{"storage.log_size", Kind::Size, PARLEY_PLACE(storage.log_size), "4GB", "16MB", "1TB",
            "Size from which records that are in store.mdb leave log.mdb earlier."},
    Setting{"storage.log_map_size", Kind::Size, PARLEY_PLACE(storage.log_map_size), "64GB", "1MB", "16TB",
            "Address space for log.mdb; what it may grow to at the most."},
    Setting{"storage.map_size", Kind::Size, PARLEY_PLACE(storage.map_size), "1TB", "1MB", "64TB",
            "Address space for store.mdb; what it may grow to at the most."},
    Setting{"storage.plain_map_size", Kind::Size, PARLEY_PLACE(storage.plain_map_size), "64GB", "1MB", "16TB",
            "Address space for plain.mdb (queues and retained messages of ordinary topics); what it may grow to at the "
            "most."},
    Setting{"storage.max_pending", Kind::Size, PARLEY_PLACE(storage.max_pending), "64MB", "64KB", "16GB",
            "Messages that wait for the disk, for each thread; beyond it sends are refused as busy (0x97)."},

    Setting{"cluster.enabled", Kind::Truth, PARLEY_PLACE(cluster.enabled), "false", "", "",
            "Whether this node belongs to a cluster; docs/CLUSTER.md."},
    Setting{"cluster.name", Kind::Text, PARLEY_PLACE(cluster.name), "parley", "", "",
            "The cluster's name, the same on all its nodes; it stays with the data directory."},
    Setting{"cluster.redis", Kind::Text, PARLEY_PLACE(cluster.redis), "redis://127.0.0.1:6379", "", "",
            "Where nodes find each other: `redis://HOST:PORT`, `sentinel://HOST:PORT,HOST:PORT/MASTER`, or "
            "`cluster://HOST:PORT,HOST:PORT`; behind a server's port may stand `/DATABASE`."},
    Setting{"cluster.redis_user", Kind::OptionalText, PARLEY_PLACE(cluster.redis_user), "", "", "",
            "Redis' ACL user; empty: its default user."},
    Setting{"cluster.redis_password", Kind::OptionalText, PARLEY_PLACE(cluster.redis_password), "", "", "",
            "Its password; empty: none is asked for."},
    Setting{"cluster.redis_password_file", Kind::OptionalText, PARLEY_PLACE(cluster.redis_password_file), "", "", "",
            "A file that has the password instead."},
    Setting{"cluster.sentinel_user", Kind::OptionalText, PARLEY_PLACE(cluster.sentinel_user), "", "", "",
            "The ACL user of the sentinels."},
    Setting{"cluster.sentinel_password", Kind::OptionalText, PARLEY_PLACE(cluster.sentinel_password), "", "", "",
            "Its password."},
    Setting{"cluster.secret", Kind::OptionalText, PARLEY_PLACE(cluster.secret), "", "", "",
            "What proves to other nodes that this one belongs to them, at least 16 bytes; the same on all nodes."},
    Setting{"cluster.secret_file", Kind::OptionalText, PARLEY_PLACE(cluster.secret_file), "", "", "",
            "A file that has the secret instead: `openssl rand -hex 32`."},
    Setting{"cluster.listen", Kind::Text, PARLEY_PLACE(cluster.listen), "tcp://127.0.0.1:7400", "", "",
            "Where other nodes connect. Their traffic is not encrypted: use a network of its own."},
    Setting{"cluster.advertise", Kind::OptionalText, PARLEY_PLACE(cluster.advertise), "", "", "",
            "`tcp://HOST:PORT` under which other nodes reach cluster.listen; port 0: the same port. Empty: the same."},
    Setting{"cluster.replicas", Kind::Integer, PARLEY_PLACE(cluster.replicas), "3", "1", "15",
            "Nodes that keep each conversation; with 3 the loss of any one loses nothing. The same on all nodes."},
    Setting{"cluster.slots", Kind::Integer, PARLEY_PLACE(cluster.slots), "256", "1", "65536",
            "Parts into which conversations and sessions are divided; fixed when the cluster is formed."},
    Setting{
        "cluster.lease_time", Kind::Duration, PARLEY_PLACE(cluster.lease_time), "3s", "300ms", "1m",
        "How long Redis takes a node for alive that says nothing. A first node forms the cluster after twice that."},
    Setting{"cluster.node_timeout", Kind::Duration, PARLEY_PLACE(cluster.node_timeout), "1s", "500ms", "1m",
            "A node that answers no heartbeat for so long is taken for dead: others take over what it leads."},
    Setting{
        "cluster.protocol_max", Kind::Integer, PARLEY_PLACE(cluster.protocol_max), "0", "0", "3",
        "Highest version of the protocol between nodes that this one speaks; 0: its own. For tests of upgrades, and to "
        "hold a new node at what old ones know."},
    Setting{"cluster.replace_after", Kind::Duration, PARLEY_PLACE(cluster.replace_after), "5m", "1s", "30d",
            "How long a dead node's replicas wait for it before others are made in their place."},
    Setting{"cluster.moves", Kind::Integer, PARLEY_PLACE(cluster.moves), "8", "1", "256",
            "Slots of one leading thread that change their replicas at the same time."},
    Setting{"cluster.snapshot_rate", Kind::Size, PARLEY_PLACE(cluster.snapshot_rate), "32MB", "64KB", "10GB",
            "Bytes a second that the node takes from others' stores for replicas that are behind the log."},
    Setting{"cluster.client_address", Kind::OptionalText, PARLEY_PLACE(cluster.client_address), "", "", "",
            "`HOST:PORT` under which clients reach this node; other nodes name it (Server Reference) to clients that "
            "they send away. Empty: they name nothing."},
    Setting{"cluster.drain_timeout", Kind::Duration, PARLEY_PLACE(cluster.drain_timeout), "30s", "0s", "1h",
            "How long a node that is told to stop takes at most to hand over what it leads and to send its clients "
            "away; half of it for the first. 0: it just stops."},
    Setting{"cluster.drain_rate", Kind::Integer, PARLEY_PLACE(cluster.drain_rate), "1000", "1", "1000000",
            "Clients a second that a node sends to others when it drains or stops."},

    Setting{
        "admin.socket", Kind::OptionalText, PARLEY_PLACE(admin.socket), "", "", "",
        "Unix socket that parleyctl speaks to; who may open its file may do everything. Empty: admin.sock in the data "
        "directory."},

    Setting{"bridge.listen", Kind::Text, PARLEY_PLACE(bridge.listen), "http://127.0.0.1:8080", "", "",
            "Where parley-bridge serves HTTP."},
    Setting{"bridge.broker", Kind::Text, PARLEY_PLACE(bridge.broker), "tcp://127.0.0.1:1883", "", "",
            "The broker of this node, for what the bridge sends."},
    Setting{"bridge.allow_anonymous", Kind::Truth, PARLEY_PLACE(bridge.allow_anonymous), "false", "", "",
            "Requests name their user by themselves, without proof. Loopback only."},
    Setting{"bridge.threads", Kind::Integer, PARLEY_PLACE(bridge.threads), "0", "0", "256",
            "Threads that serve HTTP; 0: one for each usable core."},
    Setting{"bridge.max_connections", Kind::Integer, PARLEY_PLACE(bridge.max_connections), "10000", "1", "1000000",
            "HTTP connections; further ones wait in the listener's queue."},

    Setting{"log.level", Kind::Choice, PARLEY_PLACE(log.level), "info", "", "debug|info|warn|error",
            "Least important lines that are written."},
    Setting{"log.format", Kind::Choice, PARLEY_PLACE(log.format), "text", "", "text|json|journal",
            "`text` for people, `json` for programs, `journal` for journald (a priority instead of the time)."},
};

#undef PARLEY_PLACE

std::string_view section_of(const Setting& setting) { return setting.name.substr(0, setting.name.rfind('.')); }

[[noreturn]] void refuse(const Setting& setting, std::string_view value, const std::string& wanted) {
  throw ConfigError(
      std::string(setting.name).append(" is \"").append(value).append("\", but it must be ").append(wanted));
}

std::optional<std::uint64_t> read_integer(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return number;
}

/// The value as a number, whatever the unit; nothing when it is not of this kind.
std::optional<std::uint64_t> read_number(Kind kind, std::string_view text) {
  if (kind == Kind::Integer) return read_integer(text);
  if (kind == Kind::Size) return read_size(text);
  const auto duration = read_duration(text);
  return duration ? std::optional(static_cast<std::uint64_t>(duration->count())) : std::nullopt;
}

std::string_view example_of(Kind kind) {
  if (kind == Kind::Integer) return "a whole number";
  return kind == Kind::Size ? "a size such as 64KB or 2MB" : "a duration such as 250ms, 10s or 24h";
}

std::uint64_t number_of(const Setting& setting, std::string_view value) {
  const auto number = read_number(setting.kind, value);
  const auto least = read_number(setting.kind, setting.least);
  const auto most = read_number(setting.kind, setting.most);
  if (!number || (least && *number < *least) || (most && *number > *most)) {
    refuse(setting, value,
           std::string(example_of(setting.kind))
               .append(" from ")
               .append(setting.least)
               .append(" to ")
               .append(setting.most));
  }
  return *number;
}

bool truth_of(const Setting& setting, std::string_view value) {
  if (value != "true" && value != "false") refuse(setting, value, "true or false");
  return value == "true";
}

bool is_choice(std::string_view choices, std::string_view word) {
  while (!choices.empty()) {
    const auto end = std::min(choices.find('|'), choices.size());
    if (choices.substr(0, end) == word) return true;
    choices.remove_prefix(std::min(end + 1, choices.size()));
  }
  return false;
}

void append_row(std::string& page, const Setting& setting) {
  page.append("| `").append(setting.name.substr(setting.name.rfind('.') + 1)).append("` | ");
  if (setting.kind == Kind::Choice) {
    std::string words(setting.most);
    for (auto at = words.find('|'); at != words.npos; at = words.find('|', at + 2)) words.replace(at, 1, ", ");
    page.append(words);
  } else if (setting.kind == Kind::Truth) {
    page.append("true, false");
  } else if (setting.kind == Kind::Text || setting.kind == Kind::OptionalText) {
    page.append("text");
  } else {
    page.append(setting.least).append(" … ").append(setting.most);
  }
  page.append(" | ").append(setting.standard.empty() ? "" : "`").append(setting.standard);
  page.append(setting.standard.empty() ? "| " : "` | ").append(setting.meaning).append(" |\n");
}

}  // namespace

std::span<const Setting> settings() { return kSettings; }

const Setting* find_setting(std::string_view name) {
  const auto found = std::ranges::find(kSettings, name, &Setting::name);
  return found == kSettings.end() ? nullptr : &*found;
}

std::string unknown_setting(std::string_view name) {
  std::vector<std::string_view> names;
  for (const Setting& setting : kSettings) names.push_back(setting.name);
  std::string sentence = std::string("unknown setting \"").append(name).append("\"");
  const auto near = nearest(name, names);
  if (!near.empty()) sentence.append("; did you mean \"").append(near).append("\"?");
  return sentence;
}

void assign(Config& config, const Setting& setting, std::string_view value) {
  switch (setting.kind) {
    case Kind::Text:
      if (value.empty()) refuse(setting, value, "not empty");
      [[fallthrough]];
    case Kind::OptionalText: std::get<std::string& (*)(Config&)>(setting.place)(config) = value; return;
    case Kind::Choice:
      if (!is_choice(setting.most, value)) refuse(setting, value, std::string("one of ").append(setting.most));
      std::get<std::string& (*)(Config&)>(setting.place)(config) = value;
      return;
    case Kind::Truth: std::get<bool& (*)(Config&)>(setting.place)(config) = truth_of(setting, value); return;
    case Kind::Integer:
    case Kind::Size: std::get<std::uint64_t& (*)(Config&)>(setting.place)(config) = number_of(setting, value); return;
    case Kind::Duration:
      std::get<Duration& (*)(Config&)>(setting.place)(config) =
          Duration(static_cast<std::int64_t>(number_of(setting, value)));
      return;
  }
}

std::string value_text(const Config& config, const Setting& setting) {
  auto& from = const_cast<Config&>(config);  // The places are only read here.
  switch (setting.kind) {
    case Kind::Text:
    case Kind::OptionalText:
    case Kind::Choice: return std::get<std::string& (*)(Config&)>(setting.place)(from);
    case Kind::Truth: return std::get<bool& (*)(Config&)>(setting.place)(from) ? "true" : "false";
    case Kind::Integer: return std::to_string(std::get<std::uint64_t& (*)(Config&)>(setting.place)(from));
    case Kind::Size: return write_size(std::get<std::uint64_t& (*)(Config&)>(setting.place)(from));
    case Kind::Duration: return write_duration(std::get<Duration& (*)(Config&)>(setting.place)(from));
  }
  return {};
}

std::string settings_page() {
  std::string page =
      "# Settings\n\n"
      "Generated from config/settings.cpp: `parleyd --settings`.\n\n"
      "A setting is given, each place overriding the one before, in the file (`--config FILE`, TOML), in the "
      "environment\n"
      "(`PARLEY_SECTION_KEY`), and on the command line (`--set section.key=value`). Durations are written `250ms`, "
      "`10s`,\n"
      "`5m`, `24h`, `365d`; sizes `64KB`, `2MB`, `1GB`, in steps of 1,024.\n\n"
      "## [[listener]]\n\n"
      "Where clients connect; as many as wanted. `url` is `tcp://ADDRESS:PORT`, `tls://ADDRESS:PORT`, "
      "`ws://ADDRESS:PORT`,\n"
      "`wss://ADDRESS:PORT` (behind which a path may stand; else every path is served) or `unix:///PATH`. `--listen "
      "URL` "
      "replaces\n"
      "them all. A listener that other machines reach and that would let everybody in is refused at start. `tls` and "
      "`wss` need\n"
      "certificates: for each a `[[listener.certificate]]` with the files `chain` and `key` (PEM). The first is shown "
      "to "
      "clients\n"
      "that name no host, or one that no certificate is for. All files are read again on SIGHUP.\n\n"
      "| key | values | standard | only for | meaning |\n| --- | --- | --- | --- | --- |\n";
  page.append(listener_settings_rows());
  std::string_view section;
  for (const Setting& setting : kSettings) {
    if (section_of(setting) != section) {
      section = section_of(setting);
      page.append("\n## [").append(section).append(
          "]\n\n| key | values | standard | meaning |\n| --- | --- | --- | --- |\n");
    }
    append_row(page, setting);
  }
  return page;
}

}  // namespace parley::config
