#pragma once

#include <memory>

#include "base/metrics.hpp"
#include "broker/admin/admin_server.hpp"
#include "broker/clustering.hpp"
#include "config/config.hpp"

/// The admin socket's answers about this node: broker/admin and the rooms it doesn't know, handed to each other.
namespace parley {

class Administration final : private admin::NodeAdmin {
 public:
  /// `clustering` is null on a standalone node. All arguments live longer.
  Administration(const config::Config& config, const Metrics& metrics, std::uint32_t threads, Clustering* clustering);

  /// Where admin.socket says; a socket that can't be made is logged, and the node goes on without.
  void start();
  /// Before the clustering stops.
  void stop() { server_.stop(); }

 private:
  admin::NodeStatus status() override;
  std::string metrics() override;
  std::vector<admin::NodeRow> nodes() override;
  std::vector<admin::SlotRow> slots() override;
  std::optional<std::string> set_draining(const std::string& node, bool draining) override;
  std::optional<std::string> remove_node(const std::string& node) override;
  std::optional<std::string> move_slot(std::uint64_t slot, const std::string& node) override;
  std::optional<std::string> release_slot(std::uint64_t slot) override;

  const config::Config& config_;
  const Metrics& metrics_;
  const std::uint32_t threads_;
  const std::string name_;
  const Instant started_;
  Clustering* clustering_;
  admin::AdminServer server_;
};

}  // namespace parley
