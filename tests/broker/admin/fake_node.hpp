#pragma once

#include <optional>
#include <string>
#include <vector>

#include "broker/admin/node_admin.hpp"

namespace parley::admin::test {

/// A node of a cluster of two that notes what it is told.
class FakeNode final : public NodeAdmin {
 public:
  NodeStatus status() override {
    NodeStatus status{.node = "a", .version = "1.0", .pid = 7, .uptime_seconds = 60, .threads = 2};
    if (clustered) {
      status.clustered = true;
      status.cluster = "parley";
      status.cluster_id = "00000000000000ab";
      status.redis = true;
    }
    return status;
  }
  std::string metrics() override { return "parley_sessions 3\n"; }
  std::vector<NodeRow> nodes() override {
    return {{.name = "a", .id = "1", .address = "h:1", .state = "self"},
            {.name = "b \"x\"", .id = "2", .address = "h:2", .state = "down", .since_seconds = 3, .draining = true}};
  }
  std::vector<SlotRow> slots() override {
    return {{.slot = 0, .leader = "a", .term = 2, .replicas = {"a", "b"}, .learners = {}, .last = 9, .commit = 8},
            {.slot = 1, .whole = false}};
  }
  std::optional<std::vector<ClientRow>> clients(const ClientQuery& query) override {
    told.push_back("list " + query.prefix + "|" + query.user.value_or("-") + "|" + query.after + "|" +
                   std::to_string(query.limit) + (query.absent ? "|absent" : ""));
    if (busy) return std::nullopt;
    return std::vector<ClientRow>{phone};
  }
  std::optional<ClientRow> client(const std::string& client_id) override {
    return client_id == phone.client_id ? std::optional(phone) : std::nullopt;
  }
  std::optional<ClientRow> kick(const std::string& client_id, const std::string& reason) override {
    told.push_back("kick " + client_id + " for " + reason);
    return client(client_id);
  }
  std::optional<std::string> set_draining(const std::string& node, bool draining) override {
    told.push_back((draining ? "drain " : "undrain ") + node);
    return refusal;
  }
  std::optional<std::string> remove_node(const std::string& node) override {
    told.push_back("remove " + node);
    return refusal;
  }
  std::optional<std::string> move_slot(std::uint64_t slot, const std::string& node) override {
    told.push_back("move " + std::to_string(slot) + " to " + node);
    return refusal;
  }
  std::optional<std::string> release_slot(std::uint64_t slot) override {
    told.push_back("release " + std::to_string(slot));
    return refusal;
  }
  std::optional<std::string> erase_user(const std::string& user) override {
    told.push_back("erase " + user);
    return refusal;
  }
  std::vector<ErasureRow> erasures() override {
    return {{.user = "ann", .started = 5, .state = "open", .slots = 3, .slots_done = 1, .slots_all = 4, .messages = 2}};
  }

  bool clustered = true;
  bool busy = false;
  ClientRow phone{.client_id = "a/ph\"one",
                  .user = "ann",
                  .node = "b",
                  .address = "10.0.0.1:99",
                  .transport = "tls",
                  .version = "5.0",
                  .connected = true,
                  .connected_seconds = 60,
                  .subscriptions = 3,
                  .inflight = 2,
                  .queued = 1,
                  .expiry_seconds = 3'600};
  std::optional<std::string> refusal;
  std::vector<std::string> told;
};

}  // namespace parley::admin::test
