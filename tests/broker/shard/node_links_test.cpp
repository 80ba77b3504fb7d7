#include "broker/shard/node_links.hpp"

#include <gtest/gtest.h>

namespace parley::shard {
namespace {

class NarrowNodes final : public PeerNodes {
 public:
  [[nodiscard]] NodeId self() const override { return {1}; }
  bool send(NodeId /*node*/, NodeChannel /*channel*/, std::string message) override {
    if (full) return false;
    sent.push_back(std::move(message));
    return true;
  }
  void drop(NodeId node) override { dropped.push_back(node); }
  void leading(Slot /*slot*/, std::optional<Term> /*term*/) override {}
  bool full = false;
  std::vector<std::string> sent;
  std::vector<NodeId> dropped;
};

constexpr NodeId kOther{2};

TEST(NodeLinks, KeepWhatAFullChannelDoesntTakeInItsOrder) {
  NarrowNodes nodes;
  NodeLinks links(nodes);
  links.node_connected(kOther);
  nodes.full = true;
  links.send(kOther, NodeChannel::Proposals, "waits");
  links.send(kOther, NodeChannel::Proposals, "waits too");
  EXPECT_FALSE(links.writable(kOther, NodeChannel::Proposals));
  nodes.full = false;
  EXPECT_TRUE(links.node_writable(kOther, NodeChannel::Proposals));
  EXPECT_TRUE(links.try_send(kOther, NodeChannel::Proposals, "goes"));
  EXPECT_EQ(nodes.sent, (std::vector<std::string>{"waits", "waits too", "goes"}));
}

TEST(NodeLinks, SendNothingOfAnEarlierConnection) {
  NarrowNodes nodes;
  NodeLinks links(nodes);
  links.node_connected(kOther);
  nodes.full = true;
  links.send(kOther, NodeChannel::Proposals, "lost");
  links.node_unreachable(kOther);
  EXPECT_FALSE(links.connected(kOther));
  nodes.full = false;
  EXPECT_FALSE(links.node_writable(kOther, NodeChannel::Proposals));
  links.send(kOther, NodeChannel::Proposals, "lost, too");
  EXPECT_FALSE(links.try_send(kOther, NodeChannel::Proposals, "not taken"));
  links.node_connected(kOther);
  links.send(kOther, NodeChannel::Proposals, "anew");
  EXPECT_EQ(nodes.sent, (std::vector<std::string>{"anew"}));
}

/// What can't be kept isn't dropped in silence: with the connection all is said anew.
TEST(NodeLinks, EndAConnectionThatTakesTooLittle) {
  NarrowNodes nodes;
  NodeLinks links(nodes);
  links.node_connected(kOther);
  nodes.full = true;
  const std::string large(NodeLinks::kQueuedBytesMax / 4, 'x');
  for (int i = 0; i < 4; ++i) links.send(kOther, NodeChannel::Entries, large);
  EXPECT_TRUE(nodes.dropped.empty());
  links.send(kOther, NodeChannel::Entries, "one more");
  EXPECT_EQ(nodes.dropped, (std::vector<NodeId>{kOther}));
  EXPECT_FALSE(links.connected(kOther));
  links.send(kOther, NodeChannel::Entries, "and another");
  EXPECT_EQ(nodes.dropped.size(), 1U) << "once for a connection";
  nodes.full = false;
  links.node_connected(kOther);
  EXPECT_TRUE(links.try_send(kOther, NodeChannel::Entries, "anew"));
  EXPECT_EQ(nodes.sent, (std::vector<std::string>{"anew"}));
}

}  // namespace
}  // namespace parley::shard
