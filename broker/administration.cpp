#include "broker/administration.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <future>
#include <map>
#include <utility>

#include "base/log.hpp"
#include "base/name.hpp"
#include "base/version.hpp"
#include "broker/cluster/state_values.hpp"
#include "broker/shard/shard.hpp"
#include "config/cluster_settings.hpp"
#include "mqtt/types.hpp"
#include "mqtt/utf8.hpp"

namespace parley {
namespace {

constexpr std::string_view kStandalone = "this node is in no cluster";

std::uint64_t seconds(Duration duration) {
  return static_cast<std::uint64_t>(
      std::max<std::int64_t>(0, std::chrono::duration_cast<std::chrono::seconds>(duration).count()));
}

std::string_view state_of(const cluster::ClusterView::Node& node) {
  if (node.self) return "self";
  return node.reachable ? "up" : "down";
}

/// Who leads which slot and who has it: what this node's replicas say, else what Redis says.
std::vector<admin::SlotRow> slot_rows(const cluster::ClusterView& view) {
  std::map<NodeId, std::string> names;
  NodeId self;
  for (const auto& node : view.nodes) {
    names[node.id] = node.name;
    if (node.self) self = node.id;
  }
  const auto name_of = [&names](NodeId node) {
    const auto found = names.find(node);
    if (found != names.end()) return found->second;
    return node == NodeId{} ? std::string() : cluster::hex_text(node.value);
  };
  const auto names_of = [&name_of](const std::vector<NodeId>& nodes) {
    std::vector<std::string> list;
    for (const NodeId node : nodes) list.push_back(name_of(node));
    std::ranges::sort(list);
    return list;
  };
  std::map<Slot, admin::SlotRow> rows;
  for (const auto& slot : view.slots) {
    rows[slot.slot] = {.slot = slot.slot.value,
                       .leader = name_of(slot.leader),
                       .term = slot.term.value,
                       .replicas = names_of(slot.replicas.voters),
                       .learners = names_of(slot.replicas.learners),
                       .last = slot.last.value,
                       .commit = slot.commit.value,
                       .whole = slot.whole};
  }
  for (const auto& claim : view.claims) {
    admin::SlotRow& row = rows[claim.slot];
    row.slot = claim.slot.value;
    if (claim.term.value < row.term) continue;
    // A replica that was taken away hears nothing more of the slot, and knows only what was before.
    const bool has_left = std::ranges::find(claim.replicas, self) == claim.replicas.end();
    if (!row.replicas.empty() && !has_left) continue;
    row.term = claim.term.value;
    row.replicas = names_of(claim.replicas);
    if (has_left) row.learners.clear();
    if (has_left || row.leader.empty()) row.leader = name_of(claim.leader);
  }
  std::map<Slot, std::uint64_t> moved;
  for (const auto& node : view.nodes) {
    for (const auto& [slot, stamp] : node.pins) {
      const auto row = rows.find(slot);
      if (row == rows.end() || stamp < moved[slot]) continue;
      moved[slot] = stamp;
      row->second.pinned = node.name;
    }
  }
  std::vector<admin::SlotRow> list;
  for (auto& [slot, row] : rows) list.push_back(std::move(row));
  return list;
}

/// How long shards and other nodes are waited for.
constexpr Duration kClientsWait = std::chrono::milliseconds(1'500);

constexpr std::array<std::string_view, 6> kVersions{"", "", "", "3.1", "3.1.1", "5.0"};

/// Asks a shard on its thread. The answer may come when nobody waits for it any more.
class ClientListLetter final : public net::Letter {
 public:
  explicit ClientListLetter(shard::ClientSearch search) : search_(std::move(search)) {}
  std::future<std::vector<shard::ClientView>> answer() { return answer_.get_future(); }
  void deliver(shard::Shard& shard) override { answer_.set_value(shard.client_views().list(search_)); }

 private:
  shard::ClientSearch search_;
  std::promise<std::vector<shard::ClientView>> answer_;
};

class ClientLetter final : public net::Letter {
 public:
  using Found = std::optional<shard::ClientViews::Found>;

  ClientLetter(std::string client_id, shard::ClientOrder order)
      : client_id_(std::move(client_id)), order_(std::move(order)), answer_(std::make_shared<std::promise<Found>>()) {}
  std::future<Found> answer() { return answer_->get_future(); }
  void deliver(shard::Shard& shard) override {
    shard.client_views().find(client_id_, order_,
                              [answer = answer_](Found found) { answer->set_value(std::move(found)); });
  }

 private:
  std::string client_id_;
  shard::ClientOrder order_;
  std::shared_ptr<std::promise<Found>> answer_;
};

/// Nothing: it didn't come in time, or never will.
template <class T>
std::optional<T> wait_for(std::future<T>& answer, Instant end) {
  if (answer.wait_until(end) != std::future_status::ready) return std::nullopt;
  try {
    return answer.get();
  } catch (const std::future_error&) {  // The shard has stopped.
    return std::nullopt;
  }
}

std::string socket_path(const config::Config& config) {
  return config.admin.socket.empty() ? config.node.data_dir + "/admin.sock" : config.admin.socket;
}

class EraseLetter final : public net::Letter {
 public:
  explicit EraseLetter(std::string user) : user_(std::move(user)) {}
  void deliver(shard::Shard& shard) override { shard.erasures().begin(user_); }

 private:
  std::string user_;
};

}  // namespace

Administration::Administration(const config::Config& config, const Metrics& metrics, const shard::ShardOptions& options,
                               const disk::DiskStore& store, net::Server& server, Clustering* clustering)
    : config_(config),
      metrics_(metrics),
      options_(options),
      store_(store),
      clients_server_(server),
      name_(config::node_name(config)),
      started_(std::chrono::steady_clock::now()),
      clustering_(clustering),
      server_(*this) {}

void Administration::start() {
  const std::string path = socket_path(config_);
  const auto started = server_.start(path);
  if (started) {
    log::info("the admin socket is open", {{"path", path}});
  } else {
    log::error("the admin socket can't be opened, going on without it",
               {{"admin.socket", path}, {"error", started.error().message()}});
  }
}

admin::NodeStatus Administration::status() {
  admin::NodeStatus status{.node = name_,
                           .version = std::string(version()),
                           .pid = ::getpid(),
                           .uptime_seconds = seconds(std::chrono::steady_clock::now() - started_),
                           .threads = options_.shards};
  if (clustering_ == nullptr) return status;
  const auto view = clustering_->node().view();
  status.clustered = true;
  status.cluster = view.name;
  status.cluster_id = cluster::hex_text(view.id);
  status.redis = view.redis;
  status.clients = view.clients;
  return status;
}

std::string Administration::metrics() {
  return metrics_text(metrics_.sum(),
                      [](std::uint8_t reason) { return mqtt::name_of(static_cast<mqtt::ReasonCode>(reason)); });
}

std::vector<admin::NodeRow> Administration::nodes() {
  if (clustering_ == nullptr) return {};
  const auto view = clustering_->node().view();
  const auto slots = slot_rows(view);
  std::vector<admin::NodeRow> rows;
  for (const auto& node : view.nodes) {
    const auto has = [&node](const admin::SlotRow& slot) {
      return std::ranges::find(slot.replicas, node.name) != slot.replicas.end();
    };
    const auto leads = [&node](const admin::SlotRow& slot) { return slot.leader == node.name; };
    const auto round_trip = std::chrono::duration_cast<std::chrono::microseconds>(node.link.round_trip).count();
    rows.push_back({.name = node.name,
                    .id = cluster::hex_text(node.id.value),
                    .address = node.address.host + ":" + std::to_string(node.address.port),
                    .state = std::string(state_of(node)),
                    .since_seconds = seconds(node.since),
                    .draining = node.draining,
                    .leaving = node.leaving,
                    .has_lease = node.has_lease,
                    .slots = static_cast<std::uint64_t>(std::ranges::count_if(slots, has)),
                    .leading = static_cast<std::uint64_t>(std::ranges::count_if(slots, leads)),
                    .round_trip_us = static_cast<std::uint64_t>(round_trip),
                    .protocol = node.protocol});
  }
  std::ranges::sort(rows, {}, &admin::NodeRow::name);
  return rows;
}

std::optional<std::string> Administration::erase_user(const std::string& user) {
  if (!mqtt::is_mqtt_utf8(user) || !is_name(user)) return "\"" + user + "\" is no name that a user can have";
  clients_server_.send(shard::home_of_name(user, options_), std::make_unique<EraseLetter>(user));
  return std::nullopt;
}

std::vector<admin::ErasureRow> Administration::erasures() {
  using State = format::ErasureState;
  std::map<std::string, admin::ErasureRow> rows;
  std::map<std::string, std::uint64_t> sums;
  for (const shard::StoredErasure& one : store_.erasures()) {
    admin::ErasureRow& row = rows[one.user];
    // What is left of an earlier erasure of the same user doesn't count.
    if (one.started.milliseconds < row.started) continue;
    if (one.started.milliseconds > row.started) row = {.user = one.user, .started = one.started.milliseconds};
    row.slots_all = options_.slots;
    ++row.slots;
    if (one.state != State::Open) ++row.slots_done;
    const bool is_own = one.slot == shard::slot_of_name(one.user, options_);
    if (is_own) row.state = one.state == State::Finished ? "finished" : "open";
    // In the end the user's slot has the sum of all.
    if (one.state == State::Finished) {
      sums[one.user] = one.redacted;
    } else {
      row.messages += one.redacted;
    }
  }
  std::vector<admin::ErasureRow> list;
  for (auto& [user, row] : rows) {
    if (row.state == "finished") row.messages = sums[user];
    if (row.state.empty()) row.state = row.slots_done == row.slots ? "unknown" : "open";
    list.push_back(std::move(row));
  }
  return list;
}

std::vector<admin::SlotRow> Administration::slots() {
  if (clustering_ == nullptr) return {};
  return slot_rows(clustering_->node().view());
}

admin::ClientRow Administration::row_of(shard::ClientView view, const std::string& node) const {
  return {.client_id = std::move(view.client_id),
          .user = std::move(view.user),
          .node = node,
          .address = std::move(view.address),
          .transport = std::move(view.transport),
          .version = std::string(view.version < kVersions.size() ? kVersions.at(view.version) : std::string_view()),
          .connected = view.connected,
          .connected_seconds = view.seconds,
          .subscriptions = view.subscriptions,
          .inflight = view.under_way,
          .queued = view.queued,
          .expiry_seconds = view.expiry};
}

std::string Administration::node_name(NodeId node) {
  if (clustering_ == nullptr) return name_;
  for (const auto& one : clustering_->node().view().nodes) {
    if (one.id == node) return one.name;
  }
  return cluster::hex_text(node.value);
}

std::optional<std::vector<admin::ClientRow>> Administration::clients(const admin::ClientQuery& query) {
  std::vector<std::future<std::vector<shard::ClientView>>> answers;
  for (shard::ShardId id = 0; id < options_.shards; ++id) {
    auto letter = std::make_unique<ClientListLetter>(shard::ClientSearch{.prefix = query.prefix,
                                                                         .user = query.user,
                                                                         .after = query.after,
                                                                         .limit = query.limit,
                                                                         .absent = query.absent});
    answers.push_back(letter->answer());
    clients_server_.send(id, std::move(letter));
  }
  std::vector<admin::ClientRow> rows;
  const auto end = std::chrono::steady_clock::now() + kClientsWait;
  for (auto& answer : answers) {
    auto views = wait_for(answer, end);
    if (!views) return std::nullopt;
    for (shard::ClientView& view : *views) rows.push_back(row_of(std::move(view), name_));
  }
  std::ranges::sort(rows, {}, &admin::ClientRow::client_id);
  if (rows.size() > query.limit) rows.resize(query.limit);
  return rows;
}

std::optional<admin::ClientRow> Administration::find(const std::string& client_id, shard::ClientOrder order) {
  auto letter = std::make_unique<ClientLetter>(client_id, std::move(order));
  auto answer = letter->answer();
  clients_server_.send(shard::home_of_name(client_id, options_), std::move(letter));
  auto found = wait_for(answer, std::chrono::steady_clock::now() + kClientsWait);
  if (!found || !*found) return std::nullopt;
  return row_of(std::move((**found).view), node_name((**found).node));
}

std::optional<admin::ClientRow> Administration::client(const std::string& client_id) { return find(client_id, {}); }

std::optional<admin::ClientRow> Administration::kick(const std::string& client_id, const std::string& reason) {
  auto row = find(client_id, {.kick = true, .reason = reason});
  return row && row->connected ? row : std::nullopt;
}

std::optional<std::string> Administration::set_draining(const std::string& node, bool draining) {
  if (clustering_ == nullptr) return std::string(kStandalone);
  if (clustering_->node().set_draining(node, draining)) return std::nullopt;
  return "node \"" + node + "\" can't be told: it isn't there";
}

std::optional<std::string> Administration::remove_node(const std::string& node) {
  if (clustering_ == nullptr) return std::string(kStandalone);
  if (node == name_) return "a node can't remove itself; ask another one";
  if (clustering_->node().remove(node)) return std::nullopt;
  return "there is no node \"" + node + "\"";
}

std::optional<std::string> Administration::move_slot(std::uint64_t slot, const std::string& node) {
  if (clustering_ == nullptr) return std::string(kStandalone);
  return clustering_->node().move_slot({slot}, node);
}

std::optional<std::string> Administration::release_slot(std::uint64_t slot) {
  if (clustering_ == nullptr) return std::string(kStandalone);
  return clustering_->node().release_slot({slot});
}

}  // namespace parley
