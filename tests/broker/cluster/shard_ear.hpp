#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/shard/ports.hpp"

namespace parley::cluster::test {

/// A shard that notes what it hears.
class ShardEar final : public shard::PeerNodesEvents {
 public:
  void node_reachable(NodeId node) override { note(node, " is reachable"); }
  void node_unreachable(NodeId node) override { note(node, " is unreachable"); }
  void node_connected(NodeId node) override { note(node, " is connected"); }
  void node_leads(NodeId node, Slot slot, std::optional<Term> term) override {
    const std::string number = std::to_string(slot.value);
    note(node, term ? " leads " + number + " in " + std::to_string(term->value) : " doesn't lead " + number);
  }
  void node_writable(NodeId node, shard::NodeChannel channel) override {
    note(node, " takes more on " + std::to_string(static_cast<int>(channel)));
  }
  void node_message(NodeId from, shard::NodeChannel channel, std::string_view message) override {
    note(from, " on " + std::to_string(static_cast<int>(channel)) + ": " + std::string(message));
  }

  std::vector<std::string> heard;

 private:
  void note(NodeId node, const std::string& what) { heard.push_back(std::to_string(node.value) + what); }
};

}  // namespace parley::cluster::test
