#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/metrics.hpp"
#include "broker/admin/admin_server.hpp"
#include "broker/clustering.hpp"
#include "broker/disk/disk_store.hpp"
#include "broker/net/server.hpp"
#include "broker/shard/client_views.hpp"
#include "config/config.hpp"

/// The admin socket's answers about this node: broker/admin and the rooms it doesn't know, handed to each other.
namespace parley {

class Administration final : private admin::NodeAdmin {
 public:
  /// `clustering` is null on a standalone node. All arguments live longer.
  Administration(const config::Config& config, const Metrics& metrics, const shard::ShardOptions& options,
                 const disk::DiskStore& store, net::Server& server, Clustering* clustering);

  /// Where admin.socket says; a socket that can't be made is logged, and the node goes on without.
  /// After the server has started.
  void start();
  /// Before server and clustering stop.
  void stop() { server_.stop(); }

 private:
  admin::NodeStatus status() override;
  std::string metrics() override;
  std::vector<admin::NodeRow> nodes() override;
  std::vector<admin::SlotRow> slots() override;
  std::optional<std::vector<admin::ClientRow>> clients(const admin::ClientQuery& query) override;
  std::optional<admin::ClientRow> client(const std::string& client_id) override;
  std::optional<admin::ClientRow> kick(const std::string& client_id, const std::string& reason) override;
  std::optional<std::string> set_draining(const std::string& node, bool draining) override;
  std::optional<std::string> remove_node(const std::string& node) override;
  std::optional<std::string> move_slot(std::uint64_t slot, const std::string& node) override;
  std::optional<std::string> release_slot(std::uint64_t slot) override;
  std::optional<std::string> erase_user(const std::string& user) override;
  std::vector<admin::ErasureRow> erasures() override;

  std::optional<admin::ClientRow> find(const std::string& client_id, shard::ClientOrder order);
  [[nodiscard]] admin::ClientRow row_of(shard::ClientView view, const std::string& node) const;
  std::string node_name(NodeId node);

  const config::Config& config_;
  const Metrics& metrics_;
  const shard::ShardOptions& options_;
  const disk::DiskStore& store_;
  net::Server& clients_server_;
  const std::string name_;
  const Instant started_;
  Clustering* clustering_;
  admin::AdminServer server_;
};

}  // namespace parley
