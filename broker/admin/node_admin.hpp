#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

/// What the admin socket may ask of the node, and tell it.
namespace parley::admin {

struct NodeStatus {
  std::string node;
  std::string version;
  std::int64_t pid = 0;
  std::uint64_t uptime_seconds = 0;
  std::uint64_t threads = 0;
  bool clustered = false;
  std::string cluster;     ///< Name; of a clustered node, as the rest.
  std::string cluster_id;  ///< 16 hexadecimal digits.
  bool redis = false;
  std::uint64_t clients = 0;  ///< Connected to this node.
};

/// A node of the cluster as this one sees it.
struct NodeRow {
  std::string name;
  std::string id;  ///< 16 hexadecimal digits.
  std::string address;
  std::string state;  ///< `self`, `up`, `down`; down ones that have never been there are `unknown`.
  std::uint64_t since_seconds = 0;
  bool draining = false;
  bool leaving = false;       ///< Drains or stops: it leads and takes clients no more.
  bool has_lease = false;     ///< In Redis.
  std::uint64_t slots = 0;    ///< That have a replica there …
  std::uint64_t leading = 0;  ///< … and that it leads, as far as this node knows.
  std::uint64_t round_trip_us = 0;
  std::uint64_t protocol = 0;  ///< Version of the protocol between nodes that both speak; 0: not known.
};

/// A slot as this node sees it.
struct SlotRow {
  std::uint64_t slot = 0;
  std::string leader;  ///< A node's name; empty: nobody, as far as is known.
  std::uint64_t term = 0;
  std::vector<std::string> replicas;
  std::vector<std::string> learners;
  std::string pinned;      ///< The node that an operator has moved it to; empty: none.
  std::uint64_t last = 0;  ///< Of this node's log; 0 when it has no replica.
  std::uint64_t commit = 0;
  bool whole = true;  ///< False after its log was damaged, until everything is back.
};

/// A client as its node sees it. Without a connection `address`, `transport` and `version` are empty.
struct ClientRow {
  std::string client_id;
  std::string user;
  std::string node;  ///< A name.
  std::string address;
  std::string transport;  ///< A listener's scheme.
  std::string version;    ///< Of MQTT: `3.1`, `3.1.1`, `5.0`.
  bool connected = false;
  std::uint64_t connected_seconds = 0;
  std::uint64_t subscriptions = 0;
  std::uint64_t inflight = 0;  ///< Messages sent to it and not settled.
  std::uint64_t queued = 0;    ///< Messages of ordinary topics that wait for it.
  std::uint64_t expiry_seconds = 0;
};

/// Which clients of this node.
struct ClientQuery {
  std::string prefix;               ///< Of the client id.
  std::optional<std::string> user;  ///< Nothing: anybody's.
  std::string after;                ///< Behind this client id.
  std::uint64_t limit = 100;        ///< Up to kMax.
  bool absent = false;              ///< Also those without a connection.

  static constexpr std::uint64_t kMax = 1'000;
};

/// How far the erasure of a user is, as far as this node has its slots.
struct ErasureRow {
  std::string user;
  std::uint64_t started = 0;     ///< Unix ms.
  std::string state;             ///< `open`, `finished`; `unknown`: it is over in all slots that are here.
  std::uint64_t slots = 0;       ///< That this node knows of …
  std::uint64_t slots_done = 0;  ///< … and that are done.
  std::uint64_t slots_all = 0;   ///< Of the cluster.
  std::uint64_t messages = 0;    ///< That were redacted.
};

/// Called on the admin server's thread; may wait for other threads, but no longer than a second or two.
class NodeAdmin {
 public:
  virtual ~NodeAdmin() = default;
  virtual NodeStatus status() = 0;
  /// In Prometheus' text format.
  virtual std::string metrics() = 0;
  virtual std::vector<NodeRow> nodes() = 0;
  virtual std::vector<SlotRow> slots() = 0;
  /// By client id. Nothing: the node is too busy to say.
  virtual std::optional<std::vector<ClientRow>> clients(const ClientQuery& query) = 0;
  /// Of this or another node. Nothing: there is none, as far as could be found out.
  virtual std::optional<ClientRow> client(const std::string& client_id) = 0;
  /// Ends its connection, wherever it is, and says what it was; nothing: it has none. An empty reason isn't told.
  virtual std::optional<ClientRow> kick(const std::string& client_id, const std::string& reason) = 0;
  /// Each answers why it can't be done, if so.
  virtual std::optional<std::string> set_draining(const std::string& node, bool draining) = 0;
  virtual std::optional<std::string> remove_node(const std::string& node) = 0;
  virtual std::optional<std::string> move_slot(std::uint64_t slot, const std::string& node) = 0;
  virtual std::optional<std::string> release_slot(std::uint64_t slot) = 0;
  /// It has begun when a row is there: until then it is asked for again.
  virtual std::optional<std::string> erase_user(const std::string& user) = 0;
  virtual std::vector<ErasureRow> erasures() = 0;
};

}  // namespace parley::admin
