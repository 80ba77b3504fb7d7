#include "broker/administration.hpp"

#include <unistd.h>

#include <algorithm>
#include <map>
#include <utility>

#include "base/log.hpp"
#include "base/version.hpp"
#include "broker/cluster/state_values.hpp"
#include "config/cluster_settings.hpp"
#include "mqtt/types.hpp"

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
                       .commit = slot.commit.value};
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

std::string socket_path(const config::Config& config) {
  return config.admin.socket.empty() ? config.node.data_dir + "/admin.sock" : config.admin.socket;
}

}  // namespace

Administration::Administration(const config::Config& config, const Metrics& metrics, std::uint32_t threads,
                               Clustering* clustering)
    : config_(config),
      metrics_(metrics),
      threads_(threads),
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
                           .threads = threads_};
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
                    .round_trip_us = static_cast<std::uint64_t>(round_trip)});
  }
  std::ranges::sort(rows, {}, &admin::NodeRow::name);
  return rows;
}

std::vector<admin::SlotRow> Administration::slots() {
  if (clustering_ == nullptr) return {};
  return slot_rows(clustering_->node().view());
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
